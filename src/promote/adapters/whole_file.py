"""A small file whole, by as few calls to the system as can be: what-if reads a hundred thousand of them."""

import os

from promote.core.names import printable
from promote.errors import IntegrityError

_USUAL = 64 * 1024  # more than nearly every passport has


def read_whole(path: str, most: int) -> bytes:
    """The bytes of a file of at most ``most``; a link is none, a pipe is empty. Three calls to the system, no more.

    Raises:
        IntegrityError: it is not there, cannot be read, or is larger.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise IntegrityError(f"cannot read {printable(path)}: {error.strerror}") from error
    try:
        data = os.read(handle, _USUAL)
        while len(data) <= most and (more := os.read(handle, most + 1 - len(data)) if len(data) >= _USUAL else b""):
            data += more
    except OSError as error:
        raise IntegrityError(f"cannot read {printable(path)}: {error.strerror}") from error
    finally:
        os.close(handle)
    if len(data) > most:
        raise IntegrityError(f"{printable(path)} has more than {most:,} bytes")
    return data
