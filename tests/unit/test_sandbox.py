"""The child process: what it is denied, and that nothing of it stays behind."""

import json
import os
import sys
import time
from pathlib import Path

import pytest

from promote.adapters.export import sandbox
from promote.adapters.export.sandbox import Limits, run_child
from promote.errors import ExportError, InputError, Unavailable


@pytest.fixture
def script(monkeypatch, tmp_path):
    """Runs the given Python text in place of the real child."""
    real = sandbox.subprocess.Popen

    def use(text, limits=None, said=None):
        path = tmp_path / "child.py"
        path.write_text(text)
        monkeypatch.setattr(
            sandbox.subprocess, "Popen", lambda args, **kw: real([sys.executable, str(path), *args[3:]], **kw)
        )
        work = tmp_path / "work"
        work.mkdir(exist_ok=True)
        return run_child(
            {"do": "export"}, work, limits or Limits(seconds=20), (said if said is not None else []).append
        )

    return use


WRITE = "import json; json.dump({result}, open('export.result.json', 'w'))"


def test_a_result_comes_back_and_words_are_passed_on(script):
    said = []
    result = script("print('loading'); print('done\\x1b[31m'); " + WRITE.format(result="{'tools': {}}"), said=said)
    assert result == {"tools": {}}
    assert said == ["loading", "done\\u001b[31m"]


@pytest.mark.parametrize(
    ("kind", "error"),
    [("export", ExportError), ("input", InputError), ("unavailable", Unavailable), ("?", ExportError)],
)
def test_a_refusal_becomes_its_error(script, kind, error):
    with pytest.raises(error, match="no such thing"):
        script(WRITE.format(result={"error": kind, "message": "no such thing"}))


def test_a_crash_names_the_signal_and_the_last_line(script):
    with pytest.raises(ExportError, match="crashed \\(SIGSEGV\\): about to fall"):
        script(
            "import os, signal, sys; print('about to fall', file=sys.stderr, flush=True); os.kill(os.getpid(), signal.SIGSEGV)"
        )


def test_a_child_that_ends_without_a_result_has_failed(script):
    with pytest.raises(ExportError, match="ended with code 0"):
        script("pass")


def test_a_child_that_hangs_is_stopped_with_its_children(script, tmp_path):
    text = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "open('pid', 'w').write(str(child.pid))\ntime.sleep(600)"
    )
    with pytest.raises(ExportError, match="longer than 2 s"):
        script(text, Limits(seconds=2))
    pid = int((tmp_path / "work/pid").read_text())
    deadline = time.monotonic() + 5
    while Path(f"/proc/{pid}").exists() and _state(pid) != "Z" and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{pid}").exists() or _state(pid) == "Z"


def _state(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def test_a_child_that_eats_memory_is_stopped(script):
    with pytest.raises(ExportError, match=r"used 0\.\d GiB, more than 0\.2"):
        script(
            "import time; hog = bytearray(500_000_000); time.sleep(60)", Limits(seconds=30, memory_bytes=200 * 2**20)
        )


def test_no_credential_reaches_the_child(script, monkeypatch, tmp_path):
    for name in ("AWS_SECRET_ACCESS_KEY", "MLFLOW_TRACKING_TOKEN", "GITHUB_TOKEN", "PROMOTE_REGISTRY_PASSWORD"):
        monkeypatch.setenv(name, "canary")
    seen = script("import os, json; json.dump({'env': dict(os.environ)}, open('export.result.json', 'w'))")["env"]
    assert "canary" not in json.dumps(seen)
    assert seen["HOME"] == str(tmp_path / "work")
    assert seen["HF_HUB_OFFLINE"] == "1"


@pytest.mark.skipif(os.geteuid() != 0, reason="a network namespace needs root here")
def test_the_child_has_no_network(script):
    text = "import json, os; json.dump({'links': os.listdir('/sys/class/net')}, open('export.result.json', 'w'))"
    probe = (
        "import json, socket\ntry:\n    socket.create_connection(('127.0.0.1', 9), 1)\n    said = 'connected'\n"
        "except OSError as error:\n    said = error.strerror\njson.dump({'said': said}, open('export.result.json', 'w'))"
    )
    assert script(text)
    assert script(probe)["said"] == "Network is unreachable"
