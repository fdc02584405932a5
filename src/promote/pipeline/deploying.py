"""One digest brought to a target. Not here: the switch itself (``switching``), the way back (``returning``), and what MLflow is
told of it (``noting``).
"""

import time
from dataclasses import replace

from promote.core.facts import Target
from promote.core.gates import GateFailed
from promote.core.review import Approved, NotApproved, Rejected, approve
from promote.core.rules.engine import check
from promote.core.stages import Deployed, Deployment, Stored
from promote.core.verdict import Compatible, Incompatible, Undecided, judge
from promote.errors import InputError
from promote.pipeline.choosing import Chosen, choose
from promote.pipeline.dating import now
from promote.pipeline.gating import closed
from promote.pipeline.happening import refusals
from promote.pipeline.noting import note
from promote.pipeline.reviewing import case_of, standing
from promote.pipeline.switching import switch
from promote.ports import World

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
    with refusals(name, reference, target, by, world) as told:
        outcome = told(_deploy(name, reference, target, by, world))
    return note(outcome, target, world, lead=lead) if isinstance(outcome, Deployment) else outcome


def _deploy(name: str, reference: str, target: Target, by: str, world: World) -> Deployment | Refused:
    with world.progress.stage("resolve", name) as step:
        approved = _approved(name, reference, target, world)
        if not isinstance(approved, Approved):
            return approved
        step.say(f"version {approved.stored.version}, {approved.stored.digest}")
    whole = approved.stored
    chosen = choose(whole, target if isinstance(whole, Stored) else world.measured(), world)
    if not isinstance(chosen, Chosen):
        return chosen
    if failed := closed(whole, chosen.bundle, target, world):
        return failed
    with world.store.lock(name):
        return _bring_up(approved, chosen, by, world)


def _approved(name: str, reference: str, target: Target, world: World) -> Approved | NotApproved | Rejected:
    """The digest, and the decision about it; without a reference the newest one that somebody agreed to."""
    if reference:
        stored = world.registry.find(name, reference)
        return standing(stored, target, world, meet=True)
    for version in world.ledger.versions(name):
        if not target.review or world.ledger.review(name, version, target.name).state == "approved":
            stored = world.registry.find(name, f"v{version}")
            found = standing(stored, target, world, meet=True)
            if isinstance(found, Approved):
                return found
    return NotApproved(f"no version of {name} is approved for {target.name}")


def _bring_up(approved: Approved, chosen: Chosen, by: str, world: World) -> Deployment | Refused:
    stored = chosen.bundle
    started = time.monotonic()
    former = world.store.current(stored.name)
    _same_variant(chosen, world)
    _one_release(approved.target, world)
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
    live = _deployed(stored, by)
    if stored.digest != approved.stored.digest:
        live = replace(live, release=approved.stored.digest)
    outcome = switch(former, live, approved.target.keep, world, started)
    return replace(outcome, variant=chosen.label, cost=chosen.cost)


def _one_release(target: Target, world: World) -> None:
    """Every Triton of the target answers, and the verdict on one of them holds for all.

    Raises:
        Unavailable: one does not answer.
        InputError: they are of different releases.
    """
    versions = {at: server.require() for at, server in world.server.each().items()}
    if len(set(versions.values())) > 1:
        found = ", ".join(f"{version} at {at}" for at, version in versions.items())
        raise InputError(
            f"the replicas of {target.name} are of different releases of Triton: {found}",
            hint="a verdict is about one release: make targets of their own of them, or bring them to one",
        )


def _same_variant(chosen: Chosen, world: World) -> None:
    """A directory of the same number never changes its bytes: what serves by them could not be told from what did.

    Raises:
        InputError: another variant of this version served here before.
    """
    stored = chosen.bundle
    served = {d.digest for d in world.store.history(stored.name) if d.version == stored.version}
    if chosen.label and served and stored.digest not in served:
        raise InputError(
            f"{stored.name} version {stored.version} is here as {sorted(served)[0][:19]}, "
            f"and the variant for this host is {chosen.label} {stored.digest[:19]} now",
            hint="promote the run again: the next version takes that variant, and this one serves on",
        )


def _void(approved: Approved, seen: Target, verdict: str, world: World) -> NotApproved | Rejected | None:
    """What was agreed to was a verdict on a target: where either is another one by now, nobody agreed to it."""
    if not approved.target.review:
        return None
    now_is = replace(approved.target, host=seen.host)
    outcome = approve(approved.stored, now_is, replace(case_of(approved.stored, now_is, world), verdict=verdict))
    return None if isinstance(outcome, Approved) else outcome


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
