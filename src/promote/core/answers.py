"""What the rules answer for many models on many hosts, with little of it asked twice. Pure.

A rule is a function of the facts it reads. Which it reads is watched and not declared, so an answer is found again only for
a model and a host that agree in *all* facts the rule ever read. Rules that read the same facts of a model are asked as one.
Not here: what a rule says (``rules``), or what a changed answer means (``what_if``).
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from promote.core.facts import ModelFacts, Target
from promote.core.matrix import Matrix
from promote.core.rules.case import Case, Rule
from promote.core.rules.watched import Watched, noted
from promote.core.verdict import WORST_FIRST, Finding

Row = TypeVar("Row", bound=Hashable)

Answer = Finding | None
"""The worst finding of a rule; ``None``: it does not apply."""

_RANK = {outcome: place for place, outcome in enumerate(WORST_FIRST)}


@dataclass(slots=True)
class _Asked:
    """A rule, its place among all, and the facts of models and targets that it has been seen to read.

    ``alike``: for each target the first one that is equal to it in what the rule reads.
    """

    rule: Rule
    place: int
    alike: tuple[int, ...]
    of_model: frozenset[str] = frozenset()
    of_target: frozenset[str] = frozenset()


@dataclass(slots=True)
class _Group(Generic[Row]):
    """Rules that read the same facts of a model, and what came of them, by these facts."""

    reads: tuple[str, ...]
    rules: list[_Asked] = field(default_factory=list)
    rows: dict[tuple[Hashable, ...], Row] = field(default_factory=dict)


class Answers(Generic[Row]):
    """All rules on some targets.

    Args:
        targets: completed.
        matrix: what the world accepts.
        rules: all of them.
        gather: makes one value of what some rules (by their places) said, each on every target; equal values are kept once.
    """

    def __init__(
        self,
        targets: Sequence[Target],
        matrix: Matrix,
        rules: Sequence[Rule],
        gather: Callable[[Sequence[tuple[int, tuple[Answer, ...]]]], Row],
    ) -> None:
        self._matrix, self._gather = matrix, gather
        self._noted = [noted(target) for target in targets]
        self._watched = [(Watched(target, read), read) for target, read in ((target, set[str]()) for target in targets)]
        self._asked = [_Asked(rule, place, self._alike(frozenset())) for place, rule in enumerate(rules)]
        self._groups: list[_Group[Row]] = []
        self._rows: dict[Row, Row] = {}
        self._grown = False

    def rows(self, model: ModelFacts, numbers: Mapping[str, Hashable]) -> tuple[Row, ...]:
        """One for each group of rules; equal ones are the same object.

        Args:
            model: its facts.
            numbers: for each fact something that is equal for equal facts, and quickly compared.
        """
        found: list[Row] = []
        for group in self._groups or self._regrouped():
            key = tuple([numbers[name] for name in group.reads])
            row = group.rows.get(key)
            if row is None:
                row = group.rows[key] = self._ask(group, model)
            found.append(row)
        if self._grown:
            self._groups, self._grown = [], False  # a rule read more than before: what it said may not be found by less
        return tuple(found)

    def _regrouped(self) -> list[_Group[Row]]:
        groups: dict[tuple[str, ...], _Group[Row]] = {}
        for asked in self._asked:
            reads = tuple(sorted(asked.of_model))
            groups.setdefault(reads, _Group(reads)).rules.append(asked)
        self._groups = list(groups.values())
        return self._groups

    def _ask(self, group: _Group[Row], model: ModelFacts) -> Row:
        row = self._gather([(asked.place, self._on_targets(asked, model)) for asked in group.rules])
        return self._rows.setdefault(row, row)

    def _on_targets(self, asked: _Asked, model: ModelFacts) -> tuple[Answer, ...]:
        """On every target; on those that are equal in what the rule reads once."""
        of_model = set[str]()
        watched = Watched(model, of_model)
        said: dict[int, Answer] = {}
        while left := set(asked.alike) - said.keys():  # asking may show that more must be asked
            said |= {first: self._answer(asked, watched, first) for first in left}
        if not of_model <= asked.of_model:
            asked.of_model |= of_model
            self._grown = True
        return tuple([said[first] for first in asked.alike])

    def _answer(self, asked: _Asked, model: Watched, place: int) -> Answer:
        target, of_target = self._watched[place]
        of_target.clear()
        findings = asked.rule(Case(model, target, self._matrix))  # type: ignore[arg-type]
        if not of_target <= asked.of_target:  # it reads more: targets that seemed alike may not be
            asked.of_target |= of_target
            asked.alike = self._alike(asked.of_target)
        return min(findings, key=lambda finding: _RANK[finding.outcome], default=None)

    def _alike(self, names: frozenset[str]) -> tuple[int, ...]:
        firsts: dict[tuple[Any, ...], int] = {}
        return tuple(
            [firsts.setdefault(tuple([said[name] for name in names]), place) for place, said in enumerate(self._noted)]
        )


__all__ = ["Answer", "Answers"]
