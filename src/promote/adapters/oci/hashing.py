"""SHA-256 beside the moving of bytes: a large blob is hashed by a thread of its own, while the next bytes travel."""

import hashlib
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from promote.adapters.oci.buffers import Piece

_LARGE = 8 * 1024 * 1024  # below, starting a thread costs more than it saves
_AHEAD = 4  # pieces that may wait to be hashed


@contextmanager
def hashing(size: int) -> Iterator[tuple[Callable[[Piece], object], Callable[[], str]]]:
    """What takes the next bytes, and what gives the hex digest of them all, to be called last and once.

    Args:
        size: about how many bytes there will be.
    """
    sha = hashlib.sha256()
    if size < _LARGE:
        yield sha.update, sha.hexdigest
        return
    # Queues of C: a bounded one of Python's own costs more than hashing a tenth of the piece.
    waiting, room = queue.SimpleQueue[Piece | None](), queue.SimpleQueue[None]()
    for _ in range(_AHEAD):
        room.put(None)

    def work() -> None:
        while (piece := waiting.get()) is not None:
            sha.update(piece)
            room.put(None)

    def update(piece: Piece) -> None:
        room.get()
        waiting.put(piece)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()

    def hexdigest() -> str:
        waiting.put(None)
        thread.join()
        return sha.hexdigest()

    try:
        yield update, hexdigest
    finally:
        waiting.put(None)
