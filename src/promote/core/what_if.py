"""What if a host changed: the verdict before and after, rule by rule, for every model that was promoted. Pure.

Judging is fast because little of it is done twice: models with equal facts are judged once, and a rule is asked once for
each combination of the facts it really reads (``rules.memory``). Not here: where passports lie
(``adapters.passports``), and what a rule says (``rules``).
"""

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from promote.core.facts import ModelFacts, Target
from promote.core.matrix import Matrix, with_settings
from promote.core.rules.case import Rule
from promote.core.rules.engine import RULES
from promote.core.rules.memory import Keys, Numbers, Remembering
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
        InputError: nothing to change, an unknown key, or a value of the wrong form.
    """
    if not changes:
        raise InputError("nothing would change", hint="give --triton, --driver, --gpu or --memory-gib")
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


Answers = tuple[Finding | None, ...]
"""The worst finding of each rule, in the rules' order."""


def compare(before: Answers, after: Answers) -> Change:
    """The change from one host's answers to the other's."""
    shifts = []
    worst_before = worst_after = _FINE
    for old, new in zip(before, after, strict=True):
        was = _FINE if old is None else _RANK[old.outcome]
        now = was if old is new else _FINE if new is None else _RANK[new.outcome]
        worst_before = was if was < worst_before else worst_before
        worst_after = now if now < worst_after else worst_after
        finding = new or old
        if was != now and finding is not None:
            shifts.append(Shift(finding.rule, _outcome(old), _outcome(new), finding))
    shifts.sort(key=lambda shift: EFFECTS.index(shift.effect))
    effect = shifts[0].effect if shifts else SAME
    rebuild = any(shift.effect == BREAKS and shift.rule.startswith("plan-") for shift in shifts)
    return Change(_WORDS[worst_before], _WORDS[worst_after], effect, rebuild, tuple(shifts))


def _outcome(finding: Finding | None) -> Outcome | None:
    return None if finding is None else finding.outcome


class Judge:
    """All rules on one host, remembering what each said.

    Args:
        target: completed.
        matrix: what the world accepts.
        rules: for tests.
    """

    def __init__(self, target: Target, matrix: Matrix, rules: tuple[Rule, ...] = RULES) -> None:
        self._rules = [Remembering(rule, target, matrix, _worst) for rule in rules]

    def answers(self, model: ModelFacts, keys: Keys) -> Answers:
        """The worst finding of each rule; ``keys`` are those of the model."""
        return tuple([rule.ask(model, keys) for rule in self._rules])


def _worst(findings: tuple[Finding, ...]) -> Finding | None:
    return min(findings, key=lambda finding: _rank(finding.outcome), default=None)


class WhatIf:
    """The changes of many models on some hosts, each combination of facts judged once.

    Args:
        hosts: before and after.
        matrix: what the world accepts.
    """

    def __init__(self, hosts: Iterable[Host], matrix: Matrix) -> None:
        self.hosts = tuple(hosts)
        self._judges = [(Judge(host.before, matrix), Judge(host.after, matrix)) for host in self.hosts]
        self._numbers = Numbers()

    def changes(self, model: ModelFacts) -> tuple[Change, ...]:
        """One for each host, in their order."""
        keys = Keys(model, self._numbers)
        return tuple(compare(before.answers(model, keys), after.answers(model, keys)) for before, after in self._judges)
