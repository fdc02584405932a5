"""Sends a notice to a webhook: signed, tried again for a while, and given up; it never stands in the way of what it tells.

Not here: what a notice says (``core.notice``), nor what a signature is (``core.webhook``).
"""

import ipaddress
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from promote.core.webhook import Call, key_of, signature
from promote.errors import InputError

_SECONDS = 10.0
_FIRST_PAUSE = 0.5
_AGAIN = frozenset({408, 425, 429})
_HINT = "docs/how-to/events.md says how to set it up"


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where notices go.

    Args:
        url: of the receiver; may hold a secret of the chat service, so it is not shown.
        key: of the signature.
        seconds: for all tries of one notice together.
    """

    url: str = field(repr=False)
    key: bytes = field(repr=False)
    seconds: float = _SECONDS

    def send(self, body: bytes) -> str:
        """Why the notice did not arrive, in a few words that hold no part of the address; empty where it did.

        The same id goes with every try, so a receiver that got two takes one.
        """
        call = Call(f"msg_{uuid.uuid4().hex}", str(int(time.time())), body)
        came: list[str] = []
        until = time.monotonic() + self.seconds
        # In a thread of its own, which ends with the command: a receiver that sends a byte a second holds up nobody.
        worker = threading.Thread(target=lambda: came.append(self._tried(call, until)), daemon=True)
        worker.start()
        worker.join(self.seconds)
        return came[0] if came else f"nothing came within {self.seconds:g} s"

    def _tried(self, call: Call, until: float) -> str:
        pause = _FIRST_PAUSE
        while True:
            why, again = self._once(call, until - time.monotonic())
            if not why or not again or time.monotonic() + pause >= until:
                return why
            time.sleep(pause)
            pause *= 2

    def _once(self, call: Call, left: float) -> tuple[str, bool]:
        """Why it did not arrive, and whether to try again. A redirect is not followed."""
        import requests

        headers = {
            "Content-Type": "application/json", "User-Agent": "promote", "webhook-id": call.id,
            "webhook-timestamp": call.timestamp, "webhook-signature": signature(self.key, call),
        }  # fmt: skip
        try:
            answer = requests.post(
                self.url, data=call.body, headers=headers, timeout=max(0.1, min(5.0, left)), allow_redirects=False,
                stream=True,
            )  # fmt: skip
        except requests.exceptions.SSLError:
            return "its TLS certificate is not trusted", False
        except requests.exceptions.Timeout:
            return "it did not answer in time", True
        except requests.RequestException as error:
            return f"it cannot be reached ({type(error).__name__})", True
        status = answer.status_code
        answer.close()
        if 200 <= status < 300:
            return "", False
        return f"it answers {status}", status in _AGAIN or status >= 500


def open_webhook(url: str, secret_env: str, environ: Mapping[str, str]) -> Webhook:
    """The receiver of the settings; nothing is asked of it before something is sent.

    Raises:
        InputError: no ``https`` address (``http`` only on this machine), or no secret; the message holds neither.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        host, parts = "", urlsplit("")
    if not host or parts.username or not (parts.scheme == "https" or (parts.scheme == "http" and _here(host))):
        raise InputError("events.webhook is no https:// address without credentials", hint=_HINT)
    try:
        key = key_of(environ.get(secret_env, ""))
    except ValueError as error:
        raise InputError(f"{secret_env}: {error}", hint=_HINT) from None
    if not key:
        raise InputError(f"events.webhook needs a secret, and {secret_env} is not set", hint=_HINT)
    return Webhook(url, key)


def _here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
