"""A person's decision as it is kept: an event of the bundle. Decisions of the first form, a referrer each, are read too. Pure.

What writes it must be allowed to write to the registry, which a tag of MLflow does not prove. Not here: what it allows
(``core.review``), nor keeping it (``pipeline.recording``).
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace

from promote.core.chain import EVENTS_TYPE, read_referrers
from promote.core.events import LONGEST_REASON, Actor, Event, Kind, Line, event_of
from promote.core.names import printable
from promote.core.referrers import Referrer
from promote.core.review import APPROVED, REJECTED, Review
from promote.core.stages import Held

REVIEW_TYPE = "application/vnd.promote.review.v1+json"
"""Of the first form; also what a policy's ``evidence: [review]`` asks for, in whichever form."""
TARGET = "io.promote.target"
_FIELD = "io.promote.review."
_TEXTS = ("state", "by", "reason", "how", "at", "verdict", "policy")
_HOST = "host."
_MORE = ("verdict", "policy", "matrix", "signature")


def decision_event(stored: Held, target: str, review: Review) -> Event:
    """The event of a decision."""
    told = {key: getattr(review, key) for key in _MORE} | {f"{_HOST}{k}": v for k, v in review.host.items()}
    return event_of(
        stored, Kind(review.state), Actor(review.by, review.how), review.at, target=target, reason=review.reason,
        more={key: value for key, value in told.items() if value},
    )  # fmt: skip


def decisions_of(referrers: Iterable[Referrer], stored: Held, target: str = "") -> tuple[tuple[str, Review], ...]:
    """Target and decision of each referrer or event that is one, oldest first; about one target where one is named.

    A decision in words that are not ours is left out: it allows nothing and forbids nothing. So is an approval that came back
    from MLflow, where whoever may tag may write one; a signed one may show by its signature whose it is.
    """
    all_of_them = tuple(referrers)
    told = read_referrers(all_of_them, stored)
    found = [pair for referrer in all_of_them for pair in _first_form(referrer, stored)]
    for line in told.lines:
        event = line.event
        restored = line.digest in told.restored
        counts = event.kind is Kind.REJECTED or (
            event.kind is Kind.APPROVED and (not restored or "signature" in event.more)
        )
        if counts and event.bundle == stored.digest:
            found.append((event.target, replace(review_of(line), restored=restored)))
    return tuple(sorted((pair for pair in found if target in ("", pair[0])), key=lambda pair: pair[1].at))


def review_of(line: Line) -> Review:
    """The decision that an event tells."""
    event = line.event
    return Review(
        state=event.kind.value, digest=event.bundle, by=event.by, how=event.how, reason=event.reason, at=event.at,
        verdict=event.more.get("verdict", ""), policy=event.more.get("policy", ""), matrix=event.more.get("matrix", ""),
        signature=event.more.get("signature", ""),
        host={key.removeprefix(_HOST): value for key, value in event.more.items() if key.startswith(_HOST)},
    )  # fmt: skip


def kinds_of(referrers: Iterable[Referrer], stored: Held) -> frozenset[str]:
    """The kinds of evidence that refer to a bundle; a decision is one of its own, in whichever form it lies there."""
    all_of_them = tuple(referrers)
    decided = {REVIEW_TYPE} if decisions_of(all_of_them, stored) else set()
    return frozenset({referrer.artifact_type for referrer in all_of_them} - {EVENTS_TYPE} | decided)


def _first_form(referrer: Referrer, stored: Held) -> list[tuple[str, Review]]:
    """A decision that is a referrer of its own, told in annotations; one at most."""
    told: Mapping[str, str] = referrer.annotations
    fields = {name: printable(told.get(_FIELD + name, ""), LONGEST_REASON) for name in _TEXTS}
    if referrer.artifact_type != REVIEW_TYPE or fields["state"] not in (APPROVED, REJECTED):
        return []
    said = Review(digest=stored.digest, host=_host(told.get(_FIELD + "host", "")), **fields)  # type: ignore[arg-type]
    return [(told.get(TARGET, ""), said)]


def first_form_events(referrers: Iterable[Referrer], stored: Held) -> tuple[Event, ...]:
    """Decisions of the first form as events; they have no place in the chain."""
    found = [pair for referrer in referrers for pair in _first_form(referrer, stored)]
    return tuple(decision_event(stored, target, review) for target, review in found)


def _host(text: str) -> dict[str, str]:
    """What cannot be read is a host unlike any."""
    try:
        value = json.loads(text or "{}")
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        return {"triton": "unreadable"}
    return {str(name): printable(str(given), 100) for name, given in value.items()}
