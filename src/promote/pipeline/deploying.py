"""One digest brought to a target, and the former one brought back. Not here: the switch itself (``switching``), and what
MLflow is told of it (``noting``).
"""

import time
from dataclasses import replace
from datetime import UTC, datetime

from promote.core.facts import Target
from promote.core.gates import GateFailed
from promote.core.review import Approved, NotApproved, Rejected, approve
from promote.core.rules.engine import check
from promote.core.stages import Deployed, Deployment, Stored
from promote.core.verdict import Compatible, Incompatible, Undecided, judge
from promote.errors import NotFound
from promote.pipeline.gating import closed
from promote.pipeline.noting import note
from promote.pipeline.reviewing import case_of, standing
from promote.pipeline.switching import switch
from promote.ports import World

ROLLBACK_PATIENCE = 10.0  # seconds for MLflow, after the former version serves: somebody waits at the prompt
Refused = NotApproved | Rejected | GateFailed | Incompatible | Undecided


def deploy(
    name: str, reference: str, target: Target, by: str, world: World, *, lead: bool = True
) -> Deployment | Refused:
    """Brings one digest to ``target`` and proves that it answers; the former version serves until then.

    Args:
        name: of the model.
        reference: ``vN``, another tag, or ``sha256:...``; empty: the newest version that is approved for the target.
        target: where to.
        by: who deploys.
        world: the parts.
        lead: what is deployed is what is desired from now on, so the target's alias follows; not so for the agent, who
            follows the alias: somebody may have moved it since.

    Raises:
        DeployFailed: the target refused it or answered wrongly; the former version serves.
    """
    with world.progress.stage("resolve", name) as step:
        approved = _approved(name, reference, target, world)
        if not isinstance(approved, Approved):
            return approved
        if failed := closed(approved.stored, target, world):
            step.say(failed.word)
            return failed
        step.say(f"version {approved.stored.version}, {approved.stored.digest}")
    with world.store.lock(name):
        outcome = _bring_up(approved, by, world)
    return note(outcome, target, world, lead=lead) if isinstance(outcome, Deployment) else outcome


def _approved(name: str, reference: str, target: Target, world: World) -> Approved | NotApproved | Rejected:
    """The digest, and the decision about it; without a reference the newest one that somebody agreed to."""
    if reference:
        stored = world.registry.resolve(name, reference)
        return standing(stored, target, world, meet=True)
    for version in world.ledger.versions(name):
        if not target.review or world.ledger.review(name, version, target.name).state == "approved":
            stored = world.registry.resolve(name, f"v{version}")
            found = standing(stored, target, world, meet=True)
            if isinstance(found, Approved):
                return found
    return NotApproved(f"no version of {name} is approved for {target.name}")


def _bring_up(approved: Approved, by: str, world: World) -> Deployment | Refused:
    stored = approved.stored
    started = time.monotonic()
    former = world.store.current(stored.name)
    world.server.require()
    with world.store.staging(stored) as folder:
        with world.progress.stage("fetch", f"from {stored.repository}") as step:
            files = world.registry.fetch(stored, folder, step)
        with world.progress.stage("check", f"against {approved.target.name} as it is now") as step:
            seen = world.examine(stored, files)
            findings = check(
                seen.facts, seen.target, world.matrix,
                config=seen.config, name=stored.name, version=stored.version, folder=seen.folder,
            )  # fmt: skip
            verdict = judge(stored, approved.target.name, findings)
            step.say(verdict.word)
        if not isinstance(verdict, Compatible):
            return verdict
        if void := _void(approved, seen.target, verdict.word, world):
            return void
        world.store.place(stored, files)
    return switch(former, _deployed(stored, by), approved.target.keep, world, started)


def _void(approved: Approved, seen: Target, verdict: str, world: World) -> NotApproved | Rejected | None:
    """What was agreed to was a verdict on a target: where either is another one by now, nobody agreed to it."""
    if not approved.target.review:
        return None
    now_is = replace(approved.target, host=seen.host)
    outcome = approve(approved.stored, now_is, replace(case_of(approved.stored, now_is, world), verdict=verdict))
    return None if isinstance(outcome, Approved) else outcome


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
        deployment = switch(live, back, target.keep, world, time.monotonic())
    return note(deployment, target, world, patience=ROLLBACK_PATIENCE)


def _before(live: Deployed, history: tuple[Deployed, ...], version: int | None, target: Target) -> Deployed:
    earlier = [d for d in history if d.version != live.version]
    chosen = [d for d in earlier if version in (None, d.version)]
    if chosen:
        return chosen[-1]
    there = ", ".join(f"v{d.version}" for d in earlier) or "none"
    wanted = f"v{version}" if version else "an earlier version"
    raise NotFound(f"{wanted} of {live.name} never served on {target.name}", hint=f"versions to go back to: {there}")


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
