"""Two matrices row by row, and what follows: which facts of targets change, and which rules' answers. Pure.

A rule's answer is held to change where it reads a changed table; ``promote what-if`` says it of real models. Not here: how a
difference is printed.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from promote.core.matrix import Matrix
from promote.core.rules.engine import RULES
from promote.core.rules.readers import OF_HOST, READERS
from promote.errors import PromoteError

# Table -> the fields that tell its rows apart. A table not named here is one row, or its rows are told by their place.
_KEYS: dict[str, tuple[str, ...]] = {
    "triton_releases": ("release",),
    "cuda_driver_floors": ("cuda_major",),
    "cuda_toolkit_drivers": ("cuda",),
    "onnx_releases": ("onnx",),
    "onnxruntime": ("version",),
    "operator_domains": ("domain",),
    "io_types": ("type", "backend"),
    "triton_checks": ("id",),
    "tensorrt_plan_rules": ("id",),
    "tensorrt_hardware": ("since",),
    "tensorrt_opsets": ("since",),
    "gpus": ("name",),
    "dtype_support": ("compute_capabilities",),
    "exporters": ("name",),
    "registries": ("host",),
}
_PROSE = frozenset({"source", "note", "confidence", "memory_source"})


@dataclass(frozen=True, slots=True)
class Row:
    """A row that differs.

    Args:
        table: its table.
        row: what tells it apart, ``26.04``; empty for a table of one row.
        fields: field -> value before and after, as JSON values; of a row that came or went the one side is ``None``.
        state: ``added``, ``removed`` or ``changed``.
    """

    table: str
    row: str
    fields: Mapping[str, tuple[Any, Any]]
    state: str

    @property
    def matters(self) -> bool:
        """Whether more than words about the row differ."""
        return self.state != "changed" or bool(self.fields.keys() - _PROSE)


@dataclass(frozen=True, slots=True)
class MatrixDiff:
    """What differs.

    Args:
        rows: all of them, in the file's order.
        targets: target -> fact -> value before and after, ``None`` where it is not known.
        rules: rules that may answer otherwise, in their order.
    """

    rows: tuple[Row, ...]
    targets: Mapping[str, Mapping[str, tuple[Any, Any]]]
    rules: tuple[str, ...]


def diff(old: Matrix, new: Matrix) -> MatrixDiff:
    """What ``new`` says otherwise than ``old``."""
    before, after = (matrix.tables.model_dump(mode="json", by_alias=True) for matrix in (old, new))
    rows = []
    for table in before:
        left, right = _rows(table, before[table]), _rows(table, after[table])
        for key in [*left, *(key for key in right if key not in left)]:
            if (row := _row(table, key, left.get(key), right.get(key))) is not None:
                rows.append(row)
    targets = _targets(old, new)
    touched = {rule for row in rows if row.matters for rule in READERS.get(row.table, ())}
    touched |= {rule for facts in targets.values() for fact in facts for rule in OF_HOST.get(fact, ())}
    return MatrixDiff(tuple(rows), targets, tuple(rule.id for rule in RULES if rule.id in touched))


def _rows(table: str, value: Any) -> dict[str, Any]:
    """What tells a row apart -> the row."""
    if isinstance(value, dict) and table == "targets":
        return dict(value)
    if not isinstance(value, list):
        return {"": value if isinstance(value, dict) else {"value": value}}
    keys = _KEYS.get(table, ())
    named: dict[str, Any] = {}
    for place, row in enumerate(value):
        label = " ".join(_text(row[key]) for key in keys) if keys else str(place + 1)
        named[label if label not in named else f"{label} #{place + 1}"] = row
    return named


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _row(table: str, key: str, old: Any, new: Any) -> Row | None:
    if old == new:
        return None
    if old is None or new is None:
        fields = {name: (None, value) if old is None else (value, None) for name, value in (old or new).items()}
        return Row(table, key, fields, "added" if old is None else "removed")
    changed = {
        n: (old.get(n), new.get(n)) for n in [*old, *(n for n in new if n not in old)] if old.get(n) != new.get(n)
    }
    return Row(table, key, changed, "changed")


def _targets(old: Matrix, new: Matrix) -> dict[str, dict[str, tuple[Any, Any]]]:
    found = {}
    for name in sorted({*old.targets, *new.targets}):
        left, right = _host(old, name), _host(new, name)
        differs = {
            fact: (left.get(fact), right.get(fact)) for fact in left | right if left.get(fact) != right.get(fact)
        }
        if differs:
            found[name] = differs
    return found


def _host(matrix: Matrix, name: str) -> dict[str, Any]:
    try:
        host = matrix.target(name).host
    except PromoteError:  # only the other file has it
        return {}
    facts = {field.name: getattr(host, field.name) for field in dataclasses.fields(host)}
    return {fact: known.value for fact, known in facts.items() if known is not None}


def tables(matrix: Matrix) -> dict[str, list[dict[str, Any]]]:
    """Table -> its rows as JSON values, for showing; a row of ``targets`` begins with its ``name``."""
    shown = {}
    for table in type(matrix.tables).model_fields:
        value = getattr(matrix.tables, table)
        if isinstance(value, tuple):
            shown[table] = [row.model_dump(mode="json") for row in value]
        elif isinstance(value, Mapping):
            shown[table] = [{"name": name} | row.model_dump(mode="json") for name, row in value.items()]
        elif isinstance(value, BaseModel):
            shown[table] = [value.model_dump(mode="json")]
    return shown
