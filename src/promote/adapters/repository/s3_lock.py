"""One deployment of a model at a time, from whichever machine: an object that only one can create, renewed while it is held.

Its age is told by the server's clock on both sides (``Date`` minus ``Last-Modified``), so clocks here do not matter. One that
was not renewed for ``EXPIRY`` seconds was left by a kill, and is taken over. It saves work, no more: the record is written
conditionally, and digests keep the repository whole.
"""

import json
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from typing import Any

from promote.adapters.repository.s3_client import Changed, asking, missing
from promote.core.names import printable
from promote.errors import PromoteError, Unavailable

EXPIRY = 120.0


@contextmanager
def hold(client: Any, bucket: str, key: str, name: str, by: str, expiry: float = EXPIRY) -> Iterator[None]:
    """Holds the object at ``key`` for deploying ``name``.

    Raises:
        Unavailable: another deployment holds it; the message names it.
    """
    body = json.dumps({"by": by, "token": uuid.uuid4().hex}).encode()
    at = {"Bucket": bucket, "Key": key}
    mark = _take(client, at, body, name, expiry)
    ended = threading.Event()
    renewing = threading.Thread(target=_renew, args=(client, at, body, mark, ended, expiry / 4), daemon=True)
    renewing.start()
    try:
        yield
    finally:
        ended.set()
        renewing.join(5)
        _release(client, at, body, name)


def _take(client: Any, at: dict[str, str], body: bytes, name: str, expiry: float) -> str:
    doing = f"lock {name}"
    try:
        with asking(doing):
            return str(client.put_object(**at, Body=body, IfNoneMatch="*")["ETag"])
    except Changed:
        pass
    with asking(doing) as failures:
        try:
            held = client.get_object(**at)
        except failures as error:
            if missing(error):
                raise Unavailable(f"{name} was being deployed until now", hint="run the same command again") from error
            raise
        data = held["Body"].read(2000)
    if data == body:  # the reply to our own request was lost
        return str(held["ETag"])
    now = parsedate_to_datetime(held["ResponseMetadata"]["HTTPHeaders"]["date"])
    age = (now - held["LastModified"]).total_seconds()
    if age > expiry:
        try:
            with asking(doing):
                return str(client.put_object(**at, Body=body, IfMatch=held["ETag"])["ETag"])
        except Changed:
            age = 0.0
    raise Unavailable(
        f"{name} is being deployed by {_holder(data)}, seen {max(age, 0):.0f} s ago",
        hint=f"wait until it ends; a lock that a kill left goes after {expiry:.0f} s",
    )


def _holder(data: bytes) -> str:
    try:
        return printable(str(json.loads(data)["by"]), 120)
    except (ValueError, KeyError, TypeError):
        return "somebody"


def _renew(client: Any, at: dict[str, str], body: bytes, mark: str, ended: threading.Event, pause: float) -> None:
    while not ended.wait(pause):
        try:
            with asking("renew the lock"):
                mark = str(client.put_object(**at, Body=body, IfMatch=mark)["ETag"])
        except Changed:
            return  # taken over: the record's condition decides
        except PromoteError:
            continue  # the next one may reach it


def _release(client: Any, at: dict[str, str], body: bytes, name: str) -> None:
    """Only our own; what cannot be released now expires."""
    try:
        with asking(f"unlock {name}"):
            if client.get_object(**at)["Body"].read(2000) == body:
                client.delete_object(**at)
    except PromoteError:
        return
