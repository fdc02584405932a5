"""The ``Registry`` port: one suite over the fake, a layout, real registries (open, htpasswd, tokens) and imitations of others."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import requests
import urllib3
import yaml

from promote.adapters.oci.failures import Again, refusal
from promote.adapters.oci.registry import open_registry
from promote.core.layout import content
from promote.core.manifest import config_blob, pack
from promote.core.matrix_rows import RegistryLimits
from promote.core.stages import Blob, Bundle
from promote.errors import AuthError, InputError, IntegrityError, NotFound, Unavailable
from promote.ports import Registry
from tests.fakes.quirk_registry import PROFILES, Fault, QuirkRegistry
from tests.fakes.registry import FakeRegistry, Steps, make_bundle, on_disk
from tests.parts.registry import SECRET, USER, RealRegistry

LOGIN = {"PROMOTE_REGISTRY_USERNAME": USER, "PROMOTE_REGISTRY_PASSWORD": SECRET}


@dataclass
class Part:
    """One part under test, and how to go behind its back.

    Args:
        open: a new client of it.
        damage: (model, digest, bytes): puts other bytes under a digest.
        point: (model, tag, digest): moves a tag to a manifest.
        listing: every file it holds, with its time of change; empty for the fake.
    """

    open: Callable[[], Registry]
    damage: Callable[[str, str, bytes], None]
    point: Callable[[str, str, str], None]
    listing: Callable[[], dict[str, int]]


def _fake() -> Part:
    fake = FakeRegistry()

    def point(name: str, tag: str, digest: str) -> None:
        fake.manifests[name, tag] = fake.manifests[name, digest]

    return Part(lambda: fake, lambda _, digest, data: fake.blobs.update({digest: data}), point, dict)


def _layout(base: Path) -> Part:
    def damage(name: str, digest: str, data: bytes) -> None:
        (base / name / "blobs/sha256" / digest.removeprefix("sha256:")).write_bytes(data)

    def point(name: str, tag: str, digest: str) -> None:
        path = base / name / "index.json"
        index = json.loads(path.read_text())
        found = next(entry for entry in index["manifests"] if entry["digest"] == digest)
        index["manifests"].append(found | {"annotations": {"org.opencontainers.image.ref.name": tag}})
        path.write_text(json.dumps(index))

    return Part(lambda: open_registry(f"oci:{base}", env={}), damage, point, lambda: _times(base))


def _remote(real: RealRegistry, env: dict[str, str]) -> Part:
    path = f"t{uuid.uuid4().hex[:12]}"  # each test has its own repositories, blobs being shared as in any registry

    def point(name: str, tag: str, digest: str) -> None:
        tags = real.storage / f"docker/registry/v2/repositories/{path}/{name}/_manifests/tags"
        (tags / tag / "current").mkdir(parents=True)
        (tags / tag / "current/link").write_text(digest)

    return Part(
        lambda: open_registry(f"http://{real.host}/{path}", env=env),
        lambda _, digest, data: (real.blob(digest).write_bytes(data), None)[1],
        point,
        lambda: _times(real.storage),
    )


# Of the quirk registry's imitations, the host whose row of the matrix says how they are sent to.
HOSTS = {"ghcr": "ghcr.io", "ecr": "*.amazonaws.com", "gar": "*.pkg.dev"}


def _quirk(quirk: QuirkRegistry, imitates: str) -> Part:
    matrix = yaml.safe_load((Path(__file__).resolve().parents[2] / "compat_matrix.yaml").read_text())
    rows = [row | {"host": quirk.host} for row in matrix["registries"] if row["host"] == HOSTS.get(imitates)]
    limits = [RegistryLimits.model_validate(row) for row in rows]
    return Part(
        lambda: open_registry(f"http://{quirk.host}/q", env={}, limits=limits),
        lambda name, digest, data: quirk.blobs.update({(f"q/{name}", digest): data}),
        lambda name, tag, digest: quirk.tags.update({(f"q/{name}", tag): digest}),
        lambda: {f"{key} {quirk.tags.get(key)}": 0 for key in (*quirk.blobs, *quirk.manifests, *quirk.tags)},
    )


def _times(folder: Path) -> dict[str, int]:
    return {
        str(p): p.stat().st_mtime_ns
        for p in folder.rglob("*")
        if p.is_file() and "_uploads" not in p.parts and p.name != "index.json.lock"
    }


@pytest.fixture(params=["fake", "layout", "registry", "htpasswd", "token", *PROFILES])
def part(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Part]:
    if request.param == "fake":
        yield _fake()
    elif request.param == "layout":
        yield _layout(tmp_path / "bundles")
    elif request.param in PROFILES:
        with QuirkRegistry(PROFILES[request.param]) as quirk:
            yield _quirk(quirk, request.param)
    elif request.param == "token":
        yield _remote(request.getfixturevalue("token_registry")[0], LOGIN)
    else:
        plain = request.param == "registry"
        yield _remote(request.getfixturevalue("registry" if plain else "htpasswd_registry"), {} if plain else LOGIN)


def unique(**more: object) -> Bundle:
    """A bundle whose model no other test has pushed."""
    return make_bundle({"model.onnx": uuid.uuid4().bytes, "labels.txt": b"O\n"}, **more)  # type: ignore[arg-type]


def total(bundle: Bundle) -> int:
    packed = pack(bundle)
    return sum(b.size for b in bundle.files.values()) + packed.config.size + packed.manifest.size


def bytes_of(bundle: Bundle) -> dict[str, bytes]:
    return {p: b.data if b.data is not None else Path(b.path).read_bytes() for p, b in bundle.files.items()}


def test_what_was_pushed_comes_back(part: Part, tmp_path: Path) -> None:
    big = tmp_path / "big.onnx"
    big.write_bytes(os.urandom(3 * 1024 * 1024 + 17))
    bundle = make_bundle({"model.onnx": on_disk(big), "weights.data": b"", "tokenizer/tokenizer.json": b"{}"})
    release = part.open().push(bundle, Steps())
    assert release.stored.digest == pack(bundle).manifest.digest
    assert release.sent == total(bundle) - release.skipped > big.stat().st_size
    stored = part.open().resolve("ner", "v1")
    assert stored == release.stored == part.open().resolve("ner", stored.digest)
    assert (stored.name, stored.version) == ("ner", 1)
    goals = part.open().fetch(stored, str(tmp_path / "out"), Steps())
    assert {p: Path(g).read_bytes() for p, g in goals.items()} == bytes_of(bundle)
    assert all(goal == str(tmp_path / "out" / path) for path, goal in goals.items())
    assert sum(p.is_file() for p in (tmp_path / "out").rglob("*")) == len(goals)


def test_a_bundle_that_another_registry_holds_is_received_byte_for_byte(part: Part, tmp_path: Path) -> None:
    bundle = unique()
    origin = open_registry(f"oci:{tmp_path / 'origin'}", env={})
    stored = origin.push(bundle, Steps()).stored
    files = origin.fetch(stored, str(tmp_path / "files"), Steps())
    config = origin.read(stored, config_blob(stored))
    received = part.open().receive(stored, files, config, Steps())
    assert received.stored.digest == stored.digest == part.open().resolve("ner", "v1").digest
    assert received.stored.repository != stored.repository
    assert received.sent + received.skipped == total(bundle)
    back = part.open().fetch(received.stored, str(tmp_path / "back"), Steps())
    assert {path: Path(file).read_bytes() for path, file in back.items()} == bytes_of(bundle)
    assert part.open().push(bundle, Steps()).sent == 0  # as if it had been pushed here
    again = part.open().receive(stored, files, config, Steps())
    assert (again.sent, again.skipped) == (0, total(bundle))


def test_bytes_that_changed_on_the_way_are_not_received(part: Part, tmp_path: Path) -> None:
    origin = open_registry(f"oci:{tmp_path / 'origin'}", env={})
    stored = origin.push(unique(), Steps()).stored
    files = dict(origin.fetch(stored, str(tmp_path / "files"), Steps()))
    config = origin.read(stored, config_blob(stored))
    Path(files["ner/1/model.onnx"]).write_bytes(b"other bytes here")
    with pytest.raises(IntegrityError):
        part.open().receive(stored, files, config, Steps())
    with pytest.raises(NotFound):
        part.open().resolve("ner", "v1")
    other = origin.push(replace(unique(), version=2), Steps()).stored
    again = origin.fetch(other, str(tmp_path / "again"), Steps())
    with pytest.raises(IntegrityError):
        part.open().receive(other, again, b"x" * len(config), Steps())
    with pytest.raises(NotFound):
        part.open().resolve("ner", "v2")


def test_the_same_bundle_again_writes_nothing(part: Part) -> None:
    bundle = unique()
    first = part.open().push(bundle, Steps())
    before = part.listing()
    again = part.open().push(bundle, Steps())
    assert (again.sent, again.skipped) == (0, total(bundle))
    assert again.stored == first.stored
    assert part.listing() == before


def test_the_next_version_sends_only_what_is_new(part: Part) -> None:
    weights = os.urandom(50_000)
    part.open().push(make_bundle({"model.onnx": weights}), Steps())
    release = part.open().push(make_bundle({"model.onnx": weights}, version=2), Steps())
    assert release.skipped >= 50_000 > release.sent
    assert {part.open().resolve("ner", f"v{n}").version for n in (1, 2)} == {1, 2}


def test_a_file_that_changed_is_not_released(part: Part, tmp_path: Path) -> None:
    for change in (b"y" * 2_000_000, b"x" * 1_999_999, b"x" * 2_000_001, None):
        path = tmp_path / "model.onnx"
        path.write_bytes(b"x" * 2_000_000 if change is None else uuid.uuid4().bytes + b"x" * 1_999_984)
        bundle = make_bundle({"model.onnx": on_disk(path)})
        path.unlink() if change is None else path.write_bytes(change)
        if change is None:
            bundle = replace(
                bundle,
                files={p: replace(b, digest=f"sha256:{'0' * 63}1") if b.path else b for p, b in bundle.files.items()},
            )
        with pytest.raises(IntegrityError):
            part.open().push(bundle, Steps())
        with pytest.raises(NotFound):
            part.open().resolve("ner", "v1")


def test_a_version_tag_never_moves(part: Part) -> None:
    first = part.open().push(unique(), Steps())
    with pytest.raises(IntegrityError) as refused:
        part.open().push(unique(), Steps())
    assert "never move" in refused.value.hint
    assert part.open().resolve("ner", "v1").digest == first.stored.digest


def test_what_is_not_there_is_not_found(part: Part) -> None:
    with pytest.raises(NotFound):
        part.open().resolve("ner", "v1")
    part.open().push(unique(), Steps())
    for name, reference in (("ner", "v2"), ("ner", f"sha256:{'0' * 64}"), ("other", "v1")):
        with pytest.raises(NotFound):
            part.open().resolve(name, reference)


def test_a_blob_is_no_bundle(part: Part) -> None:
    stored = part.open().push(unique(), Steps()).stored
    digest = next(iter(stored.files.values())).digest
    with pytest.raises((NotFound, IntegrityError)):
        part.open().resolve("ner", digest)


@pytest.mark.parametrize(
    "reference", ["sha256:../../x", f"sha256:{'A' * 64}", f"sha512:{'0' * 128}", f"sha256:{'0' * 64}\n"]
)
def test_a_reference_is_a_tag_or_a_digest(part: Part, reference: str) -> None:
    with pytest.raises(InputError):
        part.open().resolve("ner", reference)


@pytest.mark.parametrize("name", ["../ner", "NER", "", "a/b", "ner..x"])
def test_a_name_is_a_model_name(part: Part, name: str) -> None:
    with pytest.raises(InputError):
        part.open().resolve(name, "v1")


def test_a_tag_moved_to_another_version_is_seen(part: Part) -> None:
    stored = part.open().push(unique(), Steps()).stored
    part.point("ner", "v7", stored.digest)
    with pytest.raises(IntegrityError, match="version 1"):
        part.open().resolve("ner", "v7")
    part.point("ner", "stable", stored.digest)
    assert part.open().resolve("ner", "stable") == stored


@pytest.mark.parametrize("change", ["other bytes", "one short", "one more"])
def test_damaged_bytes_never_get_a_name(part: Part, tmp_path: Path, change: str) -> None:
    bundle = unique()
    path, blob = "ner/1/model.onnx", bundle.files["ner/1/model.onnx"]
    stored = part.open().push(bundle, Steps()).stored
    data = blob.data or b""
    part.damage(
        "ner", blob.digest, {"other bytes": data[::-1], "one short": data[:-1], "one more": data + b"x"}[change]
    )
    # A registry that promises more than it holds breaks the connection; that may pass, so it is no proof of damage.
    allowed = (IntegrityError, Unavailable) if change == "one short" else IntegrityError
    with pytest.raises(allowed):
        part.open().read(stored, blob)
    with pytest.raises(allowed):
        part.open().fetch(stored, str(tmp_path / "out"), Steps())
    assert not (tmp_path / "out" / path).exists()
    assert not [p for p in (tmp_path / "out").rglob("*") if "partial" in p.name]


def test_a_fetch_keeps_what_is_right_and_replaces_what_is_not(part: Part, tmp_path: Path) -> None:
    bundle = unique()
    stored = part.open().push(bundle, Steps()).stored
    goals = part.open().fetch(stored, str(tmp_path), Steps())
    kept, wrong = Path(goals["ner/1/model.onnx"]), Path(goals["ner/1/labels.txt"])
    before = kept.stat()
    wrong.write_bytes(b"X\n")
    part.open().fetch(stored, str(tmp_path), Steps())
    assert (kept.stat().st_ino, kept.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert wrong.read_bytes() == b"O\n"


def test_small_files_are_read_whole_and_large_ones_refused(part: Part) -> None:
    bundle = unique()
    stored = part.open().push(bundle, Steps()).stored
    assert part.open().read(stored, stored.files["ner/1/promote/passport.json"]) == bundle.passport
    with pytest.raises(IntegrityError):
        part.open().read(stored, Blob(f"sha256:{'0' * 64}", 16 * 1024 * 1024 + 1))
    with pytest.raises(NotFound):
        part.open().read(stored, Blob(f"sha256:{'0' * 64}", 5))


def test_a_bundle_of_another_registry_is_not_read_here(part: Part, tmp_path: Path) -> None:
    stored = replace(part.open().push(unique(), Steps()).stored, repository="ghcr.io/acme/ner")
    with pytest.raises(InputError):
        part.open().fetch(stored, str(tmp_path), Steps())


def test_progress_counts_the_whole_bundle(part: Part, tmp_path: Path) -> None:
    bundle = make_bundle({"model.onnx": os.urandom(2_500_000)})
    for steps, work in (
        (pushed := Steps(), lambda: part.open().push(bundle, pushed)),
        (fetched := Steps(), lambda: part.open().fetch(part.open().resolve("ner", "v1"), str(tmp_path), fetched)),
    ):
        work()
        done = [d for d, _ in steps.seen]
        assert done == sorted(done)
        assert len({t for _, t in steps.seen}) == 1
        assert steps.seen[-1][0] == steps.seen[-1][1] >= 2_500_000


def test_many_blobs_travel_at_once_and_one_wrong_one_stops_the_push(part: Part, tmp_path: Path) -> None:
    files: dict[str, bytes | Blob] = {f"part{n:02}": os.urandom(20_000 + n) for n in range(40)}
    release = part.open().push(make_bundle(files | {"again": files["part00"]}), Steps())
    assert release.sent >= sum(20_000 + n for n in range(40))  # 20,000 bytes are there twice and sent once
    assert release.sent + release.skipped == total(release.bundle)
    assert release.skipped >= 20_000
    goals = part.open().fetch(release.stored, str(tmp_path / "out"), Steps())
    assert {p: Path(g).read_bytes() for p, g in goals.items()} == bytes_of(release.bundle)
    changed = tmp_path / "changed"
    changed.write_bytes(b"was so")
    wrong = make_bundle({**files, "wrong": on_disk(changed)}, version=2)
    changed.write_bytes(b"is now")
    with pytest.raises(IntegrityError):
        part.open().push(wrong, Steps())
    with pytest.raises(NotFound):
        part.open().resolve("ner", "v2")


def test_an_interrupted_push_goes_on_where_it_was(part: Part) -> None:
    class Interrupts(Steps):
        def update(self, done: int, total: int, unit: str = "bytes") -> None:
            super().update(done, total, unit)
            if done > total / 4:
                raise KeyboardInterrupt

    bundle = make_bundle({f"part{n:02}": os.urandom(300_000) for n in range(40)})
    with pytest.raises(KeyboardInterrupt):
        part.open().push(bundle, Interrupts())
    with pytest.raises(NotFound):
        part.open().resolve("ner", "v1")
    release = part.open().push(bundle, Steps())
    assert release.skipped >= 300_000 * 2  # of the ten that were through, at most those on their way were lost
    assert release.sent + release.skipped == total(bundle)
    assert part.open().resolve("ner", "v1") == release.stored


def test_versions_pushed_at_once_are_all_there(part: Part) -> None:
    bundles = [make_bundle({"model.onnx": os.urandom(1000)}, version=n) for n in range(1, 9)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda b: part.open().push(b, Steps()), bundles))
    assert [part.open().resolve("ner", f"v{b.version}").digest for b in bundles] == [
        pack(b).manifest.digest for b in bundles
    ]


# What others make of it, and what is true of one part only.


def need(binary: str) -> str:
    if (found := shutil.which(binary)) is None:
        pytest.skip(f"{binary} is not installed: apt-get install {binary}")
    return found


def skopeo(*args: str) -> bytes:
    done = subprocess.run([need("skopeo"), *args], capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def test_skopeo_reads_a_layout(tmp_path: Path) -> None:
    bundle = unique()
    stored = open_registry(f"oci:{tmp_path}/bundles", env={}).push(bundle, Steps()).stored
    assert stored.repository == f"oci:{tmp_path}/bundles/ner"
    assert skopeo("inspect", "--raw", f"{stored.repository}:v1") == stored.manifest
    (tmp_path / "manifest.json").write_bytes(stored.manifest)
    assert skopeo("manifest-digest", f"{tmp_path}/manifest.json").decode().strip() == stored.digest
    skopeo("copy", "--preserve-digests", f"{stored.repository}:v1", f"dir:{tmp_path}/copy")
    for blob in stored.files.values():
        assert (tmp_path / "copy" / blob.digest.removeprefix("sha256:")).stat().st_size == blob.size


def test_what_skopeo_copied_from_a_registry_to_a_layout_is_a_bundle(registry: RealRegistry, tmp_path: Path) -> None:
    bundle = unique(name="copied")
    stored = open_registry(f"{registry.host}/skopeo", env={}).push(bundle, Steps()).stored
    assert stored.repository == f"{registry.host}/skopeo/copied"
    source = f"docker://{stored.repository}:v1"
    assert skopeo("inspect", "--raw", "--tls-verify=false", source) == stored.manifest
    skopeo("copy", "--preserve-digests", "--src-tls-verify=false", source, f"oci:{tmp_path}/copied:v1")
    layout = open_registry(f"oci:{tmp_path}", env={})
    copied = layout.resolve("copied", "v1")
    assert copied.digest == stored.digest
    goals = layout.fetch(copied, str(tmp_path / "out"), Steps())
    assert {p: Path(g).read_bytes() for p, g in goals.items()} == bytes_of(bundle)
    layout.push(unique(name="copied", version=2), Steps())  # skopeo's entry stays
    assert layout.resolve("copied", "v1").digest == stored.digest


def test_oras_pulls_it_under_the_bundles_own_paths(
    registry: RealRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import oras.client

    monkeypatch.setenv("HOME", str(tmp_path))
    bundle = unique(name="pulled")
    open_registry(f"http://{registry.host}", env={}).push(bundle, Steps())
    client = oras.client.OrasClient(hostname=registry.host, insecure=True)
    client.pull(target=f"{registry.host}/pulled:v1", outdir=str(tmp_path / "out"))
    assert {p: (tmp_path / "out" / p).read_bytes() for p in bundle.files} == bytes_of(bundle)


def test_a_stranger_is_told_to_log_in(htpasswd_registry: RealRegistry) -> None:
    for env in ({}, LOGIN | {"PROMOTE_REGISTRY_PASSWORD": "canary"}):
        with pytest.raises(AuthError) as refused:
            open_registry(f"{htpasswd_registry.host}/x", env=env).push(unique(), Steps())
        assert f"docker login {htpasswd_registry.host}," in refused.value.hint
        assert "canary" not in repr(refused.value.args) + refused.value.hint


def test_a_token_that_expired_is_replaced_in_the_middle(token_registry, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    real, service = token_registry
    registry = open_registry(f"{real.host}/acme", env=LOGIN)
    registry.push(unique(), Steps())
    asked = len(service.given)
    # A token for writing is refused to a reader's; the one given next is expired, so that it must be replaced at once.
    service.expired = {asked}
    fresh = open_registry(f"{real.host}/acme", env=LOGIN)
    with pytest.raises(AuthError):
        fresh.resolve("ner", "v1")  # expired as given: asked once, not for ever
    assert len(service.given) == asked + 1
    assert fresh.resolve("ner", "v1").version == 1  # the same client asks anew
    assert service.given[0].endswith(":pull")
    assert any("push" in scope for scope in service.given)


def test_strangers_may_pull_with_an_anonymous_token(token_registry) -> None:  # type: ignore[no-untyped-def]
    real, service = token_registry
    open_registry(f"{real.host}/acme", env=LOGIN).push(unique(), Steps())
    stranger = open_registry(f"{real.host}/acme", env={})
    assert stranger.resolve("ner", "v1").version == 1
    assert service.anonymous == ["repository:acme/ner:pull"]
    with pytest.raises(AuthError):
        stranger.push(unique(version=2), Steps())


def test_a_blob_of_a_layout_may_not_be_a_link_or_a_pipe(tmp_path: Path) -> None:
    registry = open_registry(f"oci:{tmp_path}/bundles", env={})
    bundle = unique()
    stored = registry.push(bundle, Steps()).stored
    blob = bundle.files["ner/1/model.onnx"]
    path = tmp_path / "bundles/ner/blobs/sha256" / blob.digest.removeprefix("sha256:")
    (tmp_path / "elsewhere").write_bytes(blob.data or b"")
    path.unlink()
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(IntegrityError, match="link"):
        registry.read(stored, blob)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(IntegrityError, match="regular"):
        registry.read(stored, blob)


@pytest.mark.parametrize(
    "index",
    [
        b"{}",
        b"[]",
        b'{"manifests":[],"manifests":[]}',
        b'{"manifests":[{"digest":1,"size":2}]}',
        b'{"manifests":null}',
        b"\xff",
    ],
)
def test_a_layout_with_a_broken_index_is_refused(tmp_path: Path, index: bytes) -> None:
    registry = open_registry(f"oci:{tmp_path}", env={})
    registry.push(unique(), Steps())
    (tmp_path / "ner/index.json").write_bytes(index)
    for work in (lambda: registry.resolve("ner", "v1"), lambda: registry.push(unique(version=2), Steps())):
        with pytest.raises(IntegrityError):
            work()


def test_a_layout_with_two_bundles_under_one_tag_is_refused(tmp_path: Path) -> None:
    part = _layout(tmp_path)
    first, second = (part.open().push(unique(version=n), Steps()).stored for n in (1, 2))
    part.point("ner", "v1", second.digest)
    with pytest.raises(IntegrityError, match="names 2"):
        part.open().resolve("ner", "v1")
    assert part.open().resolve("ner", first.digest) == first


def test_what_a_killed_push_left_is_swept_but_not_what_is_being_written(tmp_path: Path) -> None:
    import fcntl

    registry = open_registry(f"oci:{tmp_path}", env={})
    registry.push(unique(), Steps())
    blobs = tmp_path / "ner/blobs/sha256"
    for name in ("dead", "busy", "young"):
        (blobs / f".partial-{name}").write_bytes(b"x")
        if name != "young":
            os.utime(blobs / f".partial-{name}", (0, 0))
    with (blobs / ".partial-busy").open("rb") as busy:
        fcntl.flock(busy, fcntl.LOCK_EX)
        registry.push(unique(version=2), Steps())
    assert {p.name for p in blobs.glob(".partial-*")} == {".partial-busy", ".partial-young"}


def test_a_folder_with_other_things_is_not_made_a_layout(tmp_path: Path) -> None:
    (tmp_path / "ner").mkdir()
    (tmp_path / "ner/thesis.tex").write_text("mine")
    with pytest.raises(InputError):
        open_registry(f"oci:{tmp_path}", env={}).push(unique(), Steps())
    assert [p.name for p in (tmp_path / "ner").iterdir()] == ["thesis.tex"]


def test_an_empty_folder_becomes_a_layout(tmp_path: Path) -> None:
    (tmp_path / "ner").mkdir()
    stored = open_registry(f"oci:{tmp_path}", env={}).push(unique(), Steps()).stored
    assert open_registry(f"oci:{tmp_path}", env={}).resolve("ner", "v1") == stored


def test_a_full_disk_says_so_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno

    registry = open_registry(f"oci:{tmp_path}/bundles", env={})
    bundle = make_bundle({"model.onnx": os.urandom(2_000_000)})
    registry.push(bundle, Steps())
    real_write, written = os.write, [0]

    def write(handle: int, data: bytes) -> int:
        if (written[0] + len(data)) > 1_500_000:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written[0] += len(data)
        return real_write(handle, data)

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(Unavailable, match="No space left"):
        registry.fetch(registry.resolve("ner", "v1"), str(tmp_path / "out"), Steps())
    assert not list((tmp_path / "out").rglob("*partial*"))
    assert not (tmp_path / "out/ner/1/model.onnx").exists()


@pytest.mark.parametrize("free", [1_999_999, 2_000_000])
def test_room_is_seen_before_the_first_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    registry = open_registry(f"oci:{tmp_path}/bundles", env={})
    stored = registry.push(make_bundle({"model.onnx": os.urandom(2_000_000)}), Steps()).stored
    small = sum(blob.size for blob in stored.files.values()) - 2_000_000
    found = os.statvfs(tmp_path)
    told = os.statvfs_result((1, 1, 10**9, free + small, free + small, *tuple(found)[5:]))
    monkeypatch.setattr(os, "statvfs", lambda _: told)
    if free >= 2_000_000:
        goals = registry.fetch(stored, str(tmp_path / "out"), Steps())
        told = os.statvfs_result((1, 1, 10**9, 0, 0, *tuple(found)[5:]))
        assert registry.fetch(stored, str(tmp_path / "out"), Steps()) == goals  # what is there needs no room
    else:
        with pytest.raises(Unavailable, match="room for"):
            registry.fetch(stored, str(tmp_path / "out"), Steps())
        assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


def test_a_fetch_stays_in_its_folder(tmp_path: Path) -> None:
    registry = open_registry(f"oci:{tmp_path}/bundles", env={})
    stored = registry.push(unique(), Steps()).stored
    (tmp_path / "out").mkdir()
    (tmp_path / "away").mkdir()
    (tmp_path / "out/ner").symlink_to(tmp_path / "away")
    with pytest.raises(IntegrityError, match="leads out"):
        registry.fetch(stored, str(tmp_path / "out"), Steps())
    with pytest.raises(IntegrityError):
        registry.fetch(replace(stored, files={"../x": content(b"x")}), str(tmp_path / "new"), Steps())
    assert not list((tmp_path / "away").iterdir())


def test_nobody_there_is_unavailable() -> None:
    from tests.parts.registry import free_port

    with pytest.raises(Unavailable):
        open_registry(f"127.0.0.1:{free_port()}/x", env={}).resolve("ner", "v1")


@pytest.mark.parametrize(("what", "passes"), [("manifests", True), ("blobs", False)])
def test_a_good_manifest_refused_for_its_digest_is_sent_again_and_a_blob_is_not(what: str, passes: bool) -> None:
    answer = requests.Response()
    answer.status_code, answer.url = 400, f"http://h/v2/ner/{what}/sha256:{'0' * 64}?canary"
    answer.raw = urllib3.HTTPResponse(io.BytesIO(b'{"errors":[{"code":"DIGEST_INVALID"}]}'), preload_content=False)
    told = refusal("PUT", answer, "h")
    assert isinstance(told, Again if passes else IntegrityError)
    assert "DIGEST_INVALID" in str(told)
    assert "canary" not in str(told)


def test_a_file_beyond_the_registrys_limit_is_refused_before_the_first_byte(registry: RealRegistry) -> None:
    """As GHCR's 10 GB: the sizes are known, so nobody waits for an upload that is refused at its end."""
    limits = [
        RegistryLimits(host=host, largest_layer=most, source="tests") for host, most in ((registry.host, 40), ("x", 1))
    ]
    bundle = make_bundle({"model.onnx": uuid.uuid4().bytes * 4})
    path = f"t{uuid.uuid4().hex[:12]}"
    with pytest.raises(InputError, match=r"ner/1/\S+ has \S+ bytes, 127.0.0.1:\d+ takes 40 at most"):
        open_registry(f"{registry.host}/{path}", env={}, limits=limits).push(bundle, Steps())
    assert not list(registry.storage.rglob(path))
    roomy = [RegistryLimits(host=registry.host, largest_layer=10**9, source="tests")]
    open_registry(f"{registry.host}/{path}", env={}, limits=roomy).push(bundle, Steps())


