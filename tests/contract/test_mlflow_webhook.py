"""MLflow's webhooks, sent by a real MLflow server to where the agent listens; and what anybody else may send there."""

from __future__ import annotations

import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests

from promote.adapters.tracking.webhook import PATH, serve_webhook
from promote.core.webhook import Call, signature
from promote.errors import InputError
from tests.fakes.factory import log_run
from tests.parts.mlflow_server import WEBHOOKS, run_server

SECRET = "a secret of tests 0123456789"
EVENTS = ["model_version_alias.created", "model_version_tag.set"]


@dataclass
class Bell:
    """Where calls arrive, how often it rang, and what it refused."""

    port: int = 0
    rung: int = 0
    refused: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{PATH}"

    def ring(self) -> None:
        with self._lock:
            self.rung += 1

    def send(self, body: bytes = b"{}", *, key: bytes = SECRET.encode(), name: str = "", age: int = 0) -> int:
        """A call as MLflow makes it; the status."""
        call = Call(name or str(uuid.uuid4()), str(int(time.time()) - age), body)
        given = {
            "X-MLflow-Delivery-Id": call.id, "X-MLflow-Timestamp": call.timestamp,
            "X-MLflow-Signature": signature(key, call),
        }  # fmt: skip
        return requests.post(self.url, data=body, headers=given, timeout=5).status_code


@pytest.fixture
def bell() -> Iterator[Bell]:
    bell = Bell()
    with serve_webhook(0, SECRET.encode(), bell.ring, bell.refused.append) as bell.port:
        yield bell


def wait(until: Callable[[], bool], seconds: float = 30) -> bool:
    deadline = time.monotonic() + seconds
    while not (done := until()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return done


@pytest.fixture(scope="module")
def server(_migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with run_server(tmp_path_factory.mktemp("mlflow-webhooks"), _migrated, **WEBHOOKS) as uri:
        yield uri


@pytest.fixture
def client(server: str) -> Any:
    """A client, and one version of a model called ``ner``; webhooks that a test makes are removed after it."""
    import mlflow

    client = mlflow.MlflowClient(server, server)
    if not client.search_registered_models():
        client.create_registered_model("ner")
        run = log_run(server, {})
        client.create_model_version("ner", f"runs:/{run}/x", run_id=run)
    yield client
    for hook in client.list_webhooks():
        client.delete_webhook(hook.webhook_id)
    time.sleep(1.1)  # MLFLOW_WEBHOOK_CACHE_TTL


@pytest.mark.mlflow
@pytest.mark.slow
def test_an_alias_or_a_tag_that_somebody_sets_in_mlflow_rings(bell: Bell, client: Any) -> None:
    client.create_webhook("agent", bell.url, EVENTS, secret=SECRET)
    client.set_registered_model_alias("ner", "calypso", "1")
    assert wait(lambda: bell.rung == 1), bell.refused
    client.set_model_version_tag("ner", "1", "promote.review.calypso", "approved \u202e<b>" + "x" * 90_000)
    assert wait(lambda: bell.rung == 2), bell.refused
    assert bell.refused == []


@pytest.mark.mlflow
@pytest.mark.slow
@pytest.mark.parametrize("secret", ["another secret of tests", None])
def test_a_webhook_that_has_another_secret_or_none_does_not(bell: Bell, client: Any, secret: str | None) -> None:
    client.create_webhook("stranger", bell.url, EVENTS, secret=secret)
    client.set_registered_model_alias("ner", "calypso", "1")
    assert wait(lambda: bool(bell.refused))
    assert bell.rung == 0
    assert bell.refused == ["the signature is not that of our secret"]


def test_a_genuine_call_rings_whatever_it_says(bell: Bell) -> None:
    assert [bell.send(body) for body in (b"{}", b"", b"\xff not json", b"x" * (1 << 20))] == [204] * 4
    assert (bell.rung, bell.refused) == (4, [])


def test_what_is_forged_stale_or_sent_again_does_not_ring(bell: Bell) -> None:
    assert bell.send(key=b"guessed") == 403
    assert bell.send(key=b"guessed") == 403
    assert bell.send(age=301) == 403
    assert bell.send(name="once") == 204
    assert bell.send(name="once") == 403
    assert bell.rung == 1
    # Said once for each change, so that nobody fills the log.
    assert bell.refused == [
        "the signature is not that of our secret", "it is older than five minutes, or from the future", "it came before",
    ]  # fmt: skip


def test_only_a_call_of_bounded_size_is_read(bell: Bell) -> None:
    assert requests.get(bell.url, timeout=5).status_code == 501
    assert requests.post(bell.url.replace(PATH, "/other"), timeout=5).status_code == 404
    with socket.create_connection(("127.0.0.1", bell.port), timeout=5) as line:
        line.sendall(f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 1048577\r\n\r\n".encode())
        assert line.recv(100).split()[1] == b"413"
    for length in ("", "-1", "1e3", "\u00b2"):
        with socket.create_connection(("127.0.0.1", bell.port), timeout=5) as line:
            line.sendall(f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n".encode("latin-1"))
            assert line.recv(100).split()[1] == b"411"
    with socket.create_connection(("127.0.0.1", bell.port), timeout=5) as line:
        line.sendall(f"POST {PATH} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        assert line.recv(100).split()[1] == b"411"
    assert bell.rung == 0


def test_who_stops_in_the_middle_holds_up_nobody(bell: Bell) -> None:
    with socket.create_connection(("127.0.0.1", bell.port), timeout=5) as line:
        line.sendall(f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc".encode())
        assert bell.send() == 204
        line.shutdown(socket.SHUT_WR)
        assert line.recv(100).split()[1] == b"400"
    assert bell.rung == 1


def test_it_listens_on_this_machine_alone(bell: Bell) -> None:
    with socket.socket() as other:
        other.settimeout(2)
        assert other.connect_ex(("127.0.0.2", bell.port)) != 0
    with pytest.raises(InputError, match="--webhook"):
        with serve_webhook(bell.port, b"k", bell.ring, bell.refused.append):
            pass
