"""Where a registry is: its address as the user wrote it, taken apart and checked; and which hosts may be spoken to.

Not here: layouts on disk, and speaking.
"""

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from promote.core.names import model_name, printable
from promote.errors import InputError

_HOST = re.compile(r"([a-z0-9]([a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\])(:[1-9][0-9]{0,4})?")
_REPOSITORY = re.compile(r"[a-z0-9]+(([._]|__|-+)[a-z0-9]+)*(/[a-z0-9]+(([._]|__|-+)[a-z0-9]+)*)*")  # distribution-spec
_MEDIA_TYPE = re.compile(r"(application|text)/[a-z0-9][a-z0-9.+-]{0,99}")
_DOCKER_HUB = "registry-1.docker.io"  # where docker.io is spoken to


@dataclass(frozen=True, slots=True)
class Origin:
    """A registry and the path under which models lie.

    Args:
        scheme: ``https`` or ``http``.
        host: with the port where one was given.
        path: ``acme/models``, or empty.
    """

    scheme: str
    host: str
    path: str

    @property
    def url(self) -> str:
        """Scheme and host to speak to."""
        return f"{self.scheme}://{_DOCKER_HUB if self.host == 'docker.io' else self.host}"

    @property
    def private(self) -> bool:
        """Nobody on the way can read what is said."""
        return self.scheme == "https" or is_loopback(self.url)

    def repository(self, name: str) -> str:
        """The repository of a model within the registry: ``acme/models/ner``.

        Raises:
            InputError: the name is a model name but no part of an OCI repository name.
        """
        joined = f"{self.path}/{model_name(name)}" if self.path else model_name(name)
        if not _REPOSITORY.fullmatch(joined):
            raise InputError(
                f"{joined!r} cannot be a repository of a registry: no two of . _ - side by side except __ and --",
                hint="choose another name with --name",
            )
        return joined


def parse_origin(base: str) -> Origin:
    """The registry that ``base`` names: ``[https://|http://]host[:port][/path]``.

    Raises:
        InputError: another form, credentials in it, or a link-local address (cloud metadata lives there).
    """
    from oras.container import Container

    scheme, _, rest = base.rpartition("://")
    if "@" in base or "?" in base or "#" in base:
        raise InputError(
            "the registry's address may hold no user, digest or query",
            hint="credentials: docker login, or PROMOTE_REGISTRY_USERNAME and PROMOTE_REGISTRY_PASSWORD",
        )
    try:
        container = Container(f"{rest.rstrip('/')}/model")
    except ValueError as error:
        raise _no_base(base) from error
    host, path = (container.registry or "").lower(), container.namespace or ""
    understood = "/".join(part for part in (container.registry, path) if part) == rest.rstrip("/")
    if not understood or scheme not in ("", "http", "https") or not _HOST.fullmatch(host):
        raise _no_base(base)
    if path and not _REPOSITORY.fullmatch(path):
        raise InputError(
            f"{printable(path, 60)!r} cannot be a repository of a registry", hint="lower case a-z 0-9 . _ -"
        )
    plain = "http" if is_loopback(f"http://{host}") else "https"
    origin = Origin(scheme or plain, host, path)
    refuse_link_local(origin.url)
    return origin


def _no_base(base: str) -> InputError:
    return InputError(
        f"{printable(base, 100)!r} names no registry",
        hint="for instance ghcr.io/acme/models, http://127.0.0.1:5000/models, or oci:bundles for a folder",
    )


def is_repository(path: str) -> bool:
    """Whether it can be the name of a repository. Source: distribution-spec; 255 characters as CNCF Distribution allows."""
    return len(path) <= 255 and _REPOSITORY.fullmatch(path) is not None


def origin_of(url: str) -> tuple[str, str, int]:
    """Scheme, host and port: what must be equal for credentials to go along.

    Raises:
        ValueError: no such things in it.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        raise ValueError("not an http address of a host")
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}[parts.scheme]


def is_loopback(url: str) -> bool:
    """The host is this machine, by its literal address or by the name ``localhost``."""
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def refuse_link_local(url: str) -> None:
    """An address of a cloud's metadata service is no registry.

    Raises:
        InputError: the host is a link-local address.
    """
    host = urlsplit(url).hostname or ""
    try:
        linked = ipaddress.ip_address(host).is_link_local
    except ValueError:
        return
    if linked:
        raise InputError(f"{host} is a link-local address, where no registry is")


def media_type(text: str) -> str:
    """A media type as a message may show it; anything else that a registry writes in its place may be an echo of ours."""
    return repr(text) if _MEDIA_TYPE.fullmatch(text) else "of another type"


def shown(url: str) -> str:
    """The address without its query, which may hold a signature, on one line."""
    parts = urlsplit(url)
    return printable(
        f"{parts.scheme}://{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}{parts.path}", 160
    )
