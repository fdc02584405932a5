"""Whether somebody withdrew a bundle, as the registry tells it. It imports little, since a rollback asks too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promote.errors import PromoteError
from promote.pipeline.noting import within

if TYPE_CHECKING:
    from collections.abc import Iterable

    from promote.core.referrers import Referrer
    from promote.core.stages import Deployed, Held
    from promote.ports import World

PATIENCE = 3.0  # seconds for the registry, before anything is switched: somebody waits at the prompt


def withdrawn_by(referrers: Iterable[Referrer], stored: Held) -> str:
    """Who withdrew the bundle, and why; empty where nobody did."""
    from promote.core.chain import read_referrers, withdrawn  # what an event is, no rollback waits for

    told = read_referrers(referrers, stored)
    gone = withdrawn(line for line in told.lines if line.event.bundle == stored.digest)
    return f"withdrawn by {gone.by or 'not known'}: {gone.reason or '-'}" if gone else ""


def asked_of(goal: Deployed, world: World) -> str:
    """Who withdrew what served before, and why; empty where nobody did, and where the registry does not say so in time."""
    found: list[str] = []

    def ask() -> None:
        stored = world.registry.find(goal.name, goal.promoted)
        found.append(withdrawn_by(world.registry.referrers(stored), stored))

    with world.progress.stage("ask", f"whether {goal.name} version {goal.version} was withdrawn") as step:
        try:
            within(PATIENCE, ask)
        except PromoteError as error:
            if error.exit_code == 130:
                raise
            step.say(f"the registry does not tell: {error.message}")
            return ""
        step.say(found[0] or "no")
    return found[0]
