"""The story on real parts, by the commands a user types: promote, review, deploy, ask, roll back; every flavour, every store."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from promote.core.chain import EVENTS_TYPE
from tests.e2e.project import Project
from tests.fakes.factory import LABELS, log_run

pytestmark = [pytest.mark.e2e, pytest.mark.mlflow]


@pytest.fixture(scope="module")
def runs(sqlite_uri):
    """One run a kind of model."""
    made = {}

    def get(kind):
        if kind not in made:
            made[kind] = log_run(sqlite_uri, {"ner": kind}, texts={"labels.txt": "\n".join(LABELS) + "\n"})
        return made[kind]

    return get


@pytest.fixture
def project(tmp_path, sqlite_uri):
    made = Project(tmp_path, sqlite_uri)
    made.write(local='model_repository = "models"')
    return made


@pytest.fixture(scope="module")
def served(tmp_path_factory, sqlite_uri, triton):
    """A project whose target ``local`` is the real Triton; ``careful`` is the same with a review."""
    made = Project(tmp_path_factory.mktemp("project"), sqlite_uri)
    where = f'http = "{triton.triton.http}"\ngrpc = "{triton.triton.grpc}"\nmodel_repository = "{triton.repository}"\n'
    here = 'device = "cpu"\nonnxruntime = "installed"\ntriton = "24.10"\n'
    made.write(local=where, careful=here + where)
    return made


def ask(triton, name, version, ids):
    """Logits from the live server, as any client gets them."""
    import tritonclient.http as client

    server = client.InferenceServerClient(triton.triton.http)
    inputs = []
    for tensor in ("input_ids", "attention_mask"):
        inputs.append(client.InferInput(tensor, ids.shape, "INT64"))
        inputs[-1].set_data_from_numpy(ids if tensor == "input_ids" else np.ones_like(ids))
    return server.infer(name, inputs, model_version=version).as_numpy("logits")


@pytest.mark.slow
@pytest.mark.triton
def test_a_run_is_promoted_deployed_asked_and_rolled_back(served, runs, triton):
    run, name = runs("transformers"), "story-ner"
    promoted = served("model", run, "--target", "local", "--name", name)
    reference = promoted.last
    repository, _, digest = reference.partition("@")
    assert repository.endswith(f"bundles/{name}")
    assert digest.startswith("sha256:")
    for stage in ("find", "plan", "export", "parity", "check", "push", "record"):
        assert f"\n{stage} " in "\n" + promoted.err
    assert "compatible with local" in promoted.err
    assert f"next: promote deploy {name}:v1 --target local" in promoted.err

    again = served("model", run, "--target", "local", "--name", name, "--json")
    assert again.json["reference"] == reference  # running twice is resuming: the same bytes, the same version
    assert again.json["bytes"]["sent"] == 0
    assert again.json["version"] == 1

    deployed = served("deploy", f"{name}@{digest}", "--target", "local")
    assert deployed.last == reference
    assert f"{name} version 1 is live on local" in deployed.err
    ids = np.array([[1, 2, 3]], dtype=np.int64)
    answer = ask(triton, name, "1", ids)
    assert answer.shape == (1, 3, len(LABELS))
    assert (triton.repository / name / "1" / "labels.txt").read_text().split() == list(LABELS)

    # Another version of the same name: the other run's model replaces it, then goes back.
    second = log_run(served.uri, {"ner": "transformers"})
    assert served("model", second, "--target", "local", "--name", name, "--json").json["version"] == 2
    live = served("deploy", f"{name}:v2", "--target", "local", "--json").json
    assert (live["version"], live["former"]) == (2, 1)
    assert len(live["replays"]) >= 4
    assert np.abs(ask(triton, name, "2", ids) - answer).max() > 1e-3
    back = served("rollback", name, "--target", "local")
    assert back.last == reference
    np.testing.assert_allclose(ask(triton, name, "", ids), answer, atol=1e-5)

    shown = served("status", "--target", "local", "--json").json
    row = next(m for m in shown["models"] if m["name"] == name)
    assert row["ready"] is True
    assert row["deployed"]["version"] == 1
    assert row["deployed"]["digest"] == digest
    table = served("status", "--target", "local")
    assert f"{name}" in table.out
    assert "ready" in table.out
    _measured_under_load(served, name)


def _measured_under_load(served, name):
    """``promote bench`` draws what it measured in the report that was written before, here and in MLflow."""
    import mlflow

    page = served.folder / ".promote" / "reports" / f"{name}-v1.html"
    before = page.read_bytes()
    assert b"Under load" not in before
    said = served("bench", name, "--target", "local", "--batch", "1", "--concurrency", "1", "--seconds", "0.3")
    assert "beside its promotion, and in its report" in said.err
    drawn = page.read_bytes()
    assert b"Under load on local" in drawn
    assert drawn.count(b"<svg") == before.count(b"<svg") + 1
    client = mlflow.MlflowClient(served.uri, registry_uri=served.uri)
    run = client.get_model_version(name, "1").tags["promote.run"]
    assert Path(client.download_artifacts(run, "report.html", str(served.folder))).read_bytes() == drawn


@pytest.mark.slow
@pytest.mark.triton
def test_a_target_that_asks_for_a_review_waits_for_one(served, runs):
    run, name = runs("onnx"), "story-careful"
    promoted = served("model", run, "--target", "careful", "--name", name)
    assert "next: promote review approve" in promoted.err
    waiting = served("deploy", f"{name}:v1", "--target", "careful", code=13)
    assert "waits for a review for careful" in waiting.err
    (row,) = served("review", "--target", "careful", "--json").json["waiting"]
    assert (row["name"], row["version"], row["state"]) == (name, 1, "not approved")
    assert "waits for a review" in served("review").out
    shown = served("review", "show", f"{name}:v1", "--target", "careful", "--json").json
    assert shown["state"] == "pending"
    assert shown["passport"]["verdict"] in ("compatible", "degraded")
    served("review", "reject", f"{name}:v1", "--target", "careful", "--reason", "F1 is low on ports")
    rejected = served("deploy", f"{name}:v1", "--target", "careful", code=14)
    assert "F1 is low on ports" in rejected.err
    approved = served("review", "approve", f"{name}:v1", "--target", "careful", "--reason", "looked at the errors")
    assert approved.last == promoted.last
    assert served("review", "--target", "careful", "--json").json["waiting"] == []
    assert served("deploy", f"{name}:v1", "--target", "careful").last == promoted.last
    told = served("review", "show", f"{name}:v1", "--target", "careful", "--json").json["decisions"]
    assert [(word["state"], word["how"]) for word in told] == [("rejected", "claimed"), ("approved", "claimed")]


@pytest.mark.slow
@pytest.mark.triton
def test_a_tag_set_in_mlflow_is_a_request_that_only_the_policy_grants(served, runs):
    import mlflow

    run, name = runs("onnx"), "story-asked"
    served("model", run, "--target", "careful", "--name", name, "--quiet")
    client = mlflow.MlflowClient(served.uri, registry_uri=served.uri)
    client.set_model_version_tag(name, "1", "promote.review.careful", "approved")
    refused = served("deploy", f"{name}:v1", "--target", "careful", code=13)
    assert "asked for in MLflow by somebody who is not known" in refused.err
    policy = served.folder / "promotion_policy.yaml"
    policy.write_text("schema: promote.policy/1\ntargets:\n  careful:\n    requests: true\n")
    try:
        served("deploy", f"{name}:v1", "--target", "careful")
        (word,) = served("review", "show", f"{name}:v1", "--target", "careful", "--json").json["decisions"]
        assert (word["by"], word["how"]) == ("not known", "requested")
        assert word["policy"].startswith("sha256:")
    finally:
        policy.unlink()


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("onnx", ()),
        pytest.param("program", (), marks=pytest.mark.slow),
        pytest.param("pickled", ("--allow-pickle",), marks=pytest.mark.slow),
    ],
)
def test_every_flavour_becomes_a_bundle(project, runs, kind, options):
    made = project("model", runs(kind), "--target", "local", "--json", *options).json
    assert made["verdict"] == "compatible"
    assert made["name"] == "ner"


def test_a_pickle_is_refused_until_it_is_allowed(project, runs):
    refused = project("model", runs("pickled"), "--target", "local", code=2)
    assert "is a pickle" in refused.err
    assert "--allow-pickle" in refused.err
    assert not (project.folder / "bundles").exists()


def test_a_dry_run_writes_nothing(project, runs):
    before = project.tree()
    shown = project("model", runs("onnx"), "--target", "local", "--dry-run")
    assert "dry run: nothing was pushed or recorded" in shown.err
    assert "ner/1/model.onnx" in shown.out
    assert project.tree() == before
    assert project("model", runs("onnx"), "--target", "local", "--dry-run", "--json").json["dry_run"] is True


@pytest.mark.slow
@pytest.mark.registry
def test_a_registry_holds_the_bundle_as_other_tools_read_it(project, runs, registry, tmp_path):
    base = f"{registry.host}/acme"
    made = project("model", runs("onnx"), "--target", "local", "--registry", base)
    assert made.last.startswith(f"{base}/ner@sha256:")
    again = project("model", runs("onnx"), "--target", "local", "--registry", base, "--json").json
    assert again["bytes"]["sent"] == 0
    skopeo = shutil.which("skopeo") or pytest.skip("skopeo is not installed: apt-get install skopeo")
    address = f"docker://{made.last}"
    raw = subprocess.run([skopeo, "inspect", "--tls-verify=false", "--raw", address], capture_output=True, check=True)
    titles = [layer["annotations"]["org.opencontainers.image.title"] for layer in json.loads(raw.stdout)["layers"]]
    assert "ner/config.pbtxt" in titles
    assert "ner/1/promote/passport.json" in titles


@pytest.mark.registry
def test_oras_pulls_the_files_under_their_names(project, runs, registry, tmp_path):
    import oras.client

    made = project("model", runs("onnx"), "--target", "local", "--registry", f"{registry.host}/pulled").last
    client = oras.client.OrasClient(insecure=True)
    client.pull(target=made, outdir=str(tmp_path / "pulled"))
    assert (tmp_path / "pulled/ner/config.pbtxt").read_text().startswith("#")
    assert (tmp_path / "pulled/ner/1/model.onnx").stat().st_size > 50


def test_the_story_over_an_mlflow_server(tmp_path, mlflow_server):
    run = log_run(mlflow_server, {"ner": "onnx"})
    project = Project(tmp_path, mlflow_server)
    project.write(local='model_repository = "models"')
    made = project("model", run, "--target", "local", "--name", "over-http")
    assert f"{mlflow_server}/#/models/over-http/versions/1" in made.err
    import mlflow

    version = mlflow.MlflowClient(mlflow_server, registry_uri=mlflow_server).get_model_version("over-http", "1")
    assert version.tags["promote.digest"] == made.last.partition("@")[2]
    assert "compatible" in version.description
    artifacts = mlflow.MlflowClient(mlflow_server).list_artifacts(version.tags["promote.run"])
    assert {a.path.rpartition("/")[2] for a in artifacts} >= {"report.html", "passport.json"}


POLICY = """\
schema: promote.policy/1
targets:
  careful:
    metrics: {test_f1: {min: 0.9, max_drop: 0.01}}
    licences: [apache-2.0]
    evidence: [review]
    self_approval: false
