"""An index of variants: pushed and read back on the fake, a layout and a real registry, by promote and by other tools."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import uuid
from pathlib import Path

import pytest

from promote.adapters.oci.registry import OciRegistry, open_registry
from promote.core.passport import sha256
from promote.core.stages import Stored
from promote.core.variant_index import StoredIndex
from promote.core.variants import Binding, Kind
from promote.errors import InputError, IntegrityError, NotFound
from promote.ports import Registry
from tests.fakes.registry import FakeRegistry, Steps, make_bundle
from tests.parts.registry import RealRegistry

FP32, FP16 = Kind(format="onnx", precision="fp32"), Kind(format="onnx", precision="fp16")
PLAN = Kind(
    format="tensorrt", precision="fp16",
    binding=Binding(tensorrt="11.1.0.106", compute_capability="9.0", arch="x86_64"),
)  # fmt: skip


@pytest.fixture(params=["fake", "layout", "registry"])
def part(request: pytest.FixtureRequest, tmp_path: Path) -> Registry:
    if request.param == "fake":
        return FakeRegistry()
    if request.param == "layout":
        return open_registry(f"oci:{tmp_path / 'bundles'}", env={})
    real: RealRegistry = request.getfixturevalue("registry")
    return open_registry(f"http://{real.host}/v{uuid.uuid4().hex[:12]}", env={})


def push(part: Registry, *kinds: Kind) -> list[tuple[Kind, Stored]]:
    """A bundle of other bytes for each kind, none of them named by a tag."""
    made = [make_bundle({"model.onnx": kind.label.encode()}, run_id="4f2a") for kind in kinds]
    return [(kind, part.push(one, Steps(), alone=False).stored) for kind, one in zip(kinds, made, strict=True)]


def test_an_index_of_variants_comes_back_as_it_was_gathered(part: Registry, tmp_path: Path) -> None:
    children = push(part, FP16, PLAN, FP32)
    with pytest.raises(NotFound):
        part.find("ner", "v1")  # until it is whole nothing names it
    index = part.gather(children)
    assert part.find("ner", "v1") == index == part.find("ner", index.digest)
    assert [variant.kind for variant in index.variants] == [FP32, FP16, PLAN]
    assert (index.name, index.version, index.digest) == ("ner", 1, sha256(index.manifest))
    for kind, stored in children:
        assert index.of(stored.digest).kind == kind
        assert part.resolve("ner", stored.digest) == stored == part.find("ner", stored.digest)
    goals = part.fetch(children[0][1], str(tmp_path / "out"), Steps())
    assert Path(goals["ner/1/model.onnx"]).read_bytes() == b"onnx-fp16"


def test_the_same_variants_again_are_the_same_index(part: Registry) -> None:
    children = push(part, FP32, FP16)
    first = part.gather(children)
    assert part.gather(children[::-1]) == first
    again = part.push(make_bundle({"model.onnx": b"onnx-fp16"}, run_id="4f2a"), Steps(), alone=False)
    assert again.sent == 0


def test_a_further_variant_is_another_digest_and_never_takes_the_tag(part: Registry) -> None:
    children = push(part, FP32, FP16)
    index = part.gather(children)
    with pytest.raises(IntegrityError) as refused:
        part.gather([*children, *push(part, PLAN)])
    assert "never move" in refused.value.hint
    assert part.find("ner", "v1") == index


def test_one_bundle_is_asked_for_and_an_index_is_there(part: Registry) -> None:
    index = part.gather(push(part, FP32, FP16))
    for reference in ("v1", index.digest):
        with pytest.raises(InputError, match="index of variants"):
            part.resolve("ner", reference)


def test_a_bundle_alone_is_no_index(part: Registry) -> None:
    stored = part.push(make_bundle(), Steps()).stored
    assert part.find("ner", "v1") == stored
    assert not isinstance(part.find("ner", "v1"), StoredIndex)


def test_what_is_not_there_is_not_gathered(part: Registry) -> None:
    children = push(part, FP32)
    data = children[0][1].manifest.replace(b"4f2a", b"4f2b")
    ghost = dataclasses.replace(children[0][1], digest=sha256(data), manifest=data)
    with pytest.raises((NotFound, IntegrityError)):
        part.gather([*children, (FP16, ghost)])
    with pytest.raises(NotFound):
        part.find("ner", "v1")


def test_what_people_say_is_said_of_the_index(part: Registry) -> None:
    children = push(part, FP32, FP16)
    index = part.gather(children)
    told = part.attach(index, "application/vnd.promote.review.v1+json", b"{}", {"a": "b"})
    assert [r.digest for r in part.referrers(index)] == [told]
    assert part.referrers(children[0][1]) == ()


@pytest.mark.skipif(shutil.which("skopeo") is None, reason="skopeo is not installed")
@pytest.mark.parametrize("where", ["layout", "registry"])
def test_skopeo_reads_the_index_and_copies_it_with_every_variant(
    where: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    if where == "layout":
        part: OciRegistry = open_registry(f"oci:{tmp_path / 'from'}", env={})
        source = f"oci:{tmp_path / 'from' / 'ner'}:v1"
    else:
        real: RealRegistry = request.getfixturevalue("registry")
        path = f"v{uuid.uuid4().hex[:12]}"
        part = open_registry(f"http://{real.host}/{path}", env={})
        source = f"docker://{real.host}/{path}/ner:v1"
    children = push(part, FP32, FP16, PLAN)
    index = part.gather(children)
    tls = ["--src-tls-verify=false"] if where == "registry" else []
    raw = subprocess.run(
        ["skopeo", "inspect", "--raw", *(["--tls-verify=false"] if tls else []), source], capture_output=True, check=True
    ).stdout  # fmt: skip
    assert sha256(raw) == index.digest
    assert [entry.get("platform") for entry in json.loads(raw)["manifests"]] == [
        None, None, {"architecture": "amd64", "os": "linux"},
    ]  # fmt: skip
    goal = tmp_path / "to" / "ner"
    goal.parent.mkdir()
    subprocess.run(["skopeo", "copy", "--all", *tls, source, f"oci:{goal}:v1"], check=True, capture_output=True)
    for variant in index.variants:
        copied = (goal / "blobs/sha256" / variant.digest.removeprefix("sha256:")).read_bytes()
        assert sha256(copied) == variant.digest
    named = json.loads((goal / "index.json").read_text())["manifests"][0]["digest"]
    # A skopeo of before image-spec 1.1 (Debian 12 has 1.9.3) drops artifactType, which makes it another index: refused.
    copy = open_registry(f"oci:{tmp_path / 'to'}", env={})
    if named == index.digest:
        assert copy.find("ner", "v1").digest == index.digest
        return
    with pytest.raises(IntegrityError, match="artifactType"):
        copy.find("ner", "v1")
