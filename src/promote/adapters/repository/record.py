"""The record of deployments: one line of JSON each, only ever appended, in ``record.jsonl`` beside the repository.

Each line holds the check sum of the one before it and its own, so a line changed afterwards is seen. A last line that a
crash cut short was never acknowledged and is dropped. It guards against accidents and careless edits, not against
somebody who rewrites the whole file: who deployed what, with proof, is the registry's and MLflow's to say.
"""

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from promote.adapters.repository.disk import sync, write_whole
from promote.core.names import digest
from promote.core.stages import Deployed
from promote.errors import IntegrityError

_TOLD = "told"
_DIGITS = 10
_START = "sha256:" + 64 * "0"


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: str
    version: int = Field(ge=1)
    digest: str
    repository: str
    since: str
    by: str
    state: str
    release: str = ""
    previous: str
    check: str


def read_record(path: Path, name: str) -> tuple[Deployed, ...]:
    """All deployments of a model, oldest first, as they were written; empty where there is no record.

    Raises:
        IntegrityError: a line was changed, removed or put in afterwards; the message says which.
    """
    return parse_record(_whole_lines(path), str(path), name)[0]


def append_record(path: Path, live: Deployed) -> None:
    """Adds one line and flushes it to the disk.

    Raises:
        IntegrityError: the record is damaged; nothing is added to a damaged record.
    """
    before = _whole_lines(path)
    line = next_line(before, str(path), live)
    # Unbuffered: bytes kept back for a full disk would be written again when the file is closed.
    with path.open("r+b" if path.exists() else "xb", buffering=0) as file:
        file.truncate(len(before))  # what a crash cut short
        file.seek(len(before))
        try:
            rest = memoryview(line)
            while rest:
                rest = rest[file.write(rest) :]
            os.fsync(file.fileno())
        except OSError:
            file.truncate(len(before))
            raise
    sync(path.parent)


def next_line(before: bytes, shown: str, live: Deployed) -> bytes:
    """The line that follows the whole lines of ``before``.

    Raises:
        IntegrityError: the record is damaged.
    """
    _, previous = parse_record(before, shown, live.name)
    body = {field: getattr(live, field) for field in Deployed.__dataclass_fields__} | {"previous": previous}
    if not live.release:  # a bundle alone is noted as it always was
        del body["release"]
    return _compact(body | {"check": _sum(body)}) + b"\n"


def with_states(lines: tuple[Deployed, ...]) -> tuple[Deployed, ...]:
    """The lines of a record: the last is ``live``, all before it ``kept``."""
    last = len(lines) - 1
    return tuple(replace(line, state="live" if place == last else "kept") for place, line in enumerate(lines))


def beyond(history: tuple[Deployed, ...], keep: int) -> tuple[int, ...]:
    """The versions that served, but for the live one and the ``keep`` that served last before it."""
    served = dict.fromkeys(former.version for former in reversed(history))
    return tuple(sorted([*served][1 + keep :]))


def untold(history: tuple[Deployed, ...], told: int) -> tuple[Deployed, ...]:
    """Those after the first ``told``; all where the record was begun anew since."""
    return history[told:] if told <= len(history) else history


def read_told(path: Path) -> int:
    """How many lines of the record MLflow knows of; 0 where that was never noted or cannot be read."""
    try:
        return parse_told((path.parent / _TOLD).read_bytes())
    except FileNotFoundError:
        return 0


def parse_told(data: bytes) -> int:
    """How many lines; 0 where it is no number."""
    return int(data) if data.isdigit() and len(data) < _DIGITS else 0


def write_told(path: Path, lines: int, staging: Path, name: str) -> None:
    """Notes that MLflow knows of so many lines of the record."""
    write_whole(path.parent / _TOLD, str(lines).encode(), staging, name)


def _whole_lines(path: Path) -> bytes:
    return whole_lines(path.read_bytes() if path.exists() else b"")


def whole_lines(data: bytes) -> bytes:
    """Without a last line that a crash cut short."""
    return data[: data.rfind(b"\n") + 1]


def parse_record(data: bytes, shown: str, name: str) -> tuple[tuple[Deployed, ...], str]:
    """The deployments of whole lines, and the last line's check sum.

    Raises:
        IntegrityError: as ``read_record``; ``shown`` names the record in the message.
    """
    found: list[Deployed] = []
    previous = _START
    for number, text in enumerate(data.split(b"\n")[:-1], start=1):
        try:
            line = _Line.model_validate_json(text)
            for named in (line.digest, *([line.release] if line.release else [])):
                digest(named)
        except (ValidationError, IntegrityError) as error:
            raise _damaged(shown, number, "it is no record of a deployment") from error
        body = line.model_dump(exclude={"check"}, exclude_unset=True)
        if line.check != _sum(body) or line.name != name:
            raise _damaged(shown, number, "it was changed afterwards")
        if line.previous != previous:
            raise _damaged(shown, number, "the line before it was changed or is missing")
        previous = line.check
        found.append(Deployed(**{field: body[field] for field in Deployed.__dataclass_fields__ if field in body}))
    return tuple(found), previous


def _damaged(shown: str, number: int, why: str) -> IntegrityError:
    return IntegrityError(
        f"{shown} line {number}: {why}",
        hint="put the file back from a copy, or move it away to begin a new record; what serves now is not touched",
    )


def _sum(body: dict[str, Any]) -> str:
    return "sha256:" + hashlib.sha256(_compact(body)).hexdigest()


def _compact(body: dict[str, Any]) -> bytes:
    return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()
