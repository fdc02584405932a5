"""From a run to a recorded release. Not here: what a person says of it (``reviewing``), and how it comes to serve."""

from collections.abc import Mapping
from dataclasses import dataclass

from promote.core.choices import with_another_choice
from promote.core.facts import Target
from promote.core.layout import config_of, lay_out
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
    """

    ref: RunRef
    name: str = ""
    opset: int | None = None
    tolerances: Mapping[str, Tolerance]
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Prepared:
    """A dry run's answer: the bundle that would be pushed."""

    bundle: Bundle


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
        step.say(f"opset {plan.opset or 'as it is'}, {plan.precision}")
    proven = _export(candidate, plan, order, world, timed)
    if isinstance(proven, ParityFailed):
        return proven
    settings = canonical(
        {"template": world.template.model_dump(mode="json", exclude_none=True), "matrix": world.matrix.digest}
    )
    identity = promotion_id(proven, target, name, settings)
    with timed.stage("check", f"against {target.name}") as step:
        version = world.ledger.next_version(name, identity)
        verdict = _judge(proven, target, name, version, world)
        step.say(verdict.word)
    if isinstance(verdict, Incompatible):
        return with_another_choice(verdict, proven.export, target, world.matrix)
    if not isinstance(verdict, Compatible):
        return verdict
    if order.dry_run:
        return Prepared(lay_out(verdict, target, world.template, name, version, world.matrix.digest))
    version = world.ledger.reserve(name, identity, candidate)
    bundle = lay_out(verdict, target, world.template, name, version, world.matrix.digest)
    return _release(bundle, identity, world, timed)


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


def _judge(proven: Proven, target: Target, name: str, version: int, world: World) -> Verdict[Proven]:
    export: Export = proven.export
    config = config_of(export, target, world.template, name, version)
    findings = check(export.facts, target, world.matrix, config=config, name=name, version=version)
    return judge(proven, target.name, findings)


def _release(bundle: Bundle, identity: str, world: World, timed: Timed) -> Promotion:
    with timed.stage("push", f"{bundle.name} v{bundle.version}") as step:
        release = world.registry.push(bundle, step)
        step.say(f"{release.sent:,} bytes sent, {release.skipped:,} there already")
    with timed.stage("record", "in MLflow") as step:
        run = world.ledger.begin(release, identity)
        promotion = world.ledger.record(
            release, identity, report_files(release, beside(release, run, world)), timed.seconds
        )
        promoted(promotion, identity, world)
        step.say(f"{bundle.name} version {bundle.version}, review {promotion.review}")
    return promotion