@pytest.mark.parametrize("status", [503, 429, 0])
def test_a_blob_whose_put_fails_once_is_sent_again_and_no_other(status: int) -> None:
    with QuirkRegistry(faults=(Fault("PUT", "/blobs/uploads/", 1, status, {"Retry-After": "0"}),)) as quirk:
        bundle = unique()
        release = open_registry(f"http://{quirk.host}/q", env={}).push(bundle, Steps())
        assert release.stored.digest == pack(bundle).manifest.digest
        puts = [path for method, path in quirk.requests if method == "PUT" and "/uploads/" in path]
        assert len(puts) == len(quirk.blobs) + 1


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("5", 5.0), ("0", 0.0), ("-3", 0.0), ("9" * 40, 1e40), ("", None), ("soon", None), ("1.5", None)],
)
def test_how_long_a_registry_asks_to_wait(text: str, seconds: float | None) -> None:
    """However long: a wait beyond the patience ends the try at once, where no wait at all would try again soon."""
    answer = requests.Response()
    answer.status_code, answer.url, answer.headers["Retry-After"] = 429, "http://h/v2/", text
    answer.raw = urllib3.HTTPResponse(io.BytesIO(b""), preload_content=False)
    told = refusal("GET", answer, "h")
    assert isinstance(told, Again)
    assert told.after == pytest.approx(seconds) if seconds is not None else told.after is None
