"""`promote doctor` against real registries: open, behind htpasswd, behind a token service; and what stands in the way."""

from __future__ import annotations

import base64
import json
import socket
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from promote.adapters.oci.examine import examine
from promote.cli.main import promote
from promote.core.diagnosis import Check, Standing, exit_code
from tests.parts.registry import SECRET, USER, RealRegistry, TokenService, serving
from tests.parts.registry import free_port as port

LOGIN = {"PROMOTE_REGISTRY_USERNAME": USER, "PROMOTE_REGISTRY_PASSWORD": SECRET}
ALL = ["registry-address", "registry-credentials", "registry-reachable", "registry-clock", "registry-pull", "registry-push",
       "registry-referrers"]  # fmt: skip


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
    assert standing(checks) == {"registry-credentials": "warn"}
    assert "no referrers API" in checks["registry-referrers"].has
    assert left(registry) == []


def test_credentials_are_named_by_where_they_come_from_and_never_shown(
    htpasswd_registry: RealRegistry, tmp_path: Path
) -> None:
    base = f"http://{htpasswd_registry.host}/doctor"
    checks = found(base, LOGIN)
    assert standing(checks) == {}
    assert checks["registry-push"].has.endswith(
        "may be written by PROMOTE_REGISTRY_USERNAME and PROMOTE_REGISTRY_PASSWORD"
    )
    entry = {"auth": base64.b64encode(f"{USER}:{SECRET}".encode()).decode()}
    (tmp_path / "config.json").write_text(json.dumps({"auths": {htpasswd_registry.host: entry}}))
    checks = found(base, {"DOCKER_CONFIG": str(tmp_path)})
    assert standing(checks) == {}
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
    assert standing(stranger) == {"registry-credentials": "warn", "registry-push": "fail"}
    assert standing(ada) == {}
    assert left(registry) == []


def test_nobody_there_is_one_failure(tmp_path: Path) -> None:
    checks = found(f"http://127.0.0.1:{port()}/doctor", {})
    assert standing(checks) == {"registry-credentials": "warn", "registry-reachable": "fail"}
    assert exit_code(list(checks.values())) == 5


@pytest.mark.parametrize("base", ["http://user@host/x", "https://Ghcr.io/ACME", "http://169.254.169.254/x"])
def test_an_address_that_is_none_is_told_before_anything_is_asked(base: str) -> None:
    (check,) = examine(base, {}, "ner")
    assert (check.name, check.standing, check.exit_code) == ("registry-address", Standing.FAIL, 2)


def test_a_wrong_clock_and_an_upload_elsewhere_are_told() -> None:
    from http.server import BaseHTTPRequestHandler

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
