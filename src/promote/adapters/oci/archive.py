"""A bundle as one file: an OCI image layout in a tar, read where it lies and never extracted.

The whole file is looked through once, header by header; then each blob is read at its place, and counts when its digest is
right. Not here: what a header may be (``core.tar``), and how such a file is written (``archive_writing``).
"""

import os
from collections.abc import Iterator
from pathlib import Path

from promote.adapters.oci.buffers import CHUNK, Piece
from promote.adapters.oci.carrying import collect
from promote.adapters.oci.files import chunks_of, disk, verified
from promote.adapters.oci.layout_index import Index, alone, find, read_layout, ref_name
from promote.core.cargo import Cargo, variants_of
from promote.core.manifest import INDEX_TYPE, LARGEST_MANIFEST, strict_json
from promote.core.names import model_name, printable
from promote.core.referrers import fallback_tag
from promote.core.stages import Blob
from promote.core.tar import BLOCK, Member, is_end, read_header
from promote.errors import InputError, IntegrityError, NotFound

_MOST_MEMBERS = 30_000
_LONGEST_END = 2**20  # zeros: tar fills up its last record, of 10 KiB usually


class Archive:
    """A file that holds a layout; a ``BlobSource``, and an ``Origin`` of ``promote.ports``.

    Args:
        path: of the file.

    Raises:
        NotFound: no such file.
        IntegrityError: no tar, one that is cut, or one that holds anything but an OCI layout, each file once.
    """

    def __init__(self, path: Path) -> None:
        self._path, self.repository = path, f"oci-archive:{path}"
        try:
            self._at = _members(path)
        except FileNotFoundError as error:
            raise NotFound(f"no file {printable(str(path))}", hint="promote export REF FILE writes one") from error
        for name in ("oci-layout", "index.json"):
            if name not in self._at:
                raise IntegrityError(f"{printable(str(path))} has no {name}: it is no archive of an OCI layout")
        self._index: Index = read_layout(self._small("oci-layout"), self._small("index.json"), self.repository)

    def bundle(self) -> tuple[str, str]:
        """Name of the model, and digest of the one bundle or index of variants in it.

        Raises:
            IntegrityError: it holds several bundles, or none that is promote's.
        """
        blob = alone(self._index, self.repository)
        data = self.document(blob.digest, blob.size)
        variants = variants_of(data, self.repository)
        if variants:
            data = self.document(variants[0].digest, variants[0].size)
        value = strict_json(data, f"the manifest {blob.digest}")
        annotations = value.get("annotations") if isinstance(value, dict) else None
        name = annotations.get("io.promote.model") if isinstance(annotations, dict) else None
        if not isinstance(name, str):
            raise IntegrityError(f"{self.repository} holds no bundle of promote", hint="promote export writes one")
        try:
            return model_name(name), blob.digest
        except InputError as error:
            raise IntegrityError(f"{self.repository}: {error.message}") from error

    def collect(self, name: str, reference: str) -> Cargo:
        """See ``promote.ports.Origin``."""
        return collect(self, name, reference)

    def manifest(self, reference: str) -> bytes:
        """See ``BlobSource``."""
        blob = find(self._index, reference, self.repository)
        return self.document(blob.digest, blob.size)

    def document(self, digest: str, size: int) -> bytes:
        """See ``BlobSource``."""
        blob = Blob(digest, size)
        if size > LARGEST_MANIFEST:
            raise IntegrityError(f"the manifest {digest} has {size:,} bytes, expected {LARGEST_MANIFEST:,} at most")
        return b"".join(verified(self.stream(blob), blob, f"{self.repository}@{digest}"))

    def stream(self, blob: Blob) -> Iterator[Piece]:
        """See ``BlobSource``."""
        name = f"blobs/sha256/{blob.digest.removeprefix('sha256:')}"
        if name not in self._at:
            raise NotFound(
                f"{self.repository} has no blob {blob.digest}", hint="the file is not whole: export it again"
            )
        start, size = self._at[name]
        if size != blob.size:
            raise IntegrityError(f"{self.repository} holds {blob.digest} with {size:,} bytes, expected {blob.size:,}")
        yield from self._read(start, size)

    def referrers(self, subject: str, artifact_type: str) -> Iterator[bytes]:
        """See ``BlobSource``."""
        tag = fallback_tag(subject)
        if any(ref_name(entry) == tag and entry.get("mediaType") == INDEX_TYPE for entry in self._index["manifests"]):
            yield self.manifest(tag)

    def _small(self, name: str) -> bytes:
        start, size = self._at[name]
        if size > LARGEST_MANIFEST:
            raise IntegrityError(f"{name} has {size:,} bytes, expected {LARGEST_MANIFEST:,} at most")
        return b"".join(self._read(start, size))

    def _read(self, start: int, size: int) -> Iterator[bytes]:
        """Bytes at a place in the file, each reading by a handle of its own: several threads read at once."""
        with disk(f"read {printable(str(self._path))}"):
            handle = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            while size:
                with disk(f"read {printable(str(self._path))}"):
                    chunk = os.pread(handle, min(CHUNK, size), start)
                if not chunk:
                    raise IntegrityError(f"{printable(str(self._path))} became shorter while it was read")
                start, size = start + len(chunk), size - len(chunk)
                yield chunk
        finally:
            os.close(handle)


def _members(path: Path) -> dict[str, tuple[int, int]]:
    """Name -> where its content begins, and bytes; no content is read."""
    shown = printable(str(path))
    next(chunks_of(path), None)  # a regular file, and no link: said in one place
    found: dict[str, tuple[int, int]] = {}
    with disk(f"read {shown}"), path.open("rb") as file:
        whole, at = os.fstat(file.fileno()).st_size, 0
        while True:
            file.seek(at)
            block = file.read(BLOCK)
            if is_end(block):
                _end(file.read(_LONGEST_END + 1), shown)
                return found
            try:
                member = read_header(block) if len(block) == BLOCK else None
            except IntegrityError as error:
                raise IntegrityError(f"{shown}: {error.message}", hint=error.hint) from error
            if member is None or at + BLOCK + member.padded > whole:
                raise IntegrityError(f"{shown} is cut after {whole:,} bytes", hint="copy or export it again")
            _add(found, member, at + BLOCK, shown)
            at += BLOCK + member.padded


def _add(found: dict[str, tuple[int, int]], member: Member, start: int, shown: str) -> None:
    if member.name in found:
        raise IntegrityError(f"{shown} holds {member.name} twice")
    if len(found) >= _MOST_MEMBERS:
        raise IntegrityError(f"{shown} holds more than {_MOST_MEMBERS:,} files")
    if member.name:
        found[member.name] = (start, member.size)


def _end(rest: bytes, shown: str) -> None:
    """An archive ends with two blocks of zeros and zeros alone after them: what one reader skips another reads.

    Raises:
        IntegrityError: it does not.
    """
    if len(rest) < BLOCK or len(rest) > _LONGEST_END or rest.strip(b"\0"):
        raise IntegrityError(f"{shown} does not end where its end mark is", hint="copy or export it again")
