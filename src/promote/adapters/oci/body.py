"""The body of an answer, in pieces of memory that is used again.

urllib3 makes fresh memory for each piece and asks the system several times for it; here http.client's own response, which urllib3
wraps, reads into memory of ours, and a long body that comes over a plain socket is waited for a whole piece at a time. Figures:
docs/performance.md. Not here: what is asked (``transport``), and whether the
bytes are right (``files.verified``).
"""

import http.client
import socket
import struct
from collections.abc import Iterator
from typing import Any

import requests
import urllib3

from promote.adapters.oci.buffers import CHUNK, Buffers
from promote.adapters.oci.origin import shown
from promote.errors import Unavailable

_LONG = 4 * CHUNK  # below, there is little to be won


def chunks(answer: requests.Response) -> Iterator[memoryview]:
    """The pieces of a response's body; its connection is given back when it was read to its end, and else closed.

    Raises:
        Unavailable: the connection broke.
    """
    with answer:
        inner: Any = answer.raw._fp  # http.client.HTTPResponse
        buffers = Buffers(inner.length)
        try:
            yield from _waited_for(answer.raw, buffers)
            while True:
                buffer = buffers.take()
                left, got = inner.length, inner.readinto(buffer)
                if not got:
                    break
                yield memoryview(buffer)[:got]
        except (http.client.HTTPException, urllib3.exceptions.HTTPError, OSError):
            raise _broke(answer) from None
        if left:
            raise _broke(answer)
        answer.raw.release_conn()


def _broke(answer: requests.Response) -> Unavailable:
    return Unavailable(
        f"the connection to {shown(answer.url)} broke", hint="run the same command again; finished files are kept"
    )


def _waited_for(raw: Any, buffers: Buffers) -> Iterator[memoryview]:
    """All but the end of a long body on a plain socket: the system fills each piece before it wakes us.

    The socket's time limit counts as before: it is the system that holds it then, and what came within it is passed on.
    """
    inner, line = raw._fp, getattr(raw.connection, "sock", None)
    if type(line) is not socket.socket or not inner.length or inner.length < _LONG:
        return
    head = len(inner.peek())  # came with the headers, and lies in a buffer of http.client
    buffer = buffers.take()
    yield memoryview(buffer)[: inner.readinto(memoryview(buffer)[:head])]
    seconds = line.gettimeout()
    line.settimeout(None)
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", int(seconds or 0), 0))
    try:
        while inner.length > CHUNK:
            buffer = buffers.take()
            got = line.recv_into(buffer, CHUNK, socket.MSG_WAITALL)
            if not got:
                raise ConnectionResetError
            inner.length -= got
            yield memoryview(buffer)[:got]
    finally:
        line.settimeout(seconds)
