"""The model repository on disk: kills and full disks at every step, tampering, and what Triton gets to see."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import signal
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from promote.adapters.model_repository import ModelRepository
from promote.core.stages import Deployed, Stored
from promote.errors import InputError, IntegrityError, NotFound, PromoteError, Unavailable
from tests.fakes.bundle import bundle, contents, fetched

# Everything by which the store changes the disk.
STEPS = ("rename", "mkdir", "chmod", "fchmod", "fsync", "rmdir", "unlink", "truncate", "ftruncate", "pwrite")
_SPAWN = multiprocessing.get_context("forkserver")
_SPAWN.set_forkserver_preload([__name__])  # one import of this file for all processes


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    return folder


@pytest.fixture
def store(root: Path) -> ModelRepository:
    return ModelRepository(root, by="tests@here")


def live(stored: Stored, since: str = "2026-11-23T10:00:00Z") -> Deployed:
    return Deployed(
        name=stored.name,
        version=stored.version,
        digest=stored.digest,
        repository=stored.repository,
        since=since,
        by="tests",
        state="live",
    )


def state(root: Path) -> Path:
    return root.parent / ".promote-models"


def seen_by_triton(root: Path) -> dict[str, bytes]:
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}


_uncounted: list[bool] = []


@contextmanager
def uncounted() -> Iterator[None]:
    """What the test itself does on the disk."""
    _uncounted.append(True)
    yield
    _uncounted.pop()


@contextmanager
def at_step(number: int, happens: Callable[[], None]) -> Iterator[list[str]]:
    """Has ``happens`` run instead of the step of that number; gives the names of the steps, as they come."""
    steps: list[str] = []
    _uncounted.clear()
    real = {name: getattr(os, name) for name in STEPS}

    def counted(name: str) -> Callable[..., object]:
        def step(*args: object, **more: object) -> object:
            if not _uncounted:
                steps.append(name)
                if len(steps) == number:
                    happens()
            return real[name](*args, **more)

        return step

    for name in STEPS:
        setattr(os, name, counted(name))
    try:
        yield steps
    finally:
        for name in STEPS:
            setattr(os, name, real[name])


# --- a whole deployment, killed or failing at each step --------------------------------------------------------------


def deployment(root: Path, incoming: Path) -> None:
    """Version 2 on top of version 1, as the pipeline drives the store; runs in a process of its own as well."""
    store = ModelRepository(root, by="tests@here")
    files = contents("m", 2, 3.0)
    with uncounted():
        stored, _ = fetched(incoming, "m", 2, files)
    with store.lock("m"):
        with store.staging(stored) as folder:
            with uncounted():
                made = fetched(Path(folder), "m", 2, files)
            store.place(*made)
        store.serve("m", (1, 2))
        store.golden("m", 2)
        store.serve("m", (2,))
        store.commit(live(stored))


def killed_deployment(root: Path, incoming: Path, number: int) -> None:
    with at_step(number, lambda: os.kill(os.getpid(), signal.SIGKILL)):
        deployment(root, incoming)


def former_state(root: Path, incoming: Path) -> None:
    store = ModelRepository(root, by="tests@here")
    made = bundle(incoming / "former", "m", 1)
    store.place(*made)
    store.serve("m", (1,))
    store.commit(live(made[0]))


def assert_whole(root: Path) -> None:
    """No reader ever sees a part: each version is complete, and the config is one of the three it may be."""
    store = ModelRepository(root, by="tests@here")
    there = seen_by_triton(root)
    assert {p: d for p, d in there.items() if p.startswith("m/1/")} == at(contents("m", 1), "m/1/")
    second = {p: d for p, d in there.items() if p.startswith("m/2/")}
    assert second in ({}, at(contents("m", 2, 3.0), "m/2/"))
    assert there.keys() - second.keys() - at(contents("m", 1), "m/1/").keys() == {"m/config.pbtxt"}
    policy = there["m/config.pbtxt"].decode().split("version_policy {")[1].split("max_batch_size")[0]
    served = [int(line.split(":")[1]) for line in policy.splitlines() if "versions:" in line]
    assert served in ([1], [1, 2], [2])
    assert second or served == [1]
    assert store.golden("m", 1)
    assert [d.version for d in store.history("m")] in ([1], [1, 2])
    assert [d.version for d in store.history("m")] == [1] or served == [2]


def at(files: dict[str, bytes], within: str) -> dict[str, bytes]:
    return {path: data for path, data in files.items() if path.startswith(within)}


def assert_finished(root: Path) -> None:
    assert_whole(root)
    store = ModelRepository(root, by="tests@here")
    assert [d.version for d in store.history("m")] == [1, 2]
    assert seen_by_triton(root)["m/config.pbtxt"].count(b"versions:") == 1
    assert list((state(root) / "staging").iterdir()) == []


def count_steps(root: Path, incoming: Path) -> int:
    former_state(root, incoming)
    with at_step(0, lambda: None) as steps:
        deployment(root, incoming)
    assert_finished(root)
    assert {"rename", "mkdir", "chmod", "fchmod", "fsync", "rmdir"} <= set(steps)
    return len(steps)


@pytest.mark.slow
def test_a_kill_at_any_step_leaves_nothing_half_and_running_again_finishes(tmp_path: Path) -> None:
    def fresh(label: str) -> Path:
        folder = tmp_path / label / "models"
        folder.mkdir(parents=True)
        return folder

    steps = count_steps(fresh("count"), tmp_path / "count-in")
    assert steps > 30
    for number in range(1, steps + 1):
        root, incoming = fresh(str(number)), tmp_path / f"in-{number}"
        former_state(root, incoming)
        process = _SPAWN.Process(target=killed_deployment, args=(root, incoming, number))
        process.start()
        process.join(60)
        assert process.exitcode == -signal.SIGKILL, f"step {number}"
        assert_whole(root)
        deployment(root, incoming)
        assert_finished(root)


@pytest.mark.parametrize("fault", [errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EACCES], ids=errno.errorcode.get)
def test_a_failing_disk_at_any_step_is_told_and_running_again_finishes(tmp_path: Path, fault: int) -> None:
    def fails() -> None:
        raise OSError(fault, os.strerror(fault), "a-file")

    (tmp_path / "count").mkdir()
    (tmp_path / "count" / "models").mkdir()
    steps = count_steps(tmp_path / "count" / "models", tmp_path / "count-in")
    for number in range(1, steps + 1):
        root, incoming = tmp_path / str(number) / "models", tmp_path / f"in-{number}"
        root.mkdir(parents=True)
        former_state(root, incoming)
        with at_step(number, fails) as came:
            error = failed_deployment(root, incoming)
        if error is None:  # only a folder that was there already, or tidying up, which the next deployment does again
            assert came[number - 1] in ("mkdir", "rmdir", "unlink")
        else:
            assert type(error) is (InputError if fault == errno.EACCES else Unavailable)
            assert os.strerror(fault) in error.message
            assert "a-file" in error.message
        assert_whole(root)
        deployment(root, incoming)
        assert_finished(root)


def test_a_large_file_that_is_not_flushed_or_has_other_bytes_gets_no_name(
    store: ModelRepository, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is flushed while it is digested."""
    size, path = 9 * 2**20, "m/1/weights/w"
    stored, paths = fetched(tmp_path / "b", "m", 1, contents("m", 1) | {path: bytes(size)})
    flush, flushed = os.fsync, []

    def fails(handle: int) -> None:
        if os.fstat(handle).st_size == size:
            flushed.append(handle)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        flush(handle)

    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", fails)
        with pytest.raises(Unavailable, match="No space left"):
            store.place(stored, paths)
    assert len(flushed) == 1
    assert not (root / "m").exists()
    Path(paths[path]).write_bytes(b"x" * size)
    with pytest.raises(IntegrityError, match="weights/w has digest"):
        store.place(stored, paths)
    assert not (root / "m").exists()
    Path(paths[path]).write_bytes(bytes(size))
    store.place(stored, paths)
    assert (root / path).read_bytes() == bytes(size)


