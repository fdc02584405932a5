"""MLflow is told what serves. It is the view, not the ledger: a deployment stands even when MLflow cannot be told, and the
next command that reaches it tells it what it missed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from promote.core.facts import Target
from promote.core.stages import Deployment
from promote.errors import PromoteError, Unavailable

if TYPE_CHECKING:
    from promote.ports import World

PATIENCE = 60.0  # seconds; MLflow's own retries may take minutes, and its client some to be imported on a busy host


def note(
    deployment: Deployment, target: Target, world: World, *, lead: bool = True, registry: bool = True,
    patience: float = PATIENCE,
) -> Deployment:  # fmt: skip
    """The deployment, with a warning where MLflow was not told; what it missed of other models is told too.

    Without ``lead`` the target's alias stays where it is, and other models are not looked at: see ``deploy``. Without
    ``registry`` it is not asked: its events come with the next deployment. All has ``patience`` seconds, then the command ends.
    """

    told: list[str] = []

    def tell() -> None:
        told.extend(_tell(deployment.live.name, target, world, lead=lead, registry=registry))
        if lead:
            catch_up(target, world)

    with world.progress.stage("note", "in MLflow") as step:
        try:
            within(patience, tell)
        except PromoteError as error:
            step.say("failed")
            late = f"MLflow was not told: {error.message}; the next promote deploy, rollback or sync tells it"
            told.append(late)
    return replace(deployment, warnings=(*deployment.warnings, *told))


def within(seconds: float, work: Callable[[], None]) -> None:
    """Does it within so many seconds, by a thread that is left alone where it takes longer.

    What it tells MLflow in the end is true all the same.

    Raises:
        Unavailable: it takes longer.
    """
    raised: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - raised again by the one who waits
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if raised:
        raise raised[0]
    if thread.is_alive():
        raise Unavailable(f"no answer within {seconds:g} s")


def catch_up(target: Target, world: World) -> tuple[str, ...]:
    """Tells MLflow what it missed while it could not be reached; the models of which there was something to tell.

    The target's alias follows only where it still names what served before, or names nothing: whoever moved it since, meant it.

    Raises:
        Unavailable, AuthError, NotFound: as MLflow says; what it was told before stays told.
    """
    late = tuple(name for name in world.store.models() if world.store.untold(name))
    desired = world.ledger.desired(target.name) if late else {}
    for name in late:
        history, untold = world.store.history(name), world.store.untold(name)
        known = {deployed.version for deployed in history[: len(history) - len(untold)][-1:]} | {history[-1].version}
        _tell(name, target, world, lead=name not in desired or desired[name].version in known)
    return late


def _tell(name: str, target: Target, world: World, *, lead: bool, registry: bool = True) -> tuple[str, ...]:
    """The live version, and each that served since MLflow was last told, or just before; and the events of these."""
    from promote.pipeline.happening import served  # not before a rollback has switched

    history, untold = world.store.history(name), world.store.untold(name)
    live = history[-1]
    try:
        world.ledger.deployed(name, live.version, target.name, live.promoted, "live", alias=lead)
    except PromoteError:
        if registry:
            served(name, target, world, registry=True, mlflow=False)
        raise
    since = len(history) - len(untold) - 1 if untold else len(history)
    kept = {former.version: former for former in history[max(since, 0) :] if former.version != live.version}
    for former in kept.values():
        world.ledger.deployed(name, former.version, target.name, former.promoted, "kept")
    warnings = served(name, target, world, registry=registry)
    world.store.told(name)
    return warnings
