"""Which credentials go to whom: identity tokens, and a user and password that belong to one registry."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
import requests

from promote.adapters.oci.auth import PlainSession
from promote.adapters.oci.registry import open_registry
from promote.cli.main import run
from promote.errors import AuthError
from tests.fakes.registry import Steps, make_bundle
from tests.parts.registry import IDENTITY, SECRET, USER, RealRegistry, TokenService, serving


def login(folder: Path, host: str, **entry: str) -> dict[str, str]:
    """``docker login``, as far as its file goes."""
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"auths": {host: entry}}))
    return {"DOCKER_CONFIG": str(folder)}


def helper(folder: Path, host: str, user: str, secret: str) -> dict[str, str]:
    """A credential helper of docker's, for one host."""
    folder.mkdir(exist_ok=True)
    program = folder / "docker-credential-tests"
    program.write_text(f"#!/bin/sh\necho '{json.dumps({'Username': user, 'Secret': secret})}'\n")
    program.chmod(0o755)
    (folder / "config.json").write_text(json.dumps({"credHelpers": {host: "tests"}}))
    return {"DOCKER_CONFIG": str(folder), "PATH": f"{folder}:{os.environ['PATH']}"}


@pytest.mark.parametrize("way", ["config", "config with a user", "helper"])
def test_an_identity_token_pushes_and_pulls(
    token_registry: tuple[RealRegistry, TokenService], tmp_path: Path, way: str
) -> None:
    real, service = token_registry
    if way == "helper":
        env = helper(tmp_path / "docker", real.host, "<token>", IDENTITY)
    else:
        user = {"auth": base64.b64encode(b"someone:").decode()} if way.endswith("user") else {}
        env = login(tmp_path / "docker", real.host, identitytoken=IDENTITY, **user)
    registry = open_registry(f"{real.host}/acme", env=env)
    registry.push(make_bundle(), Steps())
    assert registry.resolve("ner", "v1").version == 1
    assert service.anonymous == []
    assert {asked["client_id"] for asked in service.refreshed} == {"promote"}
    assert any("pull,push" in asked["scope"] or "push,pull" in asked["scope"] for asked in service.refreshed)


def test_a_wrong_identity_token_is_refused_and_not_shown(
    token_registry: tuple[RealRegistry, TokenService], tmp_path: Path
) -> None:
    real, service = token_registry
    registry = open_registry(f"{real.host}/acme", login(tmp_path / "docker", real.host, identitytoken="canary-idt"))
    with pytest.raises(AuthError, match="refuses") as told:
        registry.resolve("ner", "v1")
    assert "canary" not in f"{told.value!r} {told.value.hint}"
    assert service.anonymous == service.given == []


def test_an_identity_token_is_for_its_own_host_alone(
    token_registry: tuple[RealRegistry, TokenService], tmp_path: Path
) -> None:
    real, service = token_registry
    env = login(tmp_path / "docker", f"{real.host}0", identitytoken=IDENTITY)
    open_registry(f"{real.host}/acme", login(tmp_path / "right", real.host, identitytoken=IDENTITY)).push(
        make_bundle(), Steps()
    )
    service.refreshed.clear()
    assert open_registry(f"{real.host}/acme", env).resolve("ner", "v1").version == 1  # as a stranger
    assert service.refreshed == []
    assert service.anonymous != []


def test_an_identity_token_is_no_password(htpasswd_registry: RealRegistry, tmp_path: Path) -> None:
    env = login(tmp_path / "docker", htpasswd_registry.host, identitytoken="canary-idt")
    with pytest.raises(AuthError, match="only an identity token is known") as told:
        open_registry(f"{htpasswd_registry.host}/acme", env).resolve("ner", "v1")
    assert "docker login" in told.value.hint
    assert "canary" not in f"{told.value!r} {told.value.hint}"


def test_a_registry_token_of_docker_is_refused_rather_than_ignored(
    token_registry: tuple[RealRegistry, TokenService], tmp_path: Path
) -> None:
    real, _ = token_registry
    env = login(tmp_path / "docker", real.host, registrytoken="canary-rt")
    with pytest.raises(AuthError, match="registry token") as told:
        open_registry(f"{real.host}/acme", env).resolve("ner", "v1")
    assert "canary" not in f"{told.value!r} {told.value.hint}"


