"""Files on the target's disk: written whole or not at all, and checked against their digests.

Every write goes to a private folder on the same file system, is flushed to the disk, and gets its name by one rename.
Not here: which files there are and what they mean (``model_repository``).
"""

import errno
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from promote.core.bundle_files import check_head
from promote.core.names import printable
from promote.core.stages import Blob
from promote.errors import InputError, IntegrityError, PromoteError, Unavailable

# Another user, a mount option or a wrong path: the same command will fail again.
_ASKING_AGAIN_WONT_HELP = {
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOENT,
    errno.ENOTDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
}
_FULL = {errno.ENOSPC, errno.EDQUOT}
_LARGE = 8 * 1024 * 1024  # below, starting a thread costs more than it saves


@contextmanager
def disk(doing: str) -> Iterator[None]:
    """Turns what the operating system says into one line: what was being done, which file, why.

    Raises:
        Unavailable: full, failing or busy.
        InputError: no right, read-only, or a path that is not what it should be.
    """
    try:
        yield
    except OSError as error:
        raise _told(doing, error) from error


def _told(doing: str, error: OSError) -> PromoteError:
    which = f" ({printable(str(error.filename))})" if error.filename else ""
    message = f"{doing}: {error.strerror or error}{which}"
    if error.errno == errno.EXDEV:
        return InputError(message, hint="a model repository is a folder within a mount, not the mount itself")
    if error.errno in _FULL:
        return Unavailable(message, hint="make room on that disk and run the same command again")
    if error.errno in _ASKING_AGAIN_WONT_HELP:
        return InputError(message, hint="the user who deploys must be able to write the model repository and beside it")
    return Unavailable(message)


def sync(path: Path) -> None:
    """Flushes a file or folder to the disk, so that it outlives a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_whole(path: Path, data: bytes, staging: Path, owner: str) -> None:
    """Replaces ``path`` by ``data`` in one step; a reader sees the former bytes or these.

    Args:
        path: its folder exists.
        data: all of it.
        staging: a folder on the same file system that nobody serves from.
        owner: the model it belongs to, by which a sweep finds what a kill left.
    """
    handle, name = tempfile.mkstemp(prefix=f"{owner}@write-", dir=staging)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), 0o644)
            os.fsync(file.fileno())
        Path(name).rename(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    sync(path.parent)


def take(source: Path, goal: Path, blob: Blob, shown: str, *, own: bool) -> None:
    """Brings a file into a private tree and checks the bytes that now lie there.

    Args:
        source: a regular file.
        goal: must not exist; its folder does.
        blob: what the bytes must be.
        shown: the file's name in messages.
        own: ``source`` is ours to move; otherwise it is copied, so that nobody can change it afterwards.

    Raises:
        IntegrityError: another size or digest, not a regular file, or native code.
    """
    if not stat.S_ISREG(source.lstat().st_mode):
        raise IntegrityError(f"{shown} is not a regular file")
    if own:
        source.rename(goal)
    else:
        with source.open("rb") as reader, goal.open("xb") as writer:
            shutil.copyfileobj(reader, writer, 1024 * 1024)
    goal.chmod(0o644)  # the server may run as another user, whatever the umask here
    with flushed(goal, blob.size):
        verify(goal, blob, shown)


@contextmanager
def flushed(path: Path, size: int) -> Iterator[None]:
    """The file is on the disk when the block ends; a large one is flushed while the block reads it."""
    if size < _LARGE:
        yield
        sync(path)
        return
    with ThreadPoolExecutor(1) as pool:
        flushing = pool.submit(sync, path)
        yield
        flushing.result()


def verify(path: Path, blob: Blob, shown: str) -> None:
    """Passes when the file is regular and holds exactly these bytes.

    Raises:
        IntegrityError: it does not.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(handle, "rb") as file:
        seen = os.fstat(file.fileno())
        if not stat.S_ISREG(seen.st_mode):
            raise IntegrityError(f"{shown} is not a regular file")
        if seen.st_size != blob.size:
            raise IntegrityError(f"{shown} has {seen.st_size:,} bytes, expected {blob.size:,}")
        check_head(shown, file.read(4))
        file.seek(0)
        found = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
    if found != blob.digest:
        raise IntegrityError(f"{shown} has digest {found}, expected {blob.digest}")


@contextmanager
def scratch(staging: Path, prefix: str) -> Iterator[Path]:
    """A private folder in ``staging``; it goes when the block ends."""
    with disk("make a private folder beside the model repository"):
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=staging))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # what stays is swept by the model's next deployment


def sweep(staging: Path, owner: str) -> None:
    """Removes what killed deployments of one model left in ``staging``; call it under the model's lock."""
    for left in staging.iterdir():
        if left.name.startswith(f"{owner}@"):
            if left.is_dir() and not left.is_symlink():
                shutil.rmtree(left)
            else:
                left.unlink()


def listing(folder: Path) -> dict[str, int]:
    """Relative path -> bytes of every file under ``folder``.

    Raises:
        IntegrityError: something that is neither a regular file nor a folder.
    """
    sizes: dict[str, int] = {}
    for parent, folders, names in os.walk(folder, onerror=_raise):
        for name in (*folders, *names):
            path = Path(parent, name)
            seen = path.lstat()
            if stat.S_ISREG(seen.st_mode):
                sizes[path.relative_to(folder).as_posix()] = seen.st_size
            elif not stat.S_ISDIR(seen.st_mode):
                raise IntegrityError(f"{printable(str(path))} is neither a regular file nor a folder")
    return sizes


def _raise(error: OSError) -> None:
    raise error
