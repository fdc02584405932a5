"""``promote copy``, ``export`` and ``import`` as they are typed: pipes, and whose password goes to whom."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from promote.cli.main import run
from promote.wiring.places import spoken_to, under
from tests.contract.test_carrying import made
from tests.parts.registry import SECRET, USER, serving

pytestmark = pytest.mark.registry
PROMOTE = Path(sys.executable).parent / "promote"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made("oci:bundles")
    return tmp_path


@pytest.fixture
def login(monkeypatch):
    monkeypatch.setenv("PROMOTE_REGISTRY_USERNAME", USER)
    monkeypatch.setenv("PROMOTE_REGISTRY_PASSWORD", SECRET)


@pytest.mark.parametrize(
    ("source", "to", "base"),
    [
        ("ghcr.io/a/ner:v1", "quay.io/b/ner", "quay.io/b"),
        ("ghcr.io/a/ner:v1", "quay.io/b/", "quay.io/b"),
        ("ghcr.io/a/ner:v1", "oci:disk/", "ghcr.io/a"),
        ("ghcr.io/a/ner:v1", "ner", ""),
        ("ner:v1", "oci:disk/", ""),
        ("oci:x/ner:v1", "oci:disk/", ""),
        ("ner:v1", "http://127.0.0.1:5000/", "http://127.0.0.1:5000"),
    ],
)
def test_the_password_of_the_environment_is_for_one_registry(source, to, base):
    assert spoken_to(source, to) == base


def test_a_place_ends_with_a_slash():
    assert (under("oci:/media/disk/").base, under("oci:/media/disk/").name) == ("oci:/media/disk", "")
    assert (under("oci:/media/disk").base, under("oci:/media/disk").name) == ("oci:/media", "disk")


def test_a_registry_with_a_password_is_written_and_read(folder, htpasswd_registry, login, capsys):
    there = f"{htpasswd_registry.host}/c{uuid.uuid4().hex[:8]}"
    assert run(["copy", "oci:bundles/ner:v1", f"{there}/", "-q"]) == 0
    reference = capsys.readouterr().out.strip()
    assert reference.startswith(f"{there}/ner@sha256:")
    assert run(["copy", reference, "oci:back/", "-q"]) == 0
    assert run(["export", reference, "ner.tar", "-q"]) == 0
    assert run(["import", "ner.tar", f"{there}/", "-q"]) == 0


def test_without_the_password_it_is_a_matter_of_credentials(folder, htpasswd_registry):
    assert run(["copy", "oci:bundles/ner:v1", f"{htpasswd_registry.host}/x/", "-q"]) == 4


def test_the_registry_that_is_read_gets_no_password_of_the_one_that_is_written(folder, htpasswd_registry, login):
    seen = []

    class Asks(BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append(self.headers.get("Authorization"))
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="other"')
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    with serving(Asks) as url:
        assert run(["copy", f"{url}/acme/ner:v1", f"{htpasswd_registry.host}/acme/", "-q"]) == 4
        assert seen
        assert set(seen) == {None}
        seen.clear()
        assert run(["copy", f"{url}/acme/ner:v1", "oci:back/", "-q"]) == 4
        assert any(seen)  # its own it gets


def test_export_pipes_into_import_and_a_cut_pipe_is_refused(folder):
    exported = subprocess.run([PROMOTE, "export", "oci:bundles/ner:v1", "-", "-q"], capture_output=True, check=True)
    taken = subprocess.run(
        [PROMOTE, "import", "-", "oci:piped/", "-q"], input=exported.stdout, capture_output=True, check=True
    )
    assert taken.stdout.startswith(b"oci:")
    cut = subprocess.run(
        [PROMOTE, "import", "-", "oci:cut/"], input=exported.stdout[:-12_000], capture_output=True, check=False
    )
    assert (cut.returncode, (folder / "cut").exists()) == (6, False)
    assert b"is cut after" in cut.stderr or b"does not end" in cut.stderr
    work = folder / ".promote"
    assert not list(work.glob("work-*"))


def test_a_dry_run_says_what_would_be_sent_and_writes_nothing(folder, registry, capsys):
    there = f"http://{registry.host}/c{uuid.uuid4().hex[:8]}"

    def weighed(source="oci:bundles/ner:v1", to=f"{there}/"):
        assert run(["copy", source, to, "--dry-run", "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    before = weighed()
    assert run(["inspect", f"{there}/ner:v1"]) == 3
    capsys.readouterr()
    assert run(["copy", "oci:bundles/ner:v1", f"{there}/", "--json"]) == 0
    copied = json.loads(capsys.readouterr().out)
    assert before["reference"] == copied["reference"]
    assert before["bytes"] == {"missing": copied["bytes"]["sent"], "there": 0}
    assert sum(before["files"].values()) == copied["bytes"]["sent"]
    after = weighed()
    assert after["files"] == {}
    assert after["bytes"] == {"missing": 0, "there": copied["bytes"]["sent"]}
    assert before["takes_over"] is after["takes_over"] is False
    beside = weighed(f"{there}/ner:v1", f"{there}-beside/")
    assert (beside["takes_over"], beside["bytes"]) == (True, before["bytes"])


def test_a_dry_run_refuses_what_a_copy_would(folder, registry, capsys):
    there = f"http://{registry.host}/c{uuid.uuid4().hex[:8]}"
    made(there, version=1)
    for goal in (f"{there}/", f"{there}/bert", "127.0.0.1:1/x/"):
        codes = [run(["copy", "oci:bundles/ner:v1", goal, "-q", *more]) for more in (["--dry-run"], [])]
        said = capsys.readouterr().err.split("error: ")[1:]
        assert codes[0] == codes[1] in (2, 5, 6), said
        assert said[0].split("hint")[0].strip() == said[1].split("hint")[0].strip()


def test_unreachable_and_unencrypted_are_told(folder, capsys):
    assert run(["copy", "oci:bundles/ner:v1", "127.0.0.1:1/x/", "-q"]) == 5
    assert run(["copy", "oci:none/ner:v1", "oci:there/", "-q"]) == 3
    assert run(["copy", "oci:bundles/ner", "oci:there/", "-q"]) == 2
    assert run(["import", "oci:bundles", "-q"]) == 3
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert said.count("error: ") == 4
