"""Who decides, as a real MLflow server with its basic authentication says, and as one without it cannot."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
import requests

from promote.adapters.tracking.identity import Person, who
from tests.parts.registry import free_port

HERE = "ada@desk"
PASSWORD = "a password of tests 1"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """``mlflow server --app-name basic-auth`` with the user ``admin``; its address."""
    pytest.importorskip("flask_wtf", reason="flask-wtf is not installed: pip install 'mlflow[auth]'")
    folder = tmp_path_factory.mktemp("mlflow-auth")
    (folder / "auth.ini").write_text(
        "[mlflow]\ndefault_permission = READ\n"
        f"database_uri = sqlite:///{folder}/auth.db\nadmin_username = admin\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
    )
    address = f"http://127.0.0.1:{(port := free_port())}"
    command = [
        sys.executable, "-m", "mlflow", "server", "--app-name", "basic-auth", "--host", "127.0.0.1", "--port", str(port),
        "--workers", "1", "--backend-store-uri", f"sqlite:///{folder}/mlflow.db",
    ]  # fmt: skip
    environment = os.environ | {
        "MLFLOW_AUTH_CONFIG_PATH": str(folder / "auth.ini"), "MLFLOW_AUTH_ADMIN_PASSWORD": PASSWORD,
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "tests", "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }  # fmt: skip
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True, cwd=folder)
    try:
        if not _up(address, process):
            pytest.fail(f"mlflow does not start: {(folder / 'server.log').read_text()[-1500:]}")
        yield address
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)


def _up(address: str, process: subprocess.Popen[bytes]) -> bool:
    for _ in range(1200):
        if process.poll() is not None:
            return False
        try:
            if requests.get(f"{address}/health", timeout=1).status_code in (200, 401):
                return True
        except requests.RequestException:
            pass
        time.sleep(0.1)
    return False


@pytest.mark.mlflow
def test_mlflow_names_the_user_whose_password_it_takes_and_no_other(guarded: str) -> None:
    known = {"MLFLOW_TRACKING_USERNAME": "admin", "MLFLOW_TRACKING_PASSWORD": PASSWORD}
    assert who(guarded, HERE, known) == Person("mlflow:admin", "mlflow")
    in_address = guarded.replace("http://", f"http://admin:{PASSWORD.replace(' ', '%20')}@")
    assert who(in_address, HERE, {}) == Person("mlflow:admin", "mlflow")
    assert who(guarded, HERE, known | {"MLFLOW_TRACKING_PASSWORD": "guessed"}) == Person(HERE, "claimed")
    assert who(guarded, HERE, known | {"MLFLOW_TRACKING_USERNAME": "eve"}) == Person(HERE, "claimed")
    job = {"GITHUB_ACTIONS": "true", "GITHUB_ACTOR": "bob"}  # MLflow's user is the job's own account
    assert who(guarded, HERE, known | job) == Person("github:bob", "github")
    assert who(guarded, HERE, {}) == Person(HERE, "claimed")


@pytest.mark.mlflow
def test_a_server_without_authentication_vouches_for_nobody(mlflow_server: str) -> None:
    claims = {"MLFLOW_TRACKING_USERNAME": "ada", "MLFLOW_TRACKING_PASSWORD": "anything"}
    assert who(mlflow_server, HERE, claims) == Person(HERE, "claimed")


def test_github_vouches_in_a_job_and_not_outside_one() -> None:
    job = {"GITHUB_ACTIONS": "true", "GITHUB_ACTOR": "ada"}
    assert who("sqlite:///" + __file__, HERE, job) == Person("github:ada", "github")
    assert who("sqlite:///" + __file__, HERE, {"GITHUB_ACTOR": "ada"}) == Person(HERE, "claimed")
