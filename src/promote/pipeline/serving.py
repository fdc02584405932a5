"""What serves on a target: what is desired, what the record says, what really answers, and where these differ."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from promote.core.facts import Target
from promote.core.model_config import parse_config
from promote.core.served_config import difference
from promote.core.stages import Deployed
from promote.core.standing import READY, Desired, Drift, OnDisk, Seen
from promote.errors import DeployFailed, PromoteError
from promote.ports import World


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """One model on a target.

    Args:
        name: of the model.
        deployed: the record's live entry; ``None``: it is desired and was never deployed.
        ready: the server answers for that version now.
        statistics: requests, failures, mean latency in ms of that version since it was loaded; empty when not ready.
        desired: the version that carries the target's alias; ``None``: none does, or that is not known.
        versions: version -> the server's word for its state.
        checked: bytes of its files that were read and digested for this answer.
        drift: every difference, the gravest first.
    """

    name: str
    deployed: Deployed | None
    ready: bool
    statistics: Mapping[str, float] = field(default_factory=dict)
    desired: Desired | None = None
    versions: Mapping[int, str] = field(default_factory=dict)
    checked: int = 0
    drift: tuple[Drift, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """A target.

    Args:
        triton: the server's version.
        models: of the record, and those that are desired beside them.
        others: models that answer there and that promote never deployed.
        unknown: why it is not known what is desired; empty: it is known.
    """

    triton: str
    models: tuple[Serving, ...]
    others: tuple[str, ...] = ()
    unknown: str = ""


def status(target: Target, world: World, *, contents: bool = True) -> Status:
    """The target as it is now; without ``contents`` files are checked by name and size only.

    Raises:
        Unavailable: the server does not answer.
        IntegrityError: the record is damaged.
    """
    version = world.server.require()
    desired, unknown = _desired(target, world)
    index, names = world.server.index(), world.store.models()
    rows = tuple(
        _serving(name, target, world, index.get(name, {}), desired.get(name), contents=contents)
        for name in sorted({*names, *desired})
    )
    others = sorted(n for n, versions in index.items() if n not in names and READY in versions.values())
    return Status(triton=version, models=rows, others=tuple(others), unknown=unknown)


def _desired(target: Target, world: World) -> tuple[Mapping[str, Desired], str]:
    """MLflow is the view: where it cannot be asked, all else can still be told."""
    try:
        return world.ledger.desired(target.name), ""
    except PromoteError as error:
        return {}, error.message


def _serving(
    name: str, target: Target, world: World, states: Mapping[int, str], desired: Desired | None, *, contents: bool
) -> Serving:
    live = world.store.current(name)
    disk = world.store.inspect(name, live.version, contents=contents) if live else None
    seen = Seen(
        name=name,
        target=target.name,
        deployed=live,
        history=frozenset(former.version for former in world.store.history(name)),
        desired=desired,
        required=target.review,
        disk=disk,
        states=states,
        differs=_differs(name, disk, states, world),
    )
    statistics = world.server.statistics(name).get(live.version, {}) if live and seen.ready else {}
    return Serving(
        name=name,
        deployed=live,
        ready=seen.ready,
        statistics=statistics,
        desired=desired,
        versions=states,
        checked=disk.checked if disk else 0,
        drift=seen.drifts(),
    )


def _differs(name: str, disk: OnDisk | None, states: Mapping[int, str], world: World) -> str:
    """Where the server's own configuration differs from the placed one; nothing where no version answers."""
    if disk is None or not disk.placed or READY not in states.values():
        return ""
    try:
        return difference(parse_config(disk.placed, f"{name}/config.pbtxt"), world.server.config(name))
    except DeployFailed:  # unloaded since its state was read
        return ""
