"""From the version that serves to another one, proven before the former retires; whatever fails puts the former back."""

import time

from promote.core.golden import split
from promote.core.parity import ParityFailed, compare
from promote.core.stages import Deployed, Deployment, Replay
from promote.errors import DeployFailed, NotFound, PromoteError
from promote.ports import World

READY_SECONDS = 120.0


def switch(former: Deployed | None, live: Deployed, world: World, started: float, *, new: bool) -> Deployment:
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
