"""What happened to a bundle: an event is one line of JSON that names the events before it by their digests. Pure.

``at`` is when it happened, ``noted`` when it was written down: what happened while everything was away is told late. A line
read from outside is hostile until it is read here. Not here: how lines hang together (``chain``), and where they are kept.
"""

import datetime
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from promote.core.manifest import misfit, strict_json
from promote.core.names import DIGEST, MODEL_NAME, printable
from promote.core.passport import sha256
from promote.core.stages import Held
from promote.errors import IntegrityError

SCHEMA = "promote.event/1"
LONGEST_REASON = 2000
LONGEST_LINE = 64 * 1024
_STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z")
LONGEST_SHORT = 200


class Kind(StrEnum):
    """What can happen."""

    BUILT = "built"
    CHECKED = "checked"
    PUSHED = "pushed"
    REQUESTED = "requested"
    APPROVED = "approved"
    REJECTED = "rejected"
    DEPLOYED = "deployed"
    REFUSED = "refused"
    ROLLED_BACK = "rolled-back"
    WITHDRAWN = "withdrawn"


SERVES = (Kind.DEPLOYED, Kind.ROLLED_BACK)
"""From then on it serves on the target."""
_ONCE = (Kind.BUILT, Kind.CHECKED, Kind.PUSHED, Kind.REQUESTED)


@dataclass(frozen=True, slots=True)
class Actor:
    """Somebody.

    Args:
        name: theirs, ``ada@desk``; ``not known`` where that is so.
        how: how it is known: ``mlflow``, ``github``, ``claimed`` or ``requested`` (``core.review``).
    """

    name: str
    how: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that happened.

    Args:
        kind: what.
        at: when it happened, RFC 3339 UTC.
        by: who.
        how: how that is known.
        model: name.
        version: of it.
        bundle: manifest digest.
        target: for or on which; empty: it is about all.
        reason: in somebody's words.
        evidence: digests of what it rests on.
        more: texts of its kind.
        former: digests of the lines that were the last ones when it was written down.
        noted: when that was, RFC 3339 UTC.
    """

    kind: Kind
    at: str
    by: str
    how: str
    model: str
    version: int
    bundle: str
    target: str = ""
    reason: str = ""
    evidence: tuple[str, ...] = ()
    more: Mapping[str, str] = field(default_factory=dict)
    former: tuple[str, ...] = ()
    noted: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """An event as it was written down; the digest of ``text`` is its name."""

    event: Event
    text: str

    @property
    def digest(self) -> str:
        """``sha256:`` of the line."""
        return sha256(self.text.encode())


def event_of(stored: Held, kind: Kind, actor: Actor, at: str, **more: object) -> Event:
    """An event about a bundle that is stored; ``more`` are further fields of ``Event``."""
    head = {"model": stored.name, "version": stored.version, "bundle": stored.digest}
    return Event(kind=kind, at=at, by=actor.name, how=actor.how, **head, **more)  # type: ignore[arg-type]


def write_line(event: Event) -> Line:
    """The line of an event: ASCII, keys in order, so that the same event gives the same bytes anywhere."""
    told = {name: getattr(event, name) for name in Event.__dataclass_fields__} | {
        "schema": SCHEMA, "kind": event.kind.value, "reason": printable(event.reason, LONGEST_REASON),
        **{name: printable(getattr(event, name), LONGEST_SHORT) for name in ("by", "how", "target")},
        "more": {key: printable(str(value), LONGEST_REASON) for key, value in event.more.items()},
    }  # fmt: skip
    text = json.dumps(told, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return Line(parse_line(text).event, text)


_Stamp = Annotated[str, Field(pattern=_STAMP.pattern, max_length=30)]
_Short = Annotated[str, Field(max_length=LONGEST_SHORT)]
_Long = Annotated[str, Field(max_length=LONGEST_REASON)]
_Digest = Annotated[str, Field(pattern=f"^{DIGEST.pattern}$")]


class _Line(BaseModel):
    """``extra="ignore"``: a later release may say more; the digest is of the whole line all the same."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    schema_: Literal["promote.event/1"] = Field(alias="schema")
    kind: Kind
    at: _Stamp
    noted: _Stamp
    by: _Short
    how: _Short
    model: Annotated[str, Field(pattern=f"^{MODEL_NAME.pattern}$")]
    version: Annotated[int, Field(ge=1, strict=True)]
    bundle: _Digest
    target: _Short = ""
    reason: _Long = ""
    evidence: Annotated[tuple[_Digest, ...], Field(max_length=100)] = ()
    more: Annotated[dict[_Short, _Long], Field(max_length=100)] = Field(default_factory=dict)
    former: Annotated[tuple[_Digest, ...], Field(max_length=1000)] = ()


def parse_line(text: str) -> Line:
    """The event in a line; its texts are on one line each, whatever was in them.

    Raises:
        IntegrityError: it is none.
    """
    data = text.encode(errors="backslashreplace")
    if len(data) > LONGEST_LINE or not text.isascii() or "\n" in text:
        raise IntegrityError(f"an event of {len(data):,} bytes, expected one line of ASCII, {LONGEST_LINE:,} at most")
    try:
        told = _Line.model_validate(strict_json(data, "an event"))
    except ValidationError as error:
        raise IntegrityError(f"no event of promote: {misfit(error)}") from error
    fields = told.model_dump(exclude={"schema_"})
    clean = {name: printable(fields[name], LONGEST_REASON) for name in ("by", "how", "target", "reason")}
    more = {printable(key): printable(value, LONGEST_REASON) for key, value in fields["more"].items()}
    return Line(Event(**fields | clean | {"more": more}), text)


def repeats(lines: Iterable[Line], new: Event) -> Line | None:
    """The line that says already what ``new`` would, or ``None``.

    What a promotion says is said once, whoever types it again; a refusal is said again when something else was said of that
    target meanwhile; the rest is the same where time, person and target are.
    """
    about = [line for line in lines if line.event.bundle == new.bundle and line.event.target == new.target]
    if new.kind is Kind.REFUSED:
        last = max(about, key=lambda line: moment(line.event.noted), default=None)
        return last if last and (last.event.kind, last.event.reason) == (new.kind, new.reason) else None
    for line in about:
        old = line.event
        same = old.kind is new.kind and {**old.more} == {
            k: printable(str(v), LONGEST_REASON) for k, v in new.more.items()
        }
        if same and (new.kind in _ONCE or (old.at, old.by) == (new.at, printable(new.by, LONGEST_SHORT))):
            return line
    return None


def moment(stamp: str) -> datetime.datetime:
    """When; the beginning of time where ``stamp`` says none."""
    try:
        found = datetime.datetime.fromisoformat(stamp)
    except ValueError:
        return datetime.datetime.min.replace(tzinfo=datetime.UTC)
    return found.replace(tzinfo=found.tzinfo or datetime.UTC)


def stamp(now: datetime.datetime) -> str:
    """``now`` as events say it, to the microsecond."""
    return now.astimezone(datetime.UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
