"""What a rule is: a case goes in, findings come out; and the words for saying them.

A rule is a function with a docstring (why it holds) under the decorator ``rule``, which gives it an id, a title and a
source, for ``--explain``. It answers ``None`` where it does not apply, and ``unknown`` where a fact it needs is missing:
so more facts never turn one decision into another. Not here: the rules.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

from promote.core.facts import Fact, ModelFacts, ModelFolder, Target
from promote.core.matrix import Matrix
from promote.core.matrix_rows import Row
from promote.core.model_folder import Neighbour
from promote.core.rules.readers import OF_HOST
from promote.core.verdict import Finding, Outcome

if TYPE_CHECKING:
    from tritonclient.grpc.model_config_pb2 import ModelConfig

_VERSIONS = ("onnxruntime", "tensorrt", "cuda", "python")
_LEAST_LAST = ("high", "medium", "low")
Answer = Finding | tuple[Finding, ...] | None


@dataclass(frozen=True, slots=True)
class Case:
    """What rules judge.

    Args:
        model: of the file, or of what shall become one.
        target: completed by ``Matrix.complete``.
        matrix: what the world accepts.
        config: the ``ModelConfig`` that shall serve the model; ``None``: rules about it do not apply.
        version: its version directory; 0 where there is none yet.
        name: its directory; empty where there is none yet.
        folder: what lies in that directory; ``None``: rules about it do not apply.
        neighbours: the other models of its repository that are judged already; ``None``: they are not known.
    """

    model: ModelFacts
    target: Target
    matrix: Matrix
    config: "ModelConfig | None" = None
    version: int = 0
    name: str = ""
    folder: ModelFolder | None = None
    neighbours: Mapping[str, Neighbour] | None = None

    @property
    def format(self) -> str:
        """``onnx``, ``tensorrt``..., or empty where it is not known."""
        return self.model.format.value if self.model.format else ""

    @property
    def device(self) -> str:
        """``gpu``, ``cpu``, or empty where it is not known."""
        return self.target.host.device.value if self.target.host.device else ""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule, callable on a case.

    Args:
        id: as findings name it.
        title: what holds when it passes.
        why: what goes wrong otherwise.
        source: who says so.
        remedy: what to do when it does not pass, where a finding does not say better.
        applies: to which cases.
        judge: the function.
    """

    id: str
    title: str
    why: str
    source: str
    remedy: str
    applies: Callable[[Case], bool]
    judge: Callable[[Case], Answer]

    def __call__(self, case: Case) -> tuple[Finding, ...]:
        """Its findings, with its id, and its remedy where there is something to do; none where it does not apply."""
        answer = self.judge(case) if self.applies(case) else None
        findings = answer if isinstance(answer, tuple) else (answer,) if answer else ()
        return tuple(self._sign(finding, case) for finding in findings)

    def _sign(self, finding: Finding, case: Case) -> Finding:
        """Where no row decided, the rule's own source did; a version of which its release's row is not sure is said to be so."""
        to_do = finding.outcome is not Outcome.OK
        decided = to_do and finding.outcome is not Outcome.UNKNOWN
        # All fields by hand: `replace` takes three times as long, and what-if signs a million findings.
        return Finding(
            rule=self.id,
            outcome=finding.outcome,
            has=finding.has,
            has_source=finding.has_source,
            needs=finding.needs,
            row=finding.row,
            source=finding.source or (self.source if decided else ""),
            confidence=self._confidence(finding, case),
            remedy=finding.remedy or (self.remedy if to_do else ""),
            pending=finding.pending,
        )

    def _confidence(self, finding: Finding, case: Case) -> str:
        """The lowest of the row's and of the versions that this rule reads of the host."""
        lowest = finding.confidence
        if finding.pending:
            return lowest
        for name in _versions_read(self.id):
            fact = getattr(case.target.host, name)
            word = fact.confidence if fact is not None else "high"
            if word != "high" and _LEAST_LAST.index(word) > _LEAST_LAST.index(lowest):
                lowest = word
        return lowest


@cache
def _versions_read(rule_id: str) -> tuple[str, ...]:
    return tuple(name for name in _VERSIONS if rule_id in OF_HOST[name])


