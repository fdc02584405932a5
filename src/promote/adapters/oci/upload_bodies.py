"""Bodies of requests that upload: of known length, made while they are sent, verified from the blob's first byte.

They come in small parts, since the timeout of a socket counts for each: a slow line is no broken one. Not here: requests.
"""

from collections.abc import Callable, Iterator

from promote.adapters.oci.buffers import Piece
from promote.adapters.oci.files import source
from promote.core.stages import Blob

PART = 128 * 1024  # in the 10 s that a new connection has for it, a line of 13 KB/s


class Slices:
    """A body in memory."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def __len__(self) -> int:
        return len(self._data)

    def __iter__(self) -> Iterator[memoryview]:
        return _parts(self._data)


class Rest:
    """A blob from a byte on.

    Args:
        blob: that lies here.
        start: the first byte that is sent.
        told: hears how many of its bytes the connection has taken, those before ``start`` among them.
    """

    def __init__(self, blob: Blob, start: int, told: Callable[[int], None]) -> None:
        self._blob, self._start, self._told = blob, start, told

    def __len__(self) -> int:
        return self._blob.size - self._start

    def __iter__(self) -> Iterator[memoryview]:
        done = self._start
        self._told(done)
        for chunk in _from(self._blob, self._start):
            for part in _parts(chunk):
                yield part
                done += len(part)
            self._told(done)


def pieces(blob: Blob, start: int, piece: int) -> Iterator[bytes]:
    """The bytes from ``start`` on, ``piece`` at a time; not the last, which may be shorter."""
    held = b""
    for chunk in _from(blob, start):
        held += chunk
        while len(held) > piece:
            yield held[:piece]
            held = held[piece:]


def _from(blob: Blob, start: int) -> Iterator[Piece]:
    """The bytes from ``start`` on, verified with those before."""
    ahead = start
    for chunk in source(blob):
        if ahead < len(chunk):
            yield chunk[ahead:] if ahead else chunk
        ahead = max(0, ahead - len(chunk))


def _parts(data: Piece) -> Iterator[memoryview]:
    whole = memoryview(data)
    for start in range(0, len(whole), PART):
        yield whole[start : start + PART]
