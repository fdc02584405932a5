"""The answer: findings, and the verdict they add up to.

Only ``judge`` builds a ``Compatible``, so a function that takes ``Compatible[Export]`` cannot be handed an export that
nobody checked. A refusal is a value with all its reasons, never an exception.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

S = TypeVar("S")


class Outcome(StrEnum):
    """What a rule says, worst first."""

    BROKEN = "broken"
    UNKNOWN = "unknown"
    DEGRADED = "degraded"
    OK = "ok"


WORST_FIRST = tuple(Outcome)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one rule says of one model on one target.

    Args:
        rule: its id, ``onnx-opset``.
        outcome: see ``Outcome``.
        has: what was found, ``opset 23``.
        has_source: where that was read, ``model.onnx``.
        needs: what the target asks, ``opset 22 or lower``.
        row: the matrix row that says so, ``onnxruntime 1.22.0``.
        source: that row's own source.
        confidence: of that row: ``high``, ``medium`` or ``low``.
        remedy: what to do, a command where there is one; empty where nothing is to be done.
        pending: unknown only until the export is made; it will tell.
    """

    rule: str
    outcome: Outcome
    has: str
    has_source: str = ""
    needs: str = ""
    row: str = ""
    source: str = ""
    confidence: str = "high"
    remedy: str = ""
    pending: bool = False


@dataclass(frozen=True, slots=True)
class Compatible(Generic[S]):
    """``subject`` will load and run on ``target``; with findings that cost something it is *degraded*."""

    subject: S
    target: str
    findings: tuple[Finding, ...]

    @property
    def word(self) -> str:
        """``compatible``, or ``degraded`` when a finding says what it costs."""
        return "degraded" if any(f.outcome is Outcome.DEGRADED for f in self.findings) else "compatible"


@dataclass(frozen=True, slots=True)
class Incompatible:
    """It will not load or run; the broken findings say why."""

    target: str
    findings: tuple[Finding, ...]
    word: str = "incompatible"


@dataclass(frozen=True, slots=True)
class Undecided:
    """Nothing is broken, but a needed fact is unknown; the findings say which."""

    target: str
    findings: tuple[Finding, ...]
    word: str = "undecided"


Verdict = Compatible[S] | Incompatible | Undecided


def judge(subject: S, target: str, findings: tuple[Finding, ...], *, before_export: bool = False) -> Verdict[S]:
    """Adds findings up: broken beats unknown beats degraded.

    Args:
        subject: what was judged; comes back inside ``Compatible``.
        target: the name of the target or bare runtime.
        findings: all of them, in any order; they come back worst first, else in the same order.
        before_export: facts that the export will bring may be unknown; those of the host may not, as nothing will bring
            them and nobody should wait for an export to hear it.
    """
    ranked = tuple(sorted(findings, key=lambda f: WORST_FIRST.index(f.outcome)))
    outcomes = {f.outcome for f in ranked}
    if Outcome.BROKEN in outcomes:
        return Incompatible(target, ranked)
    if any(f.outcome is Outcome.UNKNOWN and not (before_export and f.pending) for f in ranked):
        return Undecided(target, ranked)
    return Compatible(subject, target, ranked)
