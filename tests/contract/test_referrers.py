"""Referrers: on the fake, a layout, real registries (without such an API), and the quirk registry with and without it."""

from __future__ import annotations

import json
import multiprocessing
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from promote.adapters.oci import referrer_index as module
from promote.adapters.oci.failures import PATIENT
from promote.adapters.oci.listing import read_remote
from promote.adapters.oci.origin import parse_origin
from promote.adapters.oci.passports import read_layout
from promote.adapters.oci.referrer_index import Watch
from promote.adapters.oci.referrers import RemoteReferrers
from promote.adapters.oci.registry import open_registry
from promote.adapters.oci.transport import Transport
from promote.adapters.oci.upload import Place
from promote.core.manifest import INDEX_TYPE, MANIFEST_TYPE
from promote.core.passport import sha256
from promote.core.referrers import CREATED, Referrer, entry_of, fallback_tag, pack_referrer
from promote.core.stages import Stored
from promote.errors import AuthError, InputError, IntegrityError, NotFound, Unavailable
from promote.ports import Registry
from tests.contract.test_registry import LOGIN, skopeo
from tests.contract.test_registry_hostile import Answer, Liar, honest, listening
from tests.fakes.quirk_registry import Fault, Limits, QuirkRegistry
from tests.fakes.registry import FakeRegistry, Steps, make_bundle
from tests.parts.registry import RealRegistry

VERDICT = "application/vnd.promote.verdict.v1+json"
NOTE = "application/vnd.promote.note.v1+json"
Open = Callable[[], Registry]


