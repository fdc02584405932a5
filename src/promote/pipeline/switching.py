"""From the version that serves to another one, proven before the former retires; whatever fails puts the former back."""

from __future__ import annotations

import time
from itertools import product
from typing import TYPE_CHECKING

from promote.core.golden import split
from promote.core.stages import Deployed, Deployment, Replay
from promote.errors import DeployFailed, NotFound, PromoteError
from promote.pipeline.replaying import PROTOCOLS, ask

if TYPE_CHECKING:
    from promote.ports import World

READY_SECONDS = 120.0


def switch(former: Deployed | None, live: Deployed, keep: int, world: World, started: float) -> Deployment:
    """The former version serves until the new one has answered; whatever fails before that puts it back.

    The record names the new version before the former one retires: ended in between, both answer, and what the record
    says is true.

    Args:
        former: what the record says serves; ``None`` for a first deployment.
        live: what shall serve; it is placed.
        keep: how many versions that served before stay on disk.
        world: the parts.
        started: ``time.monotonic()`` when the command began with the target.
    """
    beside = former.version if former and former.version != live.version else None
    new = not any(served.version == live.version for served in world.store.history(live.name))
    try:
        with world.progress.stage("load", f"{live.name} version {live.version}"):
            _load(live, beside, world)
        replays = prove(live.name, live.version, world)
        with world.progress.stage("commit", f"{live.name} version {live.version} is live"):
            world.store.commit(live)
    except BaseException as error:
        _restore(former, live, world, because=error, new=new)
        if isinstance(error, DeployFailed) and error.hint == DeployFailed.usual_hint:
            serves = (
                f"{former.name} version {former.version} serves as before" if former else "nothing serves, as before"
            )
            raise DeployFailed(error.message, hint=serves) from error
        raise
    seconds = time.monotonic() - started
    warnings = _retire(live, beside, keep, world)
    return Deployment(live=live, former=former, replays=replays, seconds=seconds, warnings=warnings)


def _retire(live: Deployed, former: int | None, keep: int, world: World) -> tuple[str, ...]:
    """The former version stops, and those beyond the kept ones leave the disk; what fails here changes nothing of what serves."""
    warnings = []
    if former is not None:
        with world.progress.stage("retire", f"{live.name} version {former}") as step:
            try:
                _load(live, None, world)
            except PromoteError as error:
                step.say("failed")
                warnings.append(f"version {former} is still loaded beside version {live.version}: {error.message}")
                return tuple(warnings)
    try:
        gone = world.store.prune(live.name, keep)
    except PromoteError as error:
        warnings.append(f"old versions are still on disk: {error.message}")
    else:
        if gone:
            with world.progress.stage("prune", f"{live.name} " + ", ".join(f"v{version}" for version in gone)):
                pass
    return tuple(warnings)


def _load(live: Deployed, beside: int | None, world: World) -> None:
    """Brings a version up, next to the one named by ``beside``.

    One configuration holds for both, and Triton initialises the kept version anew under it. Where the old version cannot
    live with the new configuration, the new one is loaded alone: Triton keeps the old instance until that is ready. A
    version that was refused itself is not tried again.
    """
    tries = [(beside, live.version), (live.version,)] if beside else [(live.version,)]
    for versions in tries:
        try:
            world.store.serve(live.name, versions)
            world.server.load(live.name)
        except (DeployFailed, NotFound) as error:  # not found: somebody removed the kept version's files
            if versions == tries[-1] or (isinstance(error, DeployFailed) and live.version in error.versions):
                raise
        else:
            break
    world.server.await_ready(live.name, live.version, READY_SECONDS)


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
            if new:
                world.store.withdraw(failed.name, failed.version)
    except PromoteError as error:
        raise DeployFailed(
            f"{failed.name} version {failed.version} failed: {because}; putting back {goal} failed too: {error.message}",
            hint="promote status shows what answers now; when Triton is up again, promote rollback or deploy repairs it",
        ) from because


def prove(name: str, version: int, world: World) -> tuple[Replay, ...]:
    """Replays the bundle's golden inputs through the live server, of replicas through each, over both protocols.

    Raises:
        DeployFailed: an answer differs from the recorded one by more than the recorded tolerance.
    """
    cases, tolerance = world.store.golden(name, version)
    replays = []
    with world.progress.stage("replay", f"{name} version {version}") as step:
        for (at, server), protocol in product(world.server.each().items(), PROTOCOLS):
            for case, golden in split(cases).items():
                replay, fault = ask((name, version), protocol, case, golden, tolerance, server)
                if fault:
                    raise DeployFailed(
                        f"{name} version {version} answers wrongly over {protocol}{at and f' at {at}'}: {fault}",
                        hint="the model that was loaded is not the one that was proven",
                    )
                replays.append(replay)
        step.say(f"{len(replays)} golden answers, largest difference {max(r.max_absolute for r in replays):.2g}")
    return tuple(replays)