def failed_deployment(root: Path, incoming: Path) -> PromoteError | None:
    try:
        deployment(root, incoming)
    except PromoteError as error:
        return error
    return None


def test_running_a_finished_deployment_again_changes_nothing_that_lasts(root: Path, tmp_path: Path) -> None:
    former_state(root, tmp_path)
    deployment(root, tmp_path / "in")

    def lasting() -> dict[str, tuple[int, bytes]]:
        files = [p for folder in (root, state(root) / "models") for p in folder.rglob("*") if p.is_file()]
        return {str(p): (p.stat().st_ino, p.read_bytes()) for p in files if p.name != "config.pbtxt"}

    before = lasting()
    deployment(root, tmp_path / "in")
    assert lasting() == before


# --- the record ------------------------------------------------------------------------------------------------------


def three_lines(store: ModelRepository, tmp_path: Path) -> list[bytes]:
    for version in (1, 2, 3):
        store.commit(live(bundle(tmp_path / str(version), "m", version)[0]))
    return record(store).read_bytes().splitlines(keepends=True)


def record(store: ModelRepository) -> Path:
    return state(store._root) / "models" / "m" / "record.jsonl"


def test_a_last_line_cut_at_any_byte_is_dropped_and_written_over(store: ModelRepository, tmp_path: Path) -> None:
    lines = three_lines(store, tmp_path)
    for kept in range(len(lines[2])):
        record(store).write_bytes(b"".join(lines[:2]) + lines[2][:kept])
        assert [d.version for d in store.history("m")] == [1, 2]
    store.commit(live(bundle(tmp_path / "4", "m", 4)[0]))
    assert [d.version for d in store.history("m")] == [1, 2, 4]


