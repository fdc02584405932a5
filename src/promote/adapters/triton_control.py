"""Questions about state to a Triton, in its own protobuf messages, and one plain GET: what control takes and no more.

NVIDIA's client imports numpy, ml_dtypes and gevent before it can ask whether a server is there; in an incident somebody waits
for that. Tensors go through it all the same (``triton_wire``). Not here: what an answer or an error means.
"""

import http.client
import time
from contextlib import closing
from typing import Any

from promote.adapters.triton_access import http_context
from promote.core.access import Access
from promote.core.endpoint import Endpoint
from promote.core.triton_messages import services
from promote.errors import IntegrityError

_SERVICE = "/inference.GRPCInferenceService/"
_NO_LIMIT = 2**31 - 1  # as NVIDIA's client: an index may be long
_OPTIONS = (("grpc.max_send_message_length", _NO_LIMIT), ("grpc.max_receive_message_length", _NO_LIMIT))
_LONGEST, _PIECE = 2**20, 2**16  # bytes


class Control:
    """One line over gRPC; it connects with the first question.

    Args:
        at: where.
        credentials: of gRPC; ``None``: the line is plain.
        access: its headers go with every question.
    """

    def __init__(self, at: Endpoint, credentials: Any, access: Access) -> None:
        import grpc

        where = at.address
        self._channel = (
            grpc.secure_channel(where, credentials, _OPTIONS) if credentials else grpc.insecure_channel(where, _OPTIONS)
        )
        self._metadata = tuple((name.lower(), value) for name, value in access.headers.items())

    def ask(self, method: str, seconds: float, **fields: Any) -> Any:
        """The answer to one question.

        Args:
            method: of the service, ``ModelReady``; its request has that name and ``Request`` behind it.
            seconds: for all of it.
            fields: of the request.

        Raises:
            grpc.RpcError: an error, or no answer.
        """
        messages = services()
        call = self._channel.unary_unary(
            _SERVICE + method,
            request_serializer=getattr(messages, f"{method}Request").SerializeToString,
            response_deserializer=getattr(messages, f"{method}Response").FromString,
        )
        return call(getattr(messages, f"{method}Request")(**fields), timeout=seconds, metadata=self._metadata)

    def close(self) -> None:
        """Ends the line."""
        self._channel.close()


def get(at: Endpoint, path: str, access: Access, *, seconds: float, most: int = _LONGEST) -> tuple[int, bytes]:
    """State and body of ``path``; no redirect is followed and no proxy asked, so headers go to ``at`` alone.

    Args:
        at: where.
        path: ``/v2``.
        access: what lets us in.
        seconds: to connect, and for each piece of the answer; three times as many for all of it.
        most: bytes that such an answer may have.

    Raises:
        OSError, http.client.HTTPException: no answer, or none of HTTP.
        IntegrityError: more bytes.
        InputError: a file of ``access`` cannot be used.
    """
    host = at.host.strip("[]")
    line = (
        http.client.HTTPSConnection(host, at.port, timeout=seconds, context=http_context(access))
        if at.tls
        else http.client.HTTPConnection(host, at.port, timeout=seconds)
    )
    until, data = time.monotonic() + 3 * seconds, b""
    with closing(line):
        line.request("GET", at.prefix + path, headers=dict(access.headers))
        answer = line.getresponse()
        while piece := answer.read1(_PIECE):
            data += piece
            if len(data) > most:
                raise IntegrityError(f"{at.address}{path} has more than {most:,} bytes")
            if time.monotonic() > until:
                raise TimeoutError(f"{at.address}{path} did not come to an end in {3 * seconds:.0f} s")
        return answer.status, data
