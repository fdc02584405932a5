"""A blob that the registry has in another repository is mounted: one request, and not a byte of it travels.

Which repository has it is known from former pushes, kept in a folder. That is a hint and never trusted: the
registry mounts by digest or does not, and each hint is tried once. Source: opencontainers/distribution-spec, "Mounting a
blob from another repository". Not here: how bytes are sent where there is no such repository (``upload``).
"""

import json
import os
import tempfile
import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from promote.adapters.oci.origin import Origin, is_repository
from promote.adapters.oci.upload import Place, cancel, confirm, session_of
from promote.adapters.whole_file import read_whole
from promote.core.manifest import strict_json
from promote.core.names import DIGEST
from promote.core.stages import Blob
from promote.errors import IntegrityError, PromoteError

_SCHEMA = "promote.mounts/1"
# Beneath, sending costs as little as mounting; 5,000 of the largest names there can be are 1.7 MB.
SMALLEST, _MOST, _LARGEST = 64 * 1024, 5_000, 2 * 1024 * 1024


class Mounts:
    """Which repository of one registry had which blob; several threads may ask at once.

    Args:
        origin: the registry; what is known of it never goes to another.
        folder: where it is kept; ``None``: nothing is known and nothing kept.
    """

    def __init__(self, origin: Origin, folder: Path | None) -> None:
        self._url = origin.url
        name = f"{origin.scheme}-{origin.host.replace(':', '_')}.json"
        self._path = folder / name if folder else None
        self._turn = threading.Lock()
        self._known: dict[str, str] | None = None

    def take(self, blob: Blob, path: str) -> str:
        """Another repository than ``path`` that had the blob, or empty. Each is given once: a wrong one cannot go round."""
        with self._turn:
            if self._known is None:
                self._known = self._read()
            found = self._known.pop(blob.digest, "")
        return "" if found == path else found

    def tell(self, repository: str, digests: Iterable[str]) -> None:
        """Of this run alone: that repository has these blobs, which counts more than what is kept."""
        with self._turn:
            self._known = (self._read() if self._known is None else self._known) | dict.fromkeys(digests, repository)

    def forget(self, repository: str) -> None:
        """No blob is taken from there any more; what is kept of others stays."""
        with self._turn:
            self._known = {digest: there for digest, there in (self._known or {}).items() if there != repository}

    def keep(self, path: str, blobs: Iterable[tuple[str, int]]) -> None:
        """Notes that the repository ``path`` has these blobs, (digest, size); what was noted last is kept longest."""
        new = {digest: path for digest, size in blobs if size >= SMALLEST}
        if self._path is None or not new:
            return
        with self._turn:
            former = {digest: there for digest, there in self._read().items() if digest not in new}
            kept = dict([*former.items(), *new.items()][-_MOST:])
            with suppress(OSError):  # a hint: a push does not fail since the work folder may not be written
                _write(self._path, {"schema": _SCHEMA, "registry": self._url, "repositories": kept})

    def _read(self) -> dict[str, str]:
        """What is kept; nothing where it is not there or not as it was written."""
        if self._path is None:
            return {}
        try:
            record = strict_json(read_whole(str(self._path), _LARGEST), str(self._path))
        except IntegrityError:
            return {}
        if not isinstance(record, dict) or (record.get("schema"), record.get("registry")) != (_SCHEMA, self._url):
            return {}
        pairs = record.get("repositories")
        return {
            digest: there
            for digest, there in (pairs.items() if isinstance(pairs, dict) else ())
            if DIGEST.fullmatch(digest) and isinstance(there, str) and is_repository(there)
        }


def blobs_of(manifest: bytes) -> list[tuple[str, int]]:
    """Digest and size of every file that a manifest of our own names; none where it names none."""
    document = json.loads(manifest)
    return [(layer["digest"], layer["size"]) for layer in document.get("layers", [])]


def _write(path: Path, record: dict[str, object]) -> None:
    """Whole or not at all, for the owner alone; not flushed to the disk, as a lost hint costs nothing."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".mounts-", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(record, file, indent=1)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def mount(place: Place, blob: Blob, path: str, mounts: Mounts) -> bool:
    """Whether the blob is in the repository now, without a byte sent; where not, it is to be uploaded as ever.

    A registry that mounts nothing begins an upload instead, which is cancelled. A refusal is no error: the token may not
    reach the other repository, or the registry may know no mounting; what else is wrong the upload will meet itself.

    Raises:
        Again: the registry is busy or away; the next try asks for no mount.
    """
    source = mounts.take(blob, path)
    if not source:
        return False
    url = f"{place.root}/blobs/uploads/?mount={quote(blob.digest)}&from={quote(source, safe='')}"
    try:
        with place.transport.send("POST", url, frozenset({201, 202}), source=source) as answer:
            if answer.status_code == 201:
                confirm(place, blob, answer)
                return True
            session = session_of(place, url, answer)
    except PromoteError:
        mounts.forget(source)
        return False
    cancel(place, session)
    return False
