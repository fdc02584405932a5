"""The ``Runs`` port on real MLflow: local artifacts, artifacts through a server, artifacts in S3, through a server on PostgreSQL
into S3; and on hostile ones."""

from __future__ import annotations

import json
import shutil
import socket
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from promote.adapters.tracking.address import parse_address
from promote.adapters.tracking.artifacts import Folder, open_folder
from promote.adapters.tracking.client import Connection
from promote.adapters.tracking.failures import told
from promote.adapters.tracking.runs import open_runs
from promote.core.facts import ModelFacts
from promote.core.passport import sha256
from promote.core.stages import Candidate, RunRef
from promote.errors import AuthError, InputError, IntegrityError, NotFound, PromoteError, Unavailable
from tests.fakes.factory import LABELS, TEXT, log_run, tracking
from tests.fakes.registry import Steps
from tests.parts.mlflow_server import BUCKET
from tests.parts.registry import free_port, serving

pytestmark = pytest.mark.mlflow


@dataclass
class Logged:
    """Runs that were logged once a store, by what they hold."""

    uri: str
    made: dict[tuple[str, ...], str]

    def run(self, *kinds: str, **more: Any) -> str:
        """A run with one model ``ner-i`` a kind; shared by tests that only read it."""
        key = (*kinds, *sorted(map(str, more.items())))
        if key not in self.made:
            self.made[key] = log_run(self.uri, {f"ner-{i}": kind for i, kind in enumerate(kinds)}, **more)
        return self.made[key]

    def fresh(self, kind: str) -> str:
        return log_run(self.uri, {"ner-0": kind})


_made: dict[str, dict[tuple[str, ...], str]] = {}


def logged_in(uri: str) -> Logged:
    return Logged(uri, _made.setdefault(uri, {}))


@pytest.fixture(
    params=["sqlite_uri", "mlflow_server", "s3_uri", pytest.param("postgres_server", marks=pytest.mark.slow)]
)
def logged(request: pytest.FixtureRequest) -> Logged:
    return logged_in(request.getfixturevalue(request.param))


@pytest.fixture
def local(sqlite_uri: str) -> Logged:
    return logged_in(sqlite_uri)


@pytest.fixture
def find(tmp_path: Path) -> Callable[..., Candidate]:
    def find(uri: str, run_id: str, model: str = "", *, allow_pickle: bool = False, step: Any = None) -> Candidate:
        return open_runs(uri, tmp_path / "work", allow_pickle=allow_pickle).find(RunRef(run_id, model), step or Steps())

    return find


def artifacts_of(uri: str, run_id: str) -> Path:
    """The folder of a run's only model in a store with local artifacts."""
    import mlflow

    client = mlflow.MlflowClient(uri)
    output = client.get_run(run_id).outputs.model_outputs[0]
    return Path(client.get_logged_model(output.model_id).artifact_location.removeprefix("file://"))


def test_a_transformers_run_is_found_whole(logged, find):
    run_id = logged.run("transformers", texts={"labels.txt": "".join(f"{label}\n" for label in LABELS)})
    candidate = find(logged.uri, run_id)
    run, model = candidate.run, candidate.model
    assert (run.run_id, run.name, run.experiment, run.tracking_uri) == (run_id, "small", "tests", logged.uri)
    assert (run.params["seed"], run.metrics["entity_f1"], run.tags["git.commit"]) == ("7", 0.5, "0123abc")
    assert abs(run.ended_ms / 1000 - time.time()) < 600
    assert run.user
    assert (model.name, model.flavour, model.entry, model.task) == (
        "ner-0",
        "transformers",
        "model",
        "token-classification",
    )
    assert (model.pickled, model.labels) == (False, LABELS)
    assert json.loads((Path(model.root) / model.example).read_text()) == [TEXT]
    assert {"MLmodel", "model/model.safetensors", "model/config.json", "components/tokenizer/tokenizer.json"} <= set(
        model.files
    )
    assert candidate.facts.precision is not None
    assert candidate.facts.precision.value == "fp32"
    assert candidate.facts.weights_bytes is not None
    assert candidate.facts.weights_bytes.value == model.files["model/model.safetensors"].size


