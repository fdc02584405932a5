"""No secret is ever told: the real command line with known secrets in every place they come from, on registries that work and
on one that gives back whatever it is told; then they are looked for in what was printed and in every file that was left."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.project import PROMOTE, Project, clean
from tests.fakes.factory import log_run
from tests.parts.registry import IDENTITY, SECRET, USER, RealRegistry, TokenService, free_port, serving

pytestmark = [pytest.mark.e2e, pytest.mark.mlflow, pytest.mark.slow]

SECRET_64 = base64.b64encode(f"{USER}:{SECRET}".encode()).decode()
# What may be nowhere: the password as it is and as it is sent, an identity token, the head of every token given, canaries.
CANARIES = (SECRET, SECRET_64, IDENTITY, "eyJ0eXAi", "_state=", "canary")
CANARIES += tuple(word.lower() for word in (SECRET_64,))


@pytest.fixture(scope="module")
def onnx_run(sqlite_uri: str) -> str:
    return log_run(sqlite_uri, {"ner": "onnx"})


@pytest.fixture
def project(tmp_path: Path, sqlite_uri: str) -> Project:
    folder = tmp_path / "project"
    for name in ("project", "project/models", "home", "tmp", "docker"):
        (tmp_path / name).mkdir()
    (tmp_path / "home/.netrc").write_text("default login canary-netrc-user password canary-netrc\n")
    made = Project(folder, sqlite_uri)
    made.write(local='model_repository = "models"\nhttp = "127.0.0.1:1"\ngrpc = "127.0.0.1:1"')
    return made


class Typist:
    """Types commands at every verbosity and looks through what they said and left."""

    def __init__(self, project: Project, env: Mapping[str, str]) -> None:
        top = project.folder.parent
        self._project, self._began = project, time.time() - 2
        self._watched = (project.folder, top / "tmp", Path(project.uri.removeprefix("sqlite:///")).parent)
        self._env = {"HOME": str(top / "home"), "TMPDIR": str(top / "tmp"), **env}

    def __call__(self, *arguments: str, codes: set[int] | None = None, **env: str) -> str:
        done = subprocess.run(
            [PROMOTE, *arguments], cwd=self._project.folder, capture_output=True, env=clean(self._env | env), timeout=200,
            check=False,
        )  # fmt: skip
        told = (done.stdout + done.stderr).decode()
        assert codes is None or done.returncode in codes, told
        assert done.returncode != 1, told  # a fault of promote
        held(told.encode(), f"$ promote {' '.join(arguments)}")
        return told

    def look(self) -> None:
        """Through every file that was written meanwhile, MLflow's database and artifacts among them."""
        files = [path for folder in self._watched for path in folder.rglob("*") if path.is_file()]
        for path in files:
            if path.stat().st_mtime >= self._began:
                held(path.read_bytes(), str(path))
        assert files


def held(data: bytes, where: str) -> None:
    for canary in CANARIES:
        assert canary.encode() not in data, f"{canary!r} in {where}: {data[:3000]!r}"


def sources(folder: Path, host: str) -> dict[str, dict[str, str]]:
    """The same login from every place that one may come from."""
    program = folder / "docker-credential-tests"
    program.write_text(f"#!/bin/sh\necho '{json.dumps({'Username': USER, 'Secret': SECRET})}'\n")
    program.chmod(0o755)
    configs = {
        "config": {"auths": {host: {"auth": SECRET_64}, "other.test": {"auth": "Y2FuYXJ5OmNhbmFyeQ=="}}},
        "helper": {"credHelpers": {host: "tests"}},
        "identity": {"auths": {host: {"identitytoken": IDENTITY}}},
    }
    found: dict[str, dict[str, str]] = {"env": {"PROMOTE_REGISTRY_USERNAME": USER, "PROMOTE_REGISTRY_PASSWORD": SECRET}}
    for name, config in configs.items():
        (folder / name).mkdir()
        (folder / name / "config.json").write_text(json.dumps(config))
        found[name] = {"DOCKER_CONFIG": str(folder / name), "PATH": f"{folder}:{os.environ['PATH']}"}
    return found


