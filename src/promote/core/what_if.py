"""What if a host changed: the verdict before and after, rule by rule, for every model that was promoted. Pure.

Not here: how a hundred thousand are judged in seconds (``answers``), where passports lie (``adapters.passports``), and what
a rule says (``rules``).
"""

import dataclasses
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from promote.core.answers import Answer, Answers
from promote.core.facts import Fact, ModelFacts, Target
from promote.core.matrix import Matrix, with_settings
from promote.core.rules.case import Rule
from promote.core.rules.engine import RULES
from promote.core.verdict import WORST_FIRST, Finding, Outcome
from promote.errors import InputError

BREAKS, UNDECIDED, DEGRADES, IMPROVES, SAME = "breaks", "undecided", "degrades", "improves", "same"
EFFECTS = (BREAKS, UNDECIDED, DEGRADES, IMPROVES, SAME)
"""What a change does to a model, worst first."""

# As `judge` says, whose `Compatible` is for the proven; in the order of WORST_FIRST.
_WORDS = ("incompatible", "undecided", "degraded", "compatible")
_RANK = {outcome: place for place, outcome in enumerate(WORST_FIRST)}
_FINE = _RANK[Outcome.OK]
_EFFECT = {Outcome.BROKEN: BREAKS, Outcome.UNKNOWN: UNDECIDED, Outcome.DEGRADED: DEGRADES}
_MOST = 100_000
# What a new container or card brings of its own: measured on the former one, it says nothing of the new one.
_COMES_WITH = {
    "triton": ("triton", "onnxruntime", "tensorrt", "cuda", "python"),
    "gpu": ("gpu", "compute_capability", "memory_bytes"),
    "driver": ("driver",),
    "memory_gib": ("memory_bytes",),
}


@dataclass(frozen=True, slots=True)
class Host:
    """A host as it is, and as it would be; both completed by the matrix."""

    before: Target
    after: Target

    @property
    def name(self) -> str:
        """As in ``--target``."""
        return self.before.name

    def differences(self) -> dict[str, tuple[str, str]]:
        """Fact of the host -> its value before and after, ``?`` where it is not known."""
        pairs = {
            f.name: (_shown(getattr(self.before.host, f.name)), _shown(getattr(self.after.host, f.name)))
            for f in dataclasses.fields(self.before.host)
        }
        return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _shown(fact: Any) -> str:
    return "?" if fact is None else str(fact.value)


def change(target: Target, changes: Mapping[str, object], matrix: Matrix) -> Host:
    """``target``, and the same with ``changes`` (keys of ``[targets.NAME]``) supposed.

    What is supposed wins over what was measured. Another GPU's memory is not that of the former one: not known, unless
    it is among the changes. A target that runs the installed runtime is supposed to run the container instead, when a
    release is named.

    Raises:
        InputError: nothing to change, an unknown key, a value of the wrong form, or a GPU that the matrix does not know.
    """
    if not changes:
        raise InputError("nothing would change", hint="give --triton, --driver, --gpu or --memory-gib")
    if "gpu" in changes:
        changes = {**changes, "gpu": matrix.named_gpu(str(changes["gpu"])).name}
    host = target.host
    freed = {name for key in changes for name in _COMES_WITH.get(key, (key,))}
    for name in freed:
        if (fact := getattr(host, name, None)) is not None:
            host = dataclasses.replace(host, **{name: dataclasses.replace(fact, measured=False, declared=None)})
    if "gpu" in changes and not _same_card(host, changes["gpu"], matrix):
        host = dataclasses.replace(host, memory_bytes=None)
    supposed = dataclasses.replace(target, host=host, local=target.local and "triton" not in changes)
    supposed = with_settings(supposed, changes, f"--target {target.name}, as supposed")
    return Host(matrix.complete(target), matrix.complete(_sourced(supposed, freed)))


def _same_card(host: Any, gpu: object, matrix: Matrix) -> bool:
    former, new = host.gpu and matrix.gpu(host.gpu.value), matrix.gpu(str(gpu))
    return former is not None and former == new


def _sourced(target: Target, freed: set[str]) -> Target:
    """The supposed facts say so: they were declared nowhere."""
    facts = {name: getattr(target.host, name, None) for name in freed}
    said = {name: dataclasses.replace(f, source="supposed") for name, f in facts.items() if f is not None}
    return dataclasses.replace(target, host=dataclasses.replace(target.host, **said))


@dataclass(frozen=True, slots=True)
class Shift:
    """One rule that answers otherwise than before.

    Args:
        rule: its id.
        before: its worst outcome; ``None`` where it did not apply.
        after: the same of the changed host.
        finding: the worst of the changed host's, else of the former one's.
    """

    rule: str
    before: Outcome | None
    after: Outcome | None
    finding: Finding

    @property
    def effect(self) -> str:
        """See ``EFFECTS``."""
        if self.after is not None and _rank(self.after) < _rank(self.before):
            return _EFFECT[self.after]
        return IMPROVES if _rank(self.after) > _rank(self.before) else SAME