def test_any_changed_byte_of_a_whole_line_is_seen(store: ModelRepository, tmp_path: Path) -> None:
    lines = three_lines(store, tmp_path)
    for number in range(3):
        for place in range(0, len(lines[number]) - 1, 7):
            changed = bytearray(lines[number])
            changed[place] ^= 1
            record(store).write_bytes(b"".join([*lines[:number], bytes(changed), *lines[number + 1 :]]))
            with pytest.raises(IntegrityError, match=r"record\.jsonl line [123]"):
                store.history("m")


def test_a_line_removed_repeated_or_moved_is_seen(store: ModelRepository, tmp_path: Path) -> None:
    one, two, three = three_lines(store, tmp_path)
    for lines in ([two, three], [one, three], [one, one, two], [one, three, two], [b"\n", one], [one, b"{}\n"]):
        record(store).write_bytes(b"".join(lines))
        with pytest.raises(IntegrityError, match=r"record\.jsonl line \d"):
            store.history("m")
        with pytest.raises(IntegrityError):
            store.commit(live(bundle(tmp_path / "9", "m", 9)[0]))


def test_the_record_of_another_model_is_not_ours(store: ModelRepository, tmp_path: Path) -> None:
    three_lines(store, tmp_path)
    other = state(store._root) / "models" / "n"
    other.mkdir()
    (other / "record.jsonl").write_bytes(record(store).read_bytes())
    with pytest.raises(IntegrityError):
        store.history("n")


# --- tampering and strangers -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        lambda v: (v / "model.onnx").write_bytes(b"x" * (v / "model.onnx").stat().st_size),
        lambda v: (v / "model.onnx").write_bytes(b"short"),
        lambda v: (v / "libtriton_onnxruntime.so").write_bytes(b"\x7fELF"),
        lambda v: (v / "promote" / "passport.json").unlink(),
        lambda v: ((v / "model.onnx").unlink(), (v / "model.onnx").symlink_to("/etc/hostname")),
        lambda v: os.mkfifo(v / "pipe"),
    ],
    ids=["bytes", "size", "added", "removed", "link", "pipe"],
)
def test_a_version_changed_afterwards_is_not_taken_for_the_one_that_was_placed(
    store: ModelRepository, root: Path, tmp_path: Path, change: Callable[[Path], object]
) -> None:
    made = bundle(tmp_path / "b", "m", 1)
    store.place(*made)
    change(root / "m" / "1")
    with pytest.raises(IntegrityError):
        store.place(*made)


def test_serve_refuses_a_version_with_files_added_or_a_config_changed(
    store: ModelRepository, root: Path, tmp_path: Path
) -> None:
    store.place(*bundle(tmp_path / "b", "m", 1))
    config = state(root) / "models" / "m" / "1" / "config.pbtxt"
    good = config.read_bytes()
    config.write_bytes(good.replace(b"max_batch_size: 8", b"max_batch_size: 9"))
    with pytest.raises(IntegrityError, match="config"):
        store.serve("m", (1,))
    config.write_bytes(good)
    (root / "m" / "1" / "batchstrategy.so").write_bytes(b"")
    with pytest.raises(IntegrityError, match=r"batchstrategy\.so was added"):
        store.serve("m", (1,))
    assert not (root / "m" / "config.pbtxt").exists()


