"""Keeps what was measured: ``WORK/bench/TARGET/NAME/vN-<12 digits of the digest>.json``, the last of each version."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from promote.core.load import Cell, Figures, Measured
from promote.core.names import DIGEST, MODEL_NAME, model_name
from promote.errors import IntegrityError, Unavailable

SCHEMA = "promote.bench/1"
_LARGEST = 4 * 1024 * 1024

Number = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Checked(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class _Cell(_Checked):
    protocol: Literal["http", "grpc"]
    batch: int = Field(ge=0)
    clients: int = Field(ge=1)


class _Measured(_Checked):
    cell: _Cell
    seconds: Number
    answers: int = Field(ge=0)
    milliseconds: dict[int, Number]
    mean: Number
    errors: dict[str, int]
    busy: Number


class _Figures(_Checked):
    schema_: Literal["promote.bench/1"] = Field(alias="schema")
    name: str = Field(pattern=f"^{MODEL_NAME.pattern}$")
    version: int = Field(ge=1)
    digest: str = Field(pattern=f"^{DIGEST.pattern}$")
    target: str
    triton: str
    when: str
    by: str
    case: str
    seconds: Number
    cells: tuple[_Measured, ...]


class FiguresFolder:
    """A ``FiguresBook`` on disk.

    Args:
        root: ``WORK/bench``; made when something is kept.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def keep(self, figures: Figures) -> None:
        """Writes or replaces the figures of that version there.

        Raises:
            Unavailable: the disk says no.
        """
        folder = self._folder(figures.target, figures.name)
        path = folder / f"v{figures.version}-{figures.digest.removeprefix('sha256:')[:12]}.json"
        part = path.with_suffix(".part")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            part.write_text(json.dumps({"schema": SCHEMA} | asdict(figures), indent=1), encoding="utf-8")
            part.replace(path)
        except OSError as error:
            raise Unavailable(f"cannot keep the figures in {folder}: {error.strerror}") from error

    def of(self, target: str, name: str) -> tuple[Figures, ...]:
        """All that were kept of this model there, in the order of their file names.

        Raises:
            IntegrityError: a file is none of ours.
        """
        return tuple(_read(path) for path in sorted(self._folder(target, name).glob("v*.json")))

    def _folder(self, target: str, name: str) -> Path:
        return self._root / target / model_name(name)


def _read(path: Path) -> Figures:
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST + 1)
        if len(data) > _LARGEST:
            raise ValueError("larger than 4 MiB")
        found = _Figures.model_validate_json(data)
    except (OSError, ValueError, ValidationError) as error:
        raise IntegrityError(
            f"{path} holds no figures of promote bench", hint="move it away: promote bench measures again"
        ) from error
    cells = tuple(
        Measured(**(measured.model_dump() | {"cell": Cell(**measured.cell.model_dump())})) for measured in found.cells
    )
    return Figures(**(found.model_dump(exclude={"schema_", "cells"}) | {"cells": cells}))
