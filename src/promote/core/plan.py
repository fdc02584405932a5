"""What to export to, chosen from the target's runtime rather than from package defaults. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from promote.core.choices import Choice, Tried, against, choices, foretell, try_all
from promote.core.facts import Target
from promote.core.matrix import Matrix
from promote.core.matrix_rows import Exporter, OnnxRuntime
from promote.core.names import printable
from promote.core.stages import Candidate, ExportPlan
from promote.core.verdict import Finding, Incompatible, Outcome, Undecided, judge
from promote.errors import InputError


def plan_export(
    candidate: Candidate, target: Target, matrix: Matrix, *, opset: int | None = None
) -> ExportPlan | Incompatible | Undecided:
    """The opset and IR version for this target, with the reason for each.

    Args:
        candidate: an ONNX model is passed through as it is.
        target: whose ONNX Runtime decides.
        matrix: what that runtime loads, and what the exporter writes well.
        opset: asked for by hand, or ``None``.

    Returns:
        ``Incompatible`` where the runtime takes no opset that the exporter writes, ``Undecided`` where the matrix does
        not know the runtime.

    Raises:
        InputError: ``opset`` for a model that is passed through, or one that the exporter does not write.
    """
    precision = candidate.facts.precision.value if candidate.facts.precision else "fp32"
    if candidate.model.flavour == "onnx":
        if opset is not None:
            raise InputError(
                "--opset does not apply: the run logged an ONNX model, which is passed through as it is",
                hint="convert it before logging it, with onnx.version_converter",
            )
        reasons = ("ONNX as the run logged it",)
        return ExportPlan(
            opset=None, ir_version=None, precision=precision, max_batch_size=target.max_batch_size, reasons=reasons
        )
    runtime = matrix.complete(target).host.onnxruntime
    found = matrix.onnxruntime(runtime.value) if runtime else None
    if runtime is None or found is None:
        what = f"onnxruntime {printable(runtime.value, 40)}" if runtime else f"the ONNX Runtime of {target.name}"
        return Undecided(target.name, (_unknown(what, runtime.source if runtime else "", target),))
    row, label = found
    exporter = matrix.exporter("torch")
    most, most_ir = row.max_opset or exporter.min_opset, row.max_ir or exporter.ir_version
    if opset is not None and not exporter.min_opset <= opset <= exporter.max_opset:
        raise InputError(
            f"--opset {opset}: the exporter writes {exporter.min_opset} to {exporter.max_opset}",
            hint=f"leave it out: {min(exporter.default_opset, most)} is chosen for {target.name}",
        )
    if most < exporter.min_opset or (opset or 0) > most:
        has = f"opset {opset or exporter.min_opset} ({'asked for' if opset else 'the lowest the exporter writes'})"
        finding = Finding(
            rule="onnx-opset", outcome=Outcome.BROKEN, has=has, needs=f"opset {most} or lower", row=label,
            source=row.source, remedy=f"leave out --opset, or ask for {most} or lower",
        )  # fmt: skip
        return Incompatible(target.name, (finding,))
    fits = (c for c in choices(exporter, precision, opset) if not against(c, candidate, target, matrix))
    taken = next(fits, None)
    if taken is None:
        best = Choice(opset=opset or min(exporter.default_opset, most), ir_version=min(exporter.ir_version, most_ir),
                      precision=precision)  # fmt: skip
        said = judge(candidate, target.name, foretell(best, candidate, target, matrix), before_export=True)
        return Incompatible(target.name, said.findings)
    chosen, ir_version = taken.opset or exporter.default_opset, taken.ir_version
    why = "asked for" if opset else f"{label} takes up to {most}"
    return ExportPlan(
        opset=chosen,
        ir_version=ir_version,
        precision=precision,
        max_batch_size=target.max_batch_size,
        reasons=(f"opset {chosen}: {why}", f"IR version {ir_version}: {label} takes up to {most_ir}"),
        ruled_out=_ruled_out(exporter, row, label, chosen, precision),
    )


def _ruled_out(exporter: Exporter, row: OnnxRuntime, label: str, chosen: int, precision: str) -> tuple[str, ...]:
    """What was not taken, and why: higher opsets, other precisions, other formats."""
    most = row.max_opset or exporter.min_opset
    taken = max(chosen, exporter.default_opset)
    lines = []
    if chosen < min(most, exporter.default_opset):
        lines.append(f"opset {chosen + 1} to {min(most, exporter.default_opset)}: another was asked for")
    if min(most, exporter.max_opset) > taken:
        lines.append(f"opset {taken + 1} to {min(most, exporter.max_opset)}: only when asked for, see {exporter.label}")
    if most < exporter.max_opset:
        lines.append(f"opset {most + 1} and higher: {label} takes up to {most}")
    others = ", ".join(p for p in ("fp32", "fp16", "bf16") if p != precision)
    lines.append(f"precision {others}: the run's weights are {precision}, and promote does not convert them")
    lines.append("format tensorrt: a plan is built on the target's own GPU")
    return tuple(lines)


@dataclass(frozen=True, slots=True)
class Variant:
    """One export and the targets it serves."""

    plan: ExportPlan
    targets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SharedPlan:
    """What to export for several targets.

    Args:
        plan: what serves all of ``targets``; ``None`` where no target can be planned for, or no one choice serves all.
        targets: names that can be served.
        refused: name -> why there is no plan for that one.
        variants: the exports needed, the one that serves most first; one where ``plan`` is.
        tried: name -> every choice for that target, with what the rules say.
    """

    plan: ExportPlan | None
    targets: tuple[str, ...]
    refused: Mapping[str, Incompatible | Undecided]
    variants: tuple[Variant, ...] = ()
    tried: Mapping[str, tuple[Tried, ...]] = field(default_factory=dict)


def plan_for_all(
    candidate: Candidate, targets: Sequence[Target], matrix: Matrix, *, opset: int | None = None
) -> SharedPlan:
    """The one choice that serves every target that can be served at all, else as few as serve them.

    Each target's rules say which choices they accept; the fastest that most of them accept is taken, then the fastest for
    those that are left. The largest batch of any target is what parity must cover.
    """
    plans: dict[str, ExportPlan] = {}
    refused: dict[str, Incompatible | Undecided] = {}
    tried: dict[str, tuple[Tried, ...]] = {}
    for target in targets:
        made = plan_export(candidate, target, matrix, opset=opset)
        rows = tried[target.name] = try_all(candidate, target, matrix, opset)
        if isinstance(made, ExportPlan) and not any(one.accepted for one in rows):
            # As of an ONNX model, which is passed through: what rules out its own choice, the first, refuses the target.
            made = Incompatible(target.name, rows[0].broken)
        if isinstance(made, ExportPlan):
            plans[target.name] = made
        else:
            refused[target.name] = made
    variants = tuple(_variants(plans, {name: tried[name] for name in plans}))
    plan = variants[0].plan if len(variants) == 1 else None
    return SharedPlan(plan, tuple(plans), refused, variants, tried)


def _variants(plans: Mapping[str, ExportPlan], tried: Mapping[str, tuple[Tried, ...]]) -> Iterator[Variant]:
    accepted = {name: [one.choice for one in rows if one.accepted] for name, rows in tried.items()}
    left = dict(accepted)
    while left:
        every = [choice for rows in left.values() for choice in rows]
        # Of equally many targets the fastest: the first in each target's own order.
        best = max(every, key=lambda choice: (sum(choice in rows for rows in left.values()), _newest(choice)))
        served = tuple(name for name, rows in left.items() if best in rows)
        yield Variant(
            replace(
                plans[served[0]],
                opset=best.opset,
                ir_version=best.ir_version,
                max_batch_size=max(plans[name].max_batch_size for name in served),
                reasons=tuple(f"{name}: {reason}" for name in served for reason in plans[name].reasons),
            ),
            served,
        )
        left = {name: rows for name, rows in left.items() if name not in served}


def _newest(choice: Choice) -> tuple[int, int]:
    return choice.opset or 0, choice.ir_version or 0


def _unknown(what: str, source: str, target: Target) -> Finding:
    return Finding(
        rule="onnx-opset",
        outcome=Outcome.UNKNOWN,
        has=f"{what} is not known",
        has_source=source,
        needs="its highest opset and IR version",
        remedy=f"set targets.{target.name}.triton or .onnxruntime in promote.toml to a version the matrix knows",
    )
