"""Referrers: what others say of a bundle, each a manifest of its own that names the bundle as its subject. Pure.

A registry with the referrers API lists them itself; in any other, and in a layout, an image index under a tag made of the
subject's digest does. Source: opencontainers/distribution-spec 1.1, "Pushing Manifests with Subject", "Listing Referrers",
"Referrers Tag Schema". Not here: reading and writing the index (``adapters.oci``).
"""

import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from promote.core.manifest import INDEX_TYPE, LARGEST_MANIFEST, MANIFEST_TYPE, misfit, strict_json
from promote.core.names import digest as checked_digest
from promote.core.names import printable
from promote.core.passport import sha256
from promote.core.stages import Blob, Held, Stored
from promote.errors import InputError, IntegrityError

EMPTY_TYPE = "application/vnd.oci.empty.v1+json"
CREATED = "org.opencontainers.image.created"
FALLBACK_TAG = re.compile(r"sha256-[0-9a-f]{64}")
LARGEST_EVIDENCE = 1024 * 1024
_EMPTY = b"{}"  # image-spec, "Guidance for an Empty Descriptor"
_MEDIA_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}")  # RFC 6838
_MOST = 10_000
Entry = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Referrer:
    """One referrer as a list of them tells it; only a digest that was fetched proves more.

    Args:
        digest: of its manifest.
        size: of its manifest, bytes.
        artifact_type: what kind of thing it is; empty where the list does not say.
        annotations: of its manifest.
    """

    digest: str
    size: int
    artifact_type: str
    annotations: Mapping[str, str] = field(default_factory=dict)

    @property
    def created(self) -> str:
        """When, as it says itself; empty where it does not."""
        return self.annotations.get(CREATED, "")


@dataclass(frozen=True, slots=True)
class PackedReferrer:
    """A referrer as it is stored: its manifest, and the blobs that must be there before."""

    manifest: Blob
    blobs: tuple[Blob, Blob]


def fallback_tag(digest: str) -> str:
    """The tag under which the referrers of a manifest are listed where the registry does not."""
    return checked_digest(digest).replace(":", "-")


def pack_referrer(stored: Held, artifact_type: str, data: bytes, annotations: Mapping[str, str]) -> PackedReferrer:
    """A referrer of ``stored`` that holds ``data``; the same arguments give the same bytes.

    Raises:
        InputError: no media type, or more than 1 MiB.
    """
    if not _MEDIA_TYPE.fullmatch(artifact_type):
        raise InputError(f"{printable(artifact_type, 60)!r} is no media type", hint="for instance application/json")
    if len(data) > LARGEST_EVIDENCE:
        raise InputError(f"{len(data):,} bytes of evidence, the most allowed is {LARGEST_EVIDENCE:,}")
    empty, content = (Blob(sha256(part), len(part), data=part) for part in (_EMPTY, data))
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "artifactType": artifact_type,
        "config": {"mediaType": EMPTY_TYPE, "digest": empty.digest, "size": empty.size},
        "layers": [{"mediaType": artifact_type, "digest": content.digest, "size": content.size}],
        "subject": {"mediaType": _type_of(stored), "digest": stored.digest, "size": len(stored.manifest)},
        "annotations": dict(annotations),
    }
    written = _json(manifest)
    return PackedReferrer(Blob(sha256(written), len(written), data=written), (empty, content))


def _type_of(stored: Held) -> str:
    return MANIFEST_TYPE if isinstance(stored, Stored) else INDEX_TYPE


class _Part(BaseModel):
    """What is asked of a descriptor; its other keys are others' own."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)

    mediaType: Annotated[str, Field(max_length=255)]
    digest: str
    size: Annotated[int, Field(ge=0, le=LARGEST_MANIFEST)]
    artifactType: Annotated[str, Field(max_length=255)] = ""
    annotations: dict[str, str] | None = None


class _Index(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)

    schemaVersion: Literal[2]
    mediaType: Literal["application/vnd.oci.image.index.v1+json"] = "application/vnd.oci.image.index.v1+json"
    manifests: Annotated[list[_Part], Field(max_length=_MOST)]


def read_index(data: bytes, where: str) -> list[Entry]:
    """The entries of an image index as they are, each a descriptor of a manifest.

    Raises:
        IntegrityError: too large, ambiguous JSON, no image index, layers beside manifests, or a digest of another form.
    """
    value = strict_json(data, where)
    try:
        parts = _Index.model_validate(value).manifests
    except ValidationError as error:
        raise IntegrityError(f"{where} is no image index: {misfit(error)}") from error
    if {"layers", "config", "fsLayers"} & value.keys():
        raise IntegrityError(f"{where} is an index and an image at once")
    for part in parts:
        checked_digest(part.digest)
    entries: list[Entry] = value["manifests"]
    return entries


def referrers_of(entries: Iterable[Entry], artifact_type: str = "") -> tuple[Referrer, ...]:
    """The referrers that checked entries tell of, each once, oldest first; of one kind where one is asked for."""
    found = {
        entry["digest"]: Referrer(
            digest=entry["digest"],
            size=entry["size"],
            artifact_type=entry.get("artifactType", ""),
            annotations=entry.get("annotations") or {},
        )
        for entry in entries
        if artifact_type in ("", entry.get("artifactType", ""))
    }
    return tuple(sorted(found.values(), key=lambda referrer: (referrer.created, referrer.digest)))


def entry_of(manifest: Blob) -> Entry:
    """How a referrers list names a manifest: its type (the config's where it has none) and all its annotations."""
    data = manifest.data or b""
    value = strict_json(data, f"the manifest {manifest.digest}")
    entry: Entry = {
        "mediaType": value.get("mediaType", MANIFEST_TYPE),
        "digest": manifest.digest,
        "size": manifest.size,
    }
    entry["artifactType"] = value.get("artifactType") or value["config"]["mediaType"]
    if value.get("annotations"):
        entry["annotations"] = value["annotations"]
    return entry


def with_entries(former: bytes | None, entries: Iterable[Entry], where: str, gone: Collection[str] = ()) -> Blob | None:
    """The index that lists these entries too, each once, nothing else changed; ``None`` where it lists them already.

    Args:
        former: the index that they are added to; ``None`` for an empty one.
        entries: of manifests that are there.
        where: for messages.
        gone: digests of manifests that are not there any more: they are left out where the index is written anyway.

    Raises:
        IntegrityError: ``former`` is no image index, or the new one would be larger than registries take.
    """
    value: dict[str, Any] = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": []}
    there = []
    if former is not None:
        there = read_index(former, where)
        value = strict_json(former, where)
    known = {entry["digest"] for entry in there}
    new = {entry["digest"]: entry for entry in entries if entry["digest"] not in known}
    if not new and former is not None:
        return None
    value["manifests"] = [
        *(entry for entry in there if entry["digest"] not in gone),
        *(new[digest] for digest in sorted(new)),
    ]
    data = _json(value)
    if len(data) > LARGEST_MANIFEST or len(value["manifests"]) > _MOST:
        raise IntegrityError(
            f"{where} lists {len(value['manifests']):,} referrers in {len(data):,} bytes, more than fits",
            hint="remove what nobody needs from it",
        )
    return Blob(sha256(data), len(data), data=data)


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
