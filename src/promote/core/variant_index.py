"""The OCI index of a version that has several variants: packed the same way every time, and read back with suspicion. Pure.

Each child is a bundle as it would be alone; the index says what binds each, so that a host fetches only its own. Source:
opencontainers/image-spec ``image-index.md``. Not here: one bundle (``manifest``), and which variant a host gets (``ranking``).
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from promote.core.manifest import ARTIFACT_TYPE, INDEX_TYPE, LARGEST_MANIFEST, MANIFEST_TYPE, misfit, strict_json
from promote.core.names import digest as checked_digest
from promote.core.names import printable
from promote.core.passport import sha256
from promote.core.stages import Blob, Held, Stored
from promote.core.variants import Binding, Kind
from promote.errors import InputError, IntegrityError

VARIANTS_TYPE = "application/vnd.promote.variants.v1+json"
MOST_VARIANTS = 64
_OURS = "io.promote."
_OWN = ("passport", "verdict")  # of a bundle alone: what an index says of all is what all say
_VERSION = re.compile(r"[1-9][0-9]{0,9}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A variant as its index lists it.

    Args:
        digest: of the bundle's manifest.
        size: of that manifest, bytes.
        kind: what it is, and what binds it.
    """

    digest: str
    size: int
    kind: Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredIndex(Held):
    """An index of variants as a registry holds it; its digest is what people approve.

    Args:
        variants: in the index's order, the portable ones first.
    """

    variants: tuple[Listed, ...]

    def of(self, digest: str) -> Listed:
        """The variant of this digest.

        Raises:
            IntegrityError: the index lists no such bundle.
        """
        for variant in self.variants:
            if variant.digest == digest:
                return variant
        raise IntegrityError(f"{self.reference} does not list {digest}", hint="what was approved is the index as it is")

    def named(self, label: str) -> Listed:
        """The variant of this label; where none is given, the portable one, which serves everywhere.

        Raises:
            InputError: there is none.
        """
        fitting = [v for v in self.variants if (v.kind.label == label if label else v.kind.portable)]
        if not fitting:
            labels = ", ".join(variant.kind.label for variant in self.variants)
            wanted = f"no variant {printable(label, 80)!r}" if label else "no portable variant"
            raise InputError(f"{self.reference} has {wanted}", hint=f"--variant takes one of {labels}")
        return fitting[0]


