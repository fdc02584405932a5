"""`promote doctor` against real registries: open, behind htpasswd, behind a token service; and what stands in the way."""

from __future__ import annotations

import base64
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from promote.adapters.oci.examine import examine
from promote.adapters.oci.registry import open_registry
from promote.adapters.probe.records import keep
from promote.cli.main import promote
from promote.cli.progress import Silent
from promote.core.diagnosis import Check, Standing, exit_code
from promote.core.facts import Fact, HostFacts
from promote.core.probe_record import Probe
from promote.wiring import today
from tests.fakes.registry import Steps, make_bundle
from tests.parts.registry import SECRET, USER, RealRegistry, TokenService, serving
from tests.parts.registry import free_port as port

LOGIN = {"PROMOTE_REGISTRY_USERNAME": USER, "PROMOTE_REGISTRY_PASSWORD": SECRET}
ALL = ["registry-address", "registry-credentials", "registry-reachable", "registry-clock", "registry-pull", "registry-push",
       "registry-mount", "registry-delete", "registry-referrers"]  # fmt: skip


def found(base: str, env: dict[str, str]) -> dict[str, Check]:
    checks = list(examine(base, env, "ner"))
    assert len({check.name for check in checks}) == len(checks)
    return {check.name: check for check in checks}


def standing(checks: dict[str, Check]) -> dict[str, str]:
    return {name: check.standing.value for name, check in checks.items() if check.standing is not Standing.OK}


def left(registry: RealRegistry) -> list[str]:
    """Uploads that go on, and what was stored; the registry itself leaves the state of a sum over no bytes behind."""
    files = [path for path in registry.storage.rglob("*") if path.is_file() and "/doctor/ner/" in str(path)]
    return [str(path) for path in files if "hashstates" not in path.parts]


def test_an_open_registry_takes_everything_from_strangers(registry: RealRegistry) -> None:
    checks = found(f"http://{registry.host}/doctor", {})
    assert list(checks) == ALL
    assert standing(checks) == {"registry-credentials": "warn", "registry-pull": "warn"}
    assert "nothing there yet" in checks["registry-pull"].has
    assert "no referrers API" in checks["registry-referrers"].has
    assert left(registry) == []


def test_credentials_are_named_by_where_they_come_from_and_never_shown(
    htpasswd_registry: RealRegistry, tmp_path: Path
) -> None:
    base = f"http://{htpasswd_registry.host}/doctor"
    checks = found(base, LOGIN)
    assert standing(checks) == {"registry-pull": "warn"}
    assert checks["registry-push"].has.endswith(
        "may be written by PROMOTE_REGISTRY_USERNAME and PROMOTE_REGISTRY_PASSWORD"
    )
    entry = {"auth": base64.b64encode(f"{USER}:{SECRET}".encode()).decode()}
    (tmp_path / "config.json").write_text(json.dumps({"auths": {htpasswd_registry.host: entry}}))
    checks = found(base, {"DOCKER_CONFIG": str(tmp_path)})
    assert standing(checks) == {"registry-pull": "warn"}
    assert "docker's configuration" in checks["registry-credentials"].has
    assert SECRET not in str(checks)
    assert entry["auth"] not in str(checks)
    assert left(htpasswd_registry) == []


def test_wrong_credentials_are_told_with_what_to_do(htpasswd_registry: RealRegistry) -> None:
    checks = found(f"http://{htpasswd_registry.host}/doctor", LOGIN | {"PROMOTE_REGISTRY_PASSWORD": "canary-5c1"})
    assert standing(checks) == {"registry-pull": "fail", "registry-push": "fail"}
    assert exit_code(list(checks.values())) == 4
    assert "docker login" in checks["registry-push"].remedy
    assert "canary" not in str(checks)


def test_a_stranger_may_read_and_not_write(token_registry: tuple[RealRegistry, TokenService]) -> None:
    registry, _ = token_registry
    stranger, ada = (found(f"http://{registry.host}/doctor", env) for env in ({}, LOGIN))
    assert standing(stranger) == {"registry-credentials": "warn", "registry-pull": "warn", "registry-push": "fail"}
    assert standing(ada) == {"registry-pull": "warn"}
    assert ada["registry-mount"].standing is Standing.OK
    assert left(registry) == []


