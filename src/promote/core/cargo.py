"""What travels when a bundle is copied: its manifests byte for byte, its files, and all that refers to it. Pure.

A bundle is one manifest, or an image index of manifests that are variants of one version. What refers to it (decisions,
verdicts, signatures of other tools) comes along, and what refers to that. Not here: reading and writing them
(``adapters.oci.carrying``, ``adapters.oci.archive``).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from promote.core.manifest import misfit, read_manifest, strict_json
from promote.core.names import digest as checked_digest
from promote.core.references import Reference
from promote.core.referrers import read_index
from promote.core.stages import Blob, Stored
from promote.core.variant_index import is_index
from promote.errors import InputError, IntegrityError

MOST_VARIANTS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Attached:
    """A manifest that refers to another one.

    Args:
        subject: digest of the other one.
        manifest: its bytes in memory.
    """

    subject: str
    manifest: Blob


@dataclass(frozen=True, slots=True, kw_only=True)
class Cargo:
    """A bundle as it lies somewhere, with all that belongs to it.

    Args:
        repository: where from, as ``Stored.repository`` prints it.
        name: of the model.
        version: of the model.
        root: the manifest or index that names it all, its bytes in memory.
        bundles: the root alone, or the variants that the index names.
        blobs: digest -> every file and config, of what refers to it too.
        attached: what refers to it, each after its subject.
        gone: digests that a list of referrers names and that are not there.
    """

    repository: str
    name: str
    version: int
    root: Blob
    bundles: tuple[Stored, ...]
    blobs: Mapping[str, Blob]
    attached: tuple[Attached, ...] = ()
    gone: tuple[str, ...] = ()

    @property
    def reference(self) -> str:
        """``repository@sha256:...``."""
        return f"{self.repository}@{self.root.digest}"

    @property
    def manifests(self) -> tuple[Blob, ...]:
        """Of the variants, each before the index that names them, and of what refers to it."""
        children = tuple(manifest_of(b) for b in self.bundles if b.digest != self.root.digest)
        return (*children, self.root, *(attached.manifest for attached in self.attached))

    @property
    def size(self) -> int:
        """Bytes in all."""
        return sum(blob.size for blob in (*self.blobs.values(), *self.manifests))

    @property
    def files(self) -> dict[str, Blob]:
        """Path -> blob, of several variants after the first figures of their digest."""
        one = len(self.bundles) == 1
        return {
            path if one else f"{bundle.digest[7:19]}/{path}": self.blobs[blob.digest]
            for bundle in self.bundles
            for path, blob in bundle.files.items()
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Landed:
    """Where a cargo lies now.

    Args:
        reference: ``repository@sha256:...``, or the file that holds it.
        sent: bytes that really travelled.
        skipped: bytes that were there already.
    """

    reference: str
    sent: int
    skipped: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Lacking:
    """What a place has not of a cargo, and would be sent.

    Args:
        reference: ``repository@sha256:...``, as the cargo would be called there.
        blobs: files and configs.
        manifests: of the bundle, its variants and what refers to them.
        takes_over: the place is in the same registry, which may take blobs over without a byte sent.
    """

    reference: str
    blobs: tuple[Blob, ...]
    manifests: tuple[Blob, ...]
    takes_over: bool = False

    @property
    def size(self) -> int:
        """Bytes in all."""
        return sum(blob.size for blob in (*self.blobs, *self.manifests))


def manifest_of(stored: Stored) -> Blob:
    """The manifest's bytes."""
    return Blob(stored.digest, len(stored.manifest), data=stored.manifest)


def variants_of(data: bytes, where: str) -> list[Blob] | None:
    """Digest and size of what an index names; ``None`` where ``data`` is no index.

    Raises:
        IntegrityError: an index of another form, of nothing, or of more than a hundred.
    """
    if not is_index(data, where):
        return None
    entries = read_index(data, where)
    if not 0 < len(entries) <= MOST_VARIANTS:
        raise IntegrityError(f"{where} names {len(entries):,} variants, expected 1 to {MOST_VARIANTS}")
    return [Blob(entry["digest"], entry["size"]) for entry in entries]


def read_bundles(manifests: list[bytes], repository: str, name: str) -> tuple[Stored, ...]:
    """The bundles of one version.

    Raises:
        IntegrityError: one that is no bundle of this model, or of several versions.
    """
    bundles = tuple(read_manifest(data, repository, name) for data in manifests)
    if len({bundle.version for bundle in bundles}) != 1:
        raise IntegrityError(
            f"an index in {repository} names versions {sorted({b.version for b in bundles})}, expected one"
        )
    return bundles


class _Descriptor(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)

    digest: str
    size: Annotated[int, Field(ge=0, le=2**50)]


class _Image(BaseModel):
    """Any image manifest: others' tools write what refers to a bundle."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)

    config: _Descriptor
    layers: Annotated[list[_Descriptor], Field(max_length=10_000)]
    subject: _Descriptor | None = None


def parts_of(data: bytes, where: str, *, subject: str = "") -> tuple[Blob, ...]:
    """Config and layers of an image manifest.

    Args:
        data: its bytes.
        where: for messages.
        subject: digest of what it must refer to; empty: nothing is asked.

    Raises:
        IntegrityError: no image manifest, or one that refers to something else.
    """
    try:
        image = _Image.model_validate(strict_json(data, where))
    except ValidationError as error:
        raise IntegrityError(f"{where} is no image manifest: {misfit(error)}") from error
    if subject and (image.subject is None or image.subject.digest != subject):
        raise IntegrityError(f"{where} is listed as a referrer of {subject} and does not refer to it")
    return tuple(Blob(checked_digest(part.digest), part.size) for part in (image.config, *image.layers))


def same_goal(cargo: Cargo, wanted: Reference) -> None:
    """Passes where ``wanted`` may name this bundle; a model's name and version are its manifest's, never given anew.

    Args:
        cargo: what is copied.
        wanted: as it was typed; without a name or a version any will do.

    Raises:
        InputError: another model or version.
    """
    if wanted.name not in ("", cargo.name):
        place = f"{wanted.base}/" if wanted.version else f"{wanted}/"
        raise InputError(
            f"{wanted} names the model {wanted.name}, the bundle is of {cargo.name}",
            hint=f"{place} with a slash at its end is a place for bundles of any model",
        )
    if wanted.version not in ("", f"v{cargo.version}", cargo.root.digest):
        raise InputError(
            f"{wanted} names another version, the bundle is {cargo.name}:v{cargo.version}, {cargo.root.digest}",
            hint="version and digest of a bundle stay when it is copied: leave the version out",
        )
