"""Registry, MLflow and a host's record are held against each other. Not here: mending what differs (``mending``)."""

from collections.abc import Collection, Iterator

from promote.core.chain import EVENTS, EVENTS_TYPE
from promote.core.differences import REPAIR, Difference, Kind, of_chain, of_events, of_withdrawal
from promote.core.events import SERVES, Event, repeats
from promote.core.events import Kind as Happened
from promote.core.facts import Target
from promote.core.passport import sha256
from promote.core.review import APPROVED, REJECTED
from promote.core.stages import Blob, Deployed
from promote.errors import IntegrityError, NotFound
from promote.pipeline.happening import deployments, place_of
from promote.pipeline.recalling import Recalled, Version
from promote.ports import Books, Store


def audit(recalled: Recalled, books: Books, host: str = "", held: Collection[str] = ()) -> Iterator[Difference]:
    """What registry and MLflow do not tell alike of a model; of one that is away nothing is said.

    Args:
        recalled: what they tell.
        books: to read bytes and tags.
        host: the target whose host was asked, if one was.
        held: digests of bundles that lie on that host's disk.
    """
    for version in recalled.versions:
        about = f"{recalled.name} v{version.number}"
        yield from _of_places(about, recalled, version, host if version.digest in held else "")
        if version.registry and version.mlflow:
            yield from of_events(about, version.registry, version.mlflow)
        chain = version.chain(recalled.name)
        yield from of_chain(about, chain, version.registry, version.mlflow)
        yield from _of_bytes(about, version, books)
        if version.mlflow is not None:
            reference = f"{recalled.name}:v{version.number}"
            shown = books.ledger.review(recalled.name, version.number, "").state == REJECTED
            yield from of_withdrawal(about, reference, chain.lines, shown)
            yield from _of_tags(about, recalled.name, version, books)


def _of_places(about: str, recalled: Recalled, version: Version, host: str) -> Iterator[Difference]:
    if version.fault:
        yield Difference(Kind.UNREADABLE, about, version.fault, f"promote inspect {recalled.name}:v{version.number}")
    elif version.stored is None and "registry" not in recalled.away:
        built = [line.event for line in version.chain(recalled.name).lines if line.event.kind is Happened.BUILT]
        run = built[0].more.get("run", "RUN") if built else "RUN"
        remedy = f"the bytes are lost here: a host's disk (--target), a backup, or promote model {run} has them; then {REPAIR}"
        if host:
            remedy = f"{REPAIR} --target {host} sends it from that host's disk"
        has = f"MLflow recorded {version.digest}, which the registry has not"
        yield Difference(Kind.NOT_IN_REGISTRY, about, has, remedy, mendable=bool(host))
    if version.stored and version.mlflow is None and "mlflow" not in recalled.away:
        has = f"the registry has {version.stored.digest}, MLflow no such version"
        yield Difference(Kind.NOT_IN_MLFLOW, about, has, f"{REPAIR} makes it again", mendable=True)
    if version.stored and version.digest and version.stored.digest != version.digest:
        has = f"the registry has {version.stored.digest}, MLflow recorded {version.digest}"
        yield Difference(Kind.TWO_DIGESTS, about, has, "a person must say which: promote history tells who made each")


def _of_bytes(about: str, version: Version, books: Books) -> Iterator[Difference]:
    """A list of referrers is only what the registry says: the bytes it tells of must be there too."""
    if version.stored is None:
        return
    for referrer in books.registry.referrers(version.stored, EVENTS_TYPE):
        data = referrer.annotations.get(EVENTS, "").encode()
        try:
            books.registry.read(version.stored, Blob(sha256(data), len(data)))
        except (NotFound, IntegrityError) as error:
            has = f"the list of referrers tells events that were never attached: {error.message}"
            yield Difference(
                Kind.BROKEN, about, has, "see who may write to the registry; nobody mends this but a person"
            )


def _of_tags(about: str, name: str, version: Version, books: Books) -> Iterator[Difference]:
    """A decision under somebody's name in MLflow's tags, and no event that says so."""
    events = [line.event for line in version.chain(name).lines] + list(version.older)
    for target in sorted({event.target for event in events if event.target}):
        tag = books.ledger.review(name, version.number, target)
        if tag.state not in (APPROVED, REJECTED) or not tag.by or tag.reason.startswith("withdrawn: "):
            continue
        said = [e for e in events if (e.target, e.kind.value, e.by) == (target, tag.state, tag.by)]
        if not said:
            has = f"MLflow's tags say {tag.state} for {target} by {tag.by}, and no event does"
            yield Difference(
                Kind.NO_WITNESS, about, has, f"promote review show {name}:v{version.number} --target {target}"
            )


def audit_host(recalled: Recalled, target: Target, by: str, store: Store) -> Iterator[Difference]:
    """What a host's record tells of a model and the events do not, or the other way round.

    Args:
        recalled: the events.
        target: whose host it is.
        by: who asks, ``user@host``: events name the host by it.
        store: its record.
    """
    try:
        history = store.history(recalled.name)
    except IntegrityError as error:
        yield Difference(Kind.RECORD, f"{recalled.name} on {target.name}", error.message, error.hint)
        return
    lines = [line for version in recalled.versions for line in version.chain(recalled.name).lines]
    told = [
        event for digest in dict.fromkeys(d.digest for d in history) for event in deployments(history, digest, target)
    ]
    for event in told:
        if not repeats(lines, event):
            about = f"{recalled.name} v{event.version}"
            has = f"{event.kind.value} on {target.name} at {event.at} by {event.by}, by the host's record, and no event tells"
            yield Difference(Kind.UNTOLD, about, has, f"{REPAIR} --target {target.name} writes it", mendable=True)
    places = {place_of(target, by)} | {place_of(target, d.by) for d in history}
    for line in lines:
        event = line.event
        here = event.kind in SERVES and event.target == target.name and event.more.get("place", "") in places
        if here and not _recorded(event, history):
            has = f"an event says {event.kind.value} on {target.name} at {event.at} by {event.by}, and the host's record does not"
            look = "the record was begun anew since, or the event is forged: see who may write to the registry"
            yield Difference(Kind.UNKNOWN_TO_HOST, f"{recalled.name} v{event.version}", has, look)


def _recorded(event: Event, history: tuple[Deployed, ...]) -> bool:
    return any((d.digest, d.since) == (event.bundle, event.at) for d in history)


def promotion_of(version: Version, name: str) -> str:
    """The promotion's id, as the event of its making tells it; empty where none does."""
    built = (line.event for line in version.chain(name).lines if line.event.kind is Happened.BUILT)
    return next((event.more.get("promotion", "") for event in built), "")
