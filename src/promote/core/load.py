"""How fast a version answers, and how late: what was measured, and what follows from it. Pure.

The loop is *closed*: each of N clients sends its next request when its last one was answered, so a slow server is asked
less. Percentiles therefore say what N such clients meet; they are no forecast for requests that arrive by themselves
(an open loop), which queue while the server is slow. Every latency is kept, so a percentile is one that was really
measured: the nearest rank, never between two. Not here: the requests (``triton_load``) and the drawing (``load_page``).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

PERCENTILES = (50, 90, 95, 99)


@dataclass(frozen=True, slots=True, order=True)
class Cell:
    """One load.

    Args:
        protocol: ``http`` or ``grpc``.
        batch: rows of one request; 0 for a model that takes none, whose request is the golden one as it is.
        clients: how many ask at once.
    """

    protocol: str
    batch: int
    clients: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What came of one load.

    Args:
        cell: which.
        seconds: from the first request until the last answer.
        answers: how many requests were answered.
        milliseconds: percentile -> latency; empty where nothing was answered.
        mean: latency in ms.
        errors: why requests failed -> how many.
        busy: share of one processor core that this client itself used; near 1, it and not the server may be the limit.
    """

    cell: Cell
    seconds: float
    answers: int
    milliseconds: Mapping[int, float]
    mean: float
    errors: Mapping[str, int]
    busy: float

    @property
    def rate(self) -> float:
        """Rows (or requests, where there is no batch) answered in a second."""
        return self.answers * max(self.cell.batch, 1) / self.seconds if self.seconds else 0.0

    @property
    def failed(self) -> int:
        """How many requests were not answered."""
        return sum(self.errors.values())

    @property
    def sure(self) -> bool:
        """There were 100 answers or more: with fewer, the 99th percentile is but the slowest of them."""
        return self.answers >= 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What was measured of one version on one target.

    Args:
        name: model name.
        version: of it.
        digest: of its bundle.
        target: where.
        triton: the server's version.
        when: RFC 3339 UTC.
        by: user and host that asked.
        case: the golden case that requests were made of.
        seconds: asked for each load.
        cells: what came of each.
    """

    name: str
    version: int
    digest: str
    target: str
    triton: str
    when: str
    by: str
    case: str
    seconds: float
    cells: tuple[Measured, ...]


def summed(cell: Cell, seconds: float, latencies: list[float], errors: Mapping[str, int], busy: float) -> Measured:
    """The figures of one load.

    Args:
        cell: which.
        seconds: from the first request until the last answer.
        latencies: in seconds, one an answered request, in any order.
        errors: why requests failed -> how many.
        busy: share of one core.
    """
    ranked = sorted(latencies)
    at = {p: 1000 * nearest_rank(ranked, p) for p in PERCENTILES} if ranked else {}
    mean = 1000 * sum(ranked) / len(ranked) if ranked else 0.0
    return Measured(
        cell=cell, seconds=seconds, answers=len(ranked), milliseconds=at, mean=mean, errors=dict(errors), busy=busy
    )


def nearest_rank(ranked: list[float], percent: int) -> float:
    """The smallest measured value that ``percent`` of all values do not exceed (the nearest-rank definition).

    Args:
        ranked: in rising order, at least one.
        percent: 1 to 100.
    """
    return ranked[max(math.ceil(percent * len(ranked) / 100), 1) - 1]


def beside(mine: Measured, former: "Figures | None") -> Measured | None:
    """The same load of the former version, where it was measured and answered."""
    cells = former.cells if former else ()
    return next((m for m in cells if m.cell == mine.cell and m.answers), None)