@pytest.fixture(params=["fake", "layout", "registry", "token", "quirk", "quirk-api", "quirk-pages", "quirk-unfiltered"])
def part(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Opens a new client of the part."""
    kind: str = request.param
    if kind == "fake":
        fake = FakeRegistry()
        yield lambda: fake
    elif kind == "layout":
        yield lambda: open_registry(f"oci:{tmp_path}/bundles", env={})
    elif kind.startswith("quirk"):
        limits = Limits(referrers=kind != "quirk", page=2 if "pages" in kind else 0, filters="unfiltered" not in kind)
        with QuirkRegistry(limits) as quirk:
            yield lambda: open_registry(f"http://{quirk.host}/q", env={})
            assert any("sha256-" in path for _, path in quirk.requests) == (kind == "quirk")
    else:
        real = request.getfixturevalue("token_registry")[0] if kind == "token" else request.getfixturevalue("registry")
        base = f"http://{real.host}/t{uuid.uuid4().hex[:12]}"
        yield lambda: open_registry(base, env=LOGIN if kind == "token" else {})


def pushed(registry: Registry, version: int = 1) -> Stored:
    return registry.push(make_bundle({"model.onnx": uuid.uuid4().bytes}, version=version), Steps()).stored


def data(target: str) -> bytes:
    return json.dumps({"target": target}).encode()


def test_what_was_attached_is_listed_with_its_type_and_annotations(part: Open) -> None:
    stored = pushed(part())
    assert part().referrers(stored) == ()
    told = {CREATED: "2026-11-24T12:00:00Z", "io.promote.target": "calypso", "x": "\u00e4"}
    name = part().attach(stored, VERDICT, data("calypso"), told)
    packed = pack_referrer(stored, VERDICT, data("calypso"), told).manifest
    assert name == packed.digest
    assert part().referrers(stored) == (
        Referrer(digest=name, size=packed.size, artifact_type=VERDICT, annotations=told),
    )
    assert part().referrers(stored)[0].created == "2026-11-24T12:00:00Z"


def test_there_may_be_many_of_several_kinds_oldest_first_and_the_same_again_changes_nothing(part: Open) -> None:
    stored, other = pushed(part()), pushed(part(), version=2)
    days = range(1, 6)
    names = [
        part().attach(stored, NOTE if day % 2 else VERDICT, data(f"t{day}"), {CREATED: f"2026-11-0{day}T00:00:00Z"})
        for day in reversed(days)
    ][::-1]
    assert part().attach(stored, NOTE, data("t1"), {CREATED: "2026-11-01T00:00:00Z"}) == names[0]
    assert [r.digest for r in part().referrers(stored)] == names
    assert [r.digest for r in part().referrers(stored, VERDICT)] == names[1::2]
    assert part().referrers(stored, "application/json") == ()
    assert part().referrers(other) == ()


def test_the_bundle_itself_and_its_neighbours_stay_as_they_were(part: Open) -> None:
    stored = pushed(part())
    part().attach(stored, VERDICT, data("calypso"), {"org.opencontainers.image.ref.name": "v1"})
    assert part().resolve("ner", "v1") == part().resolve("ner", stored.digest) == stored
    assert pushed(part(), version=2) == part().resolve("ner", "v2")
    assert len(part().referrers(stored)) == 1


def test_the_list_and_a_referrer_are_no_bundles(part: Open) -> None:
    stored = pushed(part())
    name = part().attach(stored, VERDICT, data("calypso"), {})
    with pytest.raises(NotFound):
        part().resolve("ner", fallback_tag(stored.digest))
    with pytest.raises((NotFound, IntegrityError)):
        part().resolve("ner", name)


def test_a_bundle_that_is_not_there_is_not_one_without_referrers(part: Open) -> None:
    stored = pushed(part())
    gone = part().resolve("ner", "v1")
    missing = sha256(b"other")
    away = Stored(
        repository=gone.repository, digest=missing, name="ner", version=1, files={}, annotations={}, manifest=b"other"
    )
    with pytest.raises(NotFound):
        part().referrers(away)
    with pytest.raises(NotFound):
        part().attach(away, VERDICT, b"{}", {})
    assert part().referrers(stored) == ()


@pytest.mark.parametrize(("kind", "size"), [("verdict", 2), ("a/b\n", 2), ("", 2), (VERDICT, 1024 * 1024 + 1)])
def test_what_cannot_be_attached_is_refused_before_anything_is_written(part: Open, kind: str, size: int) -> None:
    stored = pushed(part())
    with pytest.raises(InputError):
        part().attach(stored, kind, b"x" * size, {})
    assert part().referrers(stored) == ()


def test_several_attach_at_once_and_all_are_listed(part: Open) -> None:
    stored = pushed(part())
    with ThreadPoolExecutor(4) as pool:
        names = set(pool.map(lambda n: part().attach(stored, VERDICT, data(f"t{n}"), {}), range(4)))
    assert {r.digest for r in part().referrers(stored)} == names
    assert len(names) == 4


# What lies in the registry, and what others make of it.


@pytest.fixture
def base(registry: RealRegistry) -> str:
    return f"http://{registry.host}/r{uuid.uuid4().hex[:12]}"


def raw(stored: Stored, reference: str, **more: Any) -> requests.Response:
    host, _, path = stored.repository.partition("/")
    headers = {"Accept": f"{INDEX_TYPE}, {MANIFEST_TYPE}", **more.pop("headers", {})}
    return requests.request(
        more.pop("method", "GET"), f"http://{host}/v2/{path}/manifests/{reference}", headers=headers, timeout=10, **more
    )


def test_the_list_is_an_image_index_under_the_subjects_tag_and_the_referrer_names_its_subject(base: str) -> None:
    registry = open_registry(base, env={})
    stored = pushed(registry)
    name = registry.attach(stored, VERDICT, data("calypso"), {CREATED: "2026-11-24T12:00:00Z"})
    index = raw(stored, stored.digest.replace(":", "-"))
    assert index.headers["Content-Type"] == INDEX_TYPE
    size = len(raw(stored, name).content)
    assert index.json() == {
        "schemaVersion": 2,
        "mediaType": INDEX_TYPE,
        "manifests": [
            {
                "mediaType": MANIFEST_TYPE,
                "digest": name,
                "size": size,
                "artifactType": VERDICT,
                "annotations": {CREATED: "2026-11-24T12:00:00Z"},
            }
        ],
    }
    manifest = raw(stored, name).json()
    assert manifest["subject"] == {"mediaType": MANIFEST_TYPE, "digest": stored.digest, "size": len(stored.manifest)}
    assert manifest["config"]["digest"] == sha256(b"{}")
    assert manifest["layers"][0]["digest"] == sha256(data("calypso"))


def test_skopeo_reads_the_list_of_a_registry_and_of_a_layout(base: str, tmp_path: Path) -> None:
    for where, options in ((base, ("--tls-verify=false",)), (f"oci:{tmp_path}", ())):
        registry = open_registry(where, env={})
        stored = pushed(registry)
        name = registry.attach(stored, VERDICT, data("calypso"), {})
        at = stored.repository if where.startswith("oci:") else f"docker://{stored.repository}"
        index = json.loads(skopeo("inspect", "--raw", *options, f"{at}:{fallback_tag(stored.digest)}"))
        assert [(entry["digest"], entry["artifactType"]) for entry in index["manifests"]] == [(name, VERDICT)]


def test_an_image_under_the_tag_is_no_list_when_read_and_is_never_written_over(base: str) -> None:
    registry = open_registry(base, env={})
    stored = pushed(registry)
    tag = fallback_tag(stored.digest)
    there = raw(stored, tag, method="PUT", data=stored.manifest, headers={"Content-Type": MANIFEST_TYPE})
    assert there.status_code == 201
    assert registry.referrers(stored) == ()
    with pytest.raises(IntegrityError, match="expected application/vnd"):
        registry.attach(stored, VERDICT, data("calypso"), {})
    assert raw(stored, tag).content == stored.manifest


def test_an_image_under_the_tag_in_a_layout_is_no_list_either(tmp_path: Path) -> None:
    registry = open_registry(f"oci:{tmp_path}", env={})
    stored = pushed(registry)
    path = tmp_path / "ner/index.json"
    index = json.loads(path.read_text())
    name = {"org.opencontainers.image.ref.name": fallback_tag(stored.digest)}
    index["manifests"].append(index["manifests"][0] | {"annotations": name})
    path.write_text(json.dumps(index))
    before = path.read_bytes()
    assert registry.referrers(stored) == ()
    with pytest.raises(IntegrityError):
        registry.attach(stored, VERDICT, data("calypso"), {})
    assert path.read_bytes() == before


def test_what_another_tool_listed_stays_as_it_is(base: str) -> None:
    registry = open_registry(base, env={})
    stored, other = pushed(registry), pushed(registry, version=2)
    tag = fallback_tag(stored.digest)
    theirs = {"mediaType": MANIFEST_TYPE, "digest": other.digest, "size": len(other.manifest), "data": "e30="}
    index = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [theirs], "annotations": {"a": "b"}}
    raw(stored, tag, method="PUT", data=json.dumps(index), headers={"Content-Type": INDEX_TYPE})
    name = registry.attach(stored, VERDICT, data("calypso"), {})
    found = raw(stored, tag).json()
    assert found["manifests"][0] == theirs
    assert found["annotations"] == {"a": "b"}
    assert {r.digest for r in registry.referrers(stored)} == {other.digest, name}


def test_what_somebody_deleted_is_left_out_as_the_registry_would_refuse_the_list(base: str) -> None:
    registry = open_registry(base, env={})
    stored = pushed(registry)
    first, second = (registry.attach(stored, VERDICT, data(target), {}) for target in ("a", "b"))
    assert raw(stored, first, method="DELETE").status_code == 202
    third = registry.attach(stored, VERDICT, data("c"), {})
    assert {r.digest for r in registry.referrers(stored)} == {second, third}


@pytest.mark.parametrize(
    "index",
    [
        b'{"schemaVersion":2,"manifests":[],"manifests":[]}',
        b'{"schemaVersion":2,"manifests":[{"mediaType":"a/b","digest":"sha512:00","size":1}]}',
        b'{"schemaVersion":2,"manifests":[{"mediaType":"a/b","digest":"sha256:../../x","size":1}]}',
        b'{"schemaVersion":2,"manifests":[{"mediaType":"a/b","digest":"sha256:%s","size":-1}]}' % (b"0" * 64),
        b'{"schemaVersion":2,"manifests":[],"layers":[]}',
        b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","manifests":[]}',
        b'{"schemaVersion":2}',
        b"[]",
        b"{",
        b" " * (4 * 1024 * 1024 + 1),
    ],
    ids=range(10),
)
@pytest.mark.parametrize("api", [True, False])
def test_a_list_that_lies_is_refused_and_never_written_over(index: bytes, api: bool) -> None:
    with listening() as liar:
        liar.answer = lying(index, api)
        registry = open_registry(f"{liar.url}/x", env={})
        stored = registry.resolve("ner", "v1")
        with pytest.raises(IntegrityError):
            registry.referrers(stored)
        if not api:
            with pytest.raises(IntegrityError):
                registry.attach(stored, VERDICT, b"{}", {})
        assert not [path for method, path, _ in liar.asked if method == "PUT" and "sha256-" in path]


def lying(index: bytes, api: bool, **headers: str) -> Callable[[str, str, dict[str, str]], Answer]:
    def answer(method: str, path: str, sent: dict[str, str]) -> Answer:
        if "/referrers/" in path:
            return (200, {"Content-Type": INDEX_TYPE} | headers, index) if api else (404, {}, b"")
        if "/manifests/sha256-" in path and method == "GET":
            return 200, {"Content-Type": INDEX_TYPE} | headers, index
        return honest(method, path, sent)

    return answer


EMPTY = b'{"schemaVersion":2,"manifests":[]}'


def test_an_honest_empty_list_is_taken_and_one_of_another_digest_than_promised_is_not() -> None:
    with listening() as liar:
        registry = open_registry(f"{liar.url}/x", env={})
        for api in (True, False):
            liar.answer = lying(EMPTY, api)
            assert registry.referrers(registry.resolve("ner", "v1")) == ()
        liar.answer = lying(EMPTY, False, **{"Docker-Content-Digest": sha256(b"other")})
        with pytest.raises(IntegrityError, match="other bytes"):
            registry.referrers(registry.resolve("ner", "v1"))


def test_the_next_page_lies_on_the_registrys_own_origin(part_of_pages: tuple[Liar, Liar]) -> None:
    liar, other = part_of_pages
    registry = open_registry(f"{liar.url}/x", env={})
    for link in (f"<{other.url}/steal>", "<//evil.example/x>", "<file:///etc/passwd>"):
        liar.answer = lying(EMPTY, True, Link=f'{link}; rel="next"')
        with pytest.raises(IntegrityError, match="another origin"):
            registry.referrers(registry.resolve("ner", "v1"))
    assert other.asked == []


@pytest.fixture
def part_of_pages() -> Iterator[tuple[Liar, Liar]]:
    with listening() as liar, listening() as other:
        yield liar, other


def test_a_missing_right_is_not_read_as_no_referrers(htpasswd_registry: RealRegistry) -> None:
    base = f"http://{htpasswd_registry.host}/x{uuid.uuid4().hex[:12]}"
    stored = pushed(open_registry(base, env=LOGIN))
    with pytest.raises(AuthError):
        open_registry(base, env={}).referrers(stored)
    assert open_registry(base, env=LOGIN).referrers(stored) == ()


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("where", ["/referrers/", "/manifests/sha256-"])
def test_a_refusal_at_either_place_is_not_read_as_no_referrers(status: int, where: str) -> None:
    faults = tuple(Fault("GET", where, nth, status) for nth in range(1, 4))
    with QuirkRegistry(faults=faults) as quirk:
        registry = open_registry(f"http://{quirk.host}/q", env={})
        with pytest.raises(AuthError):
            registry.referrers(pushed(registry))


def test_a_private_repository_that_answers_404_to_all_is_not_one_without_referrers() -> None:
    with QuirkRegistry() as quirk:
        registry = open_registry(f"http://{quirk.host}/q", env={})
        stored = pushed(registry)
        quirk.faults = tuple(Fault("GET", "/q/", nth, 404) for nth in range(1, 10))
        with pytest.raises(NotFound):
            registry.referrers(stored)


def test_nothing_is_deleted_as_ghcr_would_refuse() -> None:
    with QuirkRegistry(Limits(deletes=False)) as quirk:
        registry = open_registry(f"http://{quirk.host}/q", env={})
        stored = pushed(registry)
        names = {registry.attach(stored, VERDICT, data(target), {}) for target in ("a", "b")}
        assert {r.digest for r in registry.referrers(stored)} == names
        assert not [path for method, path in quirk.requests if method == "DELETE"]


def test_a_registry_that_names_another_subject_is_refused() -> None:
    with listening() as liar:
        liar.answer = lambda method, path, sent: (
            (201, {"OCI-Subject": sha256(b"other")}, b"") if method == "PUT" else honest(method, path, sent)
        )
        registry = open_registry(f"{liar.url}/x", env={})
        with pytest.raises(IntegrityError, match="took"):
            registry.attach(registry.resolve("ner", "v1"), VERDICT, b"{}", {})


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("PUT", {"OCI-Subject": "canary"}),
        ("PUT", {"Docker-Content-Digest": "canary"}),
        ("GET", {"Content-Type": "canary"}),
        ("GET", {"Content-Type": INDEX_TYPE, "Docker-Content-Digest": "canary"}),
    ],
)
def test_no_message_shows_what_a_registry_writes_in_place_of_a_digest_or_type(
    method: str, headers: dict[str, str]
) -> None:
    def answer(asked: str, path: str, sent: dict[str, str]) -> Answer:
        if asked == method and "/manifests/sha256" in path and ("sha256-" in path or method == "PUT"):
            return (201 if method == "PUT" else 200), headers, b"" if method == "PUT" else EMPTY
        return honest(asked, path, sent)

    with listening() as liar:
        liar.answer = answer
        registry = open_registry(f"{liar.url}/x", env={})
        with pytest.raises(IntegrityError) as refused:
            registry.attach(registry.resolve("ner", "v1"), VERDICT, b"{}", {})
        assert "canary" not in refused.value.message + refused.value.hint


def test_a_registry_that_got_the_api_serves_what_was_attached_before() -> None:
    with QuirkRegistry() as quirk:
        registry = open_registry(f"http://{quirk.host}/q", env={})
        stored = pushed(registry)
        before = registry.attach(stored, VERDICT, data("a"), {})
        quirk.limits = Limits(referrers=True)
        after = registry.attach(stored, VERDICT, data("b"), {})
        assert {r.digest for r in registry.referrers(stored)} == {before, after}


def test_lists_are_no_versions(base: str, tmp_path: Path) -> None:
    for where in (base, f"oci:{tmp_path}"):
        registry = open_registry(where, env={})
        stored = pushed(registry)
        registry.attach(stored, VERDICT, data("calypso"), {})
        items = list(read_layout(f"{tmp_path}/ner") if where.startswith("oci:") else read_remote(where, {}, ("ner",)))
        assert [item.where.rpartition(":")[2] for item in items] == ["v1"]
        assert not any(item.fault for item in items)


# Lost updates.


class Writer:
    """A writer of the list of one bundle's referrers on the quirk registry, with a clobbering neighbour."""

    def __init__(self, quirk: QuirkRegistry) -> None:
        self.quirk, self.registry = quirk, open_registry(f"http://{quirk.host}/q", env={})
        self.stored = pushed(self.registry)
        self.tag = ("q/ner", fallback_tag(self.stored.digest))
        self.slept: list[float] = []
        self.at: dict[int, Callable[[], None]] = {}

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        time.sleep(min(seconds, 0.02))
        self.at.get(len(self.slept), lambda: None)()

    def attach(self, target: str, watch: Watch | None = None) -> str:
        packed = pack_referrer(self.stored, VERDICT, data(target), {})
        origin = parse_origin(f"http://{self.quirk.host}/q")
        place = Place(self.stored.repository, f"{origin.url}/v2/q/ner", Transport(origin, {}))
        for blob in packed.blobs:
            self.quirk.blobs["q/ner", blob.digest] = blob.data or b""
        writer = RemoteReferrers(place, PATIENT, watch or Watch(least=0.2, sleep=self.sleep))
        writer.attach(self.stored.digest, packed.manifest)
        return packed.manifest.digest

    def overwrite(self, *targets: str) -> set[str]:
        """As a writer does that read the list before the others wrote."""
        packed = [pack_referrer(self.stored, VERDICT, data(target), {}).manifest for target in targets]
        for manifest in packed:
            self.quirk.manifests["q/ner", manifest.digest] = (MANIFEST_TYPE, manifest.data or b"")
        index = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [entry_of(manifest) for manifest in packed]}
        body = json.dumps(index).encode()
        self.quirk.manifests["q/ner", sha256(body)] = (INDEX_TYPE, body)
        self.quirk.tags[self.tag] = sha256(body)
        return {manifest.digest for manifest in packed}

    def listed(self) -> set[str]:
        return {referrer.digest for referrer in self.registry.referrers(self.stored)}


