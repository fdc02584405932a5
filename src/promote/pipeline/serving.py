"""What serves on a target: what is desired, what the record says, what really answers, and where these differ."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from promote.core.facts import Target
from promote.core.model_config import parse_config
from promote.core.served_config import difference
from promote.core.stages import Deployed
from promote.core.standing import READY, Desired, Drift, OnDisk, Seen, of_replicas
from promote.errors import DeployFailed, PromoteError, Unavailable
from promote.ports import Server, World


@dataclass(frozen=True, slots=True, kw_only=True)
class AtReplica:
    """One model on one of several Tritons that serve from the same repository.

    Args:
        at: its address.
        ready: it answers for the live version.
        statistics: of that version, as in ``Serving``.
        versions: version -> the server's word for its state.
        unanswered: why the server could not be asked; empty: it was.
    """

    at: str
    ready: bool
    statistics: Mapping[str, float] = field(default_factory=dict)
    versions: Mapping[int, str] = field(default_factory=dict)
    unanswered: str = ""


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
        replicas: of a target with several servers each; ``ready`` is of all of them, ``statistics`` their sum.
    """

    name: str
    deployed: Deployed | None
    ready: bool
    statistics: Mapping[str, float] = field(default_factory=dict)
    desired: Desired | None = None
    versions: Mapping[int, str] = field(default_factory=dict)
    checked: int = 0
    drift: tuple[Drift, ...] = ()
    replicas: tuple[AtReplica, ...] = ()


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
    servers = _asked(world)
    desired, unknown = _desired(target, world)
    names = world.store.models()
    rows = tuple(
        _serving(name, target, world, servers, desired.get(name), contents=contents)
        for name in sorted({*names, *desired})
    )
    loaded = {n for one in servers for n, versions in one.index.items() if READY in versions.values()}
    version = ", ".join(dict.fromkeys(one.version for one in servers if one.version))
    return Status(triton=version, models=rows, others=tuple(sorted(loaded - {*names})), unknown=unknown)


@dataclass(frozen=True, slots=True)
class _Asked:
    """One server, its version and index; of a replica that does not answer why."""

    at: str
    server: Server
    version: str = ""
    index: Mapping[str, Mapping[int, str]] = field(default_factory=dict)
    unanswered: str = ""


def _asked(world: World) -> tuple[_Asked, ...]:
    """Every server of the target.

    Raises:
        Unavailable: not one of them answers.
    """
    found, errors = [], []
    for at, server in world.server.each().items():
        try:
            found.append(_Asked(at, server, server.require(), server.index()))
        except Unavailable as error:
            errors.append(error)
            found.append(_Asked(at, server, unanswered=error.message))
    if len(errors) == len(found):
        raise errors[0]
    return tuple(found)


def _desired(target: Target, world: World) -> tuple[Mapping[str, Desired], str]:
    """MLflow is the view: where it cannot be asked, all else can still be told."""
    try:
        return world.ledger.desired(target.name), ""
    except PromoteError as error:
        return {}, error.message


def _serving(
    name: str, target: Target, world: World, servers: tuple[_Asked, ...], desired: Desired | None, *, contents: bool
) -> Serving:
    live = world.store.current(name)
    disk = world.store.inspect(name, live.version, contents=contents) if live else None
    history = frozenset(former.version for former in world.store.history(name))
    drifts: dict[str, Sequence[Drift]] = {}
    seen_at = []
    for one in servers:
        states = one.index.get(name, {})
        seen = Seen(
            name=name, target=target.name, deployed=live, history=history, desired=desired, required=target.review, disk=disk,
            states=states, differs=_differs(name, disk, states, one.server), unanswered=one.unanswered,
        )  # fmt: skip
        drifts[one.at] = seen.drifts()
        statistics = one.server.statistics(name).get(live.version, {}) if live and seen.ready else {}
        seen_at.append(AtReplica(
            at=one.at, ready=seen.ready, statistics=statistics, versions=states, unanswered=one.unanswered,
        ))  # fmt: skip
    return Serving(
        name=name,
        deployed=live,
        ready=all(replica.ready for replica in seen_at),
        statistics=_summed([replica.statistics for replica in seen_at if replica.statistics]),
        desired=desired,
        versions={v: state for replica in reversed(seen_at) for v, state in replica.versions.items()},
        checked=disk.checked if disk else 0,
        drift=of_replicas(drifts),
        replicas=tuple(seen_at) if len(seen_at) > 1 else (),
    )


def _summed(counted: Sequence[Mapping[str, float]]) -> Mapping[str, float]:
    """Requests and failures of all, the mean of their latencies by their requests."""
    if len(counted) < 2:
        return counted[0] if counted else {}
    requests = sum(one["requests"] for one in counted)
    weighed = sum(one["requests"] * one["mean_ms"] for one in counted)
    failures = sum(one["failures"] for one in counted)
    return {"requests": requests, "failures": failures, "mean_ms": weighed / requests if requests else 0.0}


def _differs(name: str, disk: OnDisk | None, states: Mapping[int, str], server: Server) -> str:
    """Where the server's own configuration differs from the placed one; nothing where no version answers."""
    if disk is None or not disk.placed or READY not in states.values():
        return ""
    try:
        return difference(parse_config(disk.placed, f"{name}/config.pbtxt"), server.config(name))
    except DeployFailed:  # unloaded since its state was read
        return ""
