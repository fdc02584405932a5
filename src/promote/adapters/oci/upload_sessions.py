"""Which upload a blob was in the middle of, kept on disk, so that another run of promote goes on with it.

A file per blob, for its owner only: registry, repository, digest and the upload's address, which is worth nothing without
credentials, and those are not in it. Whoever sends holds the file locked: two runs never write into one upload. Not here:
what the registry has of it (``upload_resuming``).
"""

import fcntl
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from promote.adapters.oci.origin import origin_of

_SUFFIX = ".upload.json"
_MOST_BYTES = 16 * 1024
_STALE_SECONDS = 24 * 3600.0  # CNCF Distribution forgets uploads after 168 hours, others sooner


class _Record(BaseModel):
    """The file: outside data, since anybody may have written it."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    root: str
    digest: str
    session: str
    begun: float


class Kept:
    """The upload of one blob, as far as it is known.

    Args:
        url: where it went on when last heard of; empty: nowhere.
        keep: remembers an address; an empty one is forgotten.
    """

    def __init__(self, url: str = "", keep: Callable[[str], None] = lambda _: None) -> None:
        self.url, self._keep = url, keep

    def keep(self, url: str) -> None:
        """The last address that the registry named counts."""
        self.url = url
        self._keep(url)

    def forget(self) -> None:
        """It ended, or the registry does not know it."""
        self.keep("")


class Sessions:
    """The uploads of one repository that have begun; safe to use from several threads, each with another blob.

    Args:
        folder: where they are kept from run to run; ``None``, or one that cannot be written: within this run only.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder, self._here = folder, dict[tuple[str, str], str]()

    @contextmanager
    def of(self, root: str, digest: str) -> Iterator[Kept]:
        """What is known of the upload of a blob, for as long as it is being sent.

        Args:
            root: the repository's address, ``https://host/v2/path``.
            digest: of the blob.
        """
        handle = -1
        path = self._path(root, digest)
        if path is not None:
            with suppress(OSError):  # a folder that cannot be written costs the going on, not the push
                handle = _locked(path)
        if path is None or handle < 0:
            key = root, digest
            yield Kept(self._here.get(key, ""), lambda url: self._here.update({key: url}))
            return
        try:
            kept = Kept(_read(handle, root, digest), lambda url: _write(handle, root, digest, url))
            try:
                yield kept
            finally:
                if not kept.url:
                    path.unlink(missing_ok=True)
        finally:
            os.close(handle)

    def _path(self, root: str, digest: str) -> Path | None:
        if self._folder is None:
            return None
        with suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            _sweep(self._folder)
        return self._folder / f"{hashlib.sha256(f'{root} {digest}'.encode()).hexdigest()}{_SUFFIX}"


def _locked(path: Path) -> int:
    """The open file, this process's own; or -1 where another one is at it.

    Raises:
        OSError: it cannot be opened.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return -1
    return handle


def _read(handle: int, root: str, digest: str) -> str:
    """The upload's address, of this very blob, young and on the registry's own origin; else empty."""
    try:
        record = _Record.model_validate_json(os.pread(handle, _MOST_BYTES, 0))
        same = (record.root, record.digest, origin_of(record.session)) == (root, digest, origin_of(root))
    except (OSError, ValidationError, ValueError):  # killed while it was written, or not ours
        return ""
    return record.session if same and 0 <= time.time() - record.begun < _STALE_SECONDS else ""


def _write(handle: int, root: str, digest: str, url: str) -> None:
    with suppress(OSError):  # a full disk costs the going on, not the push
        os.ftruncate(handle, 0)
        if url:
            record = _Record(root=root, digest=digest, session=url, begun=time.time())
            os.pwrite(handle, record.model_dump_json().encode(), 0)


def _sweep(folder: Path) -> None:
    """Removes what is too old to go on with."""
    for left in folder.glob(f"*{_SUFFIX}"):
        if time.time() - left.lstat().st_mtime > _STALE_SECONDS:
            left.unlink(missing_ok=True)