VERBOSITIES: tuple[tuple[tuple[str, ...], dict[str, str]], ...] = (
    ((), {}), (("--json",), {}), ((), {"PROMOTE_DEBUG": "1"}), (("--quiet",), {}),
)  # fmt: skip


@pytest.mark.parametrize("source", ["env", "identity"])
def test_commands_that_succeed_tell_no_secret(
    project: Project, onnx_run: str, token_registry: tuple[RealRegistry, TokenService], source: str
) -> None:
    real, service = token_registry
    logins = sources(project.folder.parent / "docker", real.host)
    base, name = f"http://{real.host}/acme", f"ner-by-{source}"
    typed = Typist(project, logins[source])
    more, env = VERBOSITIES[source == "env"]
    typed("model", onnx_run, "--target", "local", "--name", name, "--registry", base, *more, codes={0}, **env)
    assert any("push" in scopes for scopes in (*service.given, *(asked["scope"] for asked in service.refreshed)))
    at = f"{real.host}/acme/{name}:v1"
    for login in logins.values():
        typed("check", at, "--target", "local", "--registry", base, *more, codes={0}, **env, **login)
    for (words, debug), login in zip(VERBOSITIES[:3], [*logins.values()][1:], strict=True):
        typed("doctor", "--registry", base, "--model", name, *words, codes={0}, **debug, **login)
    typed(
        "deploy", f"{name}:v1", "--target", "local", "--registry", base, "--quiet", codes={5}, **env
    )  # its Triton is away
    typed("what-if", "--target", "local", "--registry", base, "--model", name, *more, **env)
    for command in (
        ["matrix", "refresh"],
        ["target", "probe", "local"],
    ):  # a bundle is no image: told after it was read
        typed(*command, "--image", at, **env, PROMOTE_REGISTRY__URL=base)
    typed.look()


class Echo(BaseHTTPRequestHandler):
    """A registry and token service that give back what they were told, in every place that may end up in a message."""

    mode = ""

    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        told = self.headers.get("Authorization", "Basic canary-nobody")
        here, path = f"http://{self.headers['Host']}", self.path.partition("?")[0]
        headers, body, mode = {"X-Echo": told}, f'{{"errors":[{{"code":"DENIED","message":"{told}"}}]}}', self.mode
        basic = {"WWW-Authenticate": f'Basic realm="{told}"'}
        bearer = {
            "WWW-Authenticate": f'Bearer realm="{here}/token?canary=realm",service="{told}",scope="repository:x:pull"'
        }
        if path == "/token":
            status, body = {
                "token refused": (401, body), "token away": (503, body), "token garbage": (200, f'{{"token":"{told} canary"}}'),
                "token none": (200, "canary"), "token moves": (307, ""),
            }.get(mode, (200, '{"token":"canary-token"}'))  # fmt: skip
            headers["Location"] = f"{here}/elsewhere?canary=1"
        elif "Authorization" not in self.headers and path != "/there":
            status, headers = 401, headers | (bearer if mode.startswith("token") or mode == "forbidden" else basic)
        else:
            status, headers = {
                "refused": (401, basic), "forbidden": (403, {}), "away": (503, {"Retry-After": "0"}), "token": (403, {}),
                "scheme": (401, {"WWW-Authenticate": f"{told.partition(' ')[2]} realm"}),
                "realm": (401, {"WWW-Authenticate": f'Bearer realm="{told}?canary"'}),
                "type": (200, {"Content-Type": told}), "redirect": (307, {"Location": "http://127.0.0.1:1/x?X-Amz-Signature=canary"}),
                "downgrade": (307, {"Location": f"ftp://{told.partition(' ')[2]}@h/x?canary"}),
                "digest": (200, {"Docker-Content-Digest": told}),
            }.get(mode, (404, {}))  # fmt: skip
            if self.command == "POST" and mode in ("upload", "upload elsewhere", "upload dies"):
                away = f"http://127.0.0.1:{free_port()}" if mode.endswith("elsewhere") else ""
                status, headers = 202, {"Location": f"{away}/up/1?_state=canary-state"}
            elif self.command == "PUT" and mode == "upload":
                status, headers = 400, {}
            elif self.command == "PUT" and mode == "upload dies":
                self.close_connection = True
                return
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body.encode())

    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = answer

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def echoing(mode: str) -> Iterator[str]:
    with serving(type("Echoing", (Echo,), {"mode": mode})) as url:
        yield url.removeprefix("http://")


