"""From a run to a recorded release. Not here: what a person says of it (``reviewing``), and how it comes to serve."""

from collections.abc import Mapping
from dataclasses import dataclass

from promote.core.choices import with_another_choice
from promote.core.facts import Target
from promote.core.layout import config_of, lay_out
from promote.core.lowering import lower_plan, require_lower
from promote.core.names import model_name
from promote.core.page import report_files
from promote.core.parity import ParityFailed, Tolerance, compare
from promote.core.passport import canonical, promotion_id
from promote.core.plan import plan_export
from promote.core.rules.engine import check
from promote.core.stages import Bundle, Candidate, Export, ExportPlan, Promotion, Proven, RunRef
from promote.core.verdict import Compatible, Incompatible, Undecided, Verdict, judge
from promote.pipeline.beside import beside
from promote.pipeline.happening import promoted
from promote.pipeline.lowering import kind_of, lower, push_all
from promote.pipeline.timing import Timed
from promote.ports import World

Refusal = Incompatible | Undecided | ParityFailed


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What the user asked of ``promote model``.

    Args:
        ref: which run and model.
        name: model name to serve under; empty takes the model's own.
        opset: asked for by hand, or ``None``.
        tolerances: by precision; what is not named keeps its default.
        dry_run: stop before anything outside this machine is written.
        variants: lower precisions that the version has beside the model's own.
    """

    ref: RunRef
    name: str = ""
    opset: int | None = None
    tolerances: Mapping[str, Tolerance]
    dry_run: bool = False
    variants: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Prepared:
    """A dry run's answer: the bundle that would be pushed, and the other variants."""

    bundle: Bundle
    variants: tuple[Bundle, ...] = ()


def promote_model(order: Order, target: Target, world: World) -> Promotion | Prepared | Refusal:
    """Takes a run to a recorded release for ``target``, or says why not."""
    timed = Timed(world.progress)
    with timed.stage("find", f"run {order.ref.run_id}") as step:
        candidate = world.runs.find(order.ref, step)
        name = model_name(order.name or candidate.model.name)
        step.say(f"{candidate.model.flavour} model {candidate.model.name!r} of experiment {candidate.run.experiment!r}")
    with timed.stage("plan", f"for {target.name}") as step:
        plan = plan_export(candidate, target, world.matrix, opset=order.opset)
        if not isinstance(plan, ExportPlan):
            return plan
        early = judge(candidate, target.name, check(candidate.facts, target, world.matrix), before_export=True)
        if not isinstance(early, Compatible):
            return early
        require_lower(order.variants, plan, candidate)
        step.say(f"opset {plan.opset or 'as it is'}, {plan.precision}")
    proven = _export(candidate, plan, order, world, timed)
    if isinstance(proven, ParityFailed):
        return proven
    exports = [proven]
    for precision in order.variants:
        lowered = lower(proven.export, lower_plan(plan, precision), order.tolerances[precision], world, timed)
        if isinstance(lowered, ParityFailed):
            return lowered
        exports.append(lowered)
    identity = _identity(exports, target, name, world)
    version = world.ledger.next_version(name, identity)
    verdicts = []
    for one in exports:
        verdict = _check(one, target, name, version, world, timed, alone=len(exports) == 1)
        if not isinstance(verdict, Compatible):
            return verdict
        verdicts.append(verdict)

    def laid_out(version: int) -> list[Bundle]:
        return [lay_out(v, target, world.template, name, version, world.matrix.digest) for v in verdicts]

    if order.dry_run:
        first, *others = laid_out(version)
        return Prepared(first, tuple(others))
    return _release(laid_out(world.ledger.reserve(name, identity, candidate)), identity, world, timed)


def _identity(exports: list[Proven], target: Target, name: str, world: World) -> str:
    """What makes two promotions the same one: of several variants, all of them."""
    shapes = {"template": world.template.model_dump(mode="json", exclude_none=True), "matrix": world.matrix.digest}
    first, *others = exports
    alone = canonical(shapes)
    variants = {one.export.plan.precision: promotion_id(one, target, name, alone) for one in others}
    return promotion_id(first, target, name, canonical(shapes | {"variants": variants}) if variants else alone)


def _export(candidate: Candidate, plan: ExportPlan, order: Order, world: World, timed: Timed) -> Proven | ParityFailed:
    with timed.stage("export", plan.format) as step:
        export, outputs = world.exporter.export(candidate, plan, step)
        step.say(f"{sum(b.size for b in export.files.values()):,} bytes")
    with timed.stage("parity", "source model against the exported bytes") as step:
        proof = compare(outputs.source, outputs.exported, order.tolerances[plan.precision])
        if isinstance(proof, ParityFailed):
            step.say("failed")
            return proof
        step.say(f"largest difference {proof.worst.max_absolute:.2g} in {len(proof.differences)} outputs")
    return Proven(export, proof)


def _check(
    proven: Proven, target: Target, name: str, version: int, world: World, timed: Timed, *, alone: bool
) -> Verdict[Proven]:  # fmt: skip
    which = "" if alone else f"{kind_of(proven.export.plan).label} "
    with timed.stage("check", f"{which}against {target.name}") as step:
        verdict = _judge(proven, target, name, version, world)
        step.say(verdict.word)
    if isinstance(verdict, Incompatible):
        return with_another_choice(verdict, proven.export, target, world.matrix)
    return verdict


def _judge(proven: Proven, target: Target, name: str, version: int, world: World) -> Verdict[Proven]:
    export: Export = proven.export
    config = config_of(export, target, world.template, name, version)
    findings = check(export.facts, target, world.matrix, config=config, name=name, version=version)
    return judge(proven, target.name, findings)


def _release(bundles: list[Bundle], identity: str, world: World, timed: Timed) -> Promotion:
    bundle = bundles[0]
    release = push_all(bundles, world, timed)
    with timed.stage("record", "in MLflow") as step:
        run = world.ledger.begin(release, identity)
        promotion = world.ledger.record(
            release, identity, report_files(release, beside(release, run, world)), timed.seconds
        )
        promoted(promotion, identity, world)
        step.say(f"{bundle.name} version {bundle.version}, review {promotion.review}")
    return promotion