def pack_index(children: Sequence[tuple[Kind, Stored]]) -> Blob:
    """The index of these bundles, of one version of one model; the same bundles, in any order, give the same bytes.

    Raises:
        InputError: none or too many, two of one kind, or of different models or versions.
    """
    labels = [kind.label for kind, _ in children]
    if not 0 < len(children) <= MOST_VARIANTS or len(set(labels)) != len(labels):
        raise InputError(
            f"{len(children)} variants, expected 1 to {MOST_VARIANTS} of different kinds: {', '.join(labels)}"
        )
    if len({(stored.name, stored.version) for _, stored in children}) != 1:
        raise InputError("variants of different models or versions do not go into one index")
    ordered = sorted(children, key=lambda child: (not child[0].portable, child[0].label))
    notes = [set(stored.annotations.items()) for _, stored in children]
    own = {f"{_OURS}{key}" for key in _OWN}
    index = {
        "schemaVersion": 2,
        "mediaType": INDEX_TYPE,
        "artifactType": VARIANTS_TYPE,
        "manifests": [_entry(kind, stored) for kind, stored in ordered],
        "annotations": {key: value for key, value in set.intersection(*notes) if key not in own},
    }
    data = json.dumps(index, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
    return Blob(sha256(data), len(data), data=data)


def _entry(kind: Kind, stored: Stored) -> dict[str, Any]:
    told = {"variant": kind.label, "format": kind.format, "precision": kind.precision}
    bound = kind.binding
    if bound:
        told |= {
            "tensorrt": bound.tensorrt, "compute-capability": bound.compute_capability, "hardware-level": bound.level,
            "version-compatible": str(bound.version_compatible).lower(), "os": bound.os, "arch": bound.arch,
        }  # fmt: skip
    entry = {
        "mediaType": MANIFEST_TYPE,
        "artifactType": ARTIFACT_TYPE,
        "digest": stored.digest,
        "size": len(stored.manifest),
        "annotations": {f"{_OURS}{key}": value for key, value in told.items()},
    }
    return entry | ({"platform": bound.platform} if bound else {})


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class _Platform(_Strict):
    architecture: str
    os: str


class _Entry(_Strict):
    mediaType: Literal["application/vnd.oci.image.manifest.v1+json"]
    artifactType: Literal["application/vnd.cncf.model.manifest.v1+json"]
    digest: str
    size: Annotated[int, Field(ge=0, le=LARGEST_MANIFEST)]
    annotations: dict[str, str]
    platform: _Platform | None = None


class _Index(_Strict):
    """``extra="forbid"`` is what refuses ``layers`` beside ``manifests``, and foreign ``urls``."""

    schemaVersion: Literal[2]
    mediaType: Literal["application/vnd.oci.image.index.v1+json"]
    artifactType: Literal["application/vnd.promote.variants.v1+json"]
    manifests: Annotated[list[_Entry], Field(min_length=1, max_length=MOST_VARIANTS)]
    annotations: dict[str, str]


def is_index(data: bytes, where: str) -> bool:
    """Whether these bytes call themselves an image index.

    Raises:
        IntegrityError: they are no plain JSON.
    """
    value = strict_json(data, where)
    return isinstance(value, dict) and value.get("mediaType") == INDEX_TYPE


def read_variants(data: bytes, repository: str, name: str) -> StoredIndex:
    """The index of variants that these bytes are; its digest is theirs.

    Args:
        data: as they came from anywhere.
        repository: where from, as ``Held.repository`` prints it.
        name: the model it must be of.

    Raises:
        IntegrityError: too large, ambiguous JSON, another kind of index, two variants of one kind or digest, a kind that
            is none, or another model.
    """
    where = f"{repository}@{sha256(data)}"
    try:
        index = _Index.model_validate(strict_json(data, f"the index {where}"))
    except ValidationError as error:
        raise IntegrityError(f"{where} is no index of variants: {misfit(error)}") from error
    model, version = index.annotations.get(f"{_OURS}model", ""), index.annotations.get(f"{_OURS}version", "")
    if model != name:
        raise IntegrityError(f"{where} is of model {printable(model)!r}, expected {name!r}")
    if not _VERSION.fullmatch(version):
        raise IntegrityError(f"{where} names version {printable(version)!r}, expected a whole number from 1")
    variants = tuple(_listed(entry, where) for entry in index.manifests)
    for what, values in (("kind", [v.kind.label for v in variants]), ("digest", [v.digest for v in variants])):
        if len(set(values)) != len(values):
            raise IntegrityError(f"{where} lists two variants of one {what}")
    return StoredIndex(
        repository=repository, digest=sha256(data), name=name, version=int(version), variants=variants,
        annotations=index.annotations, manifest=data,
    )  # fmt: skip


def _listed(entry: _Entry, where: str) -> Listed:
    told = {key.removeprefix(_OURS): value for key, value in entry.annotations.items() if key.startswith(_OURS)}
    kind = Kind(format=told.get("format", ""), precision=told.get("precision", ""), binding=_binding(told))
    platform = entry.platform.model_dump() if entry.platform else {}
    if told.get("variant") != kind.label or platform != (kind.binding.platform if kind.binding else {}):
        raise IntegrityError(
            f"{where} lists {printable(told.get('variant', ''), 80)!r}, which is {kind.label} by what binds it"
        )
    return Listed(digest=checked_digest(entry.digest), size=entry.size, kind=kind)


def _binding(told: Mapping[str, str]) -> Binding | None:
    if told.get("format") != "tensorrt":
        return None
    return Binding(
        tensorrt=told.get("tensorrt", ""), compute_capability=told.get("compute-capability", ""),
        level=told.get("hardware-level", ""), version_compatible=told.get("version-compatible") == "true",
        os=told.get("os", ""), arch=told.get("arch", ""),
    )  # fmt: skip


__all__ = ["VARIANTS_TYPE", "Listed", "StoredIndex", "is_index", "pack_index", "read_variants"]
