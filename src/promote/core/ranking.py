"""Which variant of a version a host gets: every one is judged by all the rules, and those that fit are put in order. Pure.

Nothing is decided here but by the same rules that judge a bundle alone; the order says only which of several that fit is the
best. Not here: what a variant is (``variants``), and where its facts come from (the passport inside its bundle).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from promote.core.facts import ModelFacts, Target
from promote.core.matrix import Matrix
from promote.core.rules.engine import check
from promote.core.variants import LOWER, TENSORRT, Kind
from promote.core.verdict import Compatible, Finding, Incompatible, Outcome, Undecided, Verdict, judge

if TYPE_CHECKING:
    from tritonclient.grpc.model_config_pb2 import ModelConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One bundle of a version, with all that judging needs.

    Args:
        digest: of its manifest.
        kind: what it is.
        facts: of its model, as its passport tells them.
        size: bytes of all its files.
        config: that shall serve it; ``None``: rules about it do not apply.
        name: of the model.
        version: of the model.
    """

    digest: str
    kind: Kind
    facts: ModelFacts
    size: int = 0
    config: "ModelConfig | None" = None
    name: str = ""
    version: int = 0


@dataclass(frozen=True, slots=True)
class Weighed:
    """A variant and what the rules say of it on the target."""

    variant: Variant
    verdict: Verdict[Variant]

    @property
    def accepted(self) -> bool:
        """It will load there."""
        return isinstance(self.verdict, Compatible)

    @property
    def why(self) -> str:
        """What rules it out, or what it costs; empty where nothing does."""
        words = {Incompatible: Outcome.BROKEN, Undecided: Outcome.UNKNOWN}
        outcome = words.get(type(self.verdict), Outcome.DEGRADED)
        return "; ".join(_line(f) for f in self.verdict.findings if f.outcome is outcome)


@dataclass(frozen=True, slots=True)
class Ranking:
    """All variants of a version for one target.

    Args:
        target: its name.
        accepted: those that fit, best first.
        rejected: those that do not, each with its verdict, in the same order as if they did.
    """

    target: str
    accepted: tuple[Weighed, ...]
    rejected: tuple[Weighed, ...]

    @property
    def chosen(self) -> Weighed | None:
        """The best that fits; ``None`` where none does."""
        return self.accepted[0] if self.accepted else None

    @property
    def refusal(self) -> Incompatible | Undecided:
        """Why none fits, in the words of the last to be ruled out; where one might fit once a fact is known, of that one."""
        undecided = [one for one in self.rejected if isinstance(one.verdict, Undecided)]
        told = undecided or list(self.rejected)
        findings = tuple(f for one in told[-1:] for f in one.verdict.findings)
        return (Undecided if undecided else Incompatible)(self.target, findings)

    @property
    def cost(self) -> str:
        """What falling back costs, by what was ruled out before the chosen one; empty where the best of all was chosen."""
        chosen = self.chosen
        if chosen is None:
            return ""
        better = [one for one in self.rejected if _class(one.variant.kind) < _class(chosen.variant.kind)]
        return "; ".join(_loss(one.variant, chosen.variant) for one in better)


def rank(variants: Iterable[Variant], target: Target, matrix: Matrix) -> Ranking:
    """Judges each variant and puts those that fit in order: without a cost before with one, then the fastest sort.

    A TensorRT plan is tuned to the very GPU; fp16 and bf16 ONNX use the hardware that GPUs have for them, fp16 being nearer to
    fp32; portable ONNX runs everywhere. So a further variant can only make the choice better, and the order in which they
    come changes nothing.
    """
    weighed = [_weigh(variant, target, matrix) for variant in variants]
    ordered = sorted(weighed, key=_order)
    return Ranking(
        target.name, tuple(one for one in ordered if one.accepted), tuple(one for one in ordered if not one.accepted)
    )


def _weigh(variant: Variant, target: Target, matrix: Matrix) -> Weighed:
    findings = check(
        variant.facts, target, matrix, config=variant.config, name=variant.name, version=variant.version
    )  # fmt: skip
    return Weighed(variant, judge(variant, target.name, findings))


def _order(one: Weighed) -> tuple[bool, int, bool, str]:
    kind = one.variant.kind
    bound = kind.binding  # what runs on more than one GPU or build is tuned to none of them
    wide = bound is not None and (bound.level == "ampere_plus" or bound.version_compatible)
    return one.verdict.word == "degraded", _class(kind), wide, one.variant.digest


def _class(kind: Kind) -> int:
    """The fastest sort first."""
    if kind.format == TENSORRT:
        return 0
    return 1 + LOWER.index(kind.precision) if kind.precision in LOWER else 1 + len(LOWER)


def _loss(better: Variant, chosen: Variant) -> str:
    """What the chosen one lacks of a better one: what is known of their files, and no figure that nobody measured."""
    lacks = "kernels tuned for one GPU" if better.kind.format == TENSORRT else f"the hardware's {better.kind.precision}"
    more = f", and {chosen.size:,} bytes instead of {better.size:,}" if chosen.size > better.size > 0 else ""
    return f"{chosen.kind.label} instead of {better.kind.label}: without {lacks}{more}"


def _line(finding: Finding) -> str:
    return f"{finding.rule}: {finding.has}" + (f", needs {finding.needs}" if finding.needs else "")


__all__ = ["Ranking", "Variant", "Weighed", "rank"]
