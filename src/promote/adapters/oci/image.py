"""The configuration of a container image in a registry: two or three small documents, no layer.

Each is checked against its digest and is at most 4 MiB. Source: opencontainers/image-spec ``image-index.md``, ``manifest.md``,
``config.md``; Docker's older media types have the same form. Not here: what the environment means (``core.probe``).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, TypeVar

import requests
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from promote.adapters.oci.body import chunks
from promote.adapters.oci.failures import Patience
from promote.adapters.oci.files import at_most
from promote.adapters.oci.origin import Origin, media_type, parse_origin
from promote.adapters.oci.transport import Transport
from promote.core.manifest import LARGEST_MANIFEST, MANIFEST_TYPE, misfit, strict_json
from promote.core.names import DIGEST, digest, printable
from promote.core.passport import sha256
from promote.errors import InputError, IntegrityError, NotFound

_INDEXES = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")
_MANIFESTS = (MANIFEST_TYPE, "application/vnd.docker.distribution.manifest.v2+json")
_CONFIGS = ("application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json")
_REFERENCE = re.compile(
    r"(?P<base>.+)/(?P<name>[a-z0-9._-]{1,64})(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9._-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)
_ARCH = {"x86_64": "amd64", "aarch64": "arm64"}
_LONGEST = 400
_BRIEF = Patience(tries=3, budget=10.0)
_M = TypeVar("_M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Image:
    """What an image says of itself.

    Args:
        name: ``nvcr.io/nvidia/tritonserver:26.04-py3``, as it was asked for.
        digest: of the manifest that was read, ``sha256:...``.
        environment: ``NAME=value`` lines.
    """

    name: str
    digest: str
    environment: tuple[str, ...]


class _Model(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)


class _Platform(_Model):
    os: str = ""
    architecture: str = ""


class _Descriptor(_Model):
    mediaType: str = ""
    digest: str
    size: Annotated[int, Field(ge=0, le=LARGEST_MANIFEST)]
    platform: _Platform = _Platform()


class _Index(_Model):
    manifests: Annotated[list[_Descriptor], Field(max_length=200)]


class _Manifest(_Model):
    config: _Descriptor


class _Settings(_Model):
    Env: Annotated[list[Annotated[str, Field(max_length=32_768)]], Field(max_length=2000)] | None = None


class _Config(_Model):
    os: str = ""
    architecture: str = ""
    config: _Settings | None = None


def parse_reference(text: str) -> tuple[Origin, str, str]:
    """The registry, the repository in it, and the tag or digest (``latest`` where neither is given).

    Raises:
        InputError: no such reference, or one without a registry's host.
    """
    if "@" in text.partition("@sha256:")[0]:
        raise InputError("--image may hold no user", hint="credentials: docker login, for the registry's own host")
    found = _REFERENCE.fullmatch(text.removeprefix("docker://"))
    if (
        found is None
        or len(text) > _LONGEST
        or "://" in found["base"]
        or not re.search(r"[.:\]]|^localhost", found["base"].partition("/")[0])
    ):
        raise InputError(
            f"--image {printable(text, 100)!r}: expected HOST/NAME:TAG or HOST/NAME@sha256:...",
            hint="for instance nvcr.io/nvidia/tritonserver:26.04-py3",
        )
    origin = parse_origin(found["base"])
    return origin, origin.repository(found["name"]), found["digest"] or found["tag"] or "latest"


def read_image(reference: str, arch: str, env: Mapping[str, str]) -> Image:
    """The image's own description, for Linux on ``arch`` where it comes for several.

    Args:
        reference: ``HOST/NAME:TAG`` or ``HOST/NAME@sha256:...``.
        arch: ``x86_64`` or ``aarch64``.
        env: where credentials are looked for, see ``registry.open_registry``.

    Raises:
        InputError: no reference.
        NotFound: no such image, or not for that architecture.
        IntegrityError: a document is too large, is not what its digest says, or has another form.
        AuthError, Unavailable: the registry refuses, or does not answer.
    """
    origin, path, wanted = parse_reference(reference)
    return _Reader(reference, f"{origin.url}/v2/{path}", Transport(origin, env)).read(wanted, _ARCH.get(arch, "amd64"))


class _Reader:
    """Follows an image from its name to its configuration."""

    def __init__(self, name: str, root: str, transport: Transport) -> None:
        self._name, self._root, self._transport = name, root, transport

    def read(self, wanted: str, arch: str) -> Image:
        """See ``read_image``."""
        data, kind = self._get(f"manifests/{wanted}", (*_INDEXES, *_MANIFESTS), wanted)
        if kind in _INDEXES:
            chosen = self._choose(self._parse(_Index, data, "index"), arch)
            data, kind = self._get(f"manifests/{chosen.digest}", _MANIFESTS, chosen.digest)
        if kind not in _MANIFESTS:
            raise IntegrityError(f"{self._name} is {media_type(kind)}, expected a container image")
        config = self._parse(_Manifest, data, "manifest").config
        if config.mediaType not in _CONFIGS:
            raise IntegrityError(f"{self._name} is no container image: its config is {media_type(config.mediaType)}")
        told, _ = self._get(f"blobs/{digest(config.digest)}", (), config.digest)
        found = self._parse(_Config, told, "config")
        if len(told) != config.size:
            raise IntegrityError(f"the config of {self._name} has {len(told):,} bytes, expected {config.size:,}")
        if (found.os, found.architecture) != ("linux", arch):
            raise NotFound(
                f"{self._name} is for {printable(found.os, 20)}/{printable(found.architecture, 20)}, expected linux/{arch}"
            )
        return Image(self._name, sha256(data), tuple(found.config.Env or ()) if found.config else ())

    def _choose(self, index: _Index, arch: str) -> _Descriptor:
        for entry in index.manifests:
            if (entry.platform.os, entry.platform.architecture) == ("linux", arch):
                digest(entry.digest)
                return entry
        raise NotFound(f"{self._name} has no image for linux/{arch}")

    def _parse(self, form: type[_M], data: bytes, what: str) -> _M:
        try:
            return form.model_validate(strict_json(data, f"the {what} of {self._name}"))
        except ValidationError as error:
            raise IntegrityError(f"the {what} of {self._name} has another form: {misfit(error)}") from error

    def _get(self, path: str, accept: tuple[str, ...], wanted: str) -> tuple[bytes, str]:
        """One document and its media type, checked against its digest."""
        headers = {"Accept": ", ".join(accept)} if accept else {}
        expected = frozenset({200, 404})

        def attempt() -> tuple[bytes, str]:
            with self._transport.send("GET", f"{self._root}/{path}", expected, headers=headers) as answer:
                if answer.status_code == 404:
                    raise NotFound(
                        f"{self._name} is not there", hint="a private repository may answer so to a stranger"
                    )
                return self._body(answer), answer.headers.get("Content-Type", "").partition(";")[0].strip()

        data, kind = _BRIEF.during(attempt)
        if DIGEST.fullmatch(wanted) and sha256(data) != wanted:
            raise IntegrityError(f"{self._name} holds other bytes than {wanted}")
        return data, kind

    def _body(self, answer: requests.Response) -> bytes:
        data = b"".join(at_most(chunks(answer), LARGEST_MANIFEST, f"a document of {self._name}"))
        promised = answer.headers.get("Docker-Content-Digest", "")
        if DIGEST.fullmatch(promised) and sha256(data) != promised:
            raise IntegrityError(f"{self._name} holds other bytes than {promised}")
        return data


__all__ = ["Image", "parse_reference", "read_image"]
