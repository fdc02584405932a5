"""A rollback in an incident: neither the registry nor MLflow answers, and what was done is told to MLflow when it is back."""

from __future__ import annotations

import shutil
import socket
import time

import pytest

from tests.e2e.project import Project
from tests.fakes.factory import log_run

pytestmark = [pytest.mark.e2e, pytest.mark.triton, pytest.mark.mlflow, pytest.mark.slow]


@pytest.fixture
def silent():
    """An address that takes connections and never answers."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(16)
        yield f"127.0.0.1:{server.getsockname()[1]}"


def test_a_rollback_needs_neither_registry_nor_mlflow_and_is_recorded_when_they_return(
    tmp_path, sqlite_uri, triton, silent
):
    from mlflow import MlflowClient

    project, name = Project(tmp_path, sqlite_uri), "incident"
    where = f'http = "{triton.triton.http}"\ngrpc = "{triton.triton.grpc}"\nmodel_repository = "{triton.repository}"\n'
    project.write(local=where)
    for version in (1, 2):
        run = log_run(sqlite_uri, {"ner": "onnx"})
        project("model", run, "--target", "local", "--name", name)
        project("deploy", f"{name}:v{version}", "--target", "local")
    shutil.move(tmp_path / "bundles", tmp_path / "away")
    gone = {"PROMOTE_REGISTRY__URL": f"http://{silent}/models", "MLFLOW_TRACKING_URI": f"http://{silent}"}
    began = time.monotonic()
    back = project("rollback", name, "--target", "local", "--json", env=gone).json
    assert time.monotonic() - began < 30  # with whatever else this machine does; the figure is in docs/performance.md
    assert (back["version"], back["former"]) == (1, 2)
    assert "MLflow was not told" in back["warnings"][0]

    def alias():
        return int(MlflowClient(sqlite_uri, sqlite_uri).get_model_version_by_alias(name, "local").version)

    assert alias() == 2
    shutil.move(tmp_path / "away", tmp_path / "bundles")
    warnings = project("deploy", f"{name}:v1", "--target", "local", "--json").json["warnings"]
    assert [warning for warning in warnings if name in warning] == []  # this host serves other tests' models too
    assert alias() == 1
    _back_from_the_disk(project, name)


def _back_from_the_disk(project, name):
    """The registry loses the model: MLflow still names it, and the host's disk gives it back, byte for byte."""
    digest = project("list", name, "--json").json["bundles"][0]["digest"]
    shutil.rmtree(project.folder / "bundles" / name)
    told = project("fsck", "--json", code=6, failed=False).json  # of all models, whoever alone knows them
    mine = {d["about"]: d["kind"] for d in told["differences"] if d["about"].startswith(f"{name} ")}
    assert mine == {f"{name} v1": "not-in-registry", f"{name} v2": "not-in-registry"}
    shown = project("fsck", name, "--target", "local", code=6, failed=False)
    assert shown.out.count("promote fsck --repair --target local sends it from that host's disk") == 2
    said = project("fsck", name, "--target", "local", "--repair")
    assert said.err.count("sent from the host's disk") == 2
    assert project("list", name, "--json").json["bundles"][0]["digest"] == digest
    project("verify", f"{name}:v2")
    project("deploy", f"{name}:v2", "--target", "local")
