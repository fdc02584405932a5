"""A bundle written as one file: an OCI image layout in a tar, the same bytes for the same bundle and the same referrers.

Members are sorted, owned by nobody and of no time; each blob is verified while it is written. Not here: how such a file is read
(``archive``).
"""

import json
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

from promote.adapters.oci.buffers import CHUNK, Piece
from promote.adapters.oci.files import disk, room, source, sweep, write_whole
from promote.adapters.oci.layout_index import MARK, REF_NAME
from promote.core.cargo import Cargo, Landed, manifest_of
from promote.core.manifest import INDEX_TYPE, types_of
from promote.core.names import printable
from promote.core.passport import sha256
from promote.core.referrers import entry_of, fallback_tag, with_entries
from promote.core.stages import Blob
from promote.errors import InputError, IntegrityError
from promote.ports import Step

_USTAR_MOST = 8**11 - 1  # bytes of a file whose size ustar can tell; beyond, GNU's form of the number


class ArchiveFile:
    """A ``Goal`` that is one file, which appears whole or not at all; a file of that name is replaced."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def take(self, cargo: Cargo, step: Step) -> Landed:
        """See ``promote.ports.Goal``."""
        folder = self._path.absolute().parent
        if self._path.is_symlink() or (self._path.exists() and not self._path.is_file()):
            raise InputError(f"{printable(str(self._path))} is there and is no plain file", hint="name another file")
        members = _members(cargo)
        with disk(f"write {printable(str(self._path))}"):
            folder.stat()
            sweep(folder)
        room(folder, _size(members))
        write_whole(self._path, _tar(members, step), folder)
        return Landed(reference=cargo.reference, sent=_size(members), skipped=0)


class ArchiveStream:
    """The same into a pipe. What reads it sees a cut archive where this fails, which no reader takes for a whole one."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def take(self, cargo: Cargo, step: Step) -> Landed:
        """See ``promote.ports.Goal``."""
        if self._stream.isatty():
            raise InputError("an archive is not written to a terminal", hint="name a file, or pipe it into something")
        members = _members(cargo)
        for chunk in _tar(members, step):
            self._stream.write(chunk)
        self._stream.flush()
        return Landed(reference=cargo.reference, sent=_size(members), skipped=0)


def spool(stream: IO[bytes], folder: Path) -> Path:
    """A file in ``folder`` that holds what a pipe brought.

    Raises:
        InputError: a terminal is no pipe.
        Unavailable: the disk is full.
    """
    if stream.isatty():
        raise InputError("an archive is not read from a terminal", hint="name a file, or pipe one in")
    goal = folder / "archive.tar"
    write_whole(goal, iter(lambda: stream.read(CHUNK), b""), folder, lasting=False)
    return goal


def _members(cargo: Cargo) -> Mapping[str, Blob]:
    """Name in the archive -> what it holds, sorted."""
    lists = [_list(cargo, subject) for subject in sorted({one.subject for one in cargo.attached})]
    entries = [_named(cargo.root, f"v{cargo.version}")]
    entries += [
        {**types_of(m), "digest": m.digest, "size": m.size} for m in map(manifest_of, cargo.bundles) if m != cargo.root
    ]
    for tag, blob in lists:
        entries.append(_named(blob, tag))
    index = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": entries}
    blobs = {blob.digest: blob for blob in (*cargo.blobs.values(), *cargo.manifests, *(blob for _, blob in lists))}
    named = {f"blobs/sha256/{digest.removeprefix('sha256:')}": blob for digest, blob in blobs.items()}
    named["index.json"] = _memory(json.dumps(index, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode())
    named["oci-layout"] = _memory(MARK)
    return dict(sorted(named.items()))


def _named(manifest: Blob, tag: str) -> dict[str, object]:
    return {**types_of(manifest), "digest": manifest.digest, "size": manifest.size, "annotations": {REF_NAME: tag}}


def _list(cargo: Cargo, subject: str) -> tuple[str, Blob]:
    """The tag and the index of what refers to a manifest, as in a layout."""
    mine = [entry_of(one.manifest) for one in cargo.attached if one.subject == subject]
    index = with_entries(None, mine, cargo.reference)
    if index is None:
        raise IntegrityError(f"nothing refers to {subject}")
    return fallback_tag(subject), index


def _memory(data: bytes) -> Blob:
    return Blob(sha256(data), len(data), data=data)


def _tar(members: Mapping[str, Blob], step: Step) -> Iterator[Piece]:
    done, total = 0, _size(members)
    for name, blob in members.items():
        info = tarfile.TarInfo(name)  # of user and group 0, without names; mode 0644, time 0
        info.size = blob.size
        yield info.tobuf(tarfile.USTAR_FORMAT if blob.size <= _USTAR_MOST else tarfile.GNU_FORMAT)
        for chunk in source(blob):
            yield chunk
            done += len(chunk)
            step.update(done, total)
        yield bytes(-blob.size % tarfile.BLOCKSIZE)
    blocks = sum(tarfile.BLOCKSIZE - (-blob.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE for blob in members.values())
    yield bytes(2 * tarfile.BLOCKSIZE + -(blocks + 2 * tarfile.BLOCKSIZE) % tarfile.RECORDSIZE)


def _size(members: Mapping[str, Blob]) -> int:
    return sum(blob.size for blob in members.values())
