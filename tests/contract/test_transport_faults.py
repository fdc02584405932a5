"""A push through every failure that may pass, at every one of its requests; and those that will not."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from promote.adapters.oci.failures import Patience
from promote.adapters.oci.http import open_remote
from promote.adapters.oci.registry import OciRegistry
from promote.core.stages import Bundle, Release
from promote.errors import AuthError, Unavailable
from tests.fakes.quirk_registry import Fault, QuirkRegistry
from tests.fakes.registry import Steps, make_bundle, on_disk
from tests.parts.registry import serving

LOGIN = {"PROMOTE_REGISTRY_USERNAME": "ada", "PROMOTE_REGISTRY_PASSWORD": "canary"}
MIB = 2**20


def push(quirk: QuirkRegistry, bundle: Bundle, waits: list[float] | None = None) -> Release:
    patience = Patience(sleep=(waits if waits is not None else []).append)
    return OciRegistry(open_remote(f"http://{quirk.host}/q", LOGIN, patience)).push(bundle, Steps())


def requests_of(bundle: Bundle) -> int:
    with QuirkRegistry() as quirk:
        push(quirk, bundle)
        return len(quirk.requests)


@pytest.mark.parametrize("kind", ["refused", "cut", "swallowed"])
def test_a_failure_that_may_pass_at_any_request(kind: str) -> None:
    bundle, codes = make_bundle(), (408, 429, 500, 502, 503, 504)
    found = requests_of(bundle)
    assert found > 15
    for nth in range(1, found + 1):
        status = codes[nth % len(codes)] if kind == "refused" else 0
        with QuirkRegistry(faults=(Fault("", "", nth, status, acted=kind == "swallowed"),)) as quirk:
            release = push(quirk, bundle)
            assert len(quirk.requests) > found - 1
            assert quirk.tags == {("q/ner", "v1"): release.stored.digest}
            assert len(quirk.manifests) == 1


def test_a_wait_that_is_asked_for_is_kept() -> None:
    faults = tuple(Fault("HEAD", "/blobs/", nth, 429, {"Retry-After": "7"}) for nth in (1, 2, 3))
    with QuirkRegistry(faults=faults) as quirk:
        push(quirk, make_bundle(), waits := [])
        assert waits == [7.0, 7.0, 7.0]


@pytest.mark.parametrize("after", ["86400", "61", "9" * 40])
def test_a_wait_beyond_patience_ends_at_once(after: str) -> None:
    with QuirkRegistry(faults=(Fault("POST", "/uploads/", 0, 429, {"Retry-After": after}),)) as quirk:
        with pytest.raises(Unavailable, match="429") as told:
            push(quirk, make_bundle(), waits := [])
        assert waits == []
        assert told.value.exit_code == 5
        assert "finished files are kept" in told.value.hint


def test_waits_are_within_a_budget() -> None:
    with QuirkRegistry(faults=(Fault("GET", "/manifests/", 0, 503, {"Retry-After": "25"}),)) as quirk:
        with pytest.raises(Unavailable, match="503"):
            push(quirk, make_bundle(), waits := [])
        assert waits == [25.0, 25.0]  # a third would be 75 s of 60


@pytest.fixture
def tokens() -> Iterator[tuple[str, list[str]]]:
    """A token service: its address, and the scopes that it was asked for. Each token is another."""
    asked: list[str] = []

    class Tokens(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            data = json.dumps({"token": f"token-{len(asked)}"}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            pass

    with serving(Tokens) as url:
        yield url, asked


@pytest.mark.parametrize("after", [None, 0, 5 * MIB])
def test_a_token_that_expires_in_the_middle_of_a_file_is_replaced(
    tokens: tuple[str, list[str]], tmp_path: Path, after: int | None
) -> None:
    url, asked = tokens
    path = tmp_path / "model.onnx"
    path.write_bytes(os.urandom(9 * MIB))
    scope = 'service="x",scope="repository:q/ner:pull,push"'
    challenge = {"WWW-Authenticate": f'Bearer realm="{url}/token",{scope}'}
    expired = tuple(Fault("PUT", "/uploads/", nth, 401, challenge, after=after, least=MIB) for nth in (1, 3))
    with QuirkRegistry(faults=expired) as quirk:
        push(quirk, make_bundle({"model.onnx": on_disk(path)}))
        assert path.read_bytes() in quirk.blobs.values()
        assert 1 <= len(asked) <= 2
        assert all("push" in request for request in asked)


def test_a_login_that_is_dead_for_good_says_so_and_keeps_the_upload(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(os.urandom(9 * MIB))
    bundle = make_bundle({"model.onnx": on_disk(path)})
    dead = Fault("PUT", "/uploads/", 2, 403, least=MIB)
    cut = Fault("PUT", "/uploads/", 1, 0, after=5 * MIB, least=MIB)
    with QuirkRegistry(faults=(cut, dead)) as quirk:
        registry = open_remote(f"http://{quirk.host}/q", LOGIN, Patience(sleep=lambda _: None), uploads=tmp_path / "up")
        with pytest.raises(AuthError, match="403"):
            OciRegistry(registry).push(bundle, Steps())
        assert len(list((tmp_path / "up").iterdir())) == 1
        OciRegistry(registry).push(bundle, Steps())
        assert quirk.received == sum(map(len, quirk.blobs.values()))
