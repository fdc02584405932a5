"""Several blobs on their way at once: a few threads, one count of bytes, one error told.

Not here: what moving one blob means (``registry`` says).
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from promote.ports import Step

AT_ONCE = 6  # as skopeo and docker do; more gains nothing on one line and registries start to refuse
_TELL_SECONDS = 0.1
_LEAVE_SECONDS = (
    0.5  # how long the others may take to stop; a thread that hangs in a dead connection is left to end alone
)


class Stopped(BaseException):
    """Another blob failed, or the user stopped it all; not an ``Exception``, so that nothing tries it again."""


@dataclass(slots=True)
class Move:
    """One blob to be moved.

    Args:
        size: its bytes.
        work: moves it and tells how many bytes are through; returns how many of them had to be moved.
        done: bytes through, most so far: a new try starts from 0 and is not told as going back.
    """

    size: int
    work: Callable[[Callable[[int], None]], int]
    done: int = 0


@dataclass(slots=True)
class _Crew:
    """What the threads share; ``changed`` guards it."""

    waiting: Iterator[Move]
    left: int
    changed: threading.Condition = field(default_factory=threading.Condition)
    stop: bool = False
    error: BaseException | None = None
    moved: int = 0


def move_all(moves: Sequence[Move], step: Step, before: int, total: int, at_once: int = AT_ONCE) -> int:
    """Moves them all, the largest first; returns how many bytes had to be moved.

    The step is told from the calling thread only, ten times a second at most, and hears no less than before.

    Args:
        moves: each of another blob.
        step: hears ``before`` and what is through, of ``total``.
        before: bytes that were through already.
        total: bytes, for the step.
        at_once: threads at most.

    Raises:
        Exception: whatever the first that failed raised, after the others were told to stop and had half a second to.
    """
    crew = _Crew(iter(sorted(moves, key=lambda move: -move.size)), min(at_once, len(moves)))
    threads = [threading.Thread(target=_work, args=(crew,), daemon=True) for _ in range(crew.left)]
    try:
        for thread in threads:
            thread.start()
        while crew.left and not crew.error:
            with crew.changed:
                if crew.left and not crew.error:
                    crew.changed.wait(_TELL_SECONDS)
            step.update(before + sum(move.done for move in moves), total)
    finally:
        crew.stop = True
        until = time.monotonic() + _LEAVE_SECONDS
        for thread in threads:
            if thread.ident is not None:
                thread.join(max(0.0, until - time.monotonic()))
    if crew.error:
        raise crew.error
    step.update(before + sum(move.done for move in moves), total)
    return crew.moved


def _work(crew: _Crew) -> None:
    error: BaseException | None = None
    try:
        while (move := _next(crew)) is not None:
            moved = move.work(_counter(crew, move))
            move.done = move.size
            with crew.changed:
                crew.moved += moved
    except Stopped:
        pass
    except BaseException as failed:  # noqa: BLE001 - raised again by `move_all`, in the thread that asked
        error = failed
    with crew.changed:
        crew.left -= 1
        crew.error = crew.error or error
        crew.stop = crew.stop or error is not None
        if error or not crew.left:
            crew.changed.notify()


def _next(crew: _Crew) -> Move | None:
    with crew.changed:
        return None if crew.stop else next(crew.waiting, None)


def _counter(crew: _Crew, move: Move) -> Callable[[int], None]:
    def told(done: int) -> None:
        if crew.stop:
            raise Stopped
        move.done = max(move.done, done)

    return told