def test_golden_samples_changed_afterwards_are_refused(store: ModelRepository, root: Path, tmp_path: Path) -> None:
    store.place(*bundle(tmp_path / "b", "m", 1))
    path = root / "m" / "1" / "promote" / "golden.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")
    with pytest.raises(IntegrityError, match=r"golden\.safetensors"):
        store.golden("m", 1)


@pytest.mark.parametrize(
    "tolerance", [b"{}", b'{"absolute": -1, "relative": 0}', b'{"absolute": 1e999, "relative": 0}']
)
def test_a_passport_without_a_tolerance_proves_nothing(
    store: ModelRepository, tmp_path: Path, tolerance: bytes
) -> None:
    files = contents("m", 1)
    files["m/1/promote/passport.json"] = b'{"parity": {"tolerance": ' + tolerance + b"}}"
    store.place(*fetched(tmp_path / "b", "m", 1, files))
    with pytest.raises(IntegrityError, match="tolerance"):
        store.golden("m", 1)


def test_notes_changed_afterwards_are_seen(store: ModelRepository, root: Path, tmp_path: Path) -> None:
    made = bundle(tmp_path / "b", "m", 1)
    store.place(*made)
    notes = state(root) / "models" / "m" / "1"
    for name in ("placed.json", "manifest.json"):
        good = (notes / name).read_bytes()
        (notes / name).write_bytes(good.replace(b'"sha256:', b'"sha512:', 1))
        with pytest.raises(IntegrityError, match=r"placed\.json|manifest\.json"):
            store.serve("m", (1,))
        (notes / name).write_bytes(good)
    store.serve("m", (1,))


def test_a_model_placed_by_hand_is_left_alone(store: ModelRepository, root: Path, tmp_path: Path) -> None:
    (root / "m" / "1").mkdir(parents=True)
    (root / "m" / "config.pbtxt").write_text("by hand")
    with pytest.raises(InputError, match="not placed by promote"):
        store.place(*bundle(tmp_path / "b", "m", 2))
    with pytest.raises(NotFound):
        store.serve("m", (1,))
    assert seen_by_triton(root) == {"m/config.pbtxt": b"by hand"}


def test_a_link_in_the_place_of_a_model_is_not_followed(store: ModelRepository, root: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (root / "m").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError):
        store.place(*bundle(tmp_path / "b", "m", 1))
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_fetched_link_is_not_followed(store: ModelRepository, root: Path, tmp_path: Path) -> None:
    stored, files = bundle(tmp_path / "b", "m", 1)
    with store.staging(stored) as folder:
        (Path(folder) / "link").symlink_to(files["m/1/model.onnx"])
        with pytest.raises(IntegrityError, match="not a regular file"):
            store.place(stored, files | {"m/1/model.onnx": f"{folder}/link"})
    assert seen_by_triton(root) == {}


def test_a_copy_is_served_so_that_the_source_may_change_later(
    store: ModelRepository, root: Path, tmp_path: Path
) -> None:
    stored, files = bundle(tmp_path / "b", "m", 1)
    store.place(stored, files)
    before = seen_by_triton(root)
    for path in files.values():
        Path(path).write_bytes(b"changed")
    assert seen_by_triton(root) == before


# --- places, rights, locks -------------------------------------------------------------------------------------------


def test_nothing_of_ours_lies_where_triton_looks(store: ModelRepository, root: Path, tmp_path: Path) -> None:
    made = bundle(tmp_path / "b", "m", 1)
    with store.lock("m"), store.staging(made[0]):
        store.place(*made)
        assert [p.name for p in root.iterdir()] == ["m"]
        assert [p.name for p in (root / "m").iterdir()] == ["1"]


def test_a_server_run_by_another_user_can_read_whatever_the_umask(root: Path, tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        store = ModelRepository(root, by="tests")
        store.place(*bundle(tmp_path / "b", "m", 1))
        store.serve("m", (1,))
    finally:
        os.umask(before)
    for path in (root / "m").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o755 if path.is_dir() else 0o644), path
    assert stat.S_IMODE((root / "m").stat().st_mode) == 0o755


