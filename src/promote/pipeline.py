"""The story, one screen a command: promote, review, deploy, roll back, status.

Each function takes values and a ``World`` of ports, and returns a value: what came of it, or a refusal with its reasons.
It touches nothing itself.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from promote.core.choices import with_another_choice
from promote.core.facts import Target
from promote.core.golden import split
from promote.core.layout import config_of, lay_out
from promote.core.names import model_name
from promote.core.page import report_files
from promote.core.parity import ParityFailed, Tolerance, compare
from promote.core.passport import canonical, promotion_id
from promote.core.plan import plan_export
from promote.core.review import Approved, NotApproved, Rejected, Review, approve
from promote.core.rules.engine import check
from promote.core.stages import (
    Bundle,
    Candidate,
    Deployed,
    Deployment,
    Export,
    ExportPlan,
    Promotion,
    Proven,
    Release,
    Replay,
    RunRef,
    Stored,
)
from promote.core.verdict import Compatible, Incompatible, Undecided, Verdict, judge
from promote.errors import DeployFailed, NotFound, PromoteError
from promote.ports import World

Refusal = Incompatible | Undecided | ParityFailed
READY_SECONDS = 120.0


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
    with world.progress.stage("find", f"run {order.ref.run_id}") as step:
        candidate = world.runs.find(order.ref, step)
        name = model_name(order.name or candidate.model.name)
        step.say(f"{candidate.model.flavour} model {candidate.model.name!r} of experiment {candidate.run.experiment!r}")
    with world.progress.stage("plan", f"for {target.name}") as step:
        plan = plan_export(candidate, target, world.matrix, opset=order.opset)
        if not isinstance(plan, ExportPlan):
            return plan
        early = judge(candidate, target.name, check(candidate.facts, target, world.matrix), before_export=True)
        if not isinstance(early, Compatible):
            return early
        step.say(f"opset {plan.opset or 'as it is'}, {plan.precision}")
    proven = _export(candidate, plan, order, world)
    if isinstance(proven, ParityFailed):
        return proven
    settings = canonical({"template": world.template.model_dump(mode="json"), "matrix": world.matrix.digest})
    identity = promotion_id(proven, target, name, settings)
    with world.progress.stage("check", f"against {target.name}") as step:
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
    return _release(bundle, identity, world)


def _export(candidate: Candidate, plan: ExportPlan, order: Order, world: World) -> Proven | ParityFailed:
    with world.progress.stage("export", plan.format) as step:
        export, outputs = world.exporter.export(candidate, plan, step)
        step.say(f"{sum(b.size for b in export.files.values()):,} bytes")
    with world.progress.stage("parity", "source model against the exported bytes") as step:
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


def _release(bundle: Bundle, identity: str, world: World) -> Promotion:
    with world.progress.stage("push", f"{bundle.name} v{bundle.version}") as step:
        release = world.registry.push(bundle, step)
        step.say(f"{release.sent:,} bytes sent, {release.skipped:,} there already")
    with world.progress.stage("record", "in MLflow") as step:
        promotion = world.ledger.record(release, identity, report_files(release))
        step.say(f"{bundle.name} version {bundle.version}, review {promotion.review}")
    return promotion


def review_model(name: str, reference: str, target: Target, decision: Review, world: World) -> tuple[Stored, Review]:
    """Writes a person's decision about the digest that ``reference`` names now."""
    stored = world.registry.resolve(name, reference)
    review = Review(state=decision.state, digest=stored.digest, by=decision.by, reason=decision.reason)
    world.ledger.decide(name, stored.version, target.name, review)
    return stored, review


