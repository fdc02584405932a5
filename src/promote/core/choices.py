"""All that a model could be exported to for a target, from the fastest to the slowest, each judged by the rules. Pure.

Nothing is decided here but by the same rules that judge the export: they are asked of the facts that a choice fixes.
Not here: which choice is taken (``plan``).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from promote.core.facts import Fact, Target
from promote.core.matrix import Matrix
from promote.core.matrix_rows import Exporter
from promote.core.rules.engine import check
from promote.core.stages import Candidate, Export
from promote.core.tensors import DType
from promote.core.verdict import Finding, Incompatible, Outcome

_DTYPES = {"fp32": "FLOAT", "fp16": "FLOAT16", "bf16": "BFLOAT16"}
_CONVERT = {
    "fp32": "model.float()",
    "fp16": "model.half()",
    "bf16": "model.to(torch.bfloat16)",
}
_OLDEST_IR = 8  # of onnx 1.10, older than every runtime in the matrix


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Something to export to."""

    format: str = "onnx"
    opset: int | None
    ir_version: int | None
    precision: str

    def __str__(self) -> str:
        opset = "as logged" if self.opset is None else f"opset {self.opset}, IR version {self.ir_version}"
        return f"{self.format}, {opset}, {self.precision}"


@dataclass(frozen=True, slots=True)
class Tried:
    """A choice and what became of it.

    Args:
        choice: what was tried.
        broken: what the rules say against it.
        why: why it was not tried by promote itself, with the command that would make it; empty where it was.
    """

    choice: Choice
    broken: tuple[Finding, ...] = ()
    why: str = ""

    @property
    def accepted(self) -> bool:
        """No rule says anything against it, and promote can make it."""
        return not self.broken and not self.why


def choices(exporter: Exporter, precision: str, opset: int | None) -> Iterator[Choice]:
    """Every opset and IR version, newest first: newer operators are fewer nodes, which is what makes them faster.

    Args:
        exporter: what it writes; above its default only what is asked for.
        precision: the run's.
        opset: asked for by hand, or ``None``.
    """
    for one in (opset,) if opset else range(exporter.default_opset, exporter.min_opset - 1, -1):
        for ir_version in range(exporter.ir_version, _OLDEST_IR - 1, -1):
            yield Choice(opset=one, ir_version=ir_version, precision=precision)


def foretell(choice: Choice, candidate: Candidate, target: Target, matrix: Matrix) -> tuple[Finding, ...]:
    """What the rules say of a choice: they are asked of what the run declares and the choice fixes."""
    source = "the plan"
    facts = replace(candidate.facts, format=Fact(choice.format, source))
    if choice.opset is not None and choice.ir_version is not None:
        facts = replace(facts, ir_version=Fact(choice.ir_version, source), opsets=Fact({"": choice.opset}, source))
    if facts.dtypes is None:
        facts = replace(facts, dtypes=Fact(frozenset({DType(_DTYPES.get(choice.precision, "FLOAT"))}), source))
    return check(facts, target, matrix)


def against(choice: Choice, candidate: Candidate, target: Target, matrix: Matrix) -> tuple[Finding, ...]:
    """Of that, what breaks."""
    return tuple(f for f in foretell(choice, candidate, target, matrix) if f.outcome is Outcome.BROKEN)


def try_all(candidate: Candidate, target: Target, matrix: Matrix, opset: int | None = None) -> tuple[Tried, ...]:
    """Every choice, in order, with what the rules say; then those that promote does not make itself."""
    precision = candidate.facts.precision.value if candidate.facts.precision else "fp32"
    if candidate.model.flavour == "onnx":
        own = [Choice(opset=None, ir_version=None, precision=precision)]
    else:
        own = list(choices(matrix.exporter("torch"), precision, opset))
    tried = [Tried(choice, against(choice, candidate, target, matrix)) for choice in own]
    best = next((one.choice for one in tried if one.accepted), own[0])
    for other, code in _CONVERT.items():
        if other != precision:
            again = replace(best, precision=other)
            why = f"the run's weights are {precision}: log it again after {code}, then promote that run"
            told = _hardware(again, candidate, target, matrix)
            tried.append(Tried(again, (), "; ".join(part for part in (why, told) if part)))
    why = "built on the target's own GPU: trtexec --onnx=model.onnx --saveEngine=model.plan, then promote check model.plan"
    plan = Choice(format="tensorrt", opset=None, ir_version=None, precision=precision)
    tried.append(Tried(plan, against(plan, candidate, target, matrix), why))
    return tuple(tried)


def _hardware(choice: Choice, candidate: Candidate, target: Target, matrix: Matrix) -> str:
    """Whether the target computes with that precision in hardware, by the rule ``dtypes``."""
    run = replace(candidate, facts=replace(candidate.facts, dtypes=None))
    said = next((f for f in foretell(choice, run, target, matrix) if f.rule == "dtypes"), None)
    if said is None or choice.precision == "fp32":
        return ""
    if said.outcome is Outcome.OK:
        return f"{target.name} has hardware for it: {said.row}"
    return f"{said.has}, needs {said.needs}"


def instead(export: Export, target: Target, matrix: Matrix) -> Choice | None:
    """The fastest other opset at which no rule says anything against the operators that the export turned out to hold.

    Asked of the same operators, stamped with that opset: what another export would really hold, only that export tells.
    """
    nodes, facts, exporter = export.facts.nodes, export.facts, matrix.exporter("torch")
    if export.candidate.model.flavour == "onnx" or nodes is None or facts.opsets is None:
        return None
    seen = {export.plan.opset}
    for choice in choices(exporter, export.plan.precision, None):
        if choice.opset is None or choice.opset in seen or against(choice, export.candidate, target, matrix):
            continue
        seen.add(choice.opset)
        again = frozenset(replace(use, version=choice.opset) if not use.domain else use for use in nodes.value)
        stamped = replace(
            facts,
            ir_version=None if choice.ir_version is None else Fact(choice.ir_version, "the plan"),
            opsets=Fact({**facts.opsets.value, "": choice.opset}, "the plan"),
            nodes=Fact(again, nodes.source),
        )
        if not any(f.outcome is Outcome.BROKEN for f in check(stamped, target, matrix)):
            return choice
    return None


def with_another_choice(refused: Incompatible, export: Export, target: Target, matrix: Matrix) -> Incompatible:
    """The refusal of an export by its operators, its remedy naming the choice that the rules accept, or that none is."""
    if not any(f.rule == "operators" and f.outcome is Outcome.BROKEN for f in refused.findings):
        return refused
    run, other = export.candidate.run.run_id, instead(export, target, matrix)
    if other is not None:
        remedy = (
            f"promote model {run} --target {target.name} --opset {other.opset}: the rules accept these operators there"
        )
    else:
        again = "" if export.plan.precision == "fp32" else f"log the run again after {_CONVERT['fp32']}, or "
        remedy = f"no other opset helps: {again}choose a target of a newer ONNX Runtime"
    findings = tuple(
        replace(f, remedy=remedy) if f.rule == "operators" and f.outcome is Outcome.BROKEN else f
        for f in refused.findings
    )
    return Incompatible(refused.target, findings)


__all__ = ["Choice", "Tried", "against", "choices", "foretell", "instead", "try_all", "with_another_choice"]
