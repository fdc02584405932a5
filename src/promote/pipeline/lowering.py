"""The variants of a promotion beside the model's own precision: made, proven, and pushed under one index.

Not here: the export itself and the verdict (``promoting``), and which variant a host gets (``choosing``).
"""

from collections.abc import Sequence
from dataclasses import replace

from promote.core.lowering import NOT_MEASURED, ROUNDED
from promote.core.parity import ParityFailed, Tolerance, compare, same_decisions
from promote.core.stages import Bundle, Export, ExportPlan, Lowered, Proven, Release
from promote.core.variants import Kind
from promote.pipeline.timing import Timed
from promote.ports import World


def kind_of(plan: ExportPlan) -> Kind:
    """What sort of variant this plan makes."""
    return Kind(format=plan.format, precision=plan.precision)


def lower(export: Export, plan: ExportPlan, tolerance: Tolerance, world: World, timed: Timed) -> Proven | ParityFailed:
    """The export in a lower precision, its outputs held against the *source* model's by a tolerance of its own."""
    label = kind_of(plan).label
    with timed.stage("export", label) as step:
        made, outputs = world.exporter.lower(export, plan, step)
        step.say(f"{sum(b.size for b in made.files.values()):,} bytes")
    with timed.stage("parity", f"source model against {label}") as step:
        proof = compare(outputs.source, outputs.exported, tolerance)
        if isinstance(proof, ParityFailed):
            step.say("failed")
            return replace(proof, reasons=tuple(f"{label}: {reason}" for reason in proof.reasons))
        same, every = same_decisions(outputs.source, outputs.exported)
        step.say(
            f"largest difference {proof.worst.max_absolute:.2g} in {len(proof.differences)} outputs, "
            f"{same} of {every} decisions the same"
        )
    lowered = Lowered(
        made_of=export.files["model.onnx"].digest, same=same, decisions=every, metric=NOT_MEASURED,
        run_as=ROUNDED if plan.precision == "bf16" else "",
    )  # fmt: skip
    return Proven(made, proof, lowered)


def push_all(bundles: Sequence[Bundle], world: World, timed: Timed) -> Release:
    """One bundle under its tag, as ever; several without one, and then their index, which the tag names."""
    releases = []
    for bundle in bundles:
        kind = kind_of(bundle.verdict.subject.export.plan)
        what = f"{bundle.name} v{bundle.version}" + (f" {kind.label}" if len(bundles) > 1 else "")
        with timed.stage("push", what) as step:
            release = world.registry.push(bundle, step, alone=len(bundles) == 1)
            step.say(f"{release.sent:,} bytes sent, {release.skipped:,} there already")
        releases.append((kind, release))
    first = releases[0][1]
    if len(releases) == 1:
        return first
    with timed.stage("push", f"{first.bundle.name} v{first.bundle.version} index") as step:
        index = world.registry.gather([(kind, release.own) for kind, release in releases])
        step.say(", ".join(variant.kind.label for variant in index.variants))
    return replace(
        first, stored=index, first=first.own, sent=sum(r.sent for _, r in releases), skipped=sum(r.skipped for _, r in releases),
        variants=tuple((release.stored.digest, release.bundle) for _, release in releases[1:]),
    )  # fmt: skip


__all__ = ["kind_of", "lower", "push_all"]