def test_what_another_writer_lost_is_put_back_the_first_writers_entry_and_all_it_had_seen() -> None:
    with QuirkRegistry() as quirk:
        writer = Writer(quirk)
        before = writer.overwrite("before")
        late: set[str] = set()
        writer.at = {2: lambda: late.update(writer.overwrite("late"))}
        mine = writer.attach("mine")
        assert writer.listed() == {mine} | before | late


def test_a_clobbered_list_that_is_whole_again_is_watched_anew() -> None:
    with QuirkRegistry() as quirk:
        writer, late, last = Writer(quirk), set[str](), [0.0]

        def clobber() -> None:
            late.update(writer.overwrite(f"late{len(writer.slept)}"))
            last[0] = time.monotonic()

        writer.at = dict.fromkeys((1, 4, 7), clobber)
        mine = writer.attach("mine")
        assert time.monotonic() - last[0] >= 0.2  # the whole watch, whatever of it had passed before
        assert writer.listed() == {mine} | late
        assert len(late) == 3


def test_a_writer_that_is_overwritten_for_ever_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LONGEST_WAIT", 1.0)
    with QuirkRegistry() as quirk:
        writer = Writer(quirk)
        writer.at = dict.fromkeys(range(1, 10_000), lambda: (writer.overwrite("other"), None)[1])
        with pytest.raises(Unavailable, match="is not listed") as refused:
            writer.attach("mine")
        assert "concurrency" in refused.value.hint


