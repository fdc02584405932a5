"""Where a Triton is reached: ``host:port``, or ``https://host[:port][/prefix]`` and ``grpcs://host[:port]`` over TLS.

A user, a query or another scheme has no place there: credentials are headers, whose values come from the environment
(``core.access``).
"""

import re
from dataclasses import dataclass

from promote.core.names import printable
from promote.errors import InputError

EXPECTED = {
    "http": "expected host:port, or https://host[:port][/prefix]",
    "grpc": "expected host:port, or grpcs://host[:port]",
}
_SCHEME = {"http": "https", "grpc": "grpcs"}
_TLS_PORT = 443
_HOST = r"(?P<host>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:]+\])"
_PLAIN = re.compile(rf"{_HOST}:(?P<port>[0-9]{{1,5}})")
_TLS = re.compile(rf"(?P<scheme>[a-z]+)://{_HOST}(?::(?P<port>[0-9]{{1,5}}))?(?P<prefix>(?:/[A-Za-z0-9._~-]+)*)/?")
_LOOPBACK = re.compile(r"localhost|127(?:\.[0-9]{1,3}){3}|\[::1\]")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One protocol of one server.

    Args:
        host: a name, an IPv4 address, or an IPv6 address in brackets.
        port: 1 to 65535.
        tls: the line is encrypted and the server proves its name.
        prefix: ``/a/b`` before every path, of HTTP only; mostly empty.
    """

    host: str
    port: int
    tls: bool = False
    prefix: str = ""

    @property
    def address(self) -> str:
        """``host:port``."""
        return f"{self.host}:{self.port}"

    @property
    def private(self) -> bool:
        """What is sent there cannot be read on the way: it is encrypted, or does not leave this machine."""
        return self.tls or _LOOPBACK.fullmatch(self.host) is not None


def parse_endpoint(text: str, protocol: str) -> Endpoint:
    """The endpoint that a target's setting names; ``protocol`` is ``http`` or ``grpc``.

    Raises:
        InputError: another form; the message shows no user that was put into it.
    """
    plain = _PLAIN.fullmatch(text)
    secure = None if plain else _TLS.fullmatch(text)
    found = plain or secure
    port = int(found["port"] or _TLS_PORT) if found else 0
    if found and 0 < port < 65_536:
        if plain:
            return Endpoint(found["host"], port)
        prefix = found["prefix"]
        steps = {"", ".", ".."} & set(prefix.split("/")[1:])
        if found["scheme"] == _SCHEME[protocol] and not steps and not (prefix and protocol == "grpc"):
            return Endpoint(found["host"], port, tls=True, prefix=prefix)
    shown = printable(text.rpartition("@")[2], 80)
    raise InputError(f"{shown!r} is no {protocol} endpoint: {EXPECTED[protocol]}")
