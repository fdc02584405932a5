"""How the events of one bundle hang together: what is last, where two were written at once, and what cannot be. Pure.

Each line names those before it, so a line that was changed or removed leaves one that follows nothing. What stands at the end
is held by no later line: only another copy tells whether something was cut off there.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta

from promote.core.events import Event, Kind, Line, moment, parse_line, write_line
from promote.core.referrers import CREATED, Referrer, pack_referrer
from promote.core.stages import Held
from promote.errors import IntegrityError

EVENTS_TYPE = "application/vnd.promote.events.v1+jsonl"
EVENTS = "io.promote.events"
RESTORED = "io.promote.restored"
"""Of a referrer whose lines came from MLflow or another registry, where others may write any line."""
SKEW = timedelta(minutes=10)
_BATCH = 40  # lines of one referrer: its annotations, and so the list of all, stay small


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that cannot be.

    Args:
        about: digest of the line or referrer.
        what: one line.
    """

    about: str
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """The events of one bundle.

    Args:
        lines: each once, in the order in which they were written down.
        ends: digests of those that none follows yet.
        forks: digests of those that several follow: these were written at once.
        faults: what cannot be.
    """

    lines: tuple[Line, ...] = ()
    ends: tuple[str, ...] = ()
    forks: tuple[str, ...] = ()
    faults: tuple[Fault, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """Lines that a list of referrers tells.

    Args:
        lines: each once.
        restored: digests of those that came back from MLflow only.
        faults: what is no event, or not what its referrer's digest says.
    """

    lines: tuple[Line, ...] = ()
    restored: frozenset[str] = frozenset()
    faults: tuple[Fault, ...] = ()


def annotations_of(lines: Iterable[Line], *, restored: bool = False) -> dict[str, str]:
    """What a list of referrers tells of these lines: all of them, so that nobody has to fetch them."""
    all_of_them = tuple(lines)
    more = {RESTORED: "elsewhere"} if restored else {}
    created = max(line.event.noted for line in all_of_them)
    return {CREATED: created, EVENTS: content_of(all_of_them).decode()} | more


def content_of(lines: Iterable[Line]) -> bytes:
    """The referrer's own bytes: the lines."""
    return "".join(f"{line.text}\n" for line in lines).encode()


def batches(lines: Iterable[Line]) -> Iterable[tuple[Line, ...]]:
    """The lines in parts that one referrer each holds."""
    all_of_them = tuple(lines)
    return [all_of_them[at : at + _BATCH] for at in range(0, len(all_of_them), _BATCH)]


def read_referrers(referrers: Iterable[Referrer], stored: Held) -> Told:
    """The events among the referrers of ``stored``; each referrer's digest is that of a manifest with these lines."""
    found: dict[str, Line] = {}
    faults: list[Fault] = []
    restored, own = set[str](), set[str]()
    for referrer in referrers:
        if referrer.artifact_type != EVENTS_TYPE:
            continue
        text = referrer.annotations.get(EVENTS, "")
        try:
            data = text.encode()
            packed = pack_referrer(stored, EVENTS_TYPE, data, referrer.annotations)
        except (ValueError, IntegrityError) as error:
            faults.append(Fault(referrer.digest, f"it holds no events: {type(error).__name__}"))
            continue
        if packed.manifest.digest != referrer.digest:
            faults.append(Fault(referrer.digest, "the list of referrers tells other events than were attached"))
            continue
        for written in text.splitlines():
            try:
                line = parse_line(written)
            except IntegrityError as error:
                faults.append(Fault(referrer.digest, error.message))
                continue
            found[line.digest] = line
            (restored if RESTORED in referrer.annotations else own).add(line.digest)
    return Told(lines=tuple(found.values()), restored=frozenset(restored - own), faults=tuple(faults))


def read_texts(texts: Mapping[str, str]) -> Told:
    """The events among MLflow's tags, by their keys; a key names the digest of its line."""
    found: dict[str, Line] = {}
    faults = []
    for key, text in texts.items():
        try:
            line = parse_line(text)
        except IntegrityError as error:
            faults.append(Fault(key, error.message))
            continue
        if key_of(line) != key:
            faults.append(Fault(key, "the event was changed afterwards"))
            continue
        found[line.digest] = line
    return Told(lines=tuple(found.values()), faults=tuple(faults))


def key_of(line: Line) -> str:
    """``TIME.DIGEST`` of a line, in the order of time: no two lines have the same, so writers lose nothing."""
    noted = moment(line.event.noted)
    return f"{noted:%Y%m%dT%H%M%S}.{noted.microsecond:06d}Z.{line.digest.removeprefix('sha256:')[:16]}"


About = tuple[str, int, str]
"""A bundle: model, version, manifest digest."""


def chain_of(lines: Iterable[Line], about: About) -> Chain:
    """How lines about one bundle hang together."""
    by_digest = {line.digest: line for line in lines}
    faults, followers = [], dict[str, list[str]]()
    for digest, line in by_digest.items():
        event = line.event
        if (event.model, event.version, event.bundle) != about:
            faults.append(
                Fault(digest, f"it is about {event.model} v{event.version} {event.bundle[:19]}, not about this bundle")
            )
        for former in event.former:
            followers.setdefault(former, []).append(digest)
            if former not in by_digest:
                faults.append(Fault(digest, f"it follows {former[:19]}, which was removed or changed"))
            elif moment(by_digest[former].event.noted) - moment(event.noted) > SKEW:
                faults.append(Fault(digest, f"it was noted {event.noted}, before {former[:19]} that it follows"))
    beginnings = [digest for digest, line in by_digest.items() if not line.event.former]
    forks = [former for former, after in followers.items() if len(after) > 1 and former in by_digest]
    order = sorted(by_digest.values(), key=lambda line: (moment(line.event.noted), line.event.at, line.digest))
    return Chain(
        lines=tuple(order),
        ends=tuple(sorted(digest for digest in by_digest if digest not in followers)),
        forks=tuple(sorted(forks) + (sorted(beginnings) if len(beginnings) > 1 else [])),
        faults=tuple(faults),
    )


def follow(chain: Chain, events: Iterable[Event], noted: str) -> tuple[Line, ...]:
    """New lines at the end of a chain, one after the other."""
    ends, written = chain.ends, []
    for event in events:
        written.append(write_line(replace(event, former=ends, noted=noted)))
        ends = (written[-1].digest,)
    return tuple(written)


def withdrawn(lines: Iterable[Line]) -> Event | None:
    """The first withdrawal among them."""
    return next((line.event for line in lines if line.event.kind is Kind.WITHDRAWN), None)
