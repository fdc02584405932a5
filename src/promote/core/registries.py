"""How a blob is sent to a registry, and whether it gets there in time, by the row ``registries`` of the matrix.

Not here: sending (``adapters.oci``). A registry without a row gets what every registry takes: one request with the whole
length; where it breaks, the registry is asked what it kept.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from promote.core.matrix_rows import RegistryLimits

WORTH = 4 * 2**20  # bytes of a blob from which an upload is kept to go on with; a smaller one is sent again as fast
LARGEST_PIECE = 8 * 2**20  # bytes of a request of many: they are held in memory, of several blobs at once
SMALLEST_PIECE = 256 * 2**10  # a registry that takes no more in one request is not sent to in pieces
SAMPLE = 4 * 2**20  # bytes sent to measure a rate: GHCR takes no more in one PATCH
_SLOWEST = 256 * 2**10  # bytes a second; a line below that is not what the measuring is for
_OF_THE_TIME = 0.8  # a rate measured now is not the rate of the next ten minutes


@dataclass(frozen=True, slots=True)
class Way:
    """How a blob is sent.

    Args:
        piece: bytes of a request at most; 0: all in one.
        asked: after a break the registry is asked what it has, and the rest is sent.
    """

    piece: int
    asked: bool


def limits_of(host: str, rows: Iterable[RegistryLimits]) -> RegistryLimits | None:
    """The row of that host: its own before that of its domain (``*.pkg.dev``)."""
    fitting = [row for row in rows if row.host == host or (row.host[:2] == "*." and host.endswith(row.host[1:]))]
    return max(fitting, key=lambda row: (row.host == host, len(row.host)), default=None)


def way(limits: RegistryLimits | None, size: int) -> Way:
    """How a blob of ``size`` bytes is sent to a registry with these limits, or without any known."""
    asked = size >= WORTH and (limits is None or limits.resume == "ask")
    if limits is None or limits.upload == "monolithic":
        return Way(0, asked)
    piece = min(limits.largest_chunk or LARGEST_PIECE, LARGEST_PIECE)
    return Way(piece if size > piece else 0, asked)


def rate_matters(limits: RegistryLimits | None, sizes: Sequence[int], most: int) -> bool:
    """Whether the ``most`` largest, sent at once, may outlast the registry's time on a line that is merely slow."""
    seconds = limits.upload_seconds if limits else None
    return seconds is not None and sum(sorted(sizes)[-most:]) > seconds * _SLOWEST


def at_once(limits: RegistryLimits, sizes: Sequence[int], rate: float, most: int) -> int:
    """How many of the largest may share the line and still end in time; 0: not even one alone.

    Args:
        limits: of the registry.
        sizes: bytes of what is to be sent.
        rate: bytes a second that the line takes in all.
        most: to be answered at most.
    """
    if limits.upload_seconds is None:
        return most
    largest = sorted(sizes, reverse=True)[:most]
    if sum(largest) <= (room := rate * limits.upload_seconds * _OF_THE_TIME):
        return most
    return next(n for n in range(len(largest) - 1, -1, -1) if sum(largest[:n]) <= room)
