"""Entity-level F1, strict: an entity counts when its class and both its ends are right, and not otherwise.

Same counting as seqeval in strict IOB2 mode. Not token accuracy, which the many O labels flatter.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

Span = tuple[str, int, int]


@dataclass(frozen=True, slots=True)
class Score:
    """Counts of entities, and the three ratios; a ratio of nothing is 0."""

    right: int
    predicted: int
    expected: int

    @property
    def precision(self) -> float:
        """Share of the predicted entities that are right."""
        return self.right / self.predicted if self.predicted else 0.0

    @property
    def recall(self) -> float:
        """Share of the expected entities that were found."""
        return self.right / self.expected if self.expected else 0.0

    @property
    def f1(self) -> float:
        """Harmonic mean of the two."""
        both = self.predicted + self.expected
        return 2 * self.right / both if both else 0.0


def spans(labels: Sequence[str]) -> set[Span]:
    """(class, first word, word after the last). Only B- begins an entity; an I- that continues none is no entity."""
    found: set[Span] = set()
    kind, begin = "", 0
    for at, label in enumerate((*labels, "O")):
        prefix, _, name = label.partition("-")
        if prefix == "I" and name == kind:
            continue
        if kind:
            found.add((kind, begin, at))
        kind, begin = (name, at) if prefix == "B" else ("", 0)
    return found


def score(expected: Iterable[Sequence[str]], predicted: Iterable[Sequence[str]]) -> tuple[Score, dict[str, Score]]:
    """Over all entities of all sentences (micro), and for each class that occurs on either side."""
    right: Counter[str] = Counter()
    said: Counter[str] = Counter()
    true: Counter[str] = Counter()
    for wanted, given in zip(expected, predicted, strict=True):
        if len(wanted) != len(given):
            raise ValueError(f"{len(given)} labels for a sentence of {len(wanted)} words")
        want, have = spans(wanted), spans(given)
        right.update(kind for kind, *_ in want & have)
        said.update(kind for kind, *_ in have)
        true.update(kind for kind, *_ in want)
    by_class = {kind: Score(right[kind], said[kind], true[kind]) for kind in sorted(said | true)}
    return Score(right.total(), said.total(), true.total()), by_class
