"""One deployment of a model at a time on this machine.

A lock saves work, no more: where the file system ignores it, digests and renames still keep the repository whole. It
goes with its process, so a killed deployment leaves none behind.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from promote.adapters.repository.disk import disk
from promote.core.names import printable
from promote.errors import Unavailable


@contextmanager
def hold(path: Path, name: str, by: str) -> Iterator[None]:
    """Holds the lock file at ``path`` for deploying ``name``.

    Raises:
        Unavailable: another process holds it; the message names that process and who runs it.
    """
    with disk(f"lock {name}"):
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    try:
        with disk(f"lock {name}"):
            _take(handle, name)
            os.pwrite(handle, f"process {os.getpid()} of {by}".encode(), 0)
        yield
    finally:
        os.close(handle)


def _take(handle: int, name: str) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = printable(os.pread(handle, 400, 0).decode(errors="replace")) or "another process"
        raise Unavailable(
            f"{name} is being deployed by {holder}", hint="wait until it ends; its lock goes with it"
        ) from error
    os.ftruncate(handle, 0)
