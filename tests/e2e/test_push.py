"""`promote push` as a user types it: from a layout to a registry, and whose credentials the source gets to see."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler

import pytest

from tests.e2e.project import Project
from tests.fakes.factory import log_run
from tests.parts.registry import SECRET, USER, serving

pytestmark = [pytest.mark.e2e, pytest.mark.mlflow, pytest.mark.registry, pytest.mark.slow]
LOGIN = {"PROMOTE_REGISTRY_USERNAME": USER, "PROMOTE_REGISTRY_PASSWORD": SECRET}
HERE = 'device = "cpu"\nonnxruntime = "installed"\ntriton = "24.10"\nmodel_repository = "models"\n'


@pytest.fixture
def project(tmp_path, sqlite_uri):
    made = Project(tmp_path, sqlite_uri)
    made.write(local='model_repository = "models"', careful=HERE)
    return made


def outputs(path):
    return dict(line.split("=", 1) for line in path.read_text().splitlines())


def test_a_bundle_goes_from_a_layout_to_a_registry_and_can_be_shown_there(project, sqlite_uri, htpasswd_registry):
    run, name = log_run(sqlite_uri, {"ner": "onnx"}), "pushed"
    files = ["--summary", "summary.md", "--outputs", "out"]
    made = project("model", run, "--target", "careful", "--name", name, *files).last
    told = outputs(project.folder / "out")
    assert told == {
        "digest": made.partition("@")[2], "reference": made, "name": name, "version": "1", "verdict": "compatible",
        "state": "pending",
    }  # fmt: skip
    assert "### compatible with careful" in (project.folder / "summary.md").read_text()
    at = ["--registry", f"{htpasswd_registry.host}/acme"]
    push = ["push", f"{name}:v1", "--target", "careful", "--from", "oci:bundles", *at]
    project(*push, code=4)  # nobody may write there without a password
    assert (
        project(*push, "--outputs", "out2", env=LOGIN).last == f"{htpasswd_registry.host}/acme/{name}@{told['digest']}"
    )
    assert outputs(project.folder / "out2")["state"] == "pending"
    assert project("inspect", f"{name}:v1", *at, "--json", env=LOGIN).json["digest"] == told["digest"]
    project("review", "reject", f"{name}:v1", "--target", "careful", "--reason", "F1 is low", *at, env=LOGIN)
    refused = project(*push, "--json", env=LOGIN, code=14).json
    assert (refused["state"], refused["bytes"]["sent"]) == ("rejected", 0)
    further = project("model", f"{name}:v1", "--target", "local", "--outputs", "out3", "--summary", "summary3.md")
    assert outputs(project.folder / "out3")["state"] == "approved"
    assert f"**bundle**: oci&#58;{str(project.folder)[:1]}" in (project.folder / "summary3.md").read_text()
    assert further.last == made


def test_a_digest_that_mlflow_did_not_record_is_not_pushed(project, sqlite_uri, registry):
    import mlflow

    run, name = log_run(sqlite_uri, {"ner": "onnx"}), "other-digest"
    project("model", run, "--target", "local", "--name", name)
    client = mlflow.MlflowClient(sqlite_uri, registry_uri=sqlite_uri)
    client.set_model_version_tag(name, "1", "promote.digest", "sha256:" + "0" * 64)
    at = ["--registry", f"{registry.host}/other"]
    said = project("push", f"{name}:v1", "--target", "local", "--from", "oci:bundles", *at, code=6)
    assert f"{name} version 1 is sha256:{'0' * 64} in MLflow, not sha256:" in said.err
    project("inspect", f"{name}:v1", *at, code=3)


def test_the_registry_that_is_read_gets_no_password_of_the_one_that_is_written(project, registry):
    seen = []

    class Asks(BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append(self.headers.get("Authorization"))
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="other"')
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_HEAD = do_GET

        def log_message(self, *_):
            pass

    with serving(Asks) as url:
        push = ["push", "ner:v1", "--target", "local", "--from", f"{url}/acme"]
        project(*push, "--registry", f"{registry.host}/acme", env=LOGIN, code=4)
        assert seen
        assert set(seen) == {None}
        seen.clear()
        project(*push, "--registry", f"{url}/acme", env=LOGIN, code=4)  # its own password it gets
        assert any(seen)
