"""Whether what the record calls live still answers as it was proven. Nothing is changed, on no side."""

from dataclasses import dataclass

from promote.core.facts import Target
from promote.core.golden import split
from promote.core.stages import Deployed, Replay
from promote.errors import DeployFailed, NotFound, Unavailable
from promote.pipeline.replaying import PROTOCOLS, ask
from promote.ports import World


@dataclass(frozen=True, slots=True, kw_only=True)
class Smoke:
    """What the live version answered.

    Args:
        deployed: the record's live entry.
        triton: the server's version.
        replays: the golden cases, over both protocols, that were answered.
        faults: why an answer is wrong or was refused, a line each; none: it answers as it was proven.
    """

    deployed: Deployed
    triton: str
    replays: tuple[Replay, ...]
    faults: tuple[str, ...]


def live_version(name: str, target: Target, world: World) -> Deployed:
    """What the record calls live, which the server must have ready.

    Raises:
        NotFound: the model was never deployed to the target.
        Unavailable: the server does not answer, or has another version than the record says.
    """
    live = world.store.current(name)
    if live is None:
        raise NotFound(f"{name} was never deployed to {target.name}", hint="promote status shows what is there")
    if not world.server.ready(name, live.version):
        raise Unavailable(
            f"{name} version {live.version} is live by the record of {target.name}, and its Triton does not have it ready",
            hint=f"promote deploy {name}:v{live.version} --target {target.name} loads it again",
        )
    return live


def smoke(name: str, target: Target, world: World) -> Smoke:
    """Replays the golden answers of the live version over both protocols; all of them, also after a wrong one.

    Raises:
        NotFound, Unavailable: as ``live_version``.
    """
    triton = world.server.require()
    live = live_version(name, target, world)
    cases, tolerance = world.store.golden(name, live.version)
    golden = split(cases)
    replays: list[Replay] = []
    faults: list[str] = []
    with world.progress.stage("replay", f"{name} version {live.version}") as step:
        for protocol in PROTOCOLS:
            for case, tensors in golden.items():
                try:
                    replay, fault = ask((name, live.version), protocol, case, tensors, tolerance, world)
                except DeployFailed as error:
                    faults.append(f"{protocol}: {case}: {error.message}")
                    continue
                replays.append(replay)
                faults += [f"{protocol}: {fault}"] if fault else []
        step.say(f"{len(replays)} golden answers, {len(faults)} wrong or refused")
    return Smoke(deployed=live, triton=triton, replays=tuple(replays), faults=tuple(faults))