@contextmanager
def asking(kind: str) -> Iterator[tuple[str, list[dict[str, str]]]]:
    """A registry that asks everybody who they are, and what it was told; it has nothing."""
    seen: list[dict[str, str]] = []

    class Asks(BaseHTTPRequestHandler):
        def answer(self) -> None:
            seen.append(dict(self.headers))
            known = "Authorization" in self.headers
            token = self.path.startswith("/token")
            body = b'{"token":"abc"}' if token else b""
            self.send_response(200 if token else 404 if known else 401)
            realm = f"http://{self.headers['Host']}/token"
            self.send_header("WWW-Authenticate", f'{kind} realm="{realm}",service="x",scope="repository:x:pull"')
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_HEAD = answer

        def log_message(self, *_: Any) -> None:
            pass

    with serving(Asks) as url:
        yield url.removeprefix("http://"), seen


def sent(seen: list[dict[str, str]]) -> set[str]:
    words = (headers.get("Authorization", "") for headers in seen)
    return {base64.b64decode(word[6:]).decode() for word in words if word.startswith("Basic ")}


@pytest.mark.parametrize("kind", ["Basic", "Bearer"])
@pytest.mark.parametrize("same", [True, False])
@pytest.mark.parametrize("command", ["matrix refresh", "target probe"])
def test_user_and_password_of_the_environment_are_for_the_registry_of_the_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, kind: str, same: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PROMOTE_REGISTRY_USERNAME", USER)
    monkeypatch.setenv("PROMOTE_REGISTRY_PASSWORD", SECRET)
    with asking(kind) as (host, seen):
        monkeypatch.setenv("PROMOTE_REGISTRY__URL", f"{host}/models" if same else "ghcr.io/acme")
        words = ["matrix", "refresh"] if command == "matrix refresh" else ["target", "probe", "calypso"]
        run([*words, "--image", f"{host}/nvidia/tritonserver:26.04-py3"])
    assert seen
    assert sent(seen) == ({f"{USER}:{SECRET}"} if same else set())


def test_a_layout_in_the_settings_names_nobody_to_log_in_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PROMOTE_REGISTRY_USERNAME", USER)
    monkeypatch.setenv("PROMOTE_REGISTRY_PASSWORD", SECRET)
    with asking("Basic") as (host, seen):
        assert run(["matrix", "refresh", "--image", f"{host}/nvidia/tritonserver:26.04-py3"]) == 4
    assert sent(seen) == set()
    assert capsys.readouterr().err.endswith(f"hint: docker login {host}\n")  # the variables would not go there


def test_docker_logins_are_still_used_for_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with asking("Basic") as (host, seen):
        entry = {"auth": base64.b64encode(b"bob:own").decode()}
        monkeypatch.setenv("DOCKER_CONFIG", login(tmp_path / "docker", host, **entry)["DOCKER_CONFIG"])
        monkeypatch.setenv("PROMOTE_REGISTRY__URL", "ghcr.io/acme")
        monkeypatch.setenv("PROMOTE_REGISTRY_USERNAME", USER)
        monkeypatch.setenv("PROMOTE_REGISTRY_PASSWORD", SECRET)
        run(["matrix", "refresh", "--image", f"{host}/nvidia/tritonserver:26.04-py3"])
    assert sent(seen) == {"bob:own"}


@pytest.mark.parametrize("url", ["https://ghcr.io/token", "http://127.0.0.1:5000/token"])
def test_a_token_is_asked_for_without_netrc(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond this machine: there requests looks into ``.netrc`` unless it is given something in its place."""
    (tmp_path / "netrc").write_text("default login me password canary\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert requests.Session().prepare_request(requests.Request("GET", url)).headers.get("Authorization")  # it would
    assert "Authorization" not in PlainSession(url).prepare_request(requests.Request("GET", url)).headers