@pytest.mark.parametrize("ask", [lambda s: s.current("m"), lambda s: s.models(), lambda s: s.serve("m", (1,))])
def test_a_root_that_is_no_folder_is_bad_input(tmp_path: Path, ask: Callable[[ModelRepository], object]) -> None:
    (tmp_path / "file").write_text("")
    for root in (tmp_path / "missing", tmp_path / "file"):
        with pytest.raises(InputError, match="is not a folder") as caught:
            ask(ModelRepository(root, by="tests"))
        assert "model_repository" in caught.value.hint
    assert not (tmp_path / ".promote-missing").exists()


def test_a_mount_point_has_no_room_beside_it() -> None:
    for root in (Path("/"), Path("/proc")):
        with pytest.raises(InputError, match="top of a file system"):
            ModelRepository(root, by="tests").current("m")


def test_state_on_another_file_system_is_refused(root: Path, tmp_path: Path) -> None:
    elsewhere = Path("/dev/shm")
    if not elsewhere.is_dir() or elsewhere.stat().st_dev == root.stat().st_dev:
        pytest.skip("/dev/shm is not another file system here")
    held = elsewhere / f"promote-test-{os.getpid()}"
    held.mkdir()
    try:
        state(root).symlink_to(held)
        with pytest.raises(InputError, match="not on one file system"):
            ModelRepository(root, by="tests").place(*bundle(tmp_path / "b", "m", 1))
    finally:
        for path in sorted(held.rglob("*"), reverse=True):
            path.rmdir()
        held.rmdir()
    assert seen_by_triton(root) == {}


def holder(root: Path, ready: object, go_on: object) -> None:
    with ModelRepository(root, by="somebody@elsewhere").lock("m"):
        ready.set()
        go_on.wait(60)


def test_the_lock_names_its_holder_and_goes_with_a_killed_one(store: ModelRepository, root: Path) -> None:
    ready, go_on = _SPAWN.Event(), _SPAWN.Event()
    process = _SPAWN.Process(target=holder, args=(root, ready, go_on))
    process.start()
    assert ready.wait(60)
    with pytest.raises(Unavailable) as caught, store.lock("m"):
        pass
    assert f"process {process.pid} of somebody@elsewhere" in caught.value.message
    process.kill()
    process.join(60)
    with store.lock("m"):
        pass


def placer(root: Path, folder: Path, barrier: object, version: int) -> None:
    made = bundle(folder, "m", version)
    barrier.wait(60)
    ModelRepository(root, by="tests").place(*made)


@pytest.mark.parametrize("versions", [(1, 1, 1, 1), (1, 2, 3, 4)], ids=["same", "different"])
def test_without_working_locks_placements_at_once_still_end_whole(
    root: Path, tmp_path: Path, versions: tuple[int, ...]
) -> None:
    barrier = _SPAWN.Barrier(len(versions))
    processes = [
        _SPAWN.Process(target=placer, args=(root, tmp_path / str(place), barrier, version))
        for place, version in enumerate(versions)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * len(versions)
    store = ModelRepository(root, by="tests")
    for version in versions:
        store.serve("m", (version,))
    assert list((state(root) / "staging").iterdir()) == []


def test_a_kept_version_is_whole_without_its_registry(store: ModelRepository, tmp_path: Path) -> None:
    """A rollback needs nothing but the disk."""
    for version in (1, 2):
        stored, files = bundle(tmp_path / str(version), "m", version)
        store.place(stored, files)
        store.commit(live(stored))
        for path in files.values():
            Path(path).unlink()
    store.serve("m", (2, 1))
    assert store.golden("m", 1)
    store.commit(replace(store.history("m")[0], since="2026-11-23T12:00:00Z", state="live"))
    assert [d.version for d in store.history("m")] == [1, 2, 1]


def test_the_manifest_is_kept_as_the_registry_gave_it(store: ModelRepository, root: Path, tmp_path: Path) -> None:
    stored, files = bundle(tmp_path / "b", "m", 1)
    store.place(stored, files)
    notes = state(root) / "models" / "m" / "1"
    assert (notes / "manifest.json").read_bytes() == stored.manifest
    assert json.loads((notes / "placed.json").read_bytes())["digest"] == stored.digest