def test_every_file_is_private_and_has_the_digest_it_is_said_to_have(logged, find):
    model = find(logged.uri, logged.run("onnx")).model
    assert stat.S_IMODE(Path(model.root).stat().st_mode) == 0o700
    for path, blob in model.files.items():
        data = (Path(model.root) / path).read_bytes()
        assert (Path(blob.path), blob.size, blob.digest) == (Path(model.root) / path, len(data), sha256(data))


def test_progress_ends_with_all_bytes(logged, find):
    step = Steps()
    model = find(logged.uri, logged.run("onnx"), step=step).model
    total = sum(blob.size for blob in model.files.values())
    assert step.seen[-1] == (total, total)
    assert [done for done, _ in step.seen] == sorted(done for done, _ in step.seen)


def test_an_unknown_run_is_named_with_its_server(logged, find):
    with pytest.raises(NotFound, match="run 'ffffffff' is not in"):
        find(logged.uri, "ffffffff")


def test_a_run_without_a_model_says_how_to_log_one(logged, find):
    with pytest.raises(NotFound, match="has no model") as caught:
        find(logged.uri, logged.run(texts={"notes.txt": "no model here"}))
    assert "log_model" in caught.value.hint


def test_a_missing_artifact_is_named(logged, find, monkeypatch, request):
    run_id = logged.run("onnx")
    listing = Folder.listing

    def with_a_ghost(self, *given, **named):
        files = listing(self, *given, **named)
        return [*files, type(files[0])("data/ghost.bin", None)] if any(f.path == "MLmodel" for f in files) else files

    monkeypatch.setattr(Folder, "listing", with_a_ghost)
    # MLflow's proxy answers 500 for what S3 does not have, as it does where S3 is down.
    proxied = request.node.callspec.params["logged"] == "postgres_server"
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    error, words = (
        (Unavailable, "fetching data/ghost") if proxied else (NotFound, "artifact 'data/ghost.bin' is missing")
    )
    with pytest.raises(error, match=words):
        find(logged.uri, run_id)


def test_an_object_that_left_the_bucket_between_listing_and_fetching_is_named(s3_uri, s3_endpoint, find, monkeypatch):
    import boto3

    run_id = logged_in(s3_uri).fresh("onnx")
    fetch = Folder.fetch

    def after_a_cleanup(self, file, root):
        client = boto3.client("s3", endpoint_url=s3_endpoint)
        for entry in client.list_objects_v2(Bucket=BUCKET)["Contents"]:
            if entry["Key"].endswith("model.onnx"):
                client.delete_object(Bucket=BUCKET, Key=entry["Key"])
        return fetch(self, file, root)

    monkeypatch.setattr(Folder, "fetch", after_a_cleanup)
    with pytest.raises(NotFound, match=r"artifact 'model.onnx' is missing"):
        find(s3_uri, run_id)


def test_the_same_model_has_the_same_digest_and_a_changed_one_another(local, find):
    run_id = local.fresh("onnx")
    before = find(local.uri, run_id).model.digest
    assert find(local.uri, run_id).model.digest == before
    with (artifacts_of(local.uri, run_id) / "requirements.txt").open("a") as file:
        file.write("# changed\n")
    assert find(local.uri, run_id).model.digest != before


def test_labels_come_from_the_run_else_from_the_models_configuration(local, find):
    assert find(local.uri, local.run("transformers")).model.labels == LABELS
    assert find(local.uri, local.run("onnx", texts={"labels.txt": "SHIP\nPORT\n"})).model.labels == ("SHIP", "PORT")
    assert find(local.uri, local.run("onnx")).model.labels == ()


@pytest.mark.parametrize("text", ["O\n\nB-SHIP\n", "O\nB\x1b[31m\n"])
def test_labels_that_cannot_be_ids_in_order_are_refused(local, find, text):
    with pytest.raises(IntegrityError, match=r"labels\.txt"):
        find(local.uri, local.run("onnx", texts={"labels.txt": text}))


def test_an_onnx_model_is_its_file(local, find):
    candidate = find(local.uri, local.run("onnx"))
    assert (candidate.model.flavour, candidate.model.entry) == ("onnx", "model.onnx")
    assert candidate.facts.format is not None
    assert candidate.facts == ModelFacts(format=candidate.facts.format)
    assert candidate.facts.format.value == "onnx"


