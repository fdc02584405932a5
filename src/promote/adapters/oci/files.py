"""Bytes between a stream and the disk: verified on the way, under their name only when whole.

Not here: where the bytes come from (``layout``, ``http``).
"""

import errno
import fcntl
import os
import stat
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from promote.adapters.oci.buffers import Buffers, Piece
from promote.adapters.oci.hashing import hashing
from promote.core.names import printable
from promote.core.stages import Blob
from promote.errors import InputError, IntegrityError, PromoteError, Unavailable

_FLUSH_EVERY = 16 * 1024 * 1024
_PARTIAL = ".partial-"
_OLD_SECONDS = 60.0
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_ASKING_AGAIN_WONT_HELP = {
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG,
    errno.EEXIST,
}  # fmt: skip


@contextmanager
def disk(doing: str) -> Iterator[None]:
    """Turns what the operating system says into one line.

    Raises:
        Unavailable: full, failing or busy.
        InputError: no right, read-only, or a path that is not what it should be.
    """
    try:
        yield
    except OSError as error:
        raise _told(doing, error) from error


def _told(doing: str, error: OSError) -> PromoteError:
    message = f"{doing}: {error.strerror or error}"
    if error.errno in _FULL:
        return Unavailable(message, hint="make room on that disk and run the same command again; what is there is kept")
    if error.errno in _ASKING_AGAIN_WONT_HELP:
        return InputError(message, hint="see that the folder exists and that you may read and write it")
    return Unavailable(message)


def verified(chunks: Iterable[Piece], blob: Blob, what: str) -> Iterator[Piece]:
    """The same chunks, each held back until the next one is there and the last until size and digest are right.

    So a receiver that needs them all (a registry, a rename) never completes on wrong bytes, and no more than one byte
    beyond the size is taken in.

    Raises:
        IntegrityError: too long, too short, or another digest.
    """
    seen = 0
    held: Piece = b""
    with hashing(blob.size) as (update, hexdigest):
        for chunk in chunks:
            seen += len(chunk)
            if seen > blob.size:
                raise IntegrityError(f"{what} is longer than the {blob.size:,} bytes it should have")
            update(chunk)
            if held:
                yield held
            held = chunk
        found = f"sha256:{hexdigest()}"
    if seen != blob.size:
        raise IntegrityError(f"{what} has {seen:,} bytes, expected {blob.size:,}")
    if found != blob.digest:
        raise IntegrityError(f"{what} has digest {found}, expected {blob.digest}")
    if held:
        yield held


def at_most(chunks: Iterable[Piece], most: int, what: str) -> Iterator[Piece]:
    """The same chunks, while they are no more than ``most`` bytes together.

    Raises:
        IntegrityError: they are more.
    """
    seen = 0
    for chunk in chunks:
        seen += len(chunk)
        if seen > most:
            raise IntegrityError(f"{what} has more than {most:,} bytes")
        yield chunk


def counted(chunks: Iterable[Piece], told: Callable[[int], None]) -> Iterator[Piece]:
    """The same chunks; ``told`` hears how many bytes the receiver has taken."""
    done = 0
    told(0)
    for chunk in chunks:
        yield chunk
        done += len(chunk)
        told(done)


def _nowhere(blob: Blob) -> Iterator[Piece]:
    raise IntegrityError(f"{blob.digest} lies nowhere")


@dataclass(frozen=True, slots=True)
class Elsewhere(Blob):
    """A blob whose bytes lie in another store.

    Args:
        read: its pieces, unverified; called anew for each reading.
    """

    read: Callable[[Blob], Iterator[Piece]] = field(default=_nowhere, repr=False, compare=False)


def source(blob: Blob) -> Iterator[Piece]:
    """The bytes of a blob that lies here or in another store, verified: a file may have changed since it was digested.

    Raises:
        IntegrityError: it did, or is gone.
    """
    if isinstance(blob, Elsewhere):
        return verified(blob.read(blob), blob, f"{blob.digest}, as it came from where it lies,")
    if blob.data is not None:
        return verified([blob.data], blob, f"{blob.digest} in memory")
    return verified(_read(Path(blob.path)), blob, f"{printable(blob.path)}, which was digested before,")


def _read(path: Path) -> Iterator[Piece]:
    try:
        yield from chunks_of(path)
    except FileNotFoundError as error:
        raise IntegrityError(f"{printable(str(path))} was digested and is gone since") from error


