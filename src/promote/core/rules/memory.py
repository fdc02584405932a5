"""A rule that remembers its answers, by the facts of the model that it has been seen to read.

What a rule reads is watched and not declared. An answer is found again only for a model that agrees in *all* facts the rule
ever read on this target; when it reads one more, all answers are forgotten. The rule, being a function, cannot answer such
a model otherwise. Not here: which rules there are (``engine``).
"""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from promote.core.facts import Fact, ModelFacts, Target
from promote.core.matrix import Matrix
from promote.core.rules.case import Case, Rule
from promote.core.rules.watched import Watched
from promote.core.verdict import Finding

R = TypeVar("R")

_MOST = 100_000  # facts, and answers of one rule, that are remembered


class Numbers:
    """A number for each fact, the same for equal ones; one that was forgotten gets a new one, never another's."""

    def __init__(self) -> None:
        self._given: dict[Any, int] = {}
        self._next = itertools.count(1)

    def of(self, fact: Fact[Any] | None) -> int:
        """Its number; mappings are the only values of facts that have no hash."""
        if fact is None:
            return 0
        value = frozenset(fact.value.items()) if isinstance(fact.value, Mapping) else fact.value
        key = (value, fact.source, fact.measured)
        number = self._given.get(key)
        if number is None:
            if len(self._given) >= _MOST:
                self._given.clear()
            number = self._given[key] = next(self._next)
        return number


class Keys:
    """The numbers of one model's facts; tuples of them are made once."""

    __slots__ = ("_made", "_model", "_numbers", "_of")

    def __init__(self, model: ModelFacts, numbers: Numbers) -> None:
        self._model, self._numbers = model, numbers
        self._of: dict[str, int] = {}
        self._made: dict[tuple[str, ...], tuple[int, ...]] = {}

    def of(self, names: tuple[str, ...]) -> tuple[int, ...]:
        """The numbers of these facts."""
        made = self._made.get(names)
        if made is None:
            made = self._made[names] = tuple([self._number(name) for name in names])
        return made

    def _number(self, name: str) -> int:
        number = self._of.get(name)
        if number is None:
            number = self._of[name] = self._numbers.of(getattr(self._model, name))
        return number


@dataclass(slots=True)
class Remembering(Generic[R]):
    """A rule on one target, with what is kept of its answers.

    Args:
        rule: to ask.
        target: completed.
        matrix: what the world accepts.
        keep: what is wanted of an answer.
    """

    rule: Rule
    target: Target
    matrix: Matrix
    keep: Callable[[tuple[Finding, ...]], R]
    reads: tuple[str, ...] = ()
    found: dict[tuple[int, ...], R] = field(default_factory=dict)

    def ask(self, model: ModelFacts, keys: Keys) -> R:
        """What the rule says of this model, asked or remembered; ``keys`` are those of the model."""
        key = keys.of(self.reads)
        if key in self.found:
            return self.found[key]
        read = set[str]()
        watched = Watched(model, read)
        answer = self.keep(self.rule(Case(watched, self.target, self.matrix)))  # type: ignore[arg-type]
        if read - set(self.reads):
            self.reads = tuple(sorted(read | set(self.reads)))
            self.found.clear()
        elif len(self.found) >= _MOST:
            self.found.clear()
        self.found[keys.of(self.reads)] = answer
        return answer
