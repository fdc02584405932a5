"""Runs several requests as few session runs as may be, and keeps one request's failure away from the others.

Requests that agree in all but the batch dimension are joined along it, run once, and cut apart again. It knows NumPy
arrays and a `run` function; it knows neither Triton's request objects nor ONNX Runtime.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Run = Callable[[Sequence[str], dict[str, Array]], Sequence[Array]]


@dataclass(frozen=True, slots=True)
class Job:
    """One request: what it feeds, and which outputs it wants, in its own order."""

    feeds: dict[str, Array]
    wanted: tuple[str, ...]

    @property
    def rows(self) -> int:
        """The batch size; asked only where the first dimension is one."""
        return int(next(iter(self.feeds.values())).shape[0])

    def likeness(self) -> Hashable:
        """Equal for jobs that may share a run."""
        return (self.wanted, tuple((name, a.dtype.str, a.shape[1:]) for name, a in sorted(self.feeds.items())))


def answer(jobs: Sequence[Job], run: Run, *, batching: bool) -> list[list[Array] | Exception]:
    """One entry per job, in order: its outputs as it wants them, or the exception that its own run raised."""
    answers: list[list[Array] | Exception] = [RuntimeError("not run")] * len(jobs)
    for places in _alike(jobs) if batching else [[place] for place in range(len(jobs))]:
        for place, outcome in zip(places, _answer_alike([jobs[place] for place in places], run), strict=True):
            answers[place] = outcome
    return answers


def _alike(jobs: Sequence[Job]) -> Iterable[list[int]]:
    groups: dict[Hashable, list[int]] = {}
    for place, job in enumerate(jobs):
        groups.setdefault(job.likeness(), []).append(place)
    return groups.values()


def _answer_alike(jobs: Sequence[Job], run: Run) -> list[list[Array] | Exception]:
    if len(jobs) > 1:
        # Whose fault a failure was only shows when each runs alone.
        with contextlib.suppress(Exception):
            return [*_joined(jobs, run)]
    return [_alone(job, run) for job in jobs]


def _joined(jobs: Sequence[Job], run: Run) -> list[list[Array]]:
    feeds = {name: np.concatenate([job.feeds[name] for job in jobs]) for name in jobs[0].feeds}
    ends = np.cumsum([job.rows for job in jobs])
    outputs = run(jobs[0].wanted, feeds)
    if any(output.ndim == 0 or output.shape[0] != ends[-1] for output in outputs):
        raise ValueError("an output does not follow the batch dimension")
    parts = [np.split(output, ends[:-1]) for output in outputs]
    return [[np.ascontiguousarray(part[place]) for part in parts] for place in range(len(jobs))]


def _alone(job: Job, run: Run) -> list[Array] | Exception:
    try:
        return list(run(job.wanted, job.feeds))
    except Exception as error:  # noqa: BLE001 - it becomes this request's own error
        return error
