"""A call of a webhook: signed, and held against its secret, its time and those that came before. Pure.

The signature is HMAC-SHA256 over ``id.timestamp.body``, as https://www.standardwebhooks.com describes it and as MLflow 3
sends it (``mlflow/webhooks/delivery.py``). Not here: sending and receiving.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import MutableMapping
from dataclasses import dataclass

TOLERANCE = 300.0
"""Seconds that a call may be old, or ahead of this machine's clock."""
_VERSION = "v1"
_ID = re.compile(r"[\x21-\x7e]{1,200}")
_TIME = re.compile(r"[0-9]{1,12}")
_MOST = 10_000
_ENCODED = "whsec_"


@dataclass(frozen=True, slots=True)
class Call:
    """What came, or is to be sent.

    Args:
        id: of this call; it is used once.
        timestamp: Unix seconds, as text.
        body: every byte of it.
    """

    id: str
    timestamp: str
    body: bytes


def key_of(secret: str) -> bytes:
    """The key: ``whsec_`` and base64, as receivers of Standard Webhooks write it, or the bytes of the text.

    Raises:
        ValueError: ``whsec_`` and no base64.
    """
    if not secret.startswith(_ENCODED):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix(_ENCODED), validate=True)
    except binascii.Error as error:
        raise ValueError("whsec_ is followed by something that is no base64") from error


def signature(key: bytes, call: Call) -> str:
    """``v1,`` and the signature in base64."""
    signed = b".".join((call.id.encode(), call.timestamp.encode(), call.body))
    return f"{_VERSION},{base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()}"


def refusal(call: Call, given: str, key: bytes, now: float, seen: MutableMapping[str, float]) -> str:
    """Why the call is not taken, in words that say nothing of the key; empty where it is genuine, new and of now.

    Args:
        call: as it came.
        given: its signatures, blank between two.
        key: that both sides know.
        now: Unix seconds.
        seen: id to time of the calls that were taken; changed.
    """
    if not _ID.fullmatch(call.id) or not _TIME.fullmatch(call.timestamp):
        return "no id or no time"
    expected = signature(key, call).encode()
    # Every one is compared, each in constant time: how long it takes tells nothing.
    matches = [hmac.compare_digest(expected, one.encode()) for one in given.split(" ")[:8]]
    if not any(matches):
        return "the signature is not that of our secret"
    if abs(now - int(call.timestamp)) > TOLERANCE:
        return "it is older than five minutes, or from the future"
    for known in [known for known, at in seen.items() if abs(now - at) > 2 * TOLERANCE]:
        del seen[known]
    if call.id in seen:
        return "it came before"
    if len(seen) >= _MOST:
        return "too many calls within ten minutes"
    seen[call.id] = float(call.timestamp)
    return ""
