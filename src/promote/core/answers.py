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
from promote.core.rules.watched import HOST, Watched
from promote.core.verdict import WORST_FIRST, Finding

Row = TypeVar("Row", bound=Hashable)

Answer = Finding | None
"""The worst finding of a rule; ``None``: it does not apply."""

_RANK = {outcome: place for place, outcome in enumerate(WORST_FIRST)}


@dataclass(slots=True)
class _Asked:
    """A rule, its place among all, and the facts of models and targets that it has been seen to read."""

    rule: Rule
    place: int
    of_model: frozenset[str] = frozenset()
    of_target: tuple[str, ...] = ()


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
        self._targets, self._matrix, self._gather = tuple(targets), matrix, gather
        self._asked = [_Asked(rule, place) for place, rule in enumerate(rules)]
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
        said: dict[tuple[Any, ...], Answer] = {}
        answers = []
        for target in self._targets:
            key = _values(target, asked.of_target)
            if key not in said:
                said_now = self._answer(asked, model, target)
                if key != (key := _values(target, asked.of_target)):
                    said.clear()  # it read more than before
                said[key] = said_now
            answers.append(said[key])
        return tuple(answers)

    def _answer(self, asked: _Asked, model: ModelFacts, target: Target) -> Answer:
        of_model, of_target = set[str](), set[str]()
        case = Case(Watched(model, of_model), Watched(target, of_target), self._matrix)  # type: ignore[arg-type]
        worst = min(asked.rule(case), key=lambda finding: _RANK[finding.outcome], default=None)
        if not of_model <= asked.of_model:
            asked.of_model |= of_model
            self._grown = True
        if not of_target <= set(asked.of_target):
            asked.of_target = tuple(sorted(of_target | set(asked.of_target)))
        return worst


def _values(target: Target, names: tuple[str, ...]) -> tuple[Any, ...]:
    return tuple(
        [getattr(target.host, name[len(HOST) :]) if name.startswith(HOST) else getattr(target, name) for name in names]
    )


__all__ = ["Answer", "Answers"]
