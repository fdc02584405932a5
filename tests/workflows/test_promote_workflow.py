"""promote.yml and action.yml, played: every ``run:`` runs, on a real registry with tokens, a real MLflow server, a real Triton.

GitHub itself is not here: what is imitated stands in ``player``; who approved is told by a server of ours.
"""

from __future__ import annotations

import json
import shutil
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler

import pytest

from promote.adapters.oci.registry import open_registry
from tests.fakes.factory import log_run
from tests.parts.registry import SECRET, USER, serving
from tests.parts.triton import new_name
from tests.workflows.player import ROOT, Runner, load, outputs_of, play, play_action

pytestmark = [pytest.mark.e2e, pytest.mark.mlflow]
WORKFLOW = load(ROOT / ".github/workflows/promote.yml")
ACTION = load(ROOT / "action.yml")
RUN_NUMBER, REPOSITORY, REVIEWER = "4711", "Acme/Models", "grace-h"
LATE = 'device = "gpu"\narch = "x86_64"\ngpu = "RTX 4090"\ndriver = "450.10"\nmemory_gib = 24\ntriton = "26.04"\n'
CARELESS = "local"  # asks for no review
HOSTILE = [
    'a"; touch pwned; echo pwned #',
    "$(touch pwned)",
    "`touch pwned`",
    "-h",
    "--help",
    "a\n::set-output name=x::y\nb",
    "",
    "../x",
]


@pytest.fixture(autouse=True)
def _tools():
    """What a runner of GitHub's has and a machine of ours may lack."""
    for name in ("jq", "curl", "make", "git"):
        if shutil.which(name) is None:
            pytest.skip(f"{name} is not installed: apt-get install {name}")


@pytest.fixture(scope="module")
def run_id(mlflow_server):
    return log_run(mlflow_server, {"ner": "onnx"})


@contextmanager
def github(approvals):
    """GitHub's API, as far as a workflow asks it: who approved this run."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            known = self.headers.get("Authorization") == f"Bearer {SECRET}"
            right = self.path == f"/repos/{REPOSITORY}/actions/runs/{RUN_NUMBER}/approvals"
            data = json.dumps(approvals).encode()
            self.send_response(200 if known and right else 404)
            self.end_headers()
            self.wfile.write(data if known and right else b"{}")

        def log_message(self, *_):
            pass

    with serving(Handler) as url:
        yield url


def approval(user, environment="careful", state="approved"):
    return {"state": state, "comment": "", "user": {"login": user}, "environments": [{"id": 1, "name": environment}]}


@pytest.fixture
def bench(tmp_path, mlflow_server, token_registry):
    """``(event, approvals, triton, **vars) -> Runner``."""
    return bench_of(tmp_path, mlflow_server, token_registry[0].host)


@pytest.fixture
def bare(tmp_path):
    """The same without servers: for what must not reach any."""
    return bench_of(tmp_path, "http://127.0.0.1:1", "127.0.0.1:1")


def bench_of(folder, tracking, host):

    @contextmanager
    def made(event, approvals=(), triton=None, **variables):
        where = 'model_repository = "models"\n'
        if triton:
            where = f'model_repository = "{triton.repository}"\nhttp = "{triton.triton.http}"\ngrpc = "{triton.triton.grpc}"\n'
        here = 'device = "cpu"\nonnxruntime = "installed"\ntriton = "24.10"\n'
        settings = f"[targets.careful]\n{here}{where}\n[targets.{CARELESS}]\n{where}\n[targets.late]\n{LATE}"
        with github(list(approvals)) as api:
            yield Runner(
                folder=folder,
                event=event,
                vars={
                    "MLFLOW_TRACKING_URI": tracking, "PROMOTE_TOML": settings,
                    "PROMOTE_REGISTRY": f"{host}/Acme/Models",
                } | variables,
                secrets={"GITHUB_TOKEN": SECRET},
                github={
                    "actor": USER, "repository": REPOSITORY, "run_id": RUN_NUMBER, "ref_name": "$(id)", "api_url": api,
                    "ref": "refs/heads/$(id)", "server_url": "https://github.com", "token": SECRET,
                },
            )  # fmt: skip

    made.host = host
    return made


def asked(run_id, target="careful", name=""):
    return {"run_id": run_id, "target": target, "name": name or new_name("wf")}


def version_of(uri, name):
    import mlflow

    return mlflow.MlflowClient(uri, registry_uri=uri).get_model_version(name, "1")


def scripts(jobs):
    """Every script of the workflow, by name or text."""
    return {step.get("name", step["run"]) for job in jobs for step in job["steps"] if "run" in step}


def nothing_told(done, runner):
    """No secret in what was printed, shown or kept; nothing of a branch's name was run."""
    said = "".join(played.log + played.summary + json.dumps(played.outputs) for played in done.values())
    assert SECRET not in said
    assert "uid=" not in said
    kept = [path for folder in runner.artifacts.values() for path in folder.rglob("*") if path.is_file()]
    assert not [path for path in kept if SECRET.encode() in path.read_bytes()]