def test_an_exported_program_needs_no_pickle(local, find):
    model = find(local.uri, local.run("program")).model
    assert (model.flavour, model.entry, model.pickled) == ("pytorch", "data/model.pt2", False)
    assert json.loads((Path(model.root) / model.example).read_text()) == [[1.0, 1.0], [1.0, 1.0]]


def test_a_pickle_is_refused_until_it_is_allowed(local, find):
    run_id = local.run("pickled")
    with pytest.raises(InputError, match=r"data/model\.pth is a pickle") as caught:
        find(local.uri, run_id)
    assert "--allow-pickle" in caught.value.hint
    model = find(local.uri, run_id, allow_pickle=True).model
    assert (model.flavour, model.entry, model.pickled) == ("pytorch", "data/model.pth", True)


def test_another_flavour_is_named_beside_what_is_supported(local, find):
    with pytest.raises(InputError, match="python_function; supported are transformers"):
        find(local.uri, local.run("pyfunc"))


def test_of_several_models_one_must_be_chosen(local, find):
    run_id = local.run("onnx", "program")
    with pytest.raises(InputError, match="several models: ner-0, ner-1") as caught:
        find(local.uri, run_id)
    assert "--model ner-0" in caught.value.hint
    assert find(local.uri, run_id, "ner-1").model.flavour == "pytorch"
    with pytest.raises(NotFound, match="no model 'ner-2'"):
        find(local.uri, run_id, "ner-2")


def test_a_model_that_mlflow_2_put_among_the_runs_artifacts_is_found(local, find):
    import mlflow

    source = artifacts_of(local.uri, local.run("onnx"))
    run_id = local.run(texts={"metrics.txt": "an older release logged this"})
    mlflow.MlflowClient(local.uri).log_artifacts(run_id, str(source), "old/ner")
    model = find(local.uri, run_id).model
    assert (model.name, model.entry, model.flavour) == ("old/ner", "model.onnx", "onnx")


@pytest.mark.parametrize("status", ["FAILED", "KILLED"])
def test_a_run_that_did_not_finish_is_refused(local, find, status):
    with pytest.raises(InputError, match=f"is {status}, expected FINISHED"):
        find(local.uri, local.run("onnx", status=status))


def test_a_run_that_still_runs_is_refused(local, find):
    with tracking(local.uri) as mlflow, mlflow.start_run() as run:
        with pytest.raises(InputError, match="is RUNNING") as caught:
            find(local.uri, run.info.run_id)
    assert "wait" in caught.value.hint


@pytest.mark.parametrize("run_id", ["../etc", "a b", "", "x" * 65, "runs:/3f"])
def test_what_is_no_run_id_is_not_asked_for(local, find, run_id):
    with pytest.raises(InputError, match="is no run id"):
        find(local.uri, run_id)


def test_a_link_among_the_artifacts_is_not_followed(local, find, tmp_path):
    run_id = local.fresh("onnx")
    folder = artifacts_of(local.uri, run_id)
    (tmp_path / "secret").write_text("key")
    (folder / "notes.txt").symlink_to(tmp_path / "secret")
    with pytest.raises(IntegrityError, match=r"artifact 'notes\.txt' is a link"):
        find(local.uri, run_id)
    (folder / "notes.txt").unlink()
    shutil.copytree(folder, tmp_path / "elsewhere")
    shutil.rmtree(folder)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "id_rsa").write_text("key")
    shutil.copytree(tmp_path / "elsewhere", folder)
    (folder / "keys").symlink_to(tmp_path / "outside")
    with pytest.raises(IntegrityError, match="keys"):
        find(local.uri, run_id)


def test_an_mlmodel_that_points_outside_is_refused(local, find):
    run_id = local.fresh("onnx")
    path = artifacts_of(local.uri, run_id) / "MLmodel"
    path.write_text("flavors:\n  onnx:\n    data: ../../model.onnx\n")
    with pytest.raises(IntegrityError, match="not a plain relative path"):
        find(local.uri, run_id)


