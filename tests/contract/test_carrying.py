"""Bundles copied with all that refers to them, between layouts, the real CNCF registry and an imitation of others."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from promote.adapters.oci.registry import open_registry
from promote.core.cargo import same_goal
from promote.core.manifest import INDEX_TYPE, MANIFEST_TYPE, config_blob
from promote.core.references import Reference
from promote.errors import InputError, IntegrityError, NotFound
from tests.fakes.quirk_registry import PROFILES, QuirkRegistry
from tests.fakes.registry import Steps, make_bundle, on_disk
from tests.parts.registry import metered

pytestmark = pytest.mark.registry
KIND = "application/vnd.promote.verdict.v1+json"


@pytest.fixture(params=["layout", "registry", *(p for p in PROFILES if p in ("ghcr", "ecr"))])
def base(request, tmp_path):
    """Where to."""
    if request.param == "layout":
        yield f"oci:{tmp_path / 'goal'}"
    elif request.param == "registry":
        yield f"http://{request.getfixturevalue('registry').host}/c{uuid.uuid4().hex[:8]}"
    else:
        with QuirkRegistry(PROFILES[request.param]) as quirk:
            yield f"http://{quirk.host}/q"


def opened(base, **more):
    return open_registry(str(base), env={}, **more)


def made(base, files=None, **more):
    """A bundle with two referrers, one of which is referred to itself, in a registry."""
    registry = opened(base)
    bundle = make_bundle(files or {"model.onnx": uuid.uuid4().bytes, "labels.txt": b"O\n"}, **more)
    stored = registry.push(bundle, Steps()).stored
    first = registry.attach(stored, KIND, b'{"verdict": 1}', {"io.promote.target": "proteus"})
    registry.attach(stored, KIND, b'{"verdict": 2}', {"io.promote.target": "calypso"})
    return registry, stored, first


def copied(origin, stored, base, step=None, **more):
    goal = opened(base, **more)
    cargo = origin.collect(stored.name, stored.digest)
    return goal, cargo, goal.take(cargo, step or Steps())


def test_a_copy_is_the_same_bundle_with_the_same_referrers(tmp_path, base):
    origin, stored, _ = made(f"oci:{tmp_path / 'origin'}")
    goal, cargo, landed = copied(origin, stored, base)
    there = goal.resolve("ner", "v1")
    assert (there.digest, there.manifest) == (stored.digest, stored.manifest)
    assert landed.reference == there.reference
    assert landed.sent + landed.skipped == cargo.size
    assert landed.skipped == 0
    assert {r.digest: r.annotations for r in goal.referrers(there)} == {
        r.digest: r.annotations for r in origin.referrers(stored)
    }
    files = goal.fetch(there, str(tmp_path / "out"), Steps())
    assert {path: hashlib.sha256(Path(f).read_bytes()).hexdigest() for path, f in files.items()} == {
        path: blob.digest[7:] for path, blob in stored.files.items()
    }
    goal.read(there, config_blob(there))


def test_the_same_copy_again_sends_nothing_and_a_new_referrer_alone_is_sent(tmp_path, base):
    origin, stored, _ = made(f"oci:{tmp_path / 'origin'}")
    copied(origin, stored, base)
    goal, cargo, landed = copied(origin, stored, base)
    assert (landed.sent, landed.skipped) == (0, cargo.size)
    new = origin.attach(stored, KIND, b'{"verdict": 3}', {})
    goal, cargo, landed = copied(origin, stored, base)
    assert 0 < landed.sent < 1500
    assert new in {r.digest for r in goal.referrers(goal.resolve("ner", "v1"))}


def test_it_comes_back_from_where_it_was_copied_to(tmp_path, base):
    origin, stored, _ = made(f"oci:{tmp_path / 'origin'}")
    there, _, _ = copied(origin, stored, base)
    back, cargo, landed = copied(there, there.resolve("ner", "v1"), f"oci:{tmp_path / 'back'}")
    assert back.resolve("ner", "v1").manifest == stored.manifest
    assert {r.digest for r in back.referrers(back.resolve("ner", "v1"))} == {r.digest for r in origin.referrers(stored)}
    assert landed.sent == cargo.size


def test_another_bundle_under_the_tag_is_never_replaced(tmp_path, base):
    origin, stored, _ = made(f"oci:{tmp_path / 'origin'}")
    other = opened(base).push(make_bundle({"model.onnx": b"other"}), Steps()).stored
    with pytest.raises(IntegrityError, match="is another bundle already"):
        copied(origin, stored, base)
    assert opened(base).resolve("ner", "v1").digest == other.digest


def test_a_blob_that_changed_where_it_lies_is_not_taken(tmp_path, base):
    origin, stored, _ = made(f"oci:{tmp_path / 'origin'}")
    model = stored.files["ner/1/model.onnx"]
    path = tmp_path / "origin/ner/blobs/sha256" / model.digest[7:]
    path.write_bytes(b"x" * model.size)
    with pytest.raises(IntegrityError, match="has digest"):
        copied(origin, stored, base)
    with pytest.raises(NotFound):
        opened(base).resolve("ner", "v1")
    path.unlink()
    with pytest.raises(NotFound, match="has no blob"):
        copied(origin, stored, base)


def test_a_referrer_that_is_listed_and_gone_is_told_and_stops_nothing(tmp_path):
    origin, stored, first = made(f"oci:{tmp_path / 'origin'}")
    (tmp_path / "origin/ner/blobs/sha256" / first[7:]).unlink()
    goal, cargo, _ = copied(origin, stored, f"oci:{tmp_path / 'goal'}")
    assert cargo.gone == (first,)
    assert len(goal.referrers(goal.resolve("ner", "v1"))) == 1


def test_a_list_that_names_what_refers_to_something_else_is_refused(tmp_path):
    origin, stored, _ = made(f"oci:{tmp_path / 'origin'}")
    other = origin.push(make_bundle(version=2), Steps()).stored
    index = tmp_path / "origin/ner/index.json"
    tag, wrong = stored.digest.replace(":", "-"), other.digest.replace(":", "-")
    index.write_text(index.read_text().replace(tag, wrong))
    with pytest.raises(IntegrityError, match="does not refer to it"):
        origin.collect("ner", "v2")


def test_within_one_registry_no_blob_is_sent(registry, tmp_path):
    weights = tmp_path / "w"
    weights.write_bytes(os.urandom(3_000_000))
    first = f"http://{registry.host}/m{uuid.uuid4().hex[:8]}"
    origin, stored, _ = made(first, {"model.onnx": on_disk(weights)})
    with metered(registry.host) as meter:
        # The same registry by the address that counts bytes is another one for the transport: so both go through it.
        near = f"http://{meter.host}"
        origin = opened(f"{near}/{first.rpartition('/')[2]}")
        goal, cargo, landed = copied(origin, origin.resolve("ner", "v1"), f"{near}/n{uuid.uuid4().hex[:8]}")
        assert meter.received < 100_000
    assert landed.sent < 10_000 < cargo.size
    assert goal.resolve("ner", "v1").digest == stored.digest


def index_of(layout: Path, children, **annotations):
    """An index of these manifests, written into the layout behind promote's back as any tool may."""
    entries = [{"mediaType": MANIFEST_TYPE, "digest": c.digest, "size": len(c.manifest)} for c in children]
    data = json.dumps({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": entries} | annotations).encode()
    digest = hashlib.sha256(data).hexdigest()
    (layout / "blobs/sha256" / digest).write_bytes(data)
    index = json.loads((layout / "index.json").read_text())
    tagged = {"org.opencontainers.image.ref.name": "v7"}
    index["manifests"].append(
        {"mediaType": INDEX_TYPE, "digest": f"sha256:{digest}", "size": len(data), "annotations": tagged}
    )
    (layout / "index.json").write_text(json.dumps(index))
    return f"sha256:{digest}"


def variants(base, version=7):
    """Two bundles of one version under digests alone, as an index names them."""
    found = []
    for weights in (b"fp32", b"fp16"):
        with_tag = opened(f"{base}-{weights.decode()}")
        stored = with_tag.push(
            make_bundle({"model.onnx": weights + uuid.uuid4().bytes}, version=version), Steps()
        ).stored
        found.append((with_tag, stored))
    return found


@pytest.fixture
def indexed(tmp_path):
    parts = variants(f"oci:{tmp_path / 'part'}")
    layout = tmp_path / "origin/ner"
    registry = opened(f"oci:{tmp_path / 'origin'}")
    made(f"oci:{tmp_path / 'origin'}")
    for _, stored in parts:
        for path in (Path(stored.repository.removeprefix("oci:")) / "blobs/sha256").iterdir():
            (layout / "blobs/sha256" / path.name).write_bytes(path.read_bytes())
    children = [stored for _, stored in parts]
    return registry, layout, children, index_of(layout, children)


def test_an_index_is_copied_with_its_variants(indexed, base, tmp_path):
    registry, _, children, digest = indexed
    goal = opened(base)
    cargo = registry.collect("ner", "v7")
    assert [b.digest for b in cargo.bundles] == [c.digest for c in children]
    landed = goal.take(cargo, Steps())
    assert landed.reference.endswith(digest)
    again = goal.collect("ner", "v7")
    assert (again.root.data, len(again.bundles)) == (cargo.root.data, 2)
    assert goal.take(registry.collect("ner", digest), Steps()).sent == 0
    for child in children:
        there = goal.resolve("ner", child.digest)
        assert goal.fetch(there, str(tmp_path / child.digest[7:15]), Steps())


def test_an_index_of_something_else_is_refused(indexed):
    registry, layout, children, _ = indexed
    first = registry.resolve("ner", "v1")
    mixed = index_of(layout, [children[0], first])
    with pytest.raises(IntegrityError, match=r"names versions \[1, 7\]"):
        registry.collect("ner", mixed)
    empty = index_of(layout, [], note="x")
    with pytest.raises(IntegrityError, match="names 0 variants"):
        registry.collect("ner", empty)


def test_a_copy_that_was_killed_goes_on_with_what_is_missing(registry, tmp_path):
    files = {f"w{n}.data": os.urandom(400_000) for n in range(6)} | {"model.onnx": b"m"}
    origin, stored, _ = made(f"oci:{tmp_path / 'origin'}", files)
    broken = tmp_path / "origin/ner/blobs/sha256" / stored.files["ner/1/w3.data"].digest[7:]
    kept = broken.read_bytes()
    broken.unlink()
    base = f"http://{registry.host}/k{uuid.uuid4().hex[:8]}"
    with pytest.raises(NotFound):
        copied(origin, stored, base)
    broken.write_bytes(kept)
    _, cargo, landed = copied(origin, stored, base)
    assert landed.sent < cargo.size
    assert landed.skipped >= 400_000


@pytest.mark.slow
def test_a_large_file_goes_through_little_memory(registry, tmp_path):
    """From a layout to a registry and from there to a layout: no file in between, and never a blob whole in memory."""
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from promote.adapters.oci.registry import open_registry\n"
        "from tests.fakes.registry import Steps\n"
        "here, there, back = (open_registry(b, env={}) for b in sys.argv[1:])\n"
        "there.take(here.collect('ner', 'v1'), Steps()); back.take(there.collect('ner', 'v1'), Steps())\n"
        "told = Path('/proc/self/status').read_text()\n"  # of this process alone, as getrusage is not
        "print(told.partition('VmHWM:')[2].split()[0])\n"
    )
    weights = tmp_path / "w"
    with weights.open("wb") as file:
        file.truncate(300 * 2**20)
    made(f"oci:{tmp_path / 'origin'}", {"model.onnx": b"m", "w.data": on_disk(weights)})
    bases = [
        f"oci:{tmp_path / 'origin'}",
        f"http://{registry.host}/g{uuid.uuid4().hex[:8]}",
        f"oci:{tmp_path / 'back'}",
    ]
    done = subprocess.run([sys.executable, "-c", script, *bases], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 150 * 1024
    assert opened(bases[2]).resolve("ner", "v1").digest == opened(bases[0]).resolve("ner", "v1").digest


@pytest.mark.parametrize(
    ("wanted", "passes"),
    [("ner:v1", True), ("ner", True), ("", True), ("ner:v2", False), ("bert", False), ("ner:latest", False)],
)
def test_name_and_version_are_the_bundles_own(tmp_path, wanted, passes):
    origin, _, _ = made(f"oci:{tmp_path}")
    name, _, version = wanted.partition(":")
    cargo = origin.collect("ner", "v1")
    if passes:
        same_goal(cargo, Reference("oci:x", name, version))
        return
    with pytest.raises(InputError, match="names"):
        same_goal(cargo, Reference("oci:x", name, version))
