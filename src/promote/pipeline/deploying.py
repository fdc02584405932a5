"""One digest brought to a target, and the former one brought back. Not here: the switch itself (``switching``)."""

import time
from dataclasses import replace
from datetime import UTC, datetime

from promote.core.facts import Target
from promote.core.review import Approved, NotApproved, Rejected, Review, approve
from promote.core.stages import Deployed, Deployment, Stored
from promote.errors import NotFound, PromoteError
from promote.pipeline.switching import switch
from promote.ports import World


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
    return switch(former, live, world, started, new=former is None or former.version != live.version)


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
        deployment = switch(live, back, world, time.monotonic(), new=False)
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
