"""What served on a target at a time, who had approved it, and on what evidence: answered from events. Pure.

Not here: where the events come from (``pipeline.recalling``).
"""

import datetime
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from promote.core.events import SERVES, Event, Kind, moment
from promote.core.names import printable
from promote.errors import InputError

_DAY = re.compile(r"\d{4}-\d\d-\d\d")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One event of a history.

    Args:
        event: what happened.
        digest: of its line; empty for a decision of the first form, which is none.
        where: ``both``, ``registry`` or ``mlflow``: which of them tells it.
    """

    event: Event
    digest: str
    where: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """What served on one host of a target at a time.

    Args:
        event: since when, and who brought it there.
        until: when something else did; empty where nothing did yet.
        approvals: those that counted when it was brought there, the last word under each name.
        checked: the verdict for that target it rests on; that of the bundle's own target where there is none; or ``None``.
        withdrawn: when and why it was withdrawn, before or after; or ``None``.
    """

    event: Event
    until: str
    approvals: tuple[Event, ...]
    checked: Event | None
    withdrawn: Event | None


def served_at(events: Iterable[Event], target: str, when: datetime.datetime) -> tuple[Served, ...]:
    """One for each host of each target on which something served then; of one target where one is named."""
    known = tuple(events)
    hosts: dict[tuple[str, str], list[Event]] = {}
    for event in sorted(known, key=lambda e: (moment(e.at), moment(e.noted))):
        if event.kind in SERVES and target in ("", event.target):
            hosts.setdefault((event.target, event.more.get("place", "")), []).append(event)
    found = []
    for _, brought in sorted(hosts.items()):
        before = [event for event in brought if moment(event.at) <= when]
        if before:
            after = [event.at for event in brought[len(before) :] if event.bundle != before[-1].bundle]
            found.append(_served(before[-1], after[0] if after else "", known))
    return tuple(found)


def _served(event: Event, until: str, events: Sequence[Event]) -> Served:
    about = [e for e in events if e.bundle == event.bundle]
    then = sorted((e for e in about if moment(e.at) <= moment(event.at)), key=lambda e: moment(e.at))
    words = {e.by: e for e in then if e.kind in (Kind.APPROVED, Kind.REJECTED) and e.target == event.target}
    checks = [e for e in then if e.kind is Kind.CHECKED]
    own = [e for e in checks if e.target == event.target]
    return Served(
        event=event,
        until=until,
        approvals=tuple(e for e in words.values() if e.kind is Kind.APPROVED),
        checked=next(reversed(own or checks), None),
        withdrawn=next((e for e in about if e.kind is Kind.WITHDRAWN), None),
    )


def parse_time(text: str) -> datetime.datetime:
    """The moment that ``text`` names: a day is its end, a time without a zone is UTC.

    Raises:
        InputError: it names none.
    """
    try:
        found = datetime.datetime.fromisoformat(text)
    except ValueError:
        raise InputError(
            f"{printable(text, 60)!r} is no time", hint="for instance 2026-11-24, 2026-11-24T12:00Z or ...T13:00+01:00"
        ) from None
    if _DAY.fullmatch(text):
        found = found.replace(hour=23, minute=59, second=59, microsecond=999_999)
    return found.replace(tzinfo=found.tzinfo or datetime.UTC)
