"""Triton's metadata and metrics over plain HTTP: one small answer each, without a client library.

Not here: what they mean (``core.probe``); a Triton that serves models (``triton_server``).
"""

from http.client import HTTPException

from promote.adapters.triton_control import get as ask
from promote.core.access import OPEN, Access
from promote.core.endpoint import parse_endpoint
from promote.core.names import printable
from promote.errors import Unavailable

_SECONDS = 5.0
_LARGEST = {"/v2": 2**20, "/metrics": 2**24}


def get(endpoint: str, path: str, access: Access = OPEN) -> bytes:
    """The body of ``path`` at ``endpoint``; neither proxies nor redirects are followed, so headers go nowhere else.

    Args:
        endpoint: as ``core.endpoint`` says.
        path: ``/v2`` or ``/metrics``.
        access: what lets us in.

    Raises:
        Unavailable: nobody answers, or not in time, or with another state than 200.
        IntegrityError: more bytes than such an answer has.
    """
    at = parse_endpoint(endpoint, "http")
    try:
        state, data = ask(at, path, access, seconds=_SECONDS, most=_LARGEST[path])
    except (HTTPException, OSError) as error:
        raise Unavailable(f"no answer from {printable(endpoint, 80)}: {type(error).__name__}") from error
    if state != 200:
        raise Unavailable(f"{endpoint} answers {state} to {path}")
    return data