@pytest.mark.registry
@pytest.mark.triton
@pytest.mark.slow
def test_a_run_becomes_an_approved_bundle_that_serves(bench, run_id, mlflow_server, triton):
    event = asked(run_id)
    others = [approval(REVIEWER, "other"), approval("mallory", state="rejected")]
    with bench({"inputs": event}, [approval(REVIEWER), *others], triton, PROMOTE_DEPLOY_RUNNER="rack-7") as runner:
        done = play(WORKFLOW, runner)
    assert {name: played.result for name, played in done.items()} == dict.fromkeys(WORKFLOW["jobs"], "success"), done
    assert {name for played in done.values() for name in played.ran} == scripts(WORKFLOW["jobs"].values())
    told = outputs_of(WORKFLOW, done)
    assert (told["verdict"], told["state"]) == ("compatible", "approved")
    assert done["push"].outputs["state"] == "pending"
    assert done["review"].environment == "careful"

    env = {"PROMOTE_REGISTRY_USERNAME": USER, "PROMOTE_REGISTRY_PASSWORD": SECRET}
    stored = open_registry(f"{bench.host}/acme/models", env=env).resolve(event["name"], "v1")
    assert stored.digest == told["digest"]
    version = version_of(mlflow_server, event["name"])
    assert version.tags["promote.reference"] == stored.reference == done["push"].outputs["reference"]
    assert stored.reference in version.description
    review = {key: value for key, value in version.tags.items() if "review" in key}
    assert "approved" in review.values()
    assert told["digest"] in review.values()
    assert f"github:{REVIEWER}" in review.values()  # who approved, not who started the run
    assert any(f"/actions/runs/{RUN_NUMBER}" in value for value in review.values())

    import tritonclient.http as client

    assert client.InferenceServerClient(triton.triton.http).is_model_ready(event["name"], "1")
    assert "### compatible with careful" in done["build"].summary
    assert "| ✅ | onnx-opset |" in done["build"].summary
    assert [p.name for p in runner.artifacts["report"].iterdir()] == [f"{event['name']}-v1.html"]
    nothing_told(done, runner)


@pytest.mark.registry
@pytest.mark.parametrize(
    "approvals",
    [[], [approval(REVIEWER, "other")], [approval(REVIEWER, state="rejected")]],
    ids=["an environment without reviewers", "another environment", "a rejection"],
)
def test_what_nobody_approved_stays_pending(bench, run_id, mlflow_server, approvals):
    event = asked(run_id)
    with bench({"inputs": event}, approvals, PROMOTE_DEPLOY_RUNNER="rack-7") as runner:
        done = play(WORKFLOW, runner)
    results = {name: played.result for name, played in done.items()}
    assert results == dict.fromkeys(["plan", "build", "push", "review"], "success") | dict.fromkeys(
        ["release", "deploy"], "skipped"
    )
    assert outputs_of(WORKFLOW, done)["state"] == "pending"
    assert "nobody approved this run in the environment careful" in done["review"].summary
    tags = version_of(mlflow_server, event["name"]).tags
    assert tags["promote.digest"] == outputs_of(WORKFLOW, done)["digest"]
    assert "approved" not in tags.values()
    nothing_told(done, runner)


