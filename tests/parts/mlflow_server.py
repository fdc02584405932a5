"""Real MLflow: a server over HTTP that proxies artifacts, a SQLite store with local artifacts, one with artifacts in S3, and a
server on PostgreSQL that proxies artifacts in S3."""

from __future__ import annotations

import base64
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from tests.parts.registry import free_port

EXPERIMENT = "tests"
PASSWORD = "a password of tests 1"
# Webhooks: a key for their secrets in the database, and addresses of this machine, which MLflow otherwise does not call.
WEBHOOKS = {
    "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": base64.urlsafe_b64encode(bytes(32)).decode(),
    "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http", "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
    "MLFLOW_WEBHOOK_CACHE_TTL": "1", "MLFLOW_WEBHOOK_REQUEST_MAX_RETRIES": "0",
}  # fmt: skip
BUCKET = "artifacts"


@pytest.fixture(scope="session")
def _migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty MLflow database; making one takes seconds, so each store starts from a copy."""
    mlflow = pytest.importorskip("mlflow", reason="MLflow is not installed")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    folder = tmp_path_factory.mktemp("mlflow-template")
    mlflow.MlflowClient(f"sqlite:///{folder}/mlflow.db").search_experiments()
    return folder / "mlflow.db"


def _store(template: Path, folder: Path, artifacts: str) -> str:
    """A copy of the empty store with the experiment ``tests``, whose artifacts lie at ``artifacts``; its URI."""
    import mlflow

    shutil.copyfile(template, folder / "mlflow.db")
    uri = f"sqlite:///{folder}/mlflow.db"
    mlflow.MlflowClient(uri).create_experiment(EXPERIMENT, artifact_location=artifacts)
    return uri


@pytest.fixture(scope="module")
def sqlite_uri(_migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A SQLite store, artifacts in a folder beside it; one a file of tests, as versions of one model are numbered in it."""
    folder = tmp_path_factory.mktemp("mlflow-sqlite")
    return _store(_migrated, folder, (folder / "artifacts").as_uri())


@pytest.fixture(scope="session")
def mlflow_server(_migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """``mlflow server`` on loopback, artifacts through it; its address."""
    with run_server(tmp_path_factory.mktemp("mlflow-server"), _migrated) as uri:
        yield uri


@pytest.fixture(scope="session")
def postgres_server(postgres: str, s3_endpoint: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """``mlflow server`` as it is run for real: on PostgreSQL, artifacts through it into S3; its address."""
    import mlflow

    folder = tmp_path_factory.mktemp("mlflow-postgres")
    with _serving(folder, postgres, f"s3://{BUCKET}/proxied") as uri:
        mlflow.MlflowClient(uri).create_experiment(EXPERIMENT, artifact_location="mlflow-artifacts:/tests")
        yield uri


@pytest.fixture(scope="session")
def guarded_server(_migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """``mlflow server`` with basic authentication: the user ``admin`` of ``PASSWORD``; others may read. Its address."""
    pytest.importorskip("flask_wtf", reason="flask-wtf is not installed: pip install 'mlflow[auth]'")
    folder = tmp_path_factory.mktemp("mlflow-auth")
    (folder / "auth.ini").write_text(
        "[mlflow]\ndefault_permission = READ\n"
        f"database_uri = sqlite:///{folder}/auth.db\nadmin_username = admin\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
    )
    guard = {
        "MLFLOW_AUTH_CONFIG_PATH": str(folder / "auth.ini"), "MLFLOW_AUTH_ADMIN_PASSWORD": PASSWORD,
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "tests",
    }  # fmt: skip
    store = _store(_migrated, folder, "mlflow-artifacts:/tests")
    with _serving(folder, store, str(folder / "artifacts"), "--app-name", "basic-auth", **guard) as uri:
        yield uri


@contextmanager
def run_server(folder: Path, template: Path, **more: str) -> Iterator[str]:
    """``mlflow server`` on a copy of the empty store; ``more`` is its environment's."""
    store = _store(template, folder, "mlflow-artifacts:/tests")
    with _serving(folder, store, str(folder / "artifacts"), **more) as uri:
        yield uri


@contextmanager
def _serving(folder: Path, store: str, artifacts: str, *options: str, **more: str) -> Iterator[str]:
    address = f"http://127.0.0.1:{(port := free_port())}"
    command = [
        sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
        "--backend-store-uri", store, "--serve-artifacts", "--artifacts-destination", artifacts,
        *options,
    ]  # fmt: skip
    quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    environment = os.environ | quiet | more
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True, cwd=folder)
    try:
        if not _answers(address, process):
            pytest.fail(f"mlflow server does not start: {(folder / 'server.log').read_text()[-800:]}")
        yield address
    finally:
        os.killpg(process.pid, signal.SIGTERM)  # its workers too; the group is its own
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)


def _answers(address: str, process: subprocess.Popen[bytes]) -> bool:
    deadline = (
        time.monotonic() + 240
    )  # a fresh PostgreSQL takes every migration there ever was, and machines are shared
    while time.monotonic() < deadline:
        if process.poll() is not None:
            return False
        try:
            if requests.get(f"{address}/health", timeout=1).status_code in (200, 401):
                return True
        except requests.RequestException:
            pass
        time.sleep(0.1)
    return False


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """An S3 endpoint on loopback with the bucket ``artifacts``; its address and credentials are in the environment."""
    moto = pytest.importorskip("moto.server", reason="moto is not installed")
    boto3 = pytest.importorskip("boto3", reason="boto3 is not installed")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=free_port(), verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    environment = {
        "AWS_ACCESS_KEY_ID": "tests", "AWS_SECRET_ACCESS_KEY": "tests", "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true", "MLFLOW_S3_ENDPOINT_URL": address,
    }  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        boto3.client("s3", endpoint_url=address).create_bucket(Bucket=BUCKET)
        try:
            yield address
        finally:
            server.stop()


@pytest.fixture(scope="session")
def s3_uri(s3_endpoint: str, _migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A SQLite store whose artifacts lie in S3."""
    return _store(_migrated, tmp_path_factory.mktemp("mlflow-s3"), f"s3://{BUCKET}/tests")