def chunks_of(path: Path) -> Iterator[Piece]:
    """The pieces of a regular file.

    Raises:
        FileNotFoundError: it is not there.
        IntegrityError: a link, a pipe or a folder lies in its place.
    """
    with disk(f"read {printable(str(path))}"):
        try:
            handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            handle = -1
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
            raise IntegrityError(f"{printable(str(path))} is a link, expected a regular file") from error
    if handle < 0:
        raise FileNotFoundError(path)
    found = os.fstat(handle)
    if not stat.S_ISREG(found.st_mode):
        os.close(handle)
        raise IntegrityError(f"{printable(str(path))} is not a regular file")
    buffers = Buffers(found.st_size)
    with os.fdopen(handle, "rb", buffering=0) as file:
        while True:
            buffer = buffers.take()
            with disk(f"read {printable(str(path))}"):
                got = file.readinto(buffer)
            if not got:
                return
            yield memoryview(buffer)[:got]


def holds(path: Path, blob: Blob) -> bool:
    """Whether the regular file at ``path`` has exactly these bytes; reads all of it where the size is right."""
    try:
        if path.lstat().st_size != blob.size:
            return False
        for _ in verified(chunks_of(path), blob, str(path)):
            pass
    except (FileNotFoundError, NotADirectoryError, IntegrityError):
        return False
    return True


def size_of(path: Path) -> int:
    """The size of what lies at ``path``, links not followed; -1 where nothing does."""
    try:
        return path.lstat().st_size
    except (FileNotFoundError, NotADirectoryError):
        return -1


def room(folder: Path, needed: int) -> None:
    """Passes when the disk under ``folder`` has room for that many bytes more. Others may fill it meanwhile.

    Raises:
        Unavailable: it has not; nothing was written.
    """
    with disk(f"see how much room {printable(str(folder))} has"):
        found = os.statvfs(folder)
    free = found.f_bavail * found.f_frsize
    if found.f_blocks and needed > free:  # some network file systems tell no sizes at all
        raise Unavailable(
            f"{printable(str(folder))} has room for {free:,} bytes, the files need {needed:,}",
            hint="make room on that disk, or name another folder; nothing was written",
        )


def write_whole(goal: Path, chunks: Iterable[Piece], scratch: Path, *, lasting: bool = True) -> None:
    """Writes ``chunks`` to a temporary file, flushes it to the disk and names it ``goal`` by one rename.

    Args:
        goal: its folder exists; a file there is replaced.
        chunks: verified ones; an exception they raise leaves nothing behind.
        scratch: a folder on the same file system.
        lasting: otherwise nothing is flushed, for a file whose bytes are verified again before anybody relies on them.

    Raises:
        InputError, Unavailable: as the disk says.
    """
    writing = f"write {printable(str(goal))}"
    with disk(writing):
        handle, name = tempfile.mkstemp(prefix=_PARTIAL, dir=scratch)
    try:
        with os.fdopen(handle, "wb", buffering=0) as file:
            with suppress(OSError):  # says to `sweep` that somebody is at it; some file systems have no locks
                fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            written = flushed = 0
            for chunk in chunks:
                with disk(writing):
                    _write(file.fileno(), chunk)
                written += len(chunk)
                if lasting and written - flushed >= _FLUSH_EVERY:
                    # Linux starts to write the range out, so that `fsync` finds little left to do; nothing waits here.
                    os.posix_fadvise(file.fileno(), flushed, written - flushed, os.POSIX_FADV_DONTNEED)
                    flushed = written
            with disk(writing):
                os.fchmod(file.fileno(), 0o644)
                if lasting:
                    os.fsync(file.fileno())
        with disk(writing):
            Path(name).replace(goal)
            if lasting:
                sync_folder(goal.parent)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _write(handle: int, chunk: Piece) -> None:
    left = memoryview(chunk)
    while left:
        left = left[os.write(handle, left) :]


def sync_folder(folder: Path) -> None:
    """Flushes a folder's names to the disk, so that they outlive a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sweep(scratch: Path) -> None:
    """Removes what killed processes left of ``write_whole`` in ``scratch``; one still being written is locked."""
    for left in scratch.glob(f"{_PARTIAL}*"):
        with suppress(OSError):  # another process swept it, or its owner finished: both are well
            handle = os.open(left, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if time.time() - os.fstat(handle).st_mtime > _OLD_SECONDS:
                    left.unlink()
            finally:
                os.close(handle)
