"""SHA-256 beside the moving of bytes: a large blob is hashed by a thread of its own, while the next bytes travel."""

import hashlib
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_LARGE = 8 * 1024 * 1024  # below, starting a thread costs more than it saves
_AHEAD = 4  # chunks that may wait to be hashed


@contextmanager
def hashing(size: int) -> Iterator[tuple[Callable[[bytes], object], Callable[[], str]]]:
    """What takes the next bytes, and what gives the hex digest of them all, to be called last and once.

    Args:
        size: about how many bytes there will be.
    """
    sha = hashlib.sha256()
    if size < _LARGE:
        yield sha.update, sha.hexdigest
        return
    waiting: queue.Queue[bytes | None] = queue.Queue(_AHEAD)

    def work() -> None:
        while (chunk := waiting.get()) is not None:
            sha.update(chunk)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()

    def hexdigest() -> str:
        waiting.put(None)
        thread.join()
        return sha.hexdigest()

    try:
        yield waiting.put, hexdigest
    finally:
        if thread.is_alive():
            waiting.put(None)
