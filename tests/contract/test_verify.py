"""Every byte of a bundle held against its digest, in a layout and the real registry: all that can be wrong is named."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from promote.adapters.oci.failures import Patience
from promote.adapters.oci.folder import PullFolder
from promote.adapters.oci.http import open_remote
from promote.adapters.oci.registry import OciRegistry, open_registry
from promote.cli.progress import Silent
from promote.core.faults import Fault
from promote.core.manifest import config_blob
from promote.core.referrers import pack_referrer
from promote.core.stages import Held, Stored
from promote.core.variants import Kind
from promote.errors import InputError, IntegrityError, NotFound, Unavailable
from promote.pipeline import Verified, pull_bundle, verify_bundle
from promote.ports import Registry
from tests.contract.test_pull import served
from tests.fakes import quirk_registry
from tests.fakes.quirk_registry import QuirkRegistry
from tests.fakes.registry import FakeRegistry, Steps, make_bundle
from tests.parts.registry import RealRegistry

NOTE = (
    "application/vnd.acme.note.v1+json",
    b'{"note": 1}',
    {"org.opencontainers.image.created": "2026-11-24T12:00:00Z"},
)


@dataclass(frozen=True)
class Part:
    """A new layout, or new repositories in the real registry.

    Args:
        base: for ``open_registry``.
        file: where the bytes of a digest lie.
    """

    base: str
    file: Callable[[str], Path]

    def open(self) -> Registry:
        return open_registry(self.base, env={})


@pytest.fixture(params=["layout", "registry"])
def part(request: pytest.FixtureRequest, tmp_path: Path) -> Part:
    if request.param == "layout":
        base = tmp_path / "bundles"
        return Part(f"oci:{base}", lambda digest: base / "ner/blobs/sha256" / digest.removeprefix("sha256:"))
    real: RealRegistry = request.getfixturevalue("registry")
    return Part(f"{real.host}/t{uuid.uuid4().hex[:12]}", real.blob)


def push(registry: Registry, **more: bytes) -> Stored:
    """A bundle whose files no other test shares, as registries share blobs."""
    own = {"weights.bin": os.urandom(1000), **more}
    tags = {"mlflow.source.git.commit": os.urandom(20).hex()}  # so that its config is its own too
    return registry.push(make_bundle({"model.onnx": os.urandom(50), **own}, tags=tags), Steps()).stored


def verify(registry: Registry, reference: str = "v1", folder: Path | None = None, variant: str = "") -> Verified:
    goal = PullFolder(str(folder)) if folder else None
    return verify_bundle("ner", reference, registry, goal, Silent(), variant=variant)


def test_a_whole_bundle_has_no_fault_and_all_of_it_was_read(part: Part) -> None:
    stored = push(part.open())
    packed = pack_referrer(stored, *NOTE)
    part.open().attach(stored, *NOTE)
    found = verify(part.open())
    assert found.faults == ()
    assert found.audit.manifests == 2
    blobs = {blob.digest: blob for blob in (*stored.files.values(), config_blob(stored), *packed.blobs)}
    assert found.audit.blobs == len(blobs)
    assert found.audit.size == sum(b.size for b in blobs.values()) + len(stored.manifest) + packed.manifest.size


@pytest.mark.parametrize("data", [b"", b"cut", b"x" * 1000, b"y" * 1001])
@pytest.mark.parametrize("path", ["ner/1/weights.bin", "config of the manifest"])
def test_each_blob_that_is_not_what_its_digest_says_is_named(part: Part, path: str, data: bytes) -> None:
    stored = push(part.open())
    blob = stored.files.get(path, config_blob(stored))
    part.file(blob.digest).write_bytes(data)
    (fault,) = verify(part.open()).faults
    assert fault.where == path
    assert fault.what


def test_all_that_is_wrong_is_named_at_once(part: Part) -> None:
    registry = part.open()
    stored = push(registry, gone=os.urandom(30))
    part.open().attach(stored, NOTE[0], other := os.urandom(20), {})
    (referrer,) = registry.referrers(stored)
    part.file(stored.files["ner/1/gone"].digest).unlink()
    part.file(stored.files["ner/1/weights.bin"].digest).write_bytes(b"other")
    part.file(pack_referrer(stored, NOTE[0], other, {}).blobs[1].digest).write_bytes(b"other")
    faults = {fault.where: fault.what for fault in verify(part.open()).faults}
    digest = pack_referrer(stored, NOTE[0], other, {}).blobs[1].digest
    assert faults.keys() == {"ner/1/gone", "ner/1/weights.bin", f"referrer {referrer.digest}: {digest}"}
    assert faults["ner/1/gone"] == "is not there"


def test_a_referrer_whose_manifest_is_gone_or_damaged_is_named(part: Part) -> None:
    stored = push(part.open())
    digest = part.open().attach(stored, NOTE[0], os.urandom(20), {})
    part.file(digest).write_bytes(b'{"schemaVersion": 2}')
    (fault,) = verify(part.open()).faults
    assert fault.where == f"referrer {digest}"


def test_a_list_of_referrers_that_is_none_is_named(tmp_path: Path) -> None:
    registry = open_registry(f"oci:{tmp_path}", env={})
    stored = push(registry)
    registry.attach(stored, *NOTE)
    index = json.loads((tmp_path / "ner/index.json").read_text())
    tag = stored.digest.replace(":", "-")
    (entry,) = [
        e for e in index["manifests"] if e.get("annotations", {}).get("org.opencontainers.image.ref.name") == tag
    ]
    (tmp_path / "ner/blobs/sha256" / entry["digest"][7:]).write_text("{}")
    (fault,) = verify(registry).faults
    assert fault.where == f"the list of referrers of {stored.digest}"


@pytest.mark.slow
def test_an_index_is_read_with_all_its_variants(part: Part, tmp_path: Path) -> None:
    registry = part.open()
    kinds = [Kind(format="onnx", precision=precision) for precision in ("fp32", "fp16")]
    bundles = [served(weight=w, **{"weights.bin": os.urandom(100)}) for w in (2.0, 3.0)]
    children = [registry.push(one, Steps(), alone=False).stored for one in bundles]
    index = registry.gather(list(zip(kinds, children, strict=True)))
    found = verify(registry)
    assert (found.held.digest, found.faults, found.audit.manifests) == (index.digest, (), 3)
    pull_bundle("ner", "v1", registry, PullFolder(str(tmp_path / "half")), Silent(), variant="onnx-fp16")
    assert verify(registry, folder=tmp_path / "half", variant="onnx-fp16").faults == ()
    wrong = {fault.where for fault in verify(registry, folder=tmp_path / "half").faults}
    assert wrong == {"ner/1/model.onnx", "ner/1/weights.bin"}
    part.file(children[1].files["ner/1/weights.bin"].digest).write_bytes(b"other")
    (fault,) = verify(part.open()).faults
    assert fault.where == f"{children[1].digest[:19]}: ner/1/weights.bin"
    part.file(children[1].digest).write_bytes(b"{}")
    (fault,) = verify(part.open()).faults
    assert fault.where == f"onnx-fp16 {children[1].digest}"


def test_a_pulled_folder_is_held_against_the_bundle(part: Part, tmp_path: Path) -> None:
    registry, goal = part.open(), tmp_path / "served"
    registry.push(served(), Steps())
    with pytest.raises(InputError, match="is no folder"):
        verify(registry, folder=goal)
    pull_bundle("ner", "v1", registry, PullFolder(str(goal)), Silent())
    assert verify(registry, folder=goal).faults == ()
    (goal / "ner/1/model.onnx").write_bytes(b"mine")
    (goal / "ner/config.pbtxt").unlink()
    (goal / "ner/config.pbtxt").symlink_to("/etc/passwd")
    (goal / "ner/1/promote/passport.json").unlink()
    (goal / "ner/1/more").write_text("")
    (goal / "ner/2").mkdir()
    assert verify(registry, folder=goal).faults == (
        Fault("ner/1/model.onnx", "has other bytes"),
        Fault("ner/1/more", "is not of the bundle"),
        Fault("ner/1/promote/passport.json", "is missing"),
        Fault("ner/2", "is not of the bundle"),
        Fault("ner/config.pbtxt", "is a link"),
    )


def test_a_registry_that_goes_away_gives_no_answer(tmp_path: Path) -> None:
    def opened(quirk: QuirkRegistry) -> OciRegistry:
        return OciRegistry(open_remote(f"http://{quirk.host}/q", {}, Patience(tries=2, sleep=lambda _: None)))

    with QuirkRegistry() as quirk:
        stored = push(opened(quirk))
        quirk.faults = (quirk_registry.Fault("GET", stored.files["ner/1/weights.bin"].digest, 0, 503),)
        with pytest.raises(Unavailable):
            verify(opened(quirk))
        quirk.faults = ()
        assert verify(opened(quirk)).faults == ()


def test_what_is_not_there_is_not_found(part: Part) -> None:
    push(part.open())
    with pytest.raises(NotFound):
        verify(part.open(), "v2")


def test_the_fake_tells_of_blobs_as_the_real_ones_do() -> None:
    fake = FakeRegistry()
    stored: Held = push(fake)
    assert fake.audit(stored, Steps()).faults == ()
    fake.blobs[stored.files["ner/1/weights.bin"].digest] = b"other"
    assert [fault.where for fault in fake.audit(stored, Steps()).faults] == ["ner/1/weights.bin"]
    with pytest.raises(IntegrityError):
        fake.read(stored, stored.files["ner/1/weights.bin"])
