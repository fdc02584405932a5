"""Blobs that the registry has in another repository are mounted: bytes counted on the real registry, refusals on ours."""

from __future__ import annotations

import json
import os
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from promote.adapters.oci.mount import SMALLEST, Mounts
from promote.adapters.oci.origin import parse_origin
from promote.adapters.oci.registry import open_registry
from promote.core.manifest import pack
from promote.core.stages import Blob, Bundle
from tests.fakes.quirk_registry import QuirkRegistry
from tests.fakes.registry import Steps, make_bundle
from tests.parts.registry import SECRET, USER, Meter, RealRegistry, TokenService, metered

LOGIN = {"PROMOTE_REGISTRY_USERNAME": USER, "PROMOTE_REGISTRY_PASSWORD": SECRET}
ROOM = 200_000  # bytes of requests and small files, far below the weights


def bundles() -> tuple[Bundle, Bundle]:
    """The same weights in models of two names."""
    weights = {"model.onnx": os.urandom(3_000_000), "weights.data": os.urandom(1_000_000)}
    return make_bundle(weights, name="first"), make_bundle(weights, name="second")


def push(base: str, bundle: Bundle, work: Path | None, env: dict[str, str] | None = None) -> tuple[int, int]:
    """Bytes sent, bytes skipped; what was pushed is there and whole."""
    release = open_registry(base, env or {}, mounts=work).push(bundle, Steps())
    reader = open_registry(base, env or {})
    stored = reader.resolve(bundle.name, f"v{bundle.version}")
    assert stored.digest == pack(bundle).manifest.digest
    assert (
        reader.read(stored, bundle.files[f"{bundle.name}/1/model.onnx"])
        == bundle.files[f"{bundle.name}/1/model.onnx"].data
    )
    return release.sent, release.skipped


@pytest.fixture(params=["plain", "token"])
def meter(request: pytest.FixtureRequest) -> Iterator[tuple[Meter, dict[str, str]]]:
    plain = request.param == "plain"
    real: RealRegistry = request.getfixturevalue("registry") if plain else request.getfixturevalue("token_registry")[0]
    with metered(real.host) as counting:
        yield counting, {} if plain else LOGIN


def test_weights_that_another_model_has_are_not_sent(meter: tuple[Meter, dict[str, str]], tmp_path: Path) -> None:
    counting, env = meter
    first, second = bundles()
    base = f"http://{counting.host}/mount-{os.urandom(4).hex()}"
    sent, _ = push(base, first, tmp_path, env)
    assert sent >= 4_000_000
    assert counting.received >= 4_000_000
    counting.received = 0
    sent, skipped = push(base, second, tmp_path, env)
    assert skipped >= 4_000_000
    assert sent < ROOM
    assert counting.received < ROOM


def test_without_a_record_they_are_sent(meter: tuple[Meter, dict[str, str]], tmp_path: Path) -> None:
    counting, env = meter
    base = f"http://{counting.host}/mount-{os.urandom(4).hex()}"
    for bundle, work in zip(bundles(), (None, tmp_path), strict=True):
        counting.received = 0
        assert push(base, bundle, work, env)[0] >= 4_000_000
        assert counting.received >= 4_000_000


def test_the_token_for_a_mount_may_read_the_other_repository(
    token_registry: tuple[RealRegistry, TokenService], tmp_path: Path
) -> None:
    real, service = token_registry
    first, second = bundles()
    push(f"http://{real.host}/acme", first, tmp_path, LOGIN)
    push(f"http://{real.host}/acme", second, tmp_path, LOGIN)
    both = [set(scopes.split(" ")) for scopes in service.given if " " in scopes]
    assert len(both) == 1  # one token for all blobs of one source
    assert "repository:acme/first:pull" in both[0]
    assert any(scope.startswith("repository:acme/second:") and "push" in scope for scope in both[0])


def test_a_repository_that_may_not_be_read_is_no_obstacle(
    token_registry: tuple[RealRegistry, TokenService], tmp_path: Path
) -> None:
    real, service = token_registry
    first, second = bundles()
    push(f"http://{real.host}/acme", first, tmp_path, LOGIN)
    service.hidden.add("acme/first")
    assert push(f"http://{real.host}/acme", second, tmp_path, LOGIN)[0] >= 4_000_000


WRONG: dict[str, Callable[[dict[str, str]], object]] = {
    "a repository that is not there": lambda known: dict.fromkeys(known, "gone/for/ever"),
    "no name of a repository": lambda known: dict.fromkeys(known, "../../x?mount=y"),
    "not text": lambda known: dict.fromkeys(known, 7),
    "no digests": lambda known: {"sha256:../x": "acme/first"},
    "not an object": lambda known: [*known],
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_record_does_no_harm(registry: RealRegistry, tmp_path: Path, wrong: str) -> None:
    first, second = bundles()
    base = f"http://{registry.host}/mount-{os.urandom(4).hex()}"
    push(base, first, tmp_path)
    (path,) = tmp_path.iterdir()
    record = json.loads(path.read_text())
    known = record["repositories"]
    assert len(known) == 2
    record["repositories"] = WRONG[wrong](known)
    path.write_text(json.dumps(record))
    assert push(base, second, tmp_path)[0] >= 4_000_000
    assert set(json.loads(path.read_text())["repositories"].values()) >= {
        base.partition("//")[2].partition("/")[2] + "/second"
    }


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"schema":"promote.mounts/1"}', b"x" * 3_000_000, b"\xff"])
def test_a_damaged_record_is_as_none(registry: RealRegistry, tmp_path: Path, data: bytes) -> None:
    path = tmp_path / f"http-{registry.host.replace(':', '_')}.json"
    path.write_bytes(data)
    first, _ = bundles()
    assert push(f"http://{registry.host}/mount-{os.urandom(4).hex()}", first, tmp_path)[0] >= 4_000_000
    assert len(json.loads(path.read_text())["repositories"]) == 2


