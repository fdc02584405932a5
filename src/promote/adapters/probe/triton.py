"""Triton's metadata and metrics over plain HTTP: one small answer each, without a client library.

Not here: what they mean (``core.probe``); a Triton that serves models (``triton_server``).
"""

import time

from promote.core.access import OPEN, Access
from promote.core.endpoint import parse_endpoint
from promote.core.names import printable
from promote.errors import IntegrityError, Unavailable

_SECONDS = 5.0
_ALL_SECONDS = 15.0
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
    import requests

    at = parse_endpoint(endpoint, "http")
    url = f"{'https' if at.tls else 'http'}://{at.address}{at.prefix}{path}"
    until, data = time.monotonic() + _ALL_SECONDS, b""
    try:
        with requests.Session() as session:
            session.trust_env = False
            session.headers.update(access.headers)
            session.verify = access.roots or True
            session.cert = (access.certificate, access.key or access.certificate) if access.certificate else None
            with session.get(url, timeout=_SECONDS, stream=True, allow_redirects=False) as answer:
                if answer.status_code != 200:
                    raise Unavailable(f"{endpoint} answers {answer.status_code} to {path}")
                for chunk in answer.iter_content(65_536):
                    data += chunk
                    if len(data) > _LARGEST[path]:
                        raise IntegrityError(f"{endpoint}{path} has more than {_LARGEST[path]:,} bytes")
                    if time.monotonic() > until:
                        raise Unavailable(f"{endpoint}{path} did not come to an end in {_ALL_SECONDS:.0f} s")
    except (requests.RequestException, OSError, ValueError) as error:
        raise Unavailable(f"no answer from {printable(endpoint, 80)}: {type(error).__name__}") from error
    return data
