"""The way back: the version before serves again. In an incident somebody waits for it, so it imports little: neither the rules
nor what a review is, nothing of a registry.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from promote.core.facts import Target
from promote.core.stages import Deployed, Deployment
from promote.errors import NotFound
from promote.pipeline.dating import now
from promote.pipeline.noting import note
from promote.pipeline.retracting import asked_of
from promote.pipeline.switching import switch

if TYPE_CHECKING:
    from promote.ports import World

ROLLBACK_PATIENCE = 10.0  # seconds for MLflow, after the former version serves: somebody waits at the prompt


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """What would serve again was withdrawn, so the live version serves on.

    Args:
        reason: one line.
        others: versions that served before and lie there too, the last that served first; whether these were withdrawn is not
            known yet.
    """

    reason: str
    others: tuple[int, ...]
    word: str = "rejected"


def rollback(
    name: str, target: Target, by: str, world: World, version: int | None = None, *, withdrawn: bool = False
) -> Deployment | Withdrawn:
    """Serves the version before the live one (or ``version``) again, from what lies on the target's disk.

    The registry is asked whether that version was withdrawn, for a few seconds: where it is away the rollback goes on.

    Args:
        name: of the model.
        target: where.
        by: who.
        world: the parts.
        version: a certain one.
        withdrawn: also to a version that was withdrawn; then nobody is asked before.

    Raises:
        NotFound: nothing to go back to.
        DeployFailed: the former version does not answer; the live one serves on.
    """
    with world.store.lock(name):
        live = world.store.current(name)
        if live is None:
            raise NotFound(f"{name} was never deployed to {target.name}", hint="promote status shows what is there")
        goal = _before(live, world.store.history(name), version, target)
        if not withdrawn and (gone := asked_of(goal, world)):
            served = dict.fromkeys(d.version for d in reversed(world.store.history(name)))
            others = tuple(v for v in served if v not in (goal.version, live.version))
            return Withdrawn(f"{name} v{goal.version} was {gone}", others)
        world.server.require()
        back = replace(goal, since=now(), by=by, state="live")
        deployment = switch(live, back, target.keep, world, time.monotonic())
    return note(deployment, target, world, patience=ROLLBACK_PATIENCE, registry=False)


def _before(live: Deployed, history: tuple[Deployed, ...], version: int | None, target: Target) -> Deployed:
    earlier = [d for d in history if d.version != live.version]
    chosen = [d for d in earlier if version in (None, d.version)]
    if chosen:
        return chosen[-1]
    there = ", ".join(f"v{d.version}" for d in earlier) or "none"
    wanted = f"v{version}" if version else "an earlier version"
    raise NotFound(f"{wanted} of {live.name} never served on {target.name}", hint=f"versions to go back to: {there}")
