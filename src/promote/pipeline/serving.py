"""What serves on a target."""

from collections.abc import Mapping
from dataclasses import dataclass

from promote.core.stages import Deployed
from promote.ports import World


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """One model on a target: what the record says, and what the server says.

    Args:
        deployed: the record's live entry.
        ready: the server answers for that version now.
        statistics: requests, failures, mean latency in ms of that version since it was loaded; empty when not ready.
    """

    deployed: Deployed
    ready: bool
    statistics: Mapping[str, float]


def status(world: World) -> tuple[str, tuple[Serving, ...]]:
    """The server's version, and every model of the target's record.

    Raises:
        Unavailable: the server does not answer.
    """
    version = world.server.require()
    rows = []
    for name in world.store.models():
        live = world.store.current(name)
        if live is None:
            continue
        ready = world.server.ready(name, live.version)
        statistics = world.server.statistics(name).get(live.version, {}) if ready else {}
        rows.append(Serving(deployed=live, ready=ready, statistics=statistics))
    return version, tuple(rows)
