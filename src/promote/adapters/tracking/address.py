"""The tracking server's address: checked before MLflow sees it, and shown without credentials.

Not here: asking the server anything (``client``).
"""

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from promote.core.names import printable
from promote.errors import InputError, NotFound

_SQLITE = "sqlite:///"
_DATABASES = ("postgresql", "mysql", "mssql")
_USERINFO = re.compile(r"//[^/\s'\"]*@")
_SECRET = re.compile(r"(?i)((?:password|passwd|pwd|secret|token|signature|credential)[\w-]*=)[^&\s'\";]+")
_HINT = "for instance https://mlflow.example.com or sqlite:///mlflow.db"


@dataclass(frozen=True, slots=True)
class Address:
    """A tracking server or database.

    Args:
        uri: as given, with credentials where it has some.
        shown: for people: without credentials and query.
        scheme: ``http``, ``https``, ``sqlite`` or a database.
        host: lower case; empty for a file.
        port: where the address names one.
    """

    uri: str
    shown: str
    scheme: str
    host: str = ""
    port: int | None = None

    @property
    def remote(self) -> bool:
        """It answers over HTTP."""
        return self.scheme in ("http", "https")

    @property
    def here(self) -> bool:
        """It runs on this machine, so a local path that it names means a path on this machine."""
        return self.scheme == "sqlite" or self.host == "localhost" or _loopback(self.host)

    def scrub(self, text: str) -> str:
        """``text`` without this address's credentials, or any other that looks like one."""
        parts = urlsplit(self.uri)
        userinfo = parts.netloc.rpartition("@")[0]
        for secret in (userinfo, parts.password, unquote(parts.password or "")):
            text = text.replace(secret, "***") if secret else text
        return _SECRET.sub(r"\1***", _USERINFO.sub("//", text))


def parse_address(uri: str) -> Address:
    """The address of ``uri``.

    Raises:
        InputError: no address that promote can use; the message holds no credentials.
        NotFound: a SQLite file that is not there (MLflow would make an empty one).
    """
    if uri.startswith("sqlite:"):
        return _file(uri)
    try:
        parts = urlsplit(uri)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        raise InputError("the tracking URI has a malformed host or port", hint=_HINT) from None
    if parts.scheme in ("", "file") and uri != "databricks":
        raise InputError(
            f"{_without_credentials(uri)} is a folder: MLflow's file store is in maintenance and promote does not use it",
            hint="mlflow migrate-filestore moves it to SQLite",
        )
    known = parts.scheme in ("http", "https") or parts.scheme.partition("+")[0] in _DATABASES
    if not known or not host or printable(uri, 2000) != uri:
        raise InputError(f"{_without_credentials(uri)} is no tracking server that promote knows", hint=_HINT)
    bare = parts.netloc.rpartition("@")[2]
    shown = urlunsplit((parts.scheme, bare, parts.path.rstrip("/"), "", ""))
    return Address(uri.rstrip("/"), shown, parts.scheme, host, port)


def _file(uri: str) -> Address:
    path = uri.removeprefix(_SQLITE).partition("?")[0]
    if not uri.startswith(_SQLITE) or not path or path == ":memory:":
        raise InputError(f"{_without_credentials(uri)} names no SQLite file", hint="for instance sqlite:///mlflow.db")
    if not Path(path).is_file():
        raise NotFound(
            f"there is no MLflow database {printable(path)}",
            hint="set MLFLOW_TRACKING_URI, or mlflow.tracking_uri in promote.toml, to where the run was logged",
        )
    return Address(uri, f"{_SQLITE}{path}", "sqlite")


def _without_credentials(uri: str) -> str:
    return printable(_USERINFO.sub("//", uri).partition("?")[0])


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
