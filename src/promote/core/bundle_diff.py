"""What differs between two bundles: files, fields of ``config.pbtxt``, facts of the passports, bytes to be sent. Pure.

The version's directory is ``N`` in both, so that version 2 is held against version 1 file by file.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from promote.core.manifest import config_blob
from promote.core.names import printable
from promote.core.stages import Blob, Stored
from promote.errors import IntegrityError

if TYPE_CHECKING:
    from tritonclient.grpc.model_config_pb2 import ModelConfig

_TOO_MANY = ("nodes", "tally")  # facts of every operator: `promote check` tells what follows from them


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that differs.

    Args:
        name: a field or a fact.
        first: what the first bundle has; empty: it has none.
        second: what the second one has.
    """

    name: str
    first: str
    second: str


@dataclass(frozen=True, slots=True)
class FileChange:
    """A file that differs.

    Args:
        path: ``config.pbtxt``, or ``N/...`` whatever the version.
        first: what the first bundle has; ``None``: it has no such file.
        second: what the second one has.
    """

    path: str
    first: Blob | None
    second: Blob | None

    @property
    def word(self) -> str:
        """``changed``, ``added`` or ``removed``."""
        return "changed" if self.first and self.second else "added" if self.second else "removed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """All that differs.

    Args:
        files: by path.
        same: files that both have.
        config: fields of ``config.pbtxt``.
        facts: of the passports.
        shared: bytes of the second bundle that the first has too, its manifest and config among them.
        to_send: bytes that a registry which has the first lacks of the second.
    """

    files: tuple[FileChange, ...]
    same: int
    config: tuple[Change, ...]
    facts: tuple[Change, ...]
    shared: int
    to_send: int


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two bundles.

    Args:
        stored: as its registry holds it.
        config: the message of its ``config.pbtxt``.
        passport: JSON, as it came; empty where it holds none.
    """

    stored: Stored
    config: "ModelConfig"
    passport: bytes


def differ(first: Side, second: Side) -> Difference:
    """What differs from the first to the second.

    Raises:
        IntegrityError: a passport that is none.
    """
    ours, theirs = _files(first.stored), _files(second.stored)
    same = {path for path, blob in theirs.items() if ours.get(path) == blob}
    known = _blobs(first.stored)
    all_of = _blobs(second.stored)
    to_send = sum(blob.size for digest, blob in all_of.items() if digest not in known)
    return Difference(
        files=tuple(FileChange(p, ours.get(p), theirs.get(p)) for p in sorted({*ours, *theirs}) if p not in same),
        same=len(same),
        config=_changes(_fields(first.config), _fields(second.config)),
        facts=_changes(_facts(first), _facts(second)),
        shared=sum(blob.size for blob in all_of.values()) - to_send,
        to_send=to_send,
    )


def _files(stored: Stored) -> dict[str, Blob]:
    home, within = f"{stored.name}/", f"{stored.name}/{stored.version}/"
    named = {path: f"N/{path.removeprefix(within)}" for path in stored.files if path.startswith(within)}
    return {named.get(path, path.removeprefix(home)): blob for path, blob in stored.files.items()}


def _blobs(stored: Stored) -> dict[str, Blob]:
    """All that a push of the bundle moves, by digest."""
    manifest = Blob(stored.digest, len(stored.manifest))
    return {blob.digest: blob for blob in (*stored.files.values(), config_blob(stored), manifest)}


def _changes(first: Mapping[str, str], second: Mapping[str, str]) -> tuple[Change, ...]:
    names = sorted({*first, *second})
    pairs = ((name, first.get(name, ""), second.get(name, "")) for name in names)
    return tuple(Change(name, one, other) for name, one, other in pairs if one != other)


def _fields(config: "ModelConfig") -> dict[str, str]:
    from google.protobuf.json_format import MessageToDict

    return dict(_flat("", MessageToDict(config, preserving_proto_field_name=True)))


def _facts(side: Side) -> dict[str, str]:
    """What a reviewer compares: by whom and for what it was made, how good it is, what its file says."""
    if not side.passport:
        return {}
    told = _passport(side)
    facts = {name: _at(fact, "value") for name, fact in _mapping(told, "facts").items() if name not in _TOO_MANY}
    lineage = _mapping(told, "lineage")
    differences = _at(told, "parity", "differences")
    worst = max((d for d in map(_absolute, differences if isinstance(differences, list) else []) if d), default=None)
    chosen = {
        "verdict": told.get("verdict"),
        "target": _at(told, "target", "name"),
        "run": lineage.get("run_id"),
        "metrics": lineage.get("metrics"),
        "params": lineage.get("params"),
        "parity": {"max_absolute": worst, "tolerance": _at(told, "parity", "tolerance")},
        "tools": told.get("tools"),
    }
    return dict(_flat("", {**facts, **chosen}))


def _passport(side: Side) -> dict[str, Any]:
    from pydantic_core import from_json

    try:
        value = from_json(side.passport)
    except ValueError as error:
        raise IntegrityError(f"the passport of {side.stored.reference} is no JSON: {printable(str(error))}") from error
    if not isinstance(value, dict):
        raise IntegrityError(f"the passport of {side.stored.reference} is no passport of promote")
    return value


def _absolute(difference: Any) -> float | None:
    value = _at(difference, "max_absolute")
    return float(value) if isinstance(value, int | float) else None


def _at(value: Any, *keys: str) -> Any:
    """What lies there; ``None`` where nothing does, or something else on the way."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _mapping(value: Any, key: str) -> dict[str, Any]:
    found = _at(value, key)
    return found if isinstance(found, dict) else {}


def _flat(name: str, value: Any) -> Iterator[tuple[str, str]]:
    """Name -> text of everything in a JSON value: ``input[x].dims``, ``metrics.f1``; empty things are left out."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(f"{name}.{key}" if name else key, inner)
    elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
        for number, item in enumerate(value):
            named = item.get("name") if isinstance(item, dict) else None
            rest = {key: inner for key, inner in item.items() if key != "name"} if named else item
            yield from _flat(f"{name}[{named or number}]", rest)
    elif value not in (None, "", []):
        yield name, _text(value)


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    return value if isinstance(value, str) else json.dumps(value)
