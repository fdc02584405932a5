"""Passports in an OCI layout on disk, each found by its version's manifest; read-only, beside ``layout``.

Every byte is verified against the digest that leads to it. A damaged version is told as an ``Item`` with its fault.
"""

import re
from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from promote.adapters.whole_file import read_whole
from promote.core.manifest import INDEX_TYPE, LARGEST_MANIFEST, strict_json
from promote.core.names import DIGEST, printable
from promote.core.passport import sha256
from promote.core.passport_item import LARGEST, Item
from promote.errors import IntegrityError, PromoteError

_REF_NAME = "org.opencontainers.image.ref.name"
_VERSION_TAG = re.compile(r"v[1-9][0-9]{0,9}")


class _Annotations(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True)

    passport: Annotated[str, Field(alias="io.promote.passport", pattern=r"^sha256:[0-9a-f]{64}$")]


class _Manifest(BaseModel):
    """All that is asked of a manifest whose own digest was right: which passport it was pushed with."""

    model_config = ConfigDict(frozen=True, strict=True)

    annotations: _Annotations


_manifest = _Manifest.__pydantic_validator__.validate_json


def passport_digest(manifest: bytes, where: str) -> str:
    """The digest of the passport that a manifest names.

    Raises:
        IntegrityError: it names none.
    """
    try:
        digest: str = _manifest(manifest).annotations.passport
    except ValidationError as error:
        raise IntegrityError(f"{where} is not a bundle of promote: it names no passport") from error
    return digest


def read_layout(root: str) -> Iterator[Item]:
    """The passport of every version in a layout, its bytes verified against the digests that lead to it."""
    try:
        index = strict_json(read_whole(f"{root}/index.json", LARGEST_MANIFEST), f"{printable(root)}/index.json")
        entries = _versions(index)
    except PromoteError as error:
        yield Item(f"oci:{root}", fault=error.message)
        return
    for tag, digest in entries:
        where = f"oci:{root}:{tag}"
        try:
            for at, manifest in _bundles(root, where, _blob(root, digest, LARGEST_MANIFEST)):
                yield Item(at, passport=_blob(root, passport_digest(manifest, at), LARGEST))
        except PromoteError as error:
            yield Item(where, fault=error.message)


def _bundles(root: str, where: str, manifest: bytes) -> Iterator[tuple[str, bytes]]:
    """The manifest of a version, or that of each variant, and what to call it."""
    if INDEX_TYPE.encode() not in manifest:  # which no manifest of a bundle names: to parse each twice takes too long
        yield where, manifest
        return
    from promote.core.referrers import read_index

    for entry in read_index(manifest, where):
        label = str((entry.get("annotations") or {}).get("io.promote.variant", entry["digest"][:19]))
        yield f"{where} {printable(label, 80)}", _blob(root, entry["digest"], LARGEST_MANIFEST)


def _versions(index: Any) -> list[tuple[str, str]]:
    try:
        named = [(entry.get("annotations", {}).get(_REF_NAME), entry["digest"]) for entry in index["manifests"]]
        tags = [(str(tag), str(digest)) for tag, digest in named if tag and _VERSION_TAG.fullmatch(str(tag))]
        return sorted(tags, key=lambda pair: int(pair[0][1:]))
    except (TypeError, KeyError, AttributeError) as error:
        raise IntegrityError("index.json is not an index of manifests") from error


def _blob(root: str, digest: str, most: int) -> bytes:
    if not DIGEST.fullmatch(digest):
        raise IntegrityError(f"{printable(digest, 60)!r} is not a digest")
    data = read_whole(f"{root}/blobs/sha256/{digest[7:]}", most)
    if sha256(data) != digest:
        raise IntegrityError(f"the bytes of {digest} have the digest {sha256(data)}")
    return data