def test_what_is_there_may_be_read(registry: RealRegistry) -> None:
    base = f"http://{registry.host}/doctor-there"
    open_registry(base, {}).push(make_bundle(), Steps())
    checks = found(base, {})
    assert standing(checks) == {"registry-credentials": "warn"}
    assert checks["registry-pull"].has.endswith("/doctor-there/ner may be read")


@contextmanager
def ghcr(there: bool, *, mounts: bool = True) -> Iterator[str]:
    """A registry that answers as GHCR does to a token that may not write the package, or may where it mounts."""

    class Ghcr(BaseHTTPRequestHandler):
        def answer(self) -> None:
            denied = b'{"errors":[{"code":"DENIED","message":"permission_denied: write_package canary"}]}'
            status, body, path = 404, b"", self.path.partition("?")[0]
            if path == "/v2/" or (path.endswith("/tags/list") and there):
                status = 200
            elif self.command == "DELETE":
                status = 202 if "/up/" in path else 405
            elif self.command == "POST":
                refused = "mount=" in self.path if mounts is False else True
                status, body = (403, denied) if refused else (202, b"")
            self.send_response(status)
            self.send_header("Location", "/up/1")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_DELETE = answer

        def log_message(self, *_: Any) -> None:
            pass

    with serving(Ghcr) as url:
        yield url


@pytest.mark.parametrize(
    ("actions", "there", "first", "remedy", "other"),
    [
        ("", True, "ghcr-packages-write", "personal access token (classic) with write:packages", ""),
        ("Acme/training", True, "ghcr-package-link", "Manage Actions access", "ghcr-packages-write"),
        ("acme/training", False, "ghcr-packages-write", "permissions: packages: write", "ghcr-package-link"),
        ("else/training", True, "ghcr-other-repository", "push to ghcr.io/else/", ""),
    ],
)
def test_a_package_that_may_not_be_written_is_told_by_its_likeliest_cause(
    actions: str, there: bool, first: str, remedy: str, other: str
) -> None:
    with ghcr(there) as url:
        checks = found(f"{url}/acme/models", {"GITHUB_REPOSITORY": actions})
    assert (checks[first].standing, checks[first].exit_code) == (Standing.FAIL, 4)
    assert remedy in checks[first].remedy
    found_too = [name for name, check in checks.items() if name.startswith("ghcr-") and name != first]
    assert found_too == ([other] if other else [])
    assert not other or checks[other].standing is Standing.WARN
    assert checks["registry-push"].standing is Standing.FAIL
    assert "registry-mount" not in checks
    assert "canary" not in str(checks)


def test_a_registry_that_neither_mounts_nor_deletes_is_no_failure() -> None:
    with ghcr(there=True, mounts=False) as url:
        checks = found(f"{url}/acme/models", {})
    assert standing(checks) == {"registry-credentials": "warn", "registry-mount": "warn"}
    assert "sent again" in checks["registry-mount"].has
    assert "answers 405" in checks["registry-delete"].has


