"""A bundle pulled as a folder: from a layout and the real registry, served by the real Triton; and all that goes wrong."""

from __future__ import annotations

import errno
import json
import os
import uuid
from pathlib import Path

import pytest
import requests

from promote.adapters.oci.failures import Patience
from promote.adapters.oci.folder import PullFolder
from promote.adapters.oci.http import open_remote
from promote.adapters.oci.registry import OciRegistry, open_registry
from promote.cli.progress import Silent
from promote.core.stages import Bundle
from promote.core.variants import Kind
from promote.errors import InputError, IntegrityError, Unavailable
from promote.pipeline import Pulled, pull_bundle
from promote.ports import Registry
from tests.fakes.bundle import contents
from tests.fakes.quirk_registry import Fault, QuirkRegistry
from tests.fakes.registry import Steps, make_bundle
from tests.parts.registry import RealRegistry
from tests.parts.triton import new_name


def served(
    name: str = "ner", version: int = 1, weight: float = 2.0, passport: bytes = b"{}", **more: bytes
) -> Bundle:  # fmt: skip
    """A bundle that Triton serves; ``more``: files beside the model."""
    files = contents(name, version, weight)
    config = files.pop(f"{name}/config.pbtxt")
    inside = {path.split("/", 2)[2]: data for path, data in files.items() if "/promote/" not in path}
    return make_bundle(inside | more, name=name, version=version, config=config, passport=passport)