MODES = [
    "refused", "forbidden", "away", "scheme", "realm", "type", "digest", "redirect", "downgrade", "upload", "upload elsewhere",
    "upload dies", "token refused", "token away", "token garbage", "token none", "token moves", "token",
]  # fmt: skip


@pytest.mark.parametrize("mode", MODES)
def test_commands_that_fail_tell_no_secret(project: Project, onnx_run: str, mode: str) -> None:
    with echoing(mode) as host:
        logins = sources(project.folder.parent / "docker", host)
        source = [*logins][MODES.index(mode) % 3] if not mode.startswith("token") else [*logins][MODES.index(mode) % 4]
        more, env = VERBOSITIES[MODES.index(mode) % 3]
        typed = Typist(project, logins[source])
        base = f"http://{host}/acme"
        failing = {2, 3, 4, 5, 6}
        if mode.startswith("upload"):
            told = typed("model", onnx_run, "--target", "local", "--registry", base, *more, codes=failing, **env)
        else:
            told = typed(
                "check", f"{host}/acme/ner:v1", "--target", "local", "--registry", base, *more, codes=failing, **env
            )
        assert "error" in told
        typed("doctor", "--registry", base, *more, **env)
        typed(
            "matrix",
            "refresh",
            "--image",
            f"{host}/acme/ner:v1",
            *more,
            codes=failing,
            **env,
            PROMOTE_REGISTRY__URL=base,
        )
        typed.look()


def test_addresses_with_secrets_in_them_are_refused_without_showing_them(project: Project) -> None:
    typed = Typist(project, {})
    for url in (
        "https://ada:canary-url@ghcr.io/acme",
        "ghcr.io/acme?token=canary-url",
        "http://canary-user@127.0.0.1:1/x",
        "ada:canary-url@h://ghcr.io/acme",
    ):
        typed("doctor", "--registry", url, "--json", codes={2})
        typed("check", "ner:v1", "--target", "local", "--registry", url, codes={2}, PROMOTE_DEBUG="1")
    typed("doctor", codes={2}, PROMOTE_REGISTRY__URL="https://ada:canary-url@ghcr.io/acme")
    typed("matrix", "refresh", "--image", "https://ada:canary-url@ghcr.io/acme/x:1", codes={2})
    typed("target", "probe", "local", "--image", "ada:canary-url@ghcr.io/acme/x:1", codes={2})
    typed("model", "0" * 32, "--target", "local", codes={5}, MLFLOW_TRACKING_URI="http://ada:canary-mlflow@127.0.0.1:1")
    typed.look()


@pytest.mark.parametrize("says", ["canary on stdout", '{"Username":7,"Secret":"canary"}'])
def test_a_helper_that_fails_tells_no_secret(project: Project, says: str) -> None:
    folder = project.folder.parent / "docker"
    with echoing("refused") as host:
        login = sources(folder, host)["helper"]
        program = folder / "docker-credential-tests"
        program.write_text(f"#!/bin/sh\necho '{says}'\necho canary on stderr >&2\nexit 1\n")
        typed, base = Typist(project, login), f"http://{host}/x"
        told = typed("check", f"{host}/x/ner:v1", "--target", "local", "--registry", base, codes={4}, PROMOTE_DEBUG="1")
        assert "docker-credential-tests" in told
        typed("doctor", "--registry", base, "--json", codes={4})
        typed.look()