@pytest.mark.registry
def test_a_target_without_reviews_is_released_by_an_event_and_deployed_by_hand(bench, run_id):
    with bench({"event": {"client_payload": asked(run_id, CARELESS)}}) as runner:
        done = play(WORKFLOW, runner)
    results = {name: played.result for name, played in done.items()}
    assert results == dict.fromkeys(["plan", "build", "push", "release"], "success") | dict.fromkeys(
        ["review", "deploy"], "skipped"
    )
    assert outputs_of(WORKFLOW, done)["state"] == "approved"


@pytest.mark.registry
@pytest.mark.parametrize(
    ("target", "where", "verdict", "row"),
    [
        ("calypso", "build", "undecided", "| driver-floor | driver of calypso is not known |"),
        ("late", "plan", "incompatible", "| driver-floor | driver 450.10 on RTX 4090"),
    ],
)
def test_a_refused_verdict_ends_the_release(bench, run_id, token_registry, target, where, verdict, row):
    with bench({"inputs": asked(run_id, target)}) as runner:
        done = play(WORKFLOW, runner)
    ended = [name for name, played in done.items() if played.result != "skipped"]
    assert (ended[-1], done[where].result) == (where, "failure")
    assert f"### {verdict} with {target}" in done[where].summary
    assert row in done[where].summary
    assert outputs_of(WORKFLOW, done)["state"] == ""
    assert done["build"].outputs == ({} if where == "plan" else {"digest": "", "verdict": verdict})
    assert token_registry[1].given == []


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("which", ["run_id", "target", "name"])
@pytest.mark.parametrize("how", ["inputs", "event"])
def test_hostile_inputs_are_refused_and_nothing_is_run(bare, how, which, text):
    event = asked("0" * 32) | {which: text}
    with bare({"inputs": event} if how == "inputs" else {"event": {"client_payload": event}}) as runner:
        done = play(WORKFLOW, runner)
    assert done["plan"].result == "failure"
    assert {played.result for name, played in done.items() if name != "plan"} == {"skipped"}
    [line] = done["plan"].log.splitlines()  # so no line of it is a command to the runner
    assert line.startswith("refused: the ")
    assert done["plan"].ran == ["Refuse what is no run id, target or name"]
    assert done["plan"].outputs == {"target": ""}
    assert not list(runner.folder.rglob("pwned*"))


def test_an_object_for_a_name_is_refused(bare):
    with bare({"event": {"client_payload": asked("0" * 32) | {"name": {"a": "b"}}}}) as runner:
        assert "refused: the name is Object" in play(WORKFLOW, runner)["plan"].log


@pytest.mark.registry
def test_a_login_that_is_none_approves_nothing(bench, run_id):
    with bench({"inputs": asked(run_id)}, [approval("a\nreviewer=b")]) as runner:
        done = play(WORKFLOW, runner)
    assert done["review"].result == "failure"
    assert done["review"].outputs == {"reviewer": ""}
    assert done["release"].result == "skipped"


@pytest.mark.registry
def test_another_repository_needs_one_step(bench, run_id, mlflow_server):
    name = new_name("wf")
    with bench({}) as runner:
        given = {
            "run-id": run_id, "target": "careful", "name": name, "mlflow-tracking-uri": mlflow_server,
            "registry": f"{bench.host}/acme/models", "settings": runner.vars["PROMOTE_TOML"],
        }  # fmt: skip
        played = play_action(ACTION, given, runner, runner.folder / "theirs")
    assert played.result == "success", played.log
    assert (played.outputs["verdict"], played.outputs["state"]) == ("compatible", "pending")
    assert played.outputs["reference"] == f"{bench.host}/acme/models/{name}@{played.outputs['digest']}"
    assert played.ran == [step["name"] for step in ACTION["runs"]["steps"] if "run" in step]
    nothing_told({"job": played}, runner)


def test_hostile_inputs_of_the_action_are_refused(bare):
    with bare({}) as runner:
        given = {"run-id": "0" * 32, "target": HOSTILE[0], "name": "ner", "mlflow-tracking-uri": "http://127.0.0.1:1"}
        played = play_action(ACTION, given, runner, runner.folder / "theirs")
    assert played.result == "failure"
    assert played.log.startswith("refused: the target is ")
    assert played.ran == ["Refuse what is no run id, target or name"]
    assert not list(runner.folder.rglob("pwned*"))