@pytest.mark.parametrize(
    "text",
    ["flavors: [", "- a\n- b\n", "!!python/object/apply:os.system ['true']\n", "x: 1\n", "a: " + "b" * (1 << 20)],
)
def test_an_mlmodel_that_is_no_description_is_refused(local, find, text):
    run_id = local.fresh("onnx")
    (artifacts_of(local.uri, run_id) / "MLmodel").write_text(text)
    with pytest.raises(IntegrityError, match="MLmodel"):
        find(local.uri, run_id)


def test_a_full_disk_is_said_to_be_full(local, find, monkeypatch):
    from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository

    def full(self, remote, path):
        raise OSError(28, "No space left on device", path)

    run_id = local.run("onnx")
    monkeypatch.setattr(LocalArtifactRepository, "_download_file", full)
    with pytest.raises(Unavailable, match="disk is full"):
        find(local.uri, run_id)


def test_a_server_that_is_down_is_told_at_once_and_without_credentials(find):
    uri = f"http://ada:hunter2@127.0.0.1:{free_port()}"
    started = time.monotonic()
    with pytest.raises(
        Unavailable, match=r"tracking server http://127\.0\.0\.1:\d+ does not answer: connection refused"
    ) as caught:
        find(uri, "4f2a")
    assert time.monotonic() - started < 5
    assert "hunter2" not in str(caught.value) + caught.value.hint


def test_a_server_that_accepts_and_says_nothing_is_told_within_seconds(find):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        started = time.monotonic()
        with pytest.raises(Unavailable, match="nothing came within 3 s"):
            find(f"http://127.0.0.1:{silent.getsockname()[1]}", "4f2a")
        assert time.monotonic() - started < 5


