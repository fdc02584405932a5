"""Events are kept: with the bundle in the registry, and on the version in MLflow. Not here: what happened (``happening``)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from promote.core.chain import (
    EVENTS_TYPE,
    Told,
    annotations_of,
    batches,
    chain_of,
    content_of,
    follow,
    key_of,
    read_referrers,
    read_texts,
)
from promote.core.events import SERVES, Event, Kind, Line, moment, repeats, stamp
from promote.core.stages import Held
from promote.errors import Interrupted, PromoteError
from promote.ports import Books, Registry


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """Where events lie now.

    Args:
        lines: all that are known of the bundle.
        registry: the registry has them.
        mlflow: MLflow has them.
        why: for each that has them not, a sentence.
    """

    lines: tuple[Line, ...] = ()
    registry: bool = False
    mlflow: bool = False
    why: tuple[str, ...] = ()


def keep(
    events: Sequence[Event], world: Books, *, registry: bool = True, mlflow: bool = True, must: bool = False
) -> Kept:
    """Writes down what happened to one bundle, at the end of its chain; what is there already is not written again.

    Args:
        events: about one bundle, at least one.
        world: the parts.
        registry: ask it.
        mlflow: ask it.
        must: the registry must take them, or nothing is written.

    Raises:
        PromoteError: as the registry says, where it must.
    """
    first, why = events[0], list[str]()
    stored: Held | None = None
    here = there = None
    if registry:
        try:
            stored = world.registry.find(first.model, first.bundle)
            here = read_referrers(world.registry.referrers(stored, EVENTS_TYPE), stored)
        except PromoteError as error:
            if must or isinstance(error, Interrupted):
                raise
            why.append(f"the registry does not tell: {error.message}")
    if mlflow:
        try:
            there = read_texts(world.ledger.events(first.model, first.version))
        except Interrupted:
            raise
        except PromoteError as error:
            why.append(f"MLflow does not tell: {error.message}")
    known, new = _written(events, here, there)
    in_registry = stored is not None and here is not None and _attached(stored, new, world, why, must=must)
    in_mlflow = there is not None and _mirrored(first, (*known, *new), there, world, why)
    return Kept(lines=(*known, *new), registry=in_registry, mlflow=in_mlflow, why=tuple(why))


def bring(lines: Iterable[Line], stored: Held, registry: Registry) -> int:
    """Attaches lines that were kept elsewhere, as such: an approval among them allows nothing; how many were missing."""
    there = {line.digest for line in read_referrers(registry.referrers(stored, EVENTS_TYPE), stored).lines}
    missing = [line for line in lines if line.digest not in there]
    for batch in batches(missing):
        registry.attach(stored, EVENTS_TYPE, content_of(batch), annotations_of(batch, restored=True))
    return len(missing)


def _written(events: Sequence[Event], here: Told | None, there: Told | None) -> tuple[list[Line], list[Line]]:
    """What is known where it counts most, and what must be added; a line that MLflow alone has is taken as it is."""
    known, mirror = list((here or there or Told()).lines), (there or Told()).lines
    about = (events[0].model, events[0].version, events[0].bundle)
    new: list[Line] = []
    for event in events:
        if repeats([*known, *new], event):
            continue
        full = replace(event, evidence=event.evidence or _rests_on(event, [*known, *new]))
        chain = chain_of([*known, *new], about)
        new.append(repeats(mirror, event) or follow(chain, (full,), stamp(datetime.now(UTC)))[0])
    return known, new


def _rests_on(event: Event, lines: Sequence[Line]) -> tuple[str, ...]:
    """The approvals that a deployment rests on: those for its target that were there."""
    if event.kind not in SERVES:
        return ()
    before = (line for line in lines if line.event.kind is Kind.APPROVED and line.event.target == event.target)
    return tuple(line.digest for line in before if moment(line.event.at) <= moment(event.at))


def _attached(stored: Held, new: Sequence[Line], world: Books, why: list[str], *, must: bool) -> bool:
    try:
        for batch in batches(new):
            world.registry.attach(stored, EVENTS_TYPE, content_of(batch), annotations_of(batch))
    except PromoteError as error:
        if must or isinstance(error, Interrupted):
            raise
        why.append(f"the registry does not take them: {error.message}")
        return False
    return True


def _mirrored(first: Event, lines: Sequence[Line], there: Told, world: Books, why: list[str]) -> bool:
    has = {line.digest for line in there.lines}
    missing = {key_of(line): line.text for line in lines if line.digest not in has}
    try:
        if missing:
            world.ledger.keep_events(first.model, first.version, missing)
    except Interrupted:
        raise
    except PromoteError as error:
        why.append(f"MLflow does not take them: {error.message}")
        return False
    return True
