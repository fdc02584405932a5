"""MLflow as it is run for real: with passwords and rights, slow, killed and started anew in the middle of a promotion."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from promote.adapters.tracking.ledger import open_ledger
from promote.core.facts import ModelFacts
from promote.core.review import Review
from promote.core.stages import Candidate, Release, Run, SourceModel
from promote.errors import AuthError, Unavailable
from promote.ports import Ledger
from tests.contract.test_ledger import REPORT
from tests.fakes.factory import log_run
from tests.fakes.registry import FakeRegistry, Steps, make_bundle
from tests.parts.mlflow_server import PASSWORD
from tests.parts.restarts import Daemon, mlflow_daemon

pytestmark = [pytest.mark.mlflow, pytest.mark.slow]

BOB = "a password of bob 123"


def signed_in(uri: str, user: str, password: str) -> str:
    return uri.replace("http://", f"http://{user}:{password.replace(' ', '%20')}@")


def candidate(run_id: str) -> Candidate:
    model = SourceModel(name="ner", flavour="onnx", root="", files={}, entry="model.onnx", digest="sha256:" + "0" * 64)
    return Candidate(Run(run_id=run_id), model, ModelFacts())


def release(name: str, version: int, run_id: str) -> Release:
    bundle = make_bundle({"model.onnx": b"w"}, name=name, version=version, run_id=run_id)
    return FakeRegistry().push(bundle, Steps())


def numbers(uri: str, name: str) -> list[int]:
    import mlflow

    return sorted(int(v.version) for v in mlflow.MlflowClient(uri, uri).search_model_versions(f"name = '{name}'"))


@pytest.fixture(scope="module")
def owner(guarded_server: str) -> str:
    """The address with the administrator's credentials; ``bob`` is a user who may read."""
    made = requests.post(
        f"{guarded_server}/api/2.0/mlflow/users/create", json={"username": "bob", "password": BOB},
        auth=("admin", PASSWORD), timeout=30,
    )  # fmt: skip
    assert made.ok, made.text
    return signed_in(guarded_server, "admin", PASSWORD)


@pytest.fixture(scope="module")
def run_id(owner: str) -> str:
    return log_run(owner, {"ner": "onnx"})


@pytest.fixture
def name() -> str:
    return f"ner-{uuid.uuid4().hex[:8]}"


def recorded(ledger: Ledger, name: str, run_id: str) -> int:
    version = ledger.reserve(name, "id1", candidate(run_id))
    ledger.record(release(name, version, run_id), "id1", REPORT)
    return version


def test_who_has_the_rights_promotes(owner: str, run_id: str, name: str) -> None:
    ledger = open_ledger(owner)
    assert recorded(ledger, name, run_id) == 1
    assert ledger.versions(name) == (1,)


@pytest.mark.parametrize("who", [("admin", "guessed it"), ("eve", PASSWORD)])
def test_a_wrong_password_is_told_and_shown_nowhere(guarded_server: str, name: str, who: tuple[str, str]) -> None:
    with pytest.raises(AuthError) as caught:
        open_ledger(signed_in(guarded_server, *who)).versions(name)
    assert guarded_server in caught.value.message
    assert "MLFLOW_TRACKING_USERNAME" in caught.value.hint
    said = caught.value.message + caught.value.hint
    assert who[1] not in said
    assert who[1].replace(" ", "%20") not in said


def test_who_may_only_read_reads_and_changes_nothing(owner: str, guarded_server: str, run_id: str, name: str) -> None:
    version = recorded(open_ledger(owner), name, run_id)
    bob = open_ledger(signed_in(guarded_server, "bob", BOB))
    assert bob.versions(name) == (version,)
    assert bob.review(name, version, "calypso") == Review()
    yes = Review(state="approved", digest="sha256:" + "1" * 64, by="bob", reason="me")
    for attempt in (
        lambda: bob.reserve(name, "id2", candidate(run_id)),
        lambda: bob.decide(name, version, "calypso", yes),
        lambda: bob.deployed(name, version, "calypso", "sha256:1", "live"),
    ):
        with pytest.raises(AuthError, match="refuses") as caught:
            attempt()
        assert BOB not in caught.value.message
    assert numbers(owner, name) == [version]
    assert open_ledger(owner).review(name, version, "calypso") == Review()
    assert open_ledger(owner).desired("calypso").get(name) is None


def test_a_server_that_answers_nothing_is_given_up(
    owner: str, run_id: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It took the connection, said that it is well, and then says nothing."""
    import socket
    import threading

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        kept: list[Any] = []

        def serve() -> None:
            first, _ = silent.accept()
            first.recv(4096)
            first.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nOK")
            first.close()
            kept.append(silent.accept())

        threading.Thread(target=serve, daemon=True).start()
        started = time.monotonic()
        with pytest.raises(Unavailable, match=f"reading versions of {name}"):
            open_ledger(f"http://127.0.0.1:{silent.getsockname()[1]}").reserve(name, "id1", candidate(run_id))
        assert time.monotonic() - started < 20
        assert kept
        kept[0][0].close()


@pytest.fixture(scope="module")
def restarted(tmp_path_factory: pytest.TempPathFactory, _migrated: Path) -> Iterator[tuple[Daemon, str]]:
    daemon, address = mlflow_daemon(tmp_path_factory.mktemp("restarted") / "mlflow", _migrated)
    try:
        daemon.start()
        yield daemon, address
    finally:
        daemon.kill()


def test_a_server_killed_in_mid_promotion_gives_the_same_version_when_it_is_typed_again(
    restarted: tuple[Daemon, str], name: str
) -> None:
    daemon, uri = restarted
    run = log_run(uri, {"ner": "onnx"})
    ledger = open_ledger(uri)
    version = ledger.reserve(name, "id1", candidate(run))
    ledger.begin(release(name, version, run), "id1")
    daemon.kill()
    with pytest.raises(Unavailable) as caught:
        ledger.record(release(name, version, run), "id1", REPORT)
    assert "\n" not in caught.value.message
    with pytest.raises(Unavailable, match="does not answer"):
        open_ledger(uri).reserve(name, "id1", candidate(run))
    daemon.start()
    assert open_ledger(uri).versions(name) == ()
    again = open_ledger(uri)
    assert recorded(again, name, run) == version
    assert numbers(uri, name) == [version]
    assert again.versions(name) == (version,)
    import mlflow

    client = mlflow.MlflowClient(uri, uri)
    experiment = client.get_experiment_by_name("promotions")
    found = client.search_runs([experiment.experiment_id], f"tags.`promote.model` = '{name}'")
    assert len(found) == 1