@pytest.mark.parametrize("status", [401, 403, 404, 405, 400, 416, 503, 429, 0])
def test_a_refused_mount_falls_back_to_an_upload(tmp_path: Path, status: int) -> None:
    first, second = bundles()
    refused = []
    with QuirkRegistry() as quirk:
        push(f"http://{quirk.host}/q", first, tmp_path)
        usual: Any = quirk._server.RequestHandlerClass

        class Refuses(usual):  # type: ignore[misc]
            def _begin(self, repo: str, query: dict[str, str], body: bytes) -> None:
                if "mount" not in query:
                    super()._begin(repo, query, body)
                    return
                refused.append(query["from"])
                if status:
                    self.refuse(status, "DENIED", Retry_After="0")
                else:
                    self.hang_up()

        quirk._server.RequestHandlerClass = Refuses
        assert push(f"http://{quirk.host}/q", second, tmp_path)[0] >= 4_000_000
    assert refused == ["q/first"] * len(refused)
    assert 1 <= len(refused) <= 2  # each blob asks once at most


def test_a_registry_that_mounts_nothing_is_left_no_upload(tmp_path: Path) -> None:
    first, second = bundles()
    with QuirkRegistry() as quirk:
        push(f"http://{quirk.host}/q", first, tmp_path)
        quirk.blobs = {key: data for key, data in quirk.blobs.items() if key[0] != "q/first"}  # collected since
        assert push(f"http://{quirk.host}/q", second, tmp_path)[0] >= 4_000_000
        assert quirk.uploads == {}
        assert [path for method, path in quirk.requests if method == "DELETE"]


def test_a_registry_that_lies_of_a_mount_gets_the_bytes_after_all(tmp_path: Path) -> None:
    first, second = bundles()
    with QuirkRegistry() as quirk:
        push(f"http://{quirk.host}/q", first, tmp_path)
        lost = {("q/second", digest) for _, digest in quirk.blobs}

        class Forgets(dict[tuple[str, str], bytes]):
            def __setitem__(self, key: tuple[str, str], data: bytes) -> None:
                if key in lost and len(data) > SMALLEST:
                    lost.discard(key)  # the first time it says 201 and keeps nothing
                else:
                    super().__setitem__(key, data)

        quirk.blobs = Forgets(quirk.blobs)
        assert push(f"http://{quirk.host}/q", second, tmp_path)[0] >= 4_000_000


def test_the_record_is_for_its_owner_and_one_registry_and_bounded(tmp_path: Path) -> None:
    origin, other = parse_origin("ghcr.io/acme"), parse_origin("quay.io/acme")
    blobs = [(f"sha256:{n:064x}", SMALLEST) for n in range(6_000)]
    Mounts(origin, tmp_path).keep("acme/" + "x" * 240, blobs)
    (path,) = tmp_path.iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.stat().st_size < 2 * 1024 * 1024
    known = Mounts(origin, tmp_path)
    assert known.take(Blob(*blobs[0]), "x") == ""  # noted first, forgotten first
    assert known.take(Blob(*blobs[-1]), "x") == "acme/" + "x" * 240
    assert known.take(Blob(*blobs[-1]), "x") == ""  # given once
    assert Mounts(other, tmp_path).take(Blob(*blobs[-1]), "x") == ""
    path.rename(path.with_name("https-quay.io.json"))
    assert Mounts(other, tmp_path).take(Blob(*blobs[-1]), "x") == ""
    Mounts(other, tmp_path).keep("acme/x", [(blobs[0][0], SMALLEST - 1)])
    assert len([*tmp_path.iterdir()]) == 1  # small blobs are not worth it


def test_a_work_folder_that_cannot_be_written_is_no_obstacle(tmp_path: Path, registry: RealRegistry) -> None:
    (tmp_path / "file").write_text("")
    first, _ = bundles()
    assert push(f"http://{registry.host}/mount-{os.urandom(4).hex()}", first, tmp_path / "file")[0] >= 4_000_000


def test_pushes_at_once_leave_a_whole_record(tmp_path: Path) -> None:
    mounts = Mounts(parse_origin("ghcr.io/acme"), tmp_path)
    threads = [
        threading.Thread(target=mounts.keep, args=(f"acme/m{n}", [(f"sha256:{n:064x}", SMALLEST)])) for n in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (path,) = tmp_path.iterdir()
    assert len(json.loads(path.read_text())["repositories"]) == 16