"""


@pytest.mark.slow
def test_a_policy_says_over_an_mlflow_server_what_stops_a_release_and_what_lets_it_through(tmp_path, mlflow_server):
    import mlflow

    run = log_run(mlflow_server, {"ner": "onnx"})
    client = mlflow.MlflowClient(mlflow_server)
    client.log_metric(run, "test_f1", 0.89)
    client.set_tag(run, "license", "Apache-2.0")
    project = Project(tmp_path, mlflow_server)
    here = 'device = "cpu"\nonnxruntime = "installed"\ntriton = "24.10"\nmodel_repository = "models"\n'
    project.write(careful=here + 'http = "127.0.0.1:9"\ngrpc = "127.0.0.1:9"')
    (tmp_path / "promotion_policy.yaml").write_text(POLICY)
    (tmp_path / "models").mkdir()
    said = ("--target", "careful")
    project("model", run, *said, "--name", "gated", "--quiet")
    told = project("policy", "check", "gated:v1", *said, "--json", code=12).json
    holds = {gate["rule"]: gate["holds"] for gate in told["gates"]}
    assert holds == {
        "metrics.test_f1 min": False, "metrics.test_f1 max_drop": True, "evidence review": False, "licences": True,
        "approvals": False,
    }  # fmt: skip
    project("deploy", "gated:v1", *said, code=13)
    own = project("review", "approve", "gated:v1", *said, "--reason", "mine")
    assert "it is of the release's own author" in own.err
    project("deploy", "gated:v1", *said, code=13)
    project(
        "review",
        "approve",
        "gated:v1",
        *said,
        "--reason",
        "looked",
        env={"GITHUB_ACTIONS": "true", "GITHUB_ACTOR": "eve"},
    )
    low = project("deploy", "gated:v1", *said, code=12)
    assert "metrics.test_f1 min: 0.89, needs at least 0.9" in low.err
    assert "hint: promote policy check gated:v1 --target careful" in low.err
    (tmp_path / "promotion_policy.yaml").write_text(POLICY.replace("min: 0.9", "min: 0.8"))
    passed = project("policy", "check", "gated:v1", *said)
    assert "✗" not in passed.out
    down = project("deploy", "gated:v1", *said, code=5)  # now it is Triton that is asked, which is not there
    assert "127.0.0.1:9" in down.err
    shown = project("review", "show", "gated:v1", *said, "--json").json
    assert [(word["by"], word["how"]) for word in shown["decisions"]][-1] == ("github:eve", "github")
    assert {word["policy"] for word in shown["decisions"]} == {told["policy_digest"]}


@pytest.mark.slow
def test_a_run_and_a_bundle_are_checked_as_a_file_is(project, runs):
    run = runs("onnx")
    assert "compatible with local" in project("check", run, "--target", "local").out
    assert project("check", runs("program"), "--target", "local", "--json").json["verdict"] == "compatible"
    made = project("model", run, "--target", "local", "--quiet").last
    checked = project("check", made, "--target", "local", "--json").json
    assert checked["path"] == made
    rules = {finding["rule"] for finding in checked["findings"]}
    assert {"onnx-opset", "config-name", "config-tensors", "config-warmup", "model-files"} <= rules
    undecided = project("check", "ner:v1", "--target", "calypso", code=11)
    assert "driver of calypso is not known" in undecided.out
    project("check", "ner:v9", "--target", "local", code=3)


@pytest.mark.slow
@pytest.mark.registry
@pytest.mark.parametrize(
    ("where", "kind", "refuses", "code"), [("layout", "program", "old", 10), ("registry", "onnx", "calypso", 11)]
)
def test_a_bundle_is_promoted_for_a_further_target_and_keeps_its_digest(
    project, runs, registry, where, kind, refuses, code
):
    here = 'device = "cpu"\nonnxruntime = "installed"\ntriton = "24.10"\nmodel_repository = "models"\n'
    old = here.replace('"installed"', '"1.16.3"')
    project.write(local='model_repository = "models"', careful=here, old=old)
    at = ("--registry", f"{registry.host}/further") if where == "registry" else ()
    name = f"further-{where}"
    made = project("model", runs(kind), "--target", "local", "--name", name, *at).last
    assert {r["type"] for r in project("inspect", f"{name}:v1", *at, "--json").json["referrers"]} == {EVENTS_TYPE}
    planned = project("model", f"{name}:v1", "--target", "careful", "--dry-run", *at)
    assert "nothing was attached" in planned.err
    first = project("model", f"{name}:v1", "--target", "careful", *at)
    assert first.last == made
    assert f"promote review approve {name}:v1 --target careful" in first.err
    again = project("model", made, "--target", "careful", "--json").json
    assert (again["digest"], again["review"]) == (made.partition("@")[2], "pending")
    shown = project("inspect", made, "--json").json
    (verdict,) = [r for r in shown["referrers"] if r["type"] != EVENTS_TYPE]
    assert (verdict["digest"], verdict["type"]) == (again["evidence"], "application/vnd.promote.verdict.v1+json")
    assert verdict["annotations"]["io.promote.target"] == "careful"
    project("review", "approve", made, "--target", "careful", "--reason", "the same bytes")
    assert project("model", made, "--target", "careful", "--json").json["review"] == "approved"
    refused = project("model", made, "--target", refuses, code=code)
    assert "nothing was attached" in refused.err
    kinds = [r["type"] for r in project("inspect", made, "--json").json["referrers"]]
    assert kinds.count("application/vnd.promote.verdict.v1+json") == 1
    told = project("history", name, *at, "--json").json["events"]
    assert [(e["kind"], e["target"], e["where"]) for e in told] == [
        ("built", "", "both"), ("checked", "local", "both"), ("pushed", "", "both"),
        ("checked", "careful", "both"), ("requested", "careful", "both"), ("approved", "careful", "both"),
    ]  # fmt: skip
    assert "is a list of referrers" in project("inspect", made.replace("@sha256:", ":sha256-"), code=3).err


def test_what_is_about_a_run_does_not_go_with_a_bundle(project):
    said = project("model", "ner:v1", "--target", "local", "--opset", "17", code=2)
    assert "a bundle stays as it is" in said.err