@pytest.mark.mlflow
def test_a_target_is_looked_at_with_its_mlflow_and_triton(
    registry: RealRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sqlite_uri: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("GITHUB_REPOSITORY", raising=False)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)  # MLflow sets it where a test logs a run

    def look(uri: str, where: str, code: int) -> dict[str, dict[str, str]]:
        (tmp_path / "promote.toml").write_text(f'[mlflow]\ntracking_uri = "{uri}"\n[targets.calypso]\n{where}')
        words = ["doctor", "--registry", f"http://{registry.host}/doctor", "--target", "calypso", "--json"]
        done = CliRunner().invoke(promote, words, standalone_mode=False)
        assert done.return_value == code, done.output
        return {row["check"]: row for row in json.loads(done.stdout)["checks"]}

    rows = look("sqlite:///gone.db", f'http = "127.0.0.1:{port()}"\ngrpc = "127.0.0.1:{port()}"\n', 3)
    assert (rows["mlflow"]["standing"], rows["mlflow"]["exit"]) == ("fail", 3)
    assert (rows["triton"]["standing"], rows["triton"]["exit"]) == ("fail", 5)
    assert "[targets.calypso] http, grpc" in rows["triton"]["remedy"]
    assert rows["probe-age"]["remedy"] == "promote target probe calypso"
    rows = look(sqlite_uri, 'http = ""\ngrpc = ""\n', 0)
    assert rows["mlflow"]["standing"] == "ok"
    assert (rows["triton"]["standing"], rows["probe-age"]["standing"]) == ("warn", "warn")
    for date, standing_ in (("2020-01-01", "warn"), (today().isoformat(), "ok")):
        record = Probe(
            target="calypso", date=date, facts=HostFacts(driver=Fact("580.95.05", "nvidia-smi", measured=True))
        )
        keep(tmp_path / ".promote", record)
        row = look(sqlite_uri, 'http = ""\ngrpc = ""\n', 0)["probe-age"]
        assert (row["standing"], date in row["has"]) == (standing_, True)


@pytest.mark.triton
def test_a_triton_that_answers_says_its_version(triton: Any) -> None:
    from promote.core.facts import Target
    from promote.wiring import open_wiring
    from promote.wiring.doctor import _triton

    where = triton.triton
    check = _triton(open_wiring(None, Silent()), Target(name="calypso", http=where.http, grpc=where.grpc))
    assert (check.standing, check.has.split()[:2]) == (Standing.OK, ["Triton", "2.51.0"])


def test_nobody_there_is_one_failure(tmp_path: Path) -> None:
    checks = found(f"http://127.0.0.1:{port()}/doctor", {})
    assert standing(checks) == {"registry-credentials": "warn", "registry-reachable": "fail"}
    assert exit_code(list(checks.values())) == 5


@pytest.mark.parametrize("base", ["http://user@host/x", "https://Ghcr.io/ACME", "http://169.254.169.254/x"])
def test_an_address_that_is_none_is_told_before_anything_is_asked(base: str) -> None:
    (check,) = examine(base, {}, "ner")
    assert (check.name, check.standing, check.exit_code) == ("registry-address", Standing.FAIL, 2)


def test_a_wrong_clock_and_an_upload_elsewhere_are_told() -> None:
    class Odd(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.send_response_only(202 if self.command == "POST" else 200)
            self.send_header("Date", "Wed, 21 Oct 2015 07:28:00 GMT")
            self.send_header("Location", "http://elsewhere.example/steal")
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST = answer

        def log_message(self, *_: Any) -> None:
            pass

    with serving(Odd) as url:
        checks = found(f"{url}/doctor", {})
    assert checks["registry-clock"].standing is Standing.WARN
    assert "ahead" in checks["registry-clock"].has
    assert "another origin" in checks["registry-push"].has
    assert checks["registry-referrers"].has == "it has the referrers API"


def test_a_layout_is_a_folder_to_write(tmp_path: Path) -> None:
    assert standing(found(f"oci:{tmp_path}/new/bundles", {})) in ({}, {"registry-room": "warn"})
    (tmp_path / "file").write_text("")
    assert exit_code(list(examine(f"oci:{tmp_path}/file", {}, "ner"))) == 2
    assert not (tmp_path / "new").exists()


def test_the_command_says_a_line_each_and_the_same_as_json(
    registry: RealRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/nonexistent")
    words = ["doctor", "--registry", f"http://{registry.host}/doctor"]
    text, told = (CliRunner().invoke(promote, more, standalone_mode=False) for more in (words, [*words, "--json"]))
    assert (text.return_value, told.return_value) == (0, 0)
    rows = json.loads(told.stdout)["checks"]
    assert [row["check"] for row in rows] == [*ALL, "matrix-age"]
    assert [line.split()[1] for line in text.stdout.splitlines() if line[0] in "✓~✗"] == [row["check"] for row in rows]
    assert socket.gethostname() not in told.stdout
