"""The part of ``promote what-if`` that one process takes: it reads its passports, and judges its half of the different facts.

Both processes meet most facts, so each leaves those that are the other's to judge, and the two exchange them once all is
read. Not here: how they talk (``what_if_judging``).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from promote.cli.what_if_page import Judged, Named
from promote.core.passport_reading import FactReader, Passport, read_passport
from promote.errors import InputError, IntegrityError

if TYPE_CHECKING:
    from promote.core.passport_item import Item
    from promote.core.what_if import Change, WhatIf
    from promote.wiring import Wiring


@dataclass(frozen=True, slots=True)
class Told:
    """What a process says at its end.

    Args:
        judged: what it read, but for what it left.
        left: models whose facts it left to the other, by the key of these facts.
        refused: facts that the other left to it and that are none, and why.
    """

    judged: Judged
    left: Mapping[bytes, list[Named]]
    refused: Mapping[bytes, str]


@dataclass(slots=True)
class Part:
    """One process's part.

    Args:
        wiring: reads a model file that has no passport.
        what_if: judges.
        place: which of the processes this is.
        of: how many there are; of one, nothing is left to another.
        room: bytes of facts that may still be left; beyond it a process judges what it meets.
    """

    wiring: "Wiring"
    what_if: "WhatIf"
    place: int = 0
    of: int = 1
    room: int = 0
    _judged: Judged = field(default_factory=Judged)
    _left: dict[bytes, tuple[bytes, list[Named]]] = field(default_factory=dict)
    _refused: dict[bytes, str] = field(default_factory=dict)
    _facts: FactReader = field(default_factory=FactReader)
    _last: Passport | None = None

    def read(self, items: "Iterable[Item]") -> None:
        """Reads and judges; a damaged item is kept as a fault, so that it hides no other."""
        for item in items:
            try:
                if item.fault:
                    raise IntegrityError(item.fault)
                if item.model:
                    changes = self.what_if.changes(self.wiring.read_facts(item.model))
                    self._judged.add(item.where.encode(), (item.where, 0, item.where), changes)
                else:
                    self._passport(item)
            except (IntegrityError, InputError) as error:
                self._judged.faults.append((item.where, error.message))

    def _passport(self, item: "Item") -> None:
        passport = self._last = read_passport(item.passport, "it", self._last)
        named = (passport.name, passport.version, item.where)
        if self._judged.knows(passport.key, named):
            return
        if passport.key in self._left:
            self._left[passport.key][1].append(named)
        elif passport.key[0] % self.of != self.place and len(passport.facts) <= self.room:
            self.room -= len(passport.facts)
            self._left[passport.key] = passport.facts, [named]
        else:
            self._judged.add(passport.key, named, self._changes(passport.facts))

    def _changes(self, facts: bytes) -> "tuple[Change, ...]":
        return self.what_if.changes(*self._facts.read(facts, "it"))

    def asks(self) -> dict[bytes, bytes]:
        """The facts left to the other, by their keys."""
        return {key: facts for key, (facts, _) in self._left.items()}

    def answer(self, asked: Mapping[bytes, bytes]) -> None:
        """Judges what the other asks, where this process did not meet it itself."""
        for key, facts in asked.items():
            if key not in self._judged.groups:
                try:
                    self._judged.groups[key] = (self._changes(facts), [])
                except (IntegrityError, InputError) as error:
                    self._refused[key] = error.message

    def told(self) -> Told:
        """All that came of it."""
        return Told(self._judged, {key: models for key, (_, models) in self._left.items()}, self._refused)


def joined(parts: Iterable[Told]) -> Judged:
    """What processes found that answered each other."""
    told = tuple(parts)
    whole = Judged()
    for part in told:
        whole.join(part.judged)
    refused = {key: fault for part in told for key, fault in part.refused.items()}
    for key, models in ((key, models) for part in told for key, models in part.left.items()):
        if key in refused:
            whole.faults += [(where, refused[key]) for _, _, where in models]
        else:
            whole.groups[key][1].extend(models)
    whole.faults.sort()
    return whole
