"""MLflow is told what serves. It is the view, not the ledger: a deployment stands even when MLflow cannot be told, and the
next command that reaches it tells it what it missed.
"""

from collections.abc import Callable
from dataclasses import replace

from promote.core.facts import Target
from promote.core.stages import Deployment
from promote.errors import PromoteError
from promote.ports import World


def note(deployment: Deployment, target: Target, world: World, *, lead: bool = True) -> Deployment:
    """The deployment, with a warning where MLflow was not told; what it missed of other models is told too.

    Without ``lead`` the target's alias stays where it is, and other models are not looked at: see ``deploy``.
    """
    with world.progress.stage("note", "in MLflow") as step:
        try:
            _tell(deployment.live.name, target, world, lead=lead)
            if lead:
                catch_up(target, world)
        except PromoteError as error:
            step.say("failed")
            late = f"MLflow was not told: {error.message}; the next promote deploy, rollback or sync tells it"
            return replace(deployment, warnings=(*deployment.warnings, late))
    return deployment


def catch_up(target: Target, world: World, lead: Callable[[str], bool] = lambda name: True) -> tuple[str, ...]:
    """Tells MLflow what it missed while it could not be reached; the models of which there was something to tell.

    ``lead`` says of a model whether the target's alias follows.

    Raises:
        Unavailable, AuthError, NotFound: as MLflow says; what it was told before stays told.
    """
    late = tuple(name for name in world.store.models() if world.store.untold(name))
    for name in late:
        _tell(name, target, world, lead=lead(name))
    return late


def _tell(name: str, target: Target, world: World, *, lead: bool) -> None:
    """The live version, and each that served since MLflow was last told, or just before."""
    history, untold = world.store.history(name), world.store.untold(name)
    live = history[-1]
    world.ledger.deployed(name, live.version, target.name, live.digest, "live", alias=lead)
    since = len(history) - len(untold) - 1 if untold else len(history)
    kept = {former.version: former for former in history[max(since, 0) :] if former.version != live.version}
    for former in kept.values():
        world.ledger.deployed(name, former.version, target.name, former.digest, "kept")
    world.store.told(name)
