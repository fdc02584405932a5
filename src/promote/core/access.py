"""What a target's Triton asks for before it answers: headers (the tokens of a tunnel), an authority, a client certificate.

Settings name environment variables, never values. A value lives in ``Access`` alone, which shows none when it is printed.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from promote.core.endpoint import parse_endpoint
from promote.core.facts import Target
from promote.errors import AuthError, InputError

# What both HTTP (RFC 9110) and gRPC (PROTOCOL-HTTP2.md, Custom-Metadata) take; gRPC sends it in lower case.
HEADER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
# What the protocols themselves say; ``-bin`` is gRPC's mark of values that are no text.
_TAKEN = {
    "accept-encoding", "connection", "content-encoding", "content-length", "content-type", "expect", "host", "keep-alive",
    "inference-header-content-length", "te", "trailer", "transfer-encoding", "upgrade", "user-agent",
}  # fmt: skip
_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,8190}[\x21-\x7e])?")
_HINT = "see docs/how-to/targets.md"


@dataclass(frozen=True, slots=True)
class Access:
    """How to be let in.

    Args:
        headers: name -> value, sent with every request; the values are secret.
        roots: file of the authorities that may have signed the server's certificate; empty: the public ones.
        certificate: file of this client's certificate; empty: none.
        key: file of its key; empty: in the certificate's file.
    """

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    roots: str = ""
    certificate: str = ""
    key: str = ""

    def hide(self, text: str) -> str:
        """``text`` without the secret values: a server may repeat what it was sent."""
        for value in sorted(self.headers.values(), key=len, reverse=True):
            text = text.replace(value, "***")
        return text


OPEN = Access()
"""Nothing is asked for."""


def header_name(text: str) -> str:
    """The name itself when a header may have it.

    Raises:
        ValueError: another form, or one that the protocol itself uses.
    """
    if not HEADER_NAME.fullmatch(text):
        raise ValueError("expected the name of a header: letters, digits, . _ and -")
    if text.lower() in _TAKEN or text.lower().startswith("grpc-") or text.lower().endswith("-bin"):
        raise ValueError("a header that HTTP or gRPC sets itself, or that holds no text")
    return text


def variable_name(text: str) -> str:
    """The name itself when an environment variable may have it.

    Raises:
        ValueError: another form; it is not repeated, since it may be the secret itself.
    """
    if not VARIABLE.fullmatch(text):
        raise ValueError("expected the name of an environment variable, not a value")
    return text


def access_of(target: Target, environ: Mapping[str, str], path: Callable[[str], str]) -> Access:
    """What ``target`` asks for, its values read from ``environ``.

    Args:
        target: with its endpoints.
        environ: environment variables.
        path: a file of the settings -> where it lies.

    Raises:
        AuthError: a variable is not set.
        InputError: its value cannot be a header, or would be sent unencrypted to another machine.
    """
    if target.client_key and not target.client_certificate:
        raise InputError(f"target {target.name} has client_key and no client_certificate", hint=_HINT)
    headers = {name: _value(target.name, name, variable, environ) for name, variable in target.headers_env}
    servers = ((target.http, target.grpc), *target.replicas)
    endpoints = [pair for one in servers for pair in zip(("http", "grpc"), one, strict=True)]
    endpoints.append(("http", target.metrics or ""))
    open_ones = [text for protocol, text in endpoints if text and not parse_endpoint(text, protocol).private]
    if headers and open_ones and not target.headers_in_clear:
        raise InputError(
            f"target {target.name}: headers_env would be sent unencrypted to {open_ones[0]}",
            hint="use https:// and grpcs://, or headers_in_clear = true where the network itself encrypts; " + _HINT,
        )
    roots, certificate, key = (
        path(file) if file else "" for file in (target.ca_file, target.client_certificate, target.client_key)
    )
    return Access(headers, roots, certificate, key)


def _value(target: str, header: str, variable: str, environ: Mapping[str, str]) -> str:
    where = f"environment variable {variable}, which target {target} names for header {header},"
    value = environ.get(variable, "")
    if not value:
        raise AuthError(f"{where} is not set", hint="set it where promote runs; " + _HINT)
    if not _VALUE.fullmatch(value):
        raise InputError(
            f"{where} holds what no header may: expected printable ASCII on one line",
            hint="is there a line end at its end?",
        )
    return value
