"""Who decides, as a real MLflow server with its basic authentication says, and as one without it cannot."""

from __future__ import annotations

import pytest

from promote.adapters.tracking.identity import Person, who
from tests.parts.mlflow_server import PASSWORD

HERE = "ada@desk"


@pytest.mark.mlflow
def test_mlflow_names_the_user_whose_password_it_takes_and_no_other(guarded_server: str) -> None:
    known = {"MLFLOW_TRACKING_USERNAME": "admin", "MLFLOW_TRACKING_PASSWORD": PASSWORD}
    assert who(guarded_server, HERE, known) == Person("mlflow:admin", "mlflow")
    in_address = guarded_server.replace("http://", f"http://admin:{PASSWORD.replace(' ', '%20')}@")
    assert who(in_address, HERE, {}) == Person("mlflow:admin", "mlflow")
    assert who(guarded_server, HERE, known | {"MLFLOW_TRACKING_PASSWORD": "guessed"}) == Person(HERE, "claimed")
    assert who(guarded_server, HERE, known | {"MLFLOW_TRACKING_USERNAME": "eve"}) == Person(HERE, "claimed")
    job = {"GITHUB_ACTIONS": "true", "GITHUB_ACTOR": "bob"}  # MLflow's user is the job's own account
    assert who(guarded_server, HERE, known | job) == Person("github:bob", "github")
    assert who(guarded_server, HERE, {}) == Person(HERE, "claimed")


@pytest.mark.mlflow
def test_a_server_without_authentication_vouches_for_nobody(mlflow_server: str) -> None:
    claims = {"MLFLOW_TRACKING_USERNAME": "ada", "MLFLOW_TRACKING_PASSWORD": "anything"}
    assert who(mlflow_server, HERE, claims) == Person(HERE, "claimed")


def test_github_vouches_in_a_job_and_not_outside_one() -> None:
    job = {"GITHUB_ACTIONS": "true", "GITHUB_ACTOR": "ada"}
    assert who("sqlite:///" + __file__, HERE, job) == Person("github:ada", "github")
    assert who("sqlite:///" + __file__, HERE, {"GITHUB_ACTOR": "ada"}) == Person(HERE, "claimed")