def test_credentials_of_the_address_reach_the_server_and_nobody_else(mlflow_server, find):
    run_id = logged_in(mlflow_server).run("onnx")
    candidate = find(mlflow_server.replace("http://", "http://ada:hunter2@"), run_id)
    assert candidate.run.tracking_uri == mlflow_server
    with pytest.raises(NotFound) as caught:
        find(mlflow_server.replace("http://", "http://ada:hunter2@"), "ffff")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("uri", "error", "words"),
    [
        ("sqlite:////nowhere/mlflow.db", NotFound, "no MLflow database /nowhere/mlflow.db"),
        ("sqlite://", InputError, "names no SQLite file"),
        ("mlruns", InputError, "is a folder"),
        ("file:///srv/mlruns", InputError, "is a folder"),
        ("databricks", InputError, "databricks is no tracking server that promote knows"),
        ("ftp://ada:hunter2@host/x", InputError, "ftp://host/x is no tracking server"),
        ("http://ada:hunter2@host:port", InputError, "malformed host or port"),
        ("http://", InputError, "is no tracking server"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused_without_its_credentials(find, uri, error, words):
    with pytest.raises(error, match=words) as caught:
        find(uri, "4f2a")
    assert "hunter2" not in str(caught.value) + caught.value.hint


def test_a_missing_database_is_not_made(find, tmp_path):
    with pytest.raises(NotFound):
        find(f"sqlite:///{tmp_path}/mlflow.db", "4f2a")
    assert not (tmp_path / "mlflow.db").exists()


def test_a_file_that_is_no_database_is_refused_in_one_line(find, tmp_path):
    (tmp_path / "mlflow.db").write_text("this is no database, it only has the name of one" * 40)
    with pytest.raises(PromoteError) as caught:
        find(f"sqlite:///{tmp_path}/mlflow.db", "4f2a")
    assert "\n" not in str(caught.value)


RUN = {
    "info": {
        "run_id": "4f2a", "run_name": "r", "experiment_id": "1", "status": "FINISHED", "end_time": 1,
        "artifact_uri": "mlflow-artifacts:/1/4f2a",
    },
    "data": {},
    "outputs": {"model_outputs": [{"model_id": "m-1", "step": 0}]},
}  # fmt: skip
MODEL = {"model_id": "m-1", "experiment_id": "1", "name": "ner", "status": "LOGGED_MODEL_READY"}


@contextmanager
def hostile(
    location: str = "mlflow-artifacts:/1/models/m-1", listed: list[dict[str, Any]] | None = None, status: int = 200
) -> Iterator[str]:
    """A server that speaks just enough of MLflow to name what it should not."""
    answers = {
        "/runs/get": {"run": RUN},
        "/logged-models/m-1": {"model": {"info": MODEL | {"artifact_uri": location}, "data": {}}},
        "/mlflow-artifacts/artifacts": {"files": listed or []},
    }

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            found = next((answer for end, answer in answers.items() if path.endswith(end)), None)
            data = json.dumps(found).encode() if found and status == 200 else b"x"
            self.send_response(200 if path == "/health" else status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            pass

    with serving(Handler) as uri:
        yield uri


@pytest.mark.parametrize("path", ["../../.ssh/authorized_keys", "/etc/passwd", "a/../../b", "..\\b", "%2e%2e/%2e%2e/b"])
def test_a_path_outside_the_model_is_refused_and_nothing_is_written(find, tmp_path, path):
    with hostile(
        listed=[{"path": "MLmodel", "is_dir": False, "file_size": 1}, {"path": path, "is_dir": False, "file_size": 1}]
    ) as uri:
        with pytest.raises(IntegrityError):
            find(uri, "4f2a")
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


def test_folders_without_end_are_refused(find):
    with (
        hostile(listed=[{"path": "again", "is_dir": True}]) as uri,
        pytest.raises(IntegrityError, match="folders deep"),
    ):
        find(uri, "4f2a")


def test_two_names_that_are_one_on_some_disks_are_refused(find):
    listed = [{"path": name, "is_dir": False, "file_size": 1} for name in ("MLmodel", "mlmodel")]
    with hostile(listed=listed) as uri, pytest.raises(IntegrityError, match="share one name"):
        find(uri, "4f2a")


def test_a_file_of_another_size_than_listed_is_refused(find):
    with hostile(listed=[{"path": "MLmodel", "is_dir": False, "file_size": 4096}]) as uri:
        with pytest.raises(IntegrityError, match="has 1 bytes, listed were 4,096"):
            find(uri, "4f2a")


@pytest.mark.parametrize(
    ("location", "error"),
    [
        ("mlflow-artifacts://elsewhere.example:80/1", IntegrityError),
        ("https://elsewhere.example/api/2.0/mlflow-artifacts/artifacts/1", InputError),
        ("ftp://elsewhere.example/1", InputError),
        ("file://elsewhere.example/1", IntegrityError),
    ],
)
def test_a_server_cannot_send_us_elsewhere(find, location, error):
    with hostile(location) as uri, pytest.raises(error):
        find(uri, "4f2a")


@pytest.mark.parametrize("location", ["/home/ada/.ssh", "file:///home/ada/.ssh", "file:home"])
def test_a_server_on_another_machine_cannot_read_this_ones_disk(location):
    connection = Connection(parse_address("https://mlflow.example.com"), None)
    with pytest.raises(IntegrityError, match="a path on another machine"):
        open_folder(connection, location)


@pytest.mark.parametrize(
    ("status", "error"), [(401, AuthError), (403, AuthError), (500, Unavailable), (503, Unavailable), (404, NotFound)]
)
def test_the_servers_refusals_are_told_apart(find, status, error, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with hostile(status=status) as uri, pytest.raises(error):
        find(uri, "4f2a")


def test_missing_and_refused_s3_credentials_are_told_apart_from_a_store_that_is_down(local):
    from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError

    def told_of(error: Exception) -> type[PromoteError]:
        with pytest.raises(PromoteError) as caught, told(parse_address(local.uri), "fetching", "gone"):
            raise error
        return caught.type

    assert told_of(NoCredentialsError()) is AuthError
    assert told_of(ClientError({"Error": {"Code": "403"}}, "HeadObject")) is AuthError
    assert told_of(ClientError({"Error": {"Code": "404"}}, "HeadObject")) is NotFound
    assert told_of(EndpointConnectionError(endpoint_url="http://127.0.0.1:1")) is Unavailable


def test_a_fault_of_promote_keeps_its_traceback(local):
    with pytest.raises(ZeroDivisionError), told(parse_address(local.uri), "dividing"):
        raise ZeroDivisionError
