"""Lets us in to a Triton: headers on every request, TLS that proves the server's name, a client certificate where asked.

Verification cannot be switched off; a private authority is named by ``ca_file``. Not here: where header values come from
(``core.access``).
"""

import re
import ssl
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from promote.core.access import Access
from promote.core.names import printable
from promote.errors import AuthError, InputError, Unavailable

_Stamp = tuple[str, int]
"""A file, and when it was written: a renewed certificate is read again."""

_WHY = (
    (r"certificate has expired", "its certificate has expired"),
    (r"not yet valid", "its certificate is not valid yet"),
    (r"[Hh]ostname|Peer name .* is not in peer certificate|IP address mismatch", "its certificate is for another name"),
    (r"self.signed|unable to get local issuer|CERTIFICATE_VERIFY_FAILED|certificate verify failed",
     "its certificate is of an authority that is not trusted"),
)  # fmt: skip
_ASKS = re.compile(
    r"certificate required|CERTIFICATE_REQUIRED|alert (bad|unknown|handshake)|ALERT_(BAD|UNKNOWN|HANDSHAKE)", re.I
)
_NO_TLS = re.compile(r"WRONG_VERSION_NUMBER|wrong version number", re.I)


class Headers:
    """A plugin of NVIDIA's clients: it puts the headers on a request; gRPC takes their names in lower case."""

    def __init__(self, access: Access, *, lower: bool = False) -> None:
        self._headers = {name.lower() if lower else name: value for name, value in access.headers.items()}

    def __call__(self, request: Any) -> None:
        """Called by the client before each request."""
        request.headers = {**request.headers, **self._headers}


def http_context(access: Access) -> ssl.SSLContext:
    """The TLS context of a line over HTTP.

    Raises:
        InputError: a file of ``access`` cannot be read, or holds no certificate or key.
    """
    return _context(*_stamps(access))


def gevent_context(access: Access) -> Callable[..., Any]:
    """What gives NVIDIA's HTTP client its own.

    Raises:
        InputError: as ``http_context``.
    """
    stamps = _stamps(access)
    _context(*stamps)  # without gevent its faults are told apart
    context = _of_gevent(*stamps)
    return lambda **_: context


def grpc_credentials(access: Access) -> Any:
    """The same for gRPC.

    Raises:
        InputError: as ``http_context``.
    """
    return _credentials(*_stamps(access))


def not_let_in(where: str, reason: str) -> AuthError:
    """That we are not let in."""
    return AuthError(
        f"{where} does not let us in: {reason}",
        hint="headers_env and client_certificate of the target say what is shown there; see docs/how-to/targets.md",
    )


def distrust(where: str, said: str) -> AuthError | Unavailable | None:
    """What a failed TLS handshake comes to; ``None`` where ``said`` tells of none."""
    for pattern, why in _WHY:
        if re.search(pattern, said):
            hint = (
                "ca_file of the target names the authorities to trust: is it the right file?"
                if "authority" in why
                else ""
            )
            return Unavailable(f"{where} is not trusted: {why}", hint=hint)
    if _ASKS.search(said):
        return not_let_in(where, "it asks for another client certificate")
    if _NO_TLS.search(said):
        return Unavailable(f"{where} does not speak TLS", hint="is it host:port, without https:// or grpcs://?")
    return None


def _stamps(access: Access) -> tuple[_Stamp, _Stamp, _Stamp]:
    if not access.roots:
        from requests.utils import DEFAULT_CA_BUNDLE_PATH

        roots = _stamp(DEFAULT_CA_BUNDLE_PATH)  # the public authorities that the registry is trusted by too
    else:
        roots = _stamp(access.roots)
    certificate = _stamp(access.certificate)
    return roots, certificate, _stamp(access.key) if access.key else certificate


def _stamp(path: str) -> _Stamp:
    if not path:
        return "", 0
    try:
        return path, Path(path).stat().st_mtime_ns
    except OSError as error:
        raise InputError(f"cannot read {printable(path)}: {error.strerror}") from error


@lru_cache(maxsize=4)
def _context(roots: _Stamp, certificate: _Stamp, key: _Stamp) -> ssl.SSLContext:
    return _load(ssl.create_default_context, roots, certificate, key)


@lru_cache(maxsize=4)
def _of_gevent(roots: _Stamp, certificate: _Stamp, key: _Stamp) -> Any:
    import gevent.ssl

    return _load(gevent.ssl.create_default_context, roots, certificate, key)


def _load(create: Callable[..., ssl.SSLContext], roots: _Stamp, certificate: _Stamp, key: _Stamp) -> ssl.SSLContext:
    reading = roots[0]
    try:
        context = create(cafile=roots[0])
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if certificate[0]:
            reading = certificate[0] if key == certificate else f"{certificate[0]} with {key[0]}"
            context.load_cert_chain(certificate[0], key[0], password=_no_password)
    except OSError as error:  # ssl.SSLError is one
        raise InputError(
            f"cannot use {printable(reading, 400)}: {printable(str(error), 120)}",
            hint="ca_file, client_certificate and client_key of a target are PEM files; a key has no password",
        ) from error
    return context


def _no_password() -> str:
    """Without it, OpenSSL would ask on the terminal."""
    return ""


@lru_cache(maxsize=4)
def _credentials(roots: _Stamp, certificate: _Stamp, key: _Stamp) -> Any:
    import grpc

    _context(roots, certificate, key)  # gRPC says nothing of a file that it cannot use
    chain = Path(certificate[0]).read_bytes() if certificate[0] else None
    private = Path(key[0]).read_bytes() if certificate[0] else None
    return grpc.ssl_channel_credentials(Path(roots[0]).read_bytes(), private, chain)
