"""Judges every passport that ``promote what-if`` finds: equal facts once, in two processes where there is much to read.

A damaged bundle is kept as a fault, so that it hides no other. Not here: how the answer looks (``what_if_page``).
"""

import gc
import os
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

from promote.cli.what_if_page import Judged
from promote.core.passport_reading import FactReader, read_passport
from promote.errors import InputError, IntegrityError

if TYPE_CHECKING:
    from promote.core.what_if import WhatIf
    from promote.wiring import Wiring

_MANY = 256
_PROCESSES = 2

Judging = Callable[[tuple[int, int]], Judged]
"""Judges a share: which, of how many."""


def judge_all(wiring: "Wiring", what_if: "WhatIf", paths: tuple[str, ...], models: tuple[str, ...]) -> Judged:
    """All there is to judge; in two processes where a folder holds many things and there are two processors."""

    def share(part: tuple[int, int]) -> Judged:
        return _judge(wiring, what_if, paths, models, part)

    gc.freeze()  # what is there now stays; a search through a million small values for garbage would find none
    gc.disable()
    try:
        if _entries(wiring.passport_paths(paths)) < _MANY or (os.cpu_count() or 1) < _PROCESSES:
            return share((0, 1))
        return _in_two(share)
    finally:
        gc.enable()
        gc.unfreeze()


def _entries(paths: tuple[str, ...]) -> int:
    """The things that lie right in these folders."""
    folders = [path for path in paths if os.path.isdir(path)]  # noqa: PTH112 - what is no folder is told when it is read
    return max((len(os.listdir(folder)) for folder in folders if os.access(folder, os.R_OK)), default=0)  # noqa: PTH208


def _judge(
    wiring: "Wiring", what_if: "WhatIf", paths: tuple[str, ...], models: tuple[str, ...], part: tuple[int, int]
) -> Judged:
    reader, judged = FactReader(), Judged()
    for item in wiring.passports(paths, models, part):
        try:
            if item.fault:
                raise IntegrityError(item.fault)
            if item.model:
                judged.add(
                    item.where.encode(), (item.where, 0, item.where), what_if.changes(wiring.read_facts(item.model))
                )
                continue
            passport = read_passport(item.passport, "it")
            named = (passport.name, passport.version, item.where)
            if not judged.knows(passport.key, named):
                judged.add(passport.key, named, what_if.changes(*reader.read(passport.facts, "it")))
        except (IntegrityError, InputError) as error:
            judged.faults.append((item.where, error.message))
    return judged


def _in_two(share: Judging) -> Judged:
    """The second half in a process of its own, which starts with all that is read here already."""
    ours, theirs = get_context("fork").Pipe(duplex=False)
    other = get_context("fork").Process(target=_other, args=(theirs, share), daemon=True)
    other.start()
    theirs.close()
    try:
        judged = share((0, _PROCESSES))
        try:
            answer = ours.recv()
        except EOFError:  # it was ended from outside: its half is judged here
            answer = share((1, _PROCESSES))
        if isinstance(answer, BaseException):
            raise answer
        judged.join(answer)
    finally:
        ours.close()
        other.kill()
        other.join()
    return judged


def _other(pipe: Connection, share: Judging) -> None:
    """What the second process does: a failure of its own is told as the first would meet it."""
    try:
        pipe.send(share((1, _PROCESSES)))
    except KeyboardInterrupt:  # the first was interrupted too, and says so
        os._exit(130)
    except Exception as error:  # noqa: BLE001 - raised again by the first
        pipe.send(error)


__all__ = ["judge_all"]