@pytest.fixture(params=["layout", "registry"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The base of a new layout, or of new repositories in the real registry."""
    if request.param == "layout":
        return f"oci:{tmp_path}/bundles"
    real: RealRegistry = request.getfixturevalue("registry")
    return f"{real.host}/t{uuid.uuid4().hex[:12]}"


def pull(registry: Registry, folder: Path, reference: str = "v1", name: str = "ner") -> Pulled:
    return pull_bundle(name, reference, registry, PullFolder(str(folder)), Silent())


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_the_folder_is_a_model_repository_of_exactly_the_bundle(where: str, tmp_path: Path) -> None:
    registry, bundle = open_registry(where, env={}), served()
    digest = registry.push(bundle, Steps()).stored.digest
    pulled = pull(registry, goal := tmp_path / "new" / "served")
    assert (pulled.stored.digest, pulled.there, pulled.folder) == (digest, False, str(goal))
    assert tree(goal) == {path: blob.data for path, blob in bundle.files.items()}
    assert [p.name for p in goal.parent.iterdir()] == ["served"]


def test_what_lies_there_already_is_read_and_not_fetched(where: str, tmp_path: Path) -> None:
    registry = open_registry(where, env={})
    registry.push(served(), Steps())
    (goal := tmp_path / "served").mkdir()  # an empty folder is replaced
    assert not pull(registry, goal).there
    inode = goal.stat().st_ino
    assert pull(registry, goal).there
    assert goal.stat().st_ino == inode


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda goal: (goal / "ner/1/model.onnx").write_bytes(b"mine"), "ner/1/model.onnx has other bytes"),
        (lambda goal: (goal / "ner/1/model.onnx").unlink(), "ner/1/model.onnx is missing"),
        (lambda goal: (goal / "notes.txt").write_text("mine"), "notes.txt is not of the bundle"),
        (lambda goal: (goal / "ner/2").mkdir(), "ner/2 is not of the bundle"),
        (lambda goal: (goal / "ner/1/a").symlink_to("/etc/passwd"), "ner/1/a is not of the bundle"),
        (lambda goal: os.mkfifo(goal / "pipe"), "pipe is not of the bundle"),
    ],
)
def test_a_folder_with_anything_else_is_refused_and_left_alone(change, told, tmp_path: Path) -> None:
    registry = open_registry(f"oci:{tmp_path}/bundles", env={})
    registry.push(served(), Steps())
    pull(registry, goal := tmp_path / "served")
    change(goal)
    before = sorted(str(p) for p in goal.rglob("*"))
    with pytest.raises(InputError) as refused:
        pull(registry, goal)
    assert told in refused.value.message
    assert sorted(str(p) for p in goal.rglob("*")) == before


def test_another_version_is_not_pulled_over_the_first(tmp_path: Path) -> None:
    registry = open_registry(f"oci:{tmp_path}/bundles", env={})
    registry.push(served(), Steps())
    registry.push(served(version=2), Steps())
    pull(registry, goal := tmp_path / "served")
    with pytest.raises(InputError, match="is there and is not ner v2"):
        pull(registry, goal, "v2")


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda goal: goal.write_text(""), "is no folder"),
        (lambda goal: goal.symlink_to("/tmp"), "is no folder"),
        (lambda goal: (goal.mkdir(), os.chdir(goal)), "cannot be replaced"),
    ],
)
def test_a_place_that_no_folder_can_take_is_refused(make, told, tmp_path: Path, monkeypatch) -> None:
    registry = open_registry(f"oci:{tmp_path}/bundles", env={})
    registry.push(served(), Steps())
    monkeypatch.chdir(tmp_path)
    make(goal := tmp_path / "served")
    with pytest.raises(InputError, match=told):
        pull(registry, goal)


def gets(quirk: QuirkRegistry) -> list[str]:
    return [path.rpartition("/")[2] for method, path in quirk.requests if method == "GET" and "/blobs/" in path]


def opened(quirk: QuirkRegistry) -> OciRegistry:
    return OciRegistry(open_remote(f"http://{quirk.host}/q", {}, Patience(tries=2, sleep=lambda _: None)))


def test_a_pull_that_was_cut_goes_on_with_what_it_had(tmp_path: Path) -> None:
    bundle, goal = served(**{f"part{n}.bin": bytes([n]) * 1000 for n in range(9)}), tmp_path / "served"
    last = bundle.files["ner/1/part8.bin"].digest
    with QuirkRegistry() as quirk:
        opened(quirk).push(bundle, Steps())
        quirk.faults = (Fault("GET", last, 0, 503),)
        with pytest.raises(Unavailable):
            pull(opened(quirk), goal)
        assert not goal.exists()
        had = {p.name for p in (tmp_path / ".served.pull").rglob("*") if p.is_file()}
        assert len(had) > 1
        quirk.faults, quirk.requests[:] = (), []
        pull(opened(quirk), goal)
        assert len(gets(quirk)) == len(bundle.files) - len(had)
        assert last in gets(quirk)
    assert tree(goal) == {path: blob.data for path, blob in bundle.files.items()}
    assert not (tmp_path / ".served.pull").exists()


def test_what_another_pull_left_is_not_taken_along(tmp_path: Path) -> None:
    registry = open_registry(f"oci:{tmp_path}/bundles", env={})
    registry.push(served(), Steps())
    left = tmp_path / ".served.pull"
    (left / "ner/2").mkdir(parents=True)
    (left / "ner/2/model.onnx").write_text("of another version")
    (left / "ner/1").mkdir()
    (left / "ner/1/model.onnx").write_text("cut off")
    (left / "link").symlink_to(tmp_path)
    pull(registry, goal := tmp_path / "served")
    assert tree(goal) == {path: blob.data for path, blob in served().files.items()}
    assert (tmp_path / "bundles").is_dir()


def test_two_pulls_to_one_folder_do_not_meet(tmp_path: Path) -> None:
    registry = open_registry(f"oci:{tmp_path}/bundles", env={})
    registry.push(served(), Steps())
    folder = PullFolder(str(tmp_path / "served"))
    with folder.staging(), pytest.raises(Unavailable, match="another pull to"):
        pull(registry, tmp_path / "served")
    pull(registry, tmp_path / "served")


@pytest.mark.parametrize("data", [b"cut", b"x" * 5000, b""])
def test_a_damaged_blob_leaves_nothing_under_the_name(where: str, data: bytes, tmp_path: Path, request) -> None:
    registry, goal = open_registry(where, env={}), tmp_path / "served"
    weights = os.urandom(1000)  # of this test only: the registry shares blobs
    registry.push(served(**{"weights.bin": weights}), Steps())
    name = served(**{"weights.bin": weights}).files["ner/1/weights.bin"].digest
    if where.startswith("oci:"):
        (tmp_path / "bundles/ner/blobs/sha256" / name.removeprefix("sha256:")).write_bytes(data)
    else:
        request.getfixturevalue("registry").blob(name).write_bytes(data)
    with pytest.raises(IntegrityError):
        pull(open_registry(where, env={}), goal)
    assert not goal.exists()
    assert not list((tmp_path / ".served.pull").rglob("weights.bin"))


def test_a_tag_that_moves_between_resolve_and_fetch_changes_nothing(tmp_path: Path) -> None:
    with QuirkRegistry() as quirk:
        first = opened(quirk).push(served(), Steps()).stored
        other = opened(quirk).push(served(version=2, weight=3.0), Steps()).stored

        class Moving(OciRegistry):
            def find(self, name, reference):
                found = super().find(name, reference)
                quirk.tags["q/ner", "v1"] = other.digest
                return found

        moving = Moving(open_remote(f"http://{quirk.host}/q", {}))
        assert pull(moving, tmp_path / "served").stored.digest == first.digest
        assert tree(tmp_path / "served") == {path: blob.data for path, blob in served().files.items()}
        with pytest.raises(IntegrityError, match="is version 2 by its manifest"):
            pull(opened(quirk), tmp_path / "later")


def test_of_an_index_the_variant_that_is_named_or_the_portable_one_is_pulled(where: str, tmp_path: Path) -> None:
    registry = open_registry(where, env={})
    kinds = [Kind(format="onnx", precision=precision) for precision in ("fp32", "fp16")]
    pushed = [registry.push(served(weight=w), Steps(), alone=False).stored for w in (2.0, 3.0)]
    registry.gather(list(zip(kinds, pushed, strict=True)))
    assert pull(registry, tmp_path / "any").stored.digest == pushed[0].digest
    half = pull_bundle("ner", "v1", registry, PullFolder(str(tmp_path / "half")), Silent(), variant="onnx-fp16")
    assert half.stored.digest == pushed[1].digest
    assert tree(tmp_path / "half") == {path: blob.data for path, blob in served(weight=3.0).files.items()}
    with pytest.raises(InputError, match="no variant 'onnx-bf16'") as refused:
        pull_bundle("ner", "v1", registry, PullFolder(str(tmp_path / "none")), Silent(), variant="onnx-bf16")
    assert refused.value.hint == "--variant takes one of onnx-fp32, onnx-fp16"
    with pytest.raises(InputError, match="one bundle, without variants"):
        pull_bundle("ner", pushed[0].digest, registry, PullFolder(str(tmp_path / "x")), Silent(), variant="onnx-fp16")
    other = registry.push(served("half", weight=2.0), Steps(), alone=False).stored
    registry.gather([(kinds[1], other)])
    with pytest.raises(InputError, match="no portable variant"):
        pull(registry, tmp_path / "none", name="half")


def test_what_could_run_code_is_refused(where: str, tmp_path: Path) -> None:
    registry, goal = open_registry(where, env={}), tmp_path / "served"
    evil = contents("elf", 1)["elf/config.pbtxt"]
    registry.push(make_bundle({"model.onnx": b"\x7fELF and more"}, name="elf", config=evil), Steps())
    with pytest.raises(IntegrityError, match="native code"):
        pull(registry, goal, name="elf")
    config = b'name: "cfg"\nbackend: "onnxruntime"\nmodel_operations { op_library_filename: "/tmp/evil.so" }\n'
    registry.push(make_bundle(name="cfg", config=config), Steps())
    with pytest.raises(IntegrityError, match="model_operations"):
        pull(registry, goal, name="cfg")
    registry.push(make_bundle({"model.onnx": b"m", "libtriton_x.so": b"x"}, name="lib"), Steps())
    with pytest.raises(IntegrityError, match=r"libtriton_x\.so"):
        pull(registry, goal, name="lib")
    assert not goal.exists()


def test_a_full_disk_is_told_and_what_was_fetched_is_kept(tmp_path: Path, monkeypatch) -> None:
    registry, goal = open_registry(f"oci:{tmp_path}/bundles", env={}), tmp_path / "served"
    registry.push(served(**{"weights.bin": b"w" * 100_000}), Steps())
    write = os.write

    def full(handle: int, data) -> int:
        if len(data) == 100_000:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(handle, data)

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        with pytest.raises(Unavailable, match="No space left on device"):
            pull(registry, goal)
    assert not goal.exists()
    assert not pull(registry, goal).there


def test_a_disk_without_room_is_told_before_anything_is_fetched(tmp_path: Path, monkeypatch) -> None:
    registry = open_registry(f"oci:{tmp_path}/bundles", env={})
    registry.push(served(), Steps())
    told = os.statvfs(tmp_path)

    class Little:
        f_bavail, f_frsize, f_blocks = 0, told.f_frsize, told.f_blocks

    monkeypatch.setattr(os, "statvfs", lambda _: Little)
    with pytest.raises(Unavailable, match="has room for 0 bytes"):
        pull(registry, tmp_path / "served")
    assert not list(tmp_path.glob(".served.pull"))


@pytest.mark.triton
@pytest.mark.slow
def test_the_real_triton_serves_the_folder_as_it_lies(where: str, tmp_path: Path, fresh_triton) -> None:
    registry, name = open_registry(where, env={}), new_name("pulled")
    registry.push(served(name, weight=3.0), Steps())
    pull(registry, goal := tmp_path / "served", name=name)
    triton = fresh_triton(goal).triton
    base = f"http://{triton.http}/v2"
    assert requests.post(f"{base}/repository/models/{name}/load", json={}, timeout=60).status_code == 200
    asked = {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}]}
    answer = requests.post(f"{base}/models/{name}/infer", data=json.dumps(asked), timeout=60).json()
    assert answer["outputs"][0]["data"] == [3.0, 6.0, 9.0, 12.0]
