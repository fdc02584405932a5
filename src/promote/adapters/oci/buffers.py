"""Memory for the pieces of a stream, used again: fresh memory for every piece costs a page fault every 4 KiB.

Not here: what is read into it (``body`` from a line, ``files`` from a disk).
"""

CHUNK = 256 * 1024  # what a processor's cache holds while it is hashed and written
Piece = bytes | memoryview


class Buffers:
    """Pieces of memory; one is handed out again when nobody looks at it any more. For one thread, whose pieces may go to others.

    Args:
        expected: bytes of the stream, where known: no piece is larger than they are.
    """

    def __init__(self, expected: int | None = None) -> None:
        self._size = CHUNK if expected is None else max(1, min(CHUNK, expected))
        self._all: list[bytearray] = []

    def take(self) -> bytearray:
        """One that nobody looks at; it is free again when the last ``memoryview`` of it is gone."""
        for buffer in self._all:
            if _is_free(buffer):
                return buffer
        self._all.append(bytearray(self._size))
        return self._all[-1]


def _is_free(buffer: bytearray) -> bool:
    """A bytearray that somebody has a view of cannot change its size. Source: Python's ``memoryview.release``."""
    try:
        buffer.append(0)
    except BufferError:
        return False
    buffer.pop()
    return True