def test_a_busy_registry_is_asked_for_the_list_again_before_it_is_written_again() -> None:
    """A write tried again after a wait must not use what was read before the wait."""
    with QuirkRegistry(faults=(Fault("PUT", "/manifests/sha256-", 1, 503, {"Retry-After": "0"}),)) as quirk:
        writer = Writer(quirk)
        mine = writer.attach("mine")
        asked = [method for method, path in quirk.requests if "/manifests/sha256-" in path]
        assert asked[:4] == ["GET", "PUT", "GET", "PUT"]
        assert writer.listed() == {mine}


def test_one_that_was_held_up_after_reading_reads_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with QuirkRegistry() as quirk:
        writer, merge, held = Writer(quirk), module.with_entries, []

        def slow(*args: Any) -> Any:
            if not held:
                held.append(writer.overwrite("meanwhile"))
                time.sleep(0.3)
            return merge(*args)

        monkeypatch.setattr(module, "with_entries", slow)
        mine = writer.attach("mine")
        puts = [path for method, path in quirk.requests if method == "PUT" and "/manifests/sha256-" in path]
        assert len(puts) == 1
        assert writer.listed() == {mine} | held[0]


def _write(base: str, worker: int, digests: list[str], lanes: int, barrier: Any, done: Any) -> None:
    """One of several processes: attaches to every bundle, at the same moment as the others do."""
    registry = open_registry(base, env={})
    stored = [registry.resolve("ner", digest) for digest in digests]
    names = []
    with ThreadPoolExecutor(lanes) as pool:
        for first in range(0, len(stored), lanes):
            barrier.wait(120)
            names += pool.map(
                lambda s: registry.attach(s, VERDICT, data(f"worker {worker}"), {}), stored[first : first + lanes]
            )
    done.put((worker, names))