def deploy(name: str, reference: str, target: Target, by: str, world: World) -> Deployment | NotApproved | Rejected:
    """Brings one digest to ``target`` and proves that it answers; the former version serves until then.

    Raises:
        DeployFailed: the target refused it or answered wrongly; the former version serves.
    """
    with world.progress.stage("resolve", name) as step:
        stored = world.registry.resolve(name, reference)
        step.say(f"version {stored.version}, {stored.digest}")
    review = world.ledger.review(name, stored.version, target.name) if target.review else Review()
    approved = approve(stored, target, review)
    if not isinstance(approved, Approved):
        return approved
    with world.store.lock(name):
        deployment = _bring_up(approved, by, world)
    return _note(deployment, target, world)


def _bring_up(approved: Approved, by: str, world: World) -> Deployment:
    stored = approved.stored
    started = time.monotonic()
    former = world.store.current(stored.name)
    world.server.require()
    with world.progress.stage("fetch", f"from {stored.repository}") as step, world.store.staging(stored) as folder:
        world.store.place(stored, world.registry.fetch(stored, folder, step))
    live = _deployed(stored, by)
    return _switch(former, live, world, started, new=former is None or former.version != live.version)


def _switch(former: Deployed | None, live: Deployed, world: World, started: float, *, new: bool) -> Deployment:
    """The former version serves until the new one has answered; whatever fails before that puts it back."""
    beside = former.version if former and former.version != live.version else None
    try:
        with world.progress.stage("load", f"{live.name} version {live.version}"):
            _load(live, beside, world)
        replays = prove(live.name, live.version, world)
        with world.progress.stage("commit", f"{live.name} version {live.version} is live"):
            if beside is not None:
                _load(live, None, world)
            world.store.commit(live)
    except BaseException as error:
        _restore(former, live, world, because=error, new=new)
        if isinstance(error, DeployFailed) and error.hint == DeployFailed.usual_hint:
            serves = (
                f"{former.name} version {former.version} serves as before" if former else "nothing serves, as before"
            )
            raise DeployFailed(error.message, hint=serves) from error
        raise
    return Deployment(live=live, former=former, replays=replays, seconds=time.monotonic() - started)


def _load(live: Deployed, beside: int | None, world: World) -> None:
    """Brings a version up, next to the one named by ``beside``.

    One configuration holds for both, and Triton initialises the kept version anew under it. Where the old version cannot
    live with the new configuration, the new one is loaded alone: Triton keeps the old instance until that is ready.
    """
    tries = [(beside, live.version), (live.version,)] if beside else [(live.version,)]
    for versions in tries:
        try:
            world.store.serve(live.name, versions)
            world.server.load(live.name)
            world.server.await_ready(live.name, live.version, READY_SECONDS)
            return
        except (DeployFailed, NotFound):  # not found: somebody removed the kept version's files
            if versions == tries[-1]:
                raise


def _restore(former: Deployed | None, failed: Deployed, world: World, *, because: BaseException, new: bool) -> None:
    """Back to what served before; what never served leaves no directory behind.

    Raises:
        DeployFailed: that failed too, so nobody may believe that the former version serves.
    """
    goal = f"{former.name} version {former.version}" if former else "nothing served before"
    try:
        with world.progress.stage("restore", goal):
            if former is None:
                world.server.unload(failed.name)
            else:
                _load(former, None, world)
            if new and not any(d.version == failed.version for d in world.store.history(failed.name)):
                world.store.withdraw(failed.name, failed.version)
    except PromoteError as error:
        raise DeployFailed(
            f"{failed.name} version {failed.version} failed: {because}; putting back {goal} failed too: {error.message}",
            hint="promote status shows what answers now; when Triton is up again, promote rollback or deploy repairs it",
        ) from because


