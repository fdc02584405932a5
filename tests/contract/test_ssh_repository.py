"""A model repository on another host: kills at each command, copies that were cut, blobs that are there, keys that are not known.

A real ``sshd`` on loopback. Not collected where there is none (``tests/conftest.py``). What every ``Store`` does is held by
``test_store.py``.
"""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from promote.adapters.remote_repository import RemoteRepository
from promote.adapters.repository.ssh import SshSpace
from promote.adapters.repository.ssh_line import SshLine
from promote.adapters.triton_server import TritonServer
from promote.core.passport import sha256
from promote.core.repository_place import SshPlace
from promote.core.stages import Deployed, Stored
from promote.errors import AuthError, InputError, IntegrityError, Unavailable
from tests.contract.bench import Bench
from tests.contract.test_remote_triton import absent, run_through
from tests.fakes.bundle import Bundle, bundle, contents, fetched, times
from tests.parts.ssh_server import SshServer
from tests.parts.triton import Served

Run = Callable[..., tuple[int, bytes]]


class Killed(BaseException):
    """The process ends here."""


@pytest.fixture
def root(calypso: SshServer, tmp_path: Path) -> Path:
    folder = tmp_path / "far" / "models"
    folder.mkdir(parents=True)
    return folder


def store(root: Path, host: str = "calypso") -> RemoteRepository:
    return RemoteRepository(SshSpace(SshPlace("", host, 0, str(root))), by="tests", work=root.parent.parent)


def state(root: Path) -> Path:
    return root.parent / ".promote-models"


def deploy(there: RemoteRepository, made: Bundle) -> None:
    stored, files = made
    with there.lock(stored.name), there.staging(stored):
        there.place(stored, files)
        there.serve(stored.name, (stored.version,))
        there.commit(live(stored))


