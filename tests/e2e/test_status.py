"""``promote status`` as it is typed: its exit codes, several targets, ``--watch`` in a log and on a terminal."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import time
from contextlib import contextmanager

import pytest

from tests.e2e.project import PROMOTE, Project, clean
from tests.fakes.factory import log_run
from tests.parts.triton import new_name

pytestmark = [pytest.mark.e2e, pytest.mark.mlflow, pytest.mark.triton, pytest.mark.slow]

HERE = 'device = "cpu"\nonnxruntime = "installed"\ntriton = "24.10"\nreview = false\n'


@pytest.fixture(scope="module")
def project(tmp_path_factory, sqlite_uri, fresh_triton):
    """A model is live on the target ``harbour``; nobody is at ``island``."""
    served = fresh_triton()
    made = Project(tmp_path_factory.mktemp("project"), sqlite_uri)
    where = f'http = "{served.triton.http}"\ngrpc = "{served.triton.grpc}"\nmodel_repository = "{served.repository}"\n'
    nowhere = 'http = "127.0.0.1:1"\ngrpc = "127.0.0.1:1"\nmodel_repository = "none"\n'
    made.write(harbour=HERE + where, island=HERE + nowhere, inland=HERE)
    run, name = log_run(sqlite_uri, {"ner": "onnx"}), new_name("status")
    made("model", run, "--target", "harbour", "--name", name)
    made("deploy", f"{name}:v1", "--target", "harbour")
    return made, served, name


@pytest.fixture
def config(project):
    """The model's config.pbtxt; put back after."""
    _, served, name = project
    path = served.repository / name / "config.pbtxt"
    good = path.read_bytes()
    yield path
    path.write_bytes(good)


def test_no_drift_is_0_and_drift_is_6_with_its_remedy_on_stderr(project, config):
    typed, _, name = project
    fine = typed("status", "--target", "harbour")
    assert fine.out.splitlines()[1].split()[:4] == [name, "v1", "ready", "v1"]
    assert "drift" not in fine.err
    config.write_bytes(config.read_bytes() + b"# tuned\n")
    drifted = typed("status", "--target", "harbour", code=6, failed=False)
    assert drifted.out.splitlines()[1].split()[:4] == [name, "v1", "DRIFT", "v1"]
    digest = typed("status", "--target", "harbour", "--json", code=6, failed=False).json["models"][0]["deployed"][
        "digest"
    ]
    assert f"drift {name} config-file: " in drifted.err
    assert f"do promote deploy {name}@{digest} --target harbour" in drifted.err
    typed("deploy", f"{name}@{digest}", "--target", "harbour")
    assert typed("status", "--target", "harbour", "--fast", "--json").json["models"][0]["drift"] == []


def test_a_live_version_that_does_not_answer_is_5(project):
    typed, served, name = project
    from promote.adapters.triton_server import TritonServer

    server = TritonServer(served.triton.http, served.triton.grpc)
    server.unload(name)
    typed("status", "--target", "harbour", "--json", code=5, failed=False)
    server.load(name)
    server.await_ready(name, 1, 30)
    typed("status", "--target", "harbour", "--json")


def test_without_a_target_all_that_have_an_endpoint_are_asked(project):
    typed, _, name = project
    told = typed("status", "--json", code=5, failed=False).json["targets"]
    assert [one["target"] for one in told] == ["harbour", "island"]
    assert [model["name"] for model in told[0]["models"]] == [name]
    assert "no Triton answers at 127.0.0.1:1" in told[1]["error"]["message"]
    table = typed("status", code=5, failed=False)
    assert table.out.splitlines()[1].split()[:3] == ["harbour", name, "v1"]
    assert "island: " in table.err


def test_an_mlflow_that_is_down_leaves_what_is_desired_unknown(project):
    typed, _, name = project
    down = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:1"}
    told = typed("status", "--target", "harbour", env=down)
    assert told.out.splitlines()[1].split()[:4] == [name, "v1", "ready", "?"]
    assert "what is desired is not known: tracking server http://127.0.0.1:1 does not answer" in told.err
    as_json = typed("status", "--target", "harbour", "--json", env=down).json
    assert as_json["models"][0]["desired_known"] is False
    assert "desired" not in as_json["models"][0]


@contextmanager
def watching(project, *options, **how):
    process = subprocess.Popen(
        [PROMOTE, "status", "--watch", "--target", "harbour", *options],
        cwd=project.folder,
        env=clean(),
        text=True,
        **how,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_watched_in_a_log_a_change_is_a_line_and_ctrl_c_ends_clean(project, config, stop):
    typed, _, name = project
    with watching(typed, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        first = [process.stdout.readline() for _ in range(2)]
        assert "harbour: Triton 2." in first[0]
        assert f"harbour {name}: v1 ready desired v1" in first[1]
        good = config.read_bytes()
        config.write_bytes(good + b"# tuned\n")
        assert "v1 DRIFT desired v1" in process.stdout.readline()
        config.write_bytes(good)
        assert "v1 ready desired v1" in process.stdout.readline()
        process.send_signal(stop)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (0, "", "")


def test_watched_as_json_a_change_is_an_object(project):
    typed, _, name = project
    with watching(typed, "--json", stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        lines = [json.loads(process.stdout.readline()) for _ in range(2)]
        assert [line["changed"] for line in lines] == [["harbour", ""], ["harbour", name]]
        assert lines[1]["models"][0]["ready"] is True
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0


def test_watched_on_a_terminal_the_table_is_drawn_again(project):
    typed, _, name = project
    ours, theirs = pty.openpty()
    with watching(typed, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        text, until = "", time.monotonic() + 60
        while text.count("\x1b[H") < 2 and time.monotonic() < until:
            text += os.read(ours, 65536).decode()
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    os.close(ours)
    assert text.count(name) >= 1
    assert text.count("\x1b[H") >= 2
    assert "Traceback" not in text


def test_without_an_endpoint_there_is_nothing_to_ask(tmp_path, sqlite_uri):
    typed = Project(tmp_path, sqlite_uri)
    typed.write(inland=HERE)
    assert "no target of promote.toml has an http and a grpc endpoint" in typed("status", code=2).err
