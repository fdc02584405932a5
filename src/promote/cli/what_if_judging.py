"""Judges every passport that ``promote what-if`` finds: equal facts once, in two processes where there is much to read.

Not here: what each process does (``what_if_part``), and how the answer looks (``what_if_page``).
"""

import gc
import os
from collections.abc import Callable, Iterable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from promote.cli.what_if_page import Judged
from promote.cli.what_if_part import Part, Told, joined

if TYPE_CHECKING:
    from promote.core.passport_item import Item
    from promote.core.what_if import WhatIf
    from promote.wiring import Wiring

_MANY = 256
_PROCESSES = 2
_ROOM = 64 * 1024 * 1024  # bytes of facts that a process keeps for the other


def judge_all(wiring: "Wiring", what_if: "WhatIf", paths: tuple[str, ...], models: tuple[str, ...]) -> Judged:
    """All there is to judge; in two processes where a folder holds many things and there are two processors."""

    def items(place: int, of: int) -> "Iterable[Item]":
        return wiring.passports(paths, models, (place, of))

    def part(place: int, of: int) -> Part:
        return Part(wiring, what_if, place, of, _ROOM)

    gc.freeze()  # what is there now stays; a search through a million small values for garbage would find none
    gc.disable()
    try:
        if _entries(wiring.passport_paths(paths)) < _MANY or (os.cpu_count() or 1) < _PROCESSES:
            return joined([_alone(part(0, 1), items(0, 1))])
        return _in_two(part, items)
    finally:
        gc.enable()
        gc.unfreeze()


def _entries(paths: tuple[str, ...]) -> int:
    """The things that lie right in these folders."""
    folders = [path for path in paths if os.path.isdir(path)]  # noqa: PTH112 - what is no folder is told when it is read
    return max((len(os.listdir(folder)) for folder in folders if os.access(folder, os.R_OK)), default=0)  # noqa: PTH208


def _alone(part: Part, items: "Iterable[Item]") -> Told:
    part.read(items)
    part.answer(part.asks())
    return part.told()


def _in_two(part: "Callable[[int, int], Part]", items: "Callable[[int, int], Iterable[Item]]") -> Judged:
    """The second half in a process of its own, which starts with all that is read here already."""
    ours, theirs = get_context("fork").Pipe()
    other = get_context("fork").Process(target=_other, args=(theirs, ours, part, items), daemon=True)
    other.start()
    theirs.close()
    first = part(0, _PROCESSES)
    try:
        first.read(items(0, _PROCESSES))
        try:
            asked = _received(ours)
            ours.send(first.asks())
            first.answer(asked)
            second: Told = _received(ours)
        except (EOFError, OSError):  # it was ended from outside: its half is judged here
            first.answer(first.asks())
            second = _alone(part(0, 1), items(1, _PROCESSES))
    finally:
        ours.close()
        other.kill()
        other.join()
    return joined([first.told(), second])


def _received(pipe: Connection) -> Any:
    answer = pipe.recv()
    if isinstance(answer, BaseException):
        raise answer
    return answer


def _other(
    pipe: Connection,
    firsts: Connection,
    part: "Callable[[int, int], Part]",
    items: "Callable[[int, int], Iterable[Item]]",
) -> None:
    """What the second process does: a failure of its own is told as the first would meet it."""
    firsts.close()  # so that the end of the first is seen
    second = part(1, _PROCESSES)
    try:
        second.read(items(1, _PROCESSES))
        pipe.send(second.asks())
        second.answer(pipe.recv())
        pipe.send(second.told())
    except (KeyboardInterrupt, EOFError, BrokenPipeError):  # the first was interrupted too, and says so, or is gone
        os._exit(130)
    except Exception as error:  # noqa: BLE001 - raised again by the first
        pipe.send(error)


__all__ = ["judge_all"]