def rule(
    id: str,
    *,
    title: str,
    source: str,
    applies: Callable[[Case], bool],
    remedy: str = "",
) -> Callable[[Callable[[Case], Answer]], Rule]:
    """Makes a function a rule; its docstring is the why."""

    def make(judge: Callable[[Case], Answer]) -> Rule:
        return Rule(id, title, inspect.getdoc(judge) or "", source, remedy, applies, judge)

    return make


def always(case: Case) -> bool:
    """Of every case."""
    return True


def on_server(case: Case) -> bool:
    """There is a Triton."""
    return not case.target.bare


def may_use_gpu(case: Case) -> bool:
    """There is a Triton with a GPU, and the model's configuration does not keep it to the CPU."""
    groups = case.config.instance_group if case.config is not None else ()
    on_cpu = bool(groups) and all(group.kind == group.KIND_CPU for group in groups)
    return case.device == "gpu" and on_server(case) and not on_cpu


def on_gpu(case: Case) -> bool:
    """Models run on a GPU, or it is not known that they do not."""
    return on_server(case) and case.device != "cpu"


def of_onnx(case: Case) -> bool:
    """The model is ONNX, or may be."""
    return case.format in ("", "onnx")


def of_plan(case: Case) -> bool:
    """The model is a TensorRT plan."""
    return case.format == "tensorrt"


def has_config(case: Case) -> bool:
    """There is a ``config.pbtxt``, for a Triton."""
    return case.config is not None and on_server(case)


def unfit(case: Case, has: str, check: str, needs: str = "", *, source: str = "config.pbtxt") -> Finding:
    """Broken, by a check that Triton makes; ``check`` is the id of its row, ``source`` where that was read."""
    row = case.matrix.triton_check(check)
    return replace(finding(Outcome.BROKEN, has, needs=needs or row.rule, row=row), has_source=source)


def finding(
    outcome: Outcome,
    has: str,
    fact: Fact[Any] | None = None,
    *,
    needs: str = "",
    row: Row | None = None,
    label: str = "",
    remedy: str = "",
) -> Finding:
    """A finding without its rule's id, which the rule adds.

    Args:
        outcome: see ``Outcome``.
        has: what was found.
        fact: where that was read.
        needs: what the target asks.
        row: the matrix row that says so.
        label: how to name the row, where not by itself.
        remedy: what to do.
    """
    return Finding(
        rule="",
        outcome=outcome,
        has=has,
        has_source=fact.source if fact else "",
        needs=needs,
        row=label or (row.label if row else ""),
        source=row.source if row else "",
        confidence=row.confidence if row else "high",
        remedy=remedy,
    )


def no_model_fact(what: str, remedy: str = "the export will tell; for a file: promote check FILE") -> Finding:
    """A fact of the model is not known."""
    return replace(
        finding(Outcome.UNKNOWN, f"the model's {what} is not known", needs=what, remedy=remedy), pending=True
    )


def no_host_fact(case: Case, key: str, why: str) -> Finding:
    """A fact of the target is not known; ``key`` is its name in ``promote.toml``."""
    return finding(
        Outcome.UNKNOWN,
        f"{key} of {case.target.name} is not known",
        needs=f"{key}: {why}",
        remedy=f"promote target probe {case.target.name}, or set targets.{case.target.name}.{key} in promote.toml",
    )


def no_row(case: Case, what: str, fact: Fact[Any], table: str) -> Finding:
    """The matrix says nothing of something that the target has; ``table`` is where it would."""
    add = f"add a row with its source to {table} (docs/reference/matrix.md); promote matrix show {table} lists what is known"
    if table in ("triton_releases", "onnxruntime"):
        add = f"promote matrix refresh --image IMAGE proposes the row of the image that runs on {case.target.name}; or {add}"
    return finding(
        Outcome.UNKNOWN,
        f"{case.matrix.file} says nothing of {what}",
        fact,
        needs=f"a row of {table}",
        remedy=add,
    )


__all__ = [
    "Answer",
    "Case",
    "Rule",
    "always",
    "finding",
    "has_config",
    "no_host_fact",
    "no_model_fact",
    "no_row",
    "of_onnx",
    "of_plan",
    "on_gpu",
    "on_server",
    "rule",
    "unfit",
]