def live(stored: Stored) -> Deployed:
    return Deployed(
        name=stored.name, version=stored.version, digest=stored.digest, repository=stored.repository,
        since="2026-11-24T10:00:00Z", by="tests", state="live",
    )  # fmt: skip


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is said of every command, in order."""
    said: list[str] = []
    real: Run = SshLine.run

    def run(self: SshLine, doing: str, *arguments: object, **more: object) -> tuple[int, bytes]:
        said.append(doing.split(" ")[0])
        return real(self, doing, *arguments, **more)

    monkeypatch.setattr(SshLine, "run", run)
    return said


def whole(root: Path, made: Bundle) -> None:
    """What has a final name is right to the last byte."""
    stored = made[0]
    for path, blob in stored.files.items():
        if (root / "m" / str(stored.version)).exists() and path != "m/config.pbtxt":
            assert sha256((root / path).read_bytes()) == blob.digest
    for path in (state(root) / "blobs").glob("*"):
        assert path.name.endswith(".part") or sha256(path.read_bytes()) == f"sha256:{path.name}"


@pytest.mark.slow
def test_a_kill_at_any_command_leaves_nothing_half_and_running_again_finishes(
    calypso: SshServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sent: list[str]
) -> None:
    made = bundle(tmp_path / "b", "m", 1)
    counted, stop = SshLine.run, [-1]

    def run(self: SshLine, doing: str, *arguments: object, **more: object) -> tuple[int, bytes]:
        answer = counted(self, doing, *arguments, **more)
        if len(sent) == stop[0]:
            stop[0] = -1
            raise Killed
        return answer

    def folder(name: str) -> Path:
        (tmp_path / name / "models").mkdir(parents=True)
        return tmp_path / name / "models"

    monkeypatch.setattr(SshLine, "run", run)
    first = folder("whole")
    deploy(store(first), made)
    changes = [at + 1 for at, word in enumerate(sent) if word in ("write", "copy", "place", "look", "remove")]
    assert len(changes) > 8
    for at in changes:
        sent.clear()
        stop[0] = at
        other = folder(f"at-{at}")
        with pytest.raises(Killed):
            deploy(store(other), made)
        whole(other, made)
        deploy(store(other), made)
        whole(other, made)
        seen = {str(path.relative_to(other)) for path in other.rglob("*")}
        assert seen == {str(path.relative_to(first)) for path in first.rglob("*")}, at
        assert list((state(other) / "staging").iterdir()) == []


def test_a_copy_that_was_cut_goes_on_and_one_that_is_wrong_begins_again(root: Path, sent: list[str]) -> None:
    made = bundle(root / "../b", "m", 1)
    path = "m/1/model.onnx"
    data, hex_ = Path(made[1][path]).read_bytes(), made[0].files[path].digest.removeprefix("sha256:")
    (state(root) / "blobs").mkdir(parents=True)
    part = state(root) / "blobs" / f"{hex_}.part"
    part.write_bytes(data[:50])
    store(root).place(*made)
    assert sent.count("copy") == 3
    assert (root / path).read_bytes() == data
    store(root).withdraw("m", 1)
    (state(root) / "blobs" / hex_).unlink()
    part.write_bytes(b"x" * 50)
    sent.clear()
    store(root).place(*made)
    assert sent.count("copy") == 2  # from the end of the part, and then from the start; the others are there
    assert (root / path).read_bytes() == data
    assert not part.exists()


def test_what_is_there_is_not_sent_again_and_is_a_link(root: Path, sent: list[str]) -> None:
    there = store(root)
    there.place(*bundle(root / "../1", "m", 1))
    assert sent.count("copy") == 3
    there.place(*bundle(root / "../2", "m", 2))  # the same bytes, under another number
    assert sent.count("copy") == 3
    one, two = (root / f"m/{version}/model.onnx" for version in (1, 2))
    assert one.samefile(two)
    assert one.stat().st_nlink == 3
    assert oct(one.stat().st_mode & 0o777) == "0o644"


def test_a_blob_that_was_changed_there_is_sent_anew(root: Path, sent: list[str]) -> None:
    made = bundle(root / "../1", "m", 1)
    hex_ = made[0].files["m/1/model.onnx"].digest.removeprefix("sha256:")
    (state(root) / "blobs").mkdir(parents=True)
    size = made[0].files["m/1/model.onnx"].size
    (state(root) / "blobs" / hex_).write_bytes(b"x" * size)  # of the right size
    store(root).place(*made)
    assert sent.count("place") == 2
    whole(root, made)


def test_a_version_changed_there_is_seen(root: Path) -> None:
    made = bundle(root / "../1", "m", 1)
    there = store(root)
    deploy(there, made)
    path = root / "m/1/model.onnx"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    assert "model.onnx has digest" in there.inspect("m", 1).files
    with pytest.raises(IntegrityError, match=r"model\.onnx has digest"):
        there.place(*made)
    (root / "m/1/link").symlink_to("/etc/passwd")
    with pytest.raises(IntegrityError, match="neither a regular file"):
        there.serve("m", (1,))


def test_names_of_files_are_data_for_every_shell_on_the_way(root: Path) -> None:
    names = ["$(touch hit)", "a b ", "'q'", "`x`", "-n", "ä;#&"]
    files = contents("m", 1) | {f"m/1/weights/{name}": name.encode() for name in names}
    made = fetched(root / "../b", "m", 1, files)
    store(root).place(*made)
    assert sorted(path.name for path in (root / "m/1/weights").iterdir()) == sorted(names)
    assert store(root).inspect("m", 1).files == ""
    assert not list(root.parent.rglob("hit"))


def test_a_model_placed_by_hand_is_left_alone(root: Path) -> None:
    (root / "m" / "1").mkdir(parents=True)
    (root / "m/1/model.onnx").write_bytes(times(2.0))
    with pytest.raises(InputError, match=r"calypso:/.*/models/m is there and was not placed by promote"):
        store(root).place(*bundle(root / "../b", "m", 1))


def test_nothing_of_ours_lies_where_triton_looks(root: Path) -> None:
    deploy(store(root), bundle(root / "../b", "m", 1))
    assert [path.name for path in root.iterdir()] == ["m"]
    assert sorted(path.name for path in (root / "m").iterdir()) == ["1", "config.pbtxt"]


def test_a_lock_names_its_holder_and_goes_with_a_killed_one(root: Path) -> None:
    script = f"""
        import time
        from pathlib import Path
        from tests.contract.test_ssh_repository import store
        with store(Path({str(root)!r})).lock("m"):
            print("held", flush=True)
            time.sleep(100)
    """
    holder = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(Unavailable, match="m is being deployed by tests"), store(root).lock("m"):
            pass
    finally:
        holder.kill()
        holder.wait()
    for _ in range(100):
        try:
            with store(root).lock("m"):
                return
        except Unavailable:
            continue
    raise AssertionError("the lock stays")


def test_of_two_that_record_at_once_one_is_told(root: Path) -> None:
    one, two = bundle(root / "../1", "m", 1)[0], bundle(root / "../2", "m", 2)[0]
    space = SshSpace(SshPlace("", "calypso", 0, str(root)))
    store(root).commit(live(one))
    former = space.read("state/models/m/record.jsonl")
    assert former is not None
    store(root).commit(live(two))
    with pytest.raises(Unavailable, match="changed by somebody else"):
        space.swap("state/models/m/record.jsonl", b"mine\n", former)
    with pytest.raises(Unavailable, match="changed by somebody else"):
        space.swap("state/models/m/record.jsonl", b"mine\n", None)


def test_a_host_that_does_not_let_us_in_is_told(root: Path) -> None:
    with pytest.raises(AuthError, match=r"stranger does not let us in: .*Permission denied") as raised:
        store(root, "stranger").current("m")
    assert "\n" not in raised.value.message


def test_a_host_whose_key_is_not_known_or_changed_is_not_trusted(
    root: Path, calypso: SshServer, sshd: SshServer
) -> None:
    known = sshd.config.parent / "known"
    text = known.read_text()
    other = (sshd.config.parent / "other.pub").read_text()
    try:
        for words in ("", f"{text.split(' ')[0]} {other}"):
            known.write_text(words)
            with pytest.raises(Unavailable, match="the host key of calypso is not known or has changed"):
                store(root).current("m")
    finally:
        known.write_text(text)


def test_a_host_that_is_not_there_is_unavailable(root: Path) -> None:
    with pytest.raises(Unavailable, match=r"ssh to 127\.0\.0\.1: .*refused"):
        RemoteRepository(SshSpace(SshPlace("", "127.0.0.1", 9, "/x/y")), by="tests", work=root).current("m")


def test_a_folder_that_is_not_there_is_bad_input(root: Path) -> None:
    with pytest.raises(InputError, match=r"ssh://calypso/.*/none is not a folder there"):
        store(root / "none").models()


@pytest.mark.triton
def test_triton_serves_from_a_folder_that_is_filled_over_ssh(
    calypso: SshServer, fresh_triton: Callable[..., Served], tmp_path: Path
) -> None:
    served = fresh_triton()
    space = SshSpace(SshPlace("", "calypso", 0, str(served.repository)))
    there = RemoteRepository(space, by="tests", work=tmp_path)
    run_through(Bench(TritonServer(served.triton.http, served.triton.grpc), there, absent(), tmp_path))