@dataclass(frozen=True, slots=True)
class Change:
    """What the change of a host does to a model.

    Args:
        before: the verdict's word.
        after: the same on the changed host.
        effect: the worst of the shifts'.
        rebuild: a rule about TensorRT plans breaks: the plan must be built anew, on the changed host.
        shifts: rules that answer otherwise, worst first.
    """

    before: str
    after: str
    effect: str
    rebuild: bool
    shifts: tuple[Shift, ...]


def _rank(outcome: Outcome | None) -> int:
    """A rule that does not apply is as good as one that passes."""
    return _FINE if outcome is None else _RANK[outcome]


@dataclass(frozen=True, slots=True)
class _Part:
    """What some rules say of a model on one host, before and after: the worst places in ``WORST_FIRST``, and the shifts."""

    before: int
    after: int
    shifts: tuple[tuple[int, Shift], ...]


_Parts = tuple[_Part, ...]


def _parts(said: Sequence[tuple[int, tuple[Answer, ...]]]) -> _Parts:
    """For each host what the rules said; ``said`` has two answers a host, before and after."""
    hosts = range(0, len(said[0][1]), 2) if said else ()
    return tuple(_part([(place, answers[at], answers[at + 1]) for place, answers in said]) for at in hosts)


def _part(said: Sequence[tuple[int, Answer, Answer]]) -> _Part:
    shifts = []
    before = after = _FINE
    for place, old, new in said:
        was, now = _rank(_outcome(old)), _rank(_outcome(new))
        before, after = min(before, was), min(after, now)
        finding = new or old
        if was != now and finding is not None:
            shifts.append((place, Shift(finding.rule, _outcome(old), _outcome(new), finding)))
    return _Part(before, after, tuple(shifts)) if shifts else _unmoved(before, after)


@cache
def _unmoved(before: int, after: int) -> _Part:
    """Most parts are such, and equal ones the same object."""
    return _Part(before, after, ())


def _outcome(finding: Answer) -> Outcome | None:
    return None if finding is None else finding.outcome


def _change(parts: Sequence[_Part]) -> Change:
    """All that the rules say of a model on one host."""
    placed = [shift for part in parts for shift in part.shifts]
    placed.sort(key=lambda pair: (EFFECTS.index(pair[1].effect), pair[0]))
    shifts = tuple(shift for _, shift in placed)
    rebuild = any(shift.effect == BREAKS and shift.rule.startswith("plan-") for shift in shifts)
    before, after = min(part.before for part in parts), min(part.after for part in parts)
    return Change(_WORDS[before], _WORDS[after], shifts[0].effect if shifts else SAME, rebuild, shifts)


class WhatIf:
    """The changes of many models on some hosts.

    Args:
        hosts: before and after.
        matrix: what the world accepts.
        rules: for tests.
    """

    def __init__(self, hosts: Iterable[Host], matrix: Matrix, rules: Sequence[Rule] = RULES) -> None:
        self.hosts = tuple(hosts)
        targets = [target for host in self.hosts for target in (host.before, host.after)]
        self._answers: Answers[_Parts] = Answers(targets, matrix, rules, _parts)
        self._known: dict[tuple[int, ...], tuple[Sequence[_Part], Change]] = {}

    def changes(self, model: ModelFacts, numbers: Mapping[str, Hashable] | None = None) -> tuple[Change, ...]:
        """One for each host, in their order.

        Args:
            model: its facts.
            numbers: for each fact something that is equal for equal facts, where it is known.
        """
        rows = self._answers.rows(model, numbers or {name: _hashed(getattr(model, name)) for name in _FACTS})
        return tuple([self._joined(parts) for parts in zip(*rows, strict=True)])

    def _joined(self, parts: Sequence[_Part]) -> Change:
        """Their change, made once: models that differ in a fact differ in few parts."""
        key = tuple(map(id, parts))
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= _MOST:
                self._known.clear()
            known = self._known[key] = (parts, _change(parts))  # with the parts, so that no others have their ids
        return known[1]


_FACTS = tuple(f.name for f in dataclasses.fields(ModelFacts))


def _hashed(fact: Fact[Any] | None) -> Hashable:
    """Mappings are the only values of facts that have no hash."""
    if fact is None or not isinstance(fact.value, Mapping):
        return fact
    return tuple(sorted(fact.value.items())), fact.source, fact.measured


__all__ = [
    "BREAKS",
    "DEGRADES",
    "EFFECTS",
    "IMPROVES",
    "SAME",
    "UNDECIDED",
    "Change",
    "Host",
    "Shift",
    "WhatIf",
    "change",
]