def prove(name: str, version: int, world: World) -> tuple[Replay, ...]:
    """Replays the bundle's golden inputs through the live server, over both protocols.

    Raises:
        DeployFailed: an answer differs from the recorded one by more than the recorded tolerance.
    """
    cases, tolerance = world.store.golden(name, version)
    replays = []
    with world.progress.stage("replay", f"{name} version {version}") as step:
        for protocol in ("http", "grpc"):
            for case, (inputs, expected) in split(cases).items():
                began = time.monotonic()
                answer = world.server.infer(name, version, inputs, protocol)
                seconds = time.monotonic() - began
                proof = compare({case: expected}, {case: answer}, tolerance, constant_ok=True)
                if isinstance(proof, ParityFailed):
                    raise DeployFailed(
                        f"{name} version {version} answers wrongly over {protocol}: {proof.reasons[0]}",
                        hint="the model that was loaded is not the one that was proven",
                    )
                worst = proof.worst.max_absolute
                replays.append(Replay(case=case, protocol=protocol, max_absolute=worst, seconds=seconds))
        step.say(f"{len(replays)} golden answers, largest difference {max(r.max_absolute for r in replays):.2g}")
    return tuple(replays)


def rollback(name: str, target: Target, by: str, world: World, version: int | None = None) -> Deployment:
    """Serves the version before the live one (or ``version``) again, from what lies on the target's disk.

    Raises:
        NotFound: nothing to go back to.
        DeployFailed: the former version does not answer; the live one serves on.
    """
    with world.store.lock(name):
        live = world.store.current(name)
        if live is None:
            raise NotFound(f"{name} was never deployed to {target.name}", hint="promote status shows what is there")
        goal = _before(live, world.store.history(name), version, target)
        world.server.require()
        back = replace(goal, since=now(), by=by, state="live")
        deployment = _switch(live, back, world, time.monotonic(), new=False)
    return _note(deployment, target, world)


def _before(live: Deployed, history: tuple[Deployed, ...], version: int | None, target: Target) -> Deployed:
    earlier = [d for d in history if d.version != live.version]
    chosen = [d for d in earlier if version in (None, d.version)]
    if chosen:
        return chosen[-1]
    there = ", ".join(f"v{d.version}" for d in earlier) or "none"
    wanted = f"v{version}" if version else "an earlier version"
    raise NotFound(f"{wanted} of {live.name} never served on {target.name}", hint=f"versions to go back to: {there}")


def _note(deployment: Deployment, target: Target, world: World) -> Deployment:
    """MLflow is the view, not the ledger: a deployment stands even when MLflow cannot be told, with a warning."""
    live = deployment.live
    with world.progress.stage("note", "in MLflow") as step:
        try:
            world.ledger.deployed(live.name, live.version, target.name, live.digest, "live")
            if deployment.former and deployment.former.version != live.version:
                former = deployment.former
                world.ledger.deployed(former.name, former.version, target.name, former.digest, "kept")
        except PromoteError as error:
            step.say("failed")
            return replace(deployment, warnings=(f"MLflow was not told: {error.message}",))
    return deployment


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """One model on a target: what the record says, and what the server says.

    Args:
        deployed: the record's live entry.
        ready: the server answers for that version now.
        statistics: requests, failures, mean latency in ms of that version since it was loaded; empty when not ready.
    """

    deployed: Deployed
    ready: bool
    statistics: Mapping[str, float]


def status(world: World) -> tuple[str, tuple[Serving, ...]]:
    """The server's version, and every model of the target's record.

    Raises:
        Unavailable: the server does not answer.
    """
    version = world.server.require()
    rows = []
    for name in world.store.models():
        live = world.store.current(name)
        if live is None:
            continue
        ready = world.server.ready(name, live.version)
        statistics = world.server.statistics(name).get(live.version, {}) if ready else {}
        rows.append(Serving(deployed=live, ready=ready, statistics=statistics))
    return version, tuple(rows)


def _deployed(stored: Stored, by: str) -> Deployed:
    return Deployed(
        name=stored.name,
        version=stored.version,
        digest=stored.digest,
        repository=stored.repository,
        since=now(),
        by=by,
        state="live",
    )


def now() -> str:
    """RFC 3339 UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


__all__ = [
    "Order",
    "Prepared",
    "Refusal",
    "Release",
    "Serving",
    "deploy",
    "promote_model",
    "prove",
    "review_model",
    "rollback",
    "status",
]
