"""The webhook out, to a real HTTP receiver that checks the signature, and to those that are slow, down or elsewhere."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from promote.adapters.notifying import Webhook, open_webhook
from promote.core.webhook import Call, key_of, refusal
from promote.errors import InputError
from tests.parts.registry import free_port, serving

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
KEY = key_of(SECRET)
PATH = "/hooks/canary-chat-7f3a"


@dataclass
class Receiver:
    """What a chat bridge would be: it takes what is signed, new and of now."""

    url: str = ""
    statuses: list[int] = field(default_factory=list)
    taken: list[dict[str, Any]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    seen: dict[str, float] = field(default_factory=dict)

    def answer(self, headers: Any, body: bytes) -> int:
        call = Call(headers.get("webhook-id", ""), headers.get("webhook-timestamp", ""), body)
        self.ids.append(call.id)
        if self.statuses:
            return self.statuses.pop(0)
        if why := refusal(call, headers.get("webhook-signature", ""), KEY, time.time(), self.seen):
            self.refused.append(why)
            return 403
        self.taken.append(json.loads(body))
        return 204


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status = receiver.answer(self.headers, body) if self.path == PATH else 404
            self.send_response(status)
            if status == 307:
                self.send_header("Location", receiver.url.replace(PATH, "/elsewhere"))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with serving(Handler) as uri:
        receiver.url = uri + PATH
        yield receiver


def test_a_notice_arrives_signed(receiver: Receiver) -> None:
    assert Webhook(receiver.url, KEY).send(b'{"a": 1}') == ""
    assert (receiver.taken, receiver.refused) == ([{"a": 1}], [])


def test_another_secret_is_refused_and_not_tried_again(receiver: Receiver) -> None:
    assert Webhook(receiver.url, b"another").send(b"{}") == "it answers 403"
    assert receiver.refused == ["the signature is not that of our secret"]
    assert len(receiver.ids) == 1


def test_what_is_busy_is_asked_again_with_the_same_id(receiver: Receiver) -> None:
    receiver.statuses = [503, 429]
    assert Webhook(receiver.url, KEY).send(b"{}") == ""
    assert len(receiver.ids) == 3
    assert len(set(receiver.ids)) == 1
    assert receiver.taken == [{}]


def test_a_redirect_is_not_followed(receiver: Receiver) -> None:
    receiver.statuses = [307]
    assert Webhook(receiver.url, KEY).send(b"{}") == "it answers 307"
    assert receiver.taken == []


def test_one_that_stays_down_is_given_up(receiver: Receiver) -> None:
    receiver.statuses = [500] * 50
    started = time.monotonic()
    assert Webhook(receiver.url, KEY, seconds=2).send(b"{}") == "it answers 500"
    assert time.monotonic() - started < 4
    assert 1 < len(receiver.ids) < 6


def test_who_answers_a_byte_a_second_holds_up_nobody() -> None:
    with socket.create_server(("127.0.0.1", 0)) as slow:
        ended = threading.Event()

        def drip() -> None:
            line, _ = slow.accept()
            with line:
                for byte in b"HTTP/1.1 200 OK\r\nX-Slow: " + b"x" * 100:
                    if ended.wait(0.2):
                        return
                    line.sendall(bytes([byte]))

        worker = threading.Thread(target=drip, daemon=True)
        worker.start()
        started = time.monotonic()
        why = Webhook(f"http://127.0.0.1:{slow.getsockname()[1]}/x", KEY, seconds=2).send(b"{}")
        assert time.monotonic() - started < 4
        assert "in time" in why or "within 2 s" in why
        ended.set()
        worker.join(5)


def test_nobody_there_is_told_without_the_address() -> None:
    why = Webhook(f"http://127.0.0.1:{free_port()}{PATH}", KEY, seconds=1).send(b"{}")
    assert "cannot be reached" in why
    assert "canary" not in why + repr(Webhook(f"http://h{PATH}", KEY))


@pytest.mark.parametrize(
    "url",
    ["http://chat.example.com/x", "ftp://127.0.0.1/x", "https://", "https://ada:hunter2@h/x", "https://h:port/", "x"],
)
def test_only_https_leaves_this_machine(url: str) -> None:
    with pytest.raises(InputError, match="https://") as caught:
        open_webhook(url, "S", {"S": "secret"})
    assert "hunter2" not in caught.value.message
    assert open_webhook("https://chat.example.com/x", "S", {"S": "s"}).key == b"s"
    assert open_webhook("http://127.0.0.1/x", "S", {"S": "s"}).key == b"s"


@pytest.mark.parametrize("secret", ["", "whsec_!"])
def test_without_a_secret_nothing_is_sent(secret: str) -> None:
    with pytest.raises(InputError, match="PROMOTE_EVENTS_SECRET"):
        open_webhook("https://h/x", "PROMOTE_EVENTS_SECRET", {"PROMOTE_EVENTS_SECRET": secret})
