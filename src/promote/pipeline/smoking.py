"""Whether what the record calls live still answers as it was proven. Nothing is changed, on no side."""

from dataclasses import dataclass
from itertools import product

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
        read: what the text side of the version makes of a text, as JSON; ``None`` where none was sent.
    """

    deployed: Deployed
    triton: str
    replays: tuple[Replay, ...]
    faults: tuple[str, ...]
    read: str | None = None


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


def smoke(name: str, target: Target, world: World, text: str | None = None) -> Smoke:
    """Replays the golden answers of the live version over both protocols; all of them, also after a wrong one.

    Args:
        name: model name.
        target: where.
        world: the parts.
        text: sent to the text side of that version, ``NAME-text``, where there is one (``kind_configs``).

    Raises:
        NotFound, Unavailable: as ``live_version``; or a text was given and there is no text side of the live version.
        DeployFailed: the text side refused the text.
    """
    triton = world.server.require()
    live = live_version(name, target, world)
    cases, tolerance = world.store.golden(name, live.version)
    golden = split(cases)
    replays: list[Replay] = []
    faults: list[str] = []
    with world.progress.stage("replay", f"{name} version {live.version}") as step:
        for (at, server), protocol in product(world.server.each().items(), PROTOCOLS):
            where = f"{at}, {protocol}" if at else protocol
            for case, tensors in golden.items():
                try:
                    replay, fault = ask((name, live.version), protocol, case, tensors, tolerance, server)
                except DeployFailed as error:
                    faults.append(f"{where}: {case}: {error.message}")
                    continue
                replays.append(replay)
                faults += [f"{where}: {fault}"] if fault else []
        step.say(f"{len(replays)} golden answers, {len(faults)} wrong or refused")
    read = None if text is None else _read(f"{name}-text", live.version, text, world)
    return Smoke(deployed=live, triton=triton, replays=tuple(replays), faults=tuple(faults), read=read)


def _read(name: str, version: int, text: str, world: World) -> str:
    import numpy as np

    if not world.server.ready(name, version):
        raise NotFound(
            f"{name} version {version}, which would read a text, is not loaded",
            hint="promote template write ensemble writes it; load it beside the model",
        )
    answer = world.server.infer(name, version, {"TEXT": np.array([[text.encode()]], dtype=object)}, "grpc")
    return bytes(answer["ENTITIES"].reshape(-1)[0]).decode(errors="replace")