WRITERS, ROUNDS = 8, 50


@pytest.mark.slow
def test_eight_processes_at_once_lose_nothing_in_fifty_rounds(registry: RealRegistry) -> None:
    """On the real registry, which has neither the API nor compare-and-swap. A round is a bundle; ten go on at a time."""
    base = f"http://{registry.host}/w{uuid.uuid4().hex[:12]}"
    client = open_registry(base, env={})
    stored = [pushed(client, version=n + 1) for n in range(ROUNDS)]
    spawn = multiprocessing.get_context("spawn")
    barrier, done = spawn.Barrier(WRITERS), spawn.Queue()
    lanes = 10
    digests = [s.digest for s in stored]
    workers = [
        spawn.Process(target=_write, args=(base, n, digests, lanes, barrier, done), daemon=True) for n in range(WRITERS)
    ]
    for worker in workers:
        worker.start()
    names = dict(done.get(timeout=250) for _ in workers)
    for worker in workers:
        worker.join(10)
    for number, subject in enumerate(stored):
        expected = {names[worker][number] for worker in range(WRITERS)}
        assert len(expected) == WRITERS
        assert {entry["digest"] for entry in raw(subject, fallback_tag(subject.digest)).json()["manifests"]} == expected
        assert {referrer.digest for referrer in client.referrers(subject)} == expected
