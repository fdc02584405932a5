"""Rows of ``compat_matrix.yaml`` as a container image tells them, and what they say otherwise than the rows there. Pure.

Only what the image's own configuration says is proposed. What it does not say stays as it stands in the row there, or
``null``: not known. Not here: how the configuration is fetched (``adapters.oci.image``).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from promote.core.matrix import Matrix
from promote.core.matrix_rows import ToolkitDriver, TritonRelease
from promote.core.probe import of_image, read_environment
from promote.errors import IntegrityError, NotFound

_SERVER = "TRITON_SERVER_VERSION"
_UNTOLD = ("onnxruntime", "min_compute_capability")  # no variable of the image names them


@dataclass(frozen=True, slots=True)
class Proposal:
    """What an image proposes.

    Args:
        rows: table -> the row to put there, as plain values in the order of its keys.
        new: tables that have no such row yet.
        differs: ``table.field`` -> value there and value that the image tells.
        untold: fields of ``triton_releases`` that the image does not tell.
    """

    rows: Mapping[str, Mapping[str, Any]]
    new: tuple[str, ...]
    differs: Mapping[str, tuple[Any, Any]]
    untold: tuple[str, ...]

    def yaml(self) -> str:
        """The rows as they may stand in the file."""
        tables = {table: [dict(row)] for table, row in self.rows.items()}
        return yaml.safe_dump(tables, sort_keys=False, allow_unicode=True, width=10_000)


def propose(environment: Iterable[str], image: str, date: str, matrix: Matrix) -> Proposal:
    """The rows that an image's environment tells.

    Args:
        environment: its ``NAME=value`` lines.
        image: ``HOST/NAME:TAG@sha256:...``, for the source.
        date: the day it was read.
        matrix: with the rows there now.

    Raises:
        IntegrityError: no image of a Triton.
        NotFound: it names no release, and the matrix knows none of its server version.
    """
    lines = tuple(environment)
    source = f"image config of {image}, read {date}"
    facts, said = of_image(lines, source, matrix), read_environment(lines)
    if facts.triton is None:
        raise NotFound(
            f"{image} names no release of Triton",
            hint="its environment has no NVIDIA_TRITON_SERVER_VERSION of the form YY.MM",
        )
    there = matrix.release(facts.triton.value)
    told = {
        "server": said.get(_SERVER) or None,
        "python": facts.python.value if facts.python else None,
        "cuda": facts.cuda.value if facts.cuda else None,
        "tensorrt": facts.tensorrt.value if facts.tensorrt else None,
    }
    row = _release(facts.triton.value, told, source, there)
    rows, new = {"triton_releases": row}, [] if there else ["triton_releases"]
    differs = {f"triton_releases.{name}": pair for name, pair in _differs(told, there).items()}
    driver = said.get("CUDA_DRIVER_VERSION", "")
    if facts.cuda and driver:
        known = matrix.toolkit_driver(facts.cuda.value)
        if known is None:
            new.append("cuda_toolkit_drivers")
        elif known.driver != driver:
            differs["cuda_toolkit_drivers.driver"] = (known.driver, driver)
        if known is None or known.driver != driver:
            made = {"cuda": known.cuda if known else facts.cuda.value, "driver": driver, "source": source}
            rows["cuda_toolkit_drivers"] = _checked(ToolkitDriver, made)
    untold = tuple(name for name in ("server", *_UNTOLD, "python", "cuda", "tensorrt") if told.get(name) is None)
    return Proposal(rows, tuple(new), differs, untold)


def _release(release: str, told: Mapping[str, str | None], source: str, there: TritonRelease | None) -> dict[str, Any]:
    """The row, in the order of the file's keys; the row's source speaks for server, ONNX Runtime and Python."""
    former = there.model_dump(mode="json", exclude_defaults=True) if there else {}
    row: dict[str, Any] = {"release": release}
    for name in ("server", "onnxruntime", "python", "min_compute_capability"):
        row[name] = told.get(name) or former.get(name)
    for name in ("cuda", "tensorrt"):
        version = told[name]
        row[name] = {"version": version, "source": source} if version else former.get(name)
    row |= {key: former[key] for key in ("confidence", "note") if key in former}
    changed = [name for name in ("server", "python") if told[name] and told[name] != former.get(name)]
    said = f"{', '.join(changed)}: {source}" if there else source
    row["source"] = "; ".join(part for part in (former.get("source"), said if changed or not there else "") if part)
    return _checked(TritonRelease, row)


def _checked(form: type[TritonRelease] | type[ToolkitDriver], row: dict[str, Any]) -> dict[str, Any]:
    """The row itself, when the matrix would take it: the image's text comes from outside."""
    try:
        form.model_validate(row)
    except ValueError as error:
        raise IntegrityError("the image's environment holds a version of another form") from error
    return row


def _differs(told: Mapping[str, str | None], there: TritonRelease | None) -> dict[str, tuple[Any, Any]]:
    if there is None:
        return {}
    sourced = {"cuda": there.cuda, "tensorrt": there.tensorrt}
    now = {"server": there.server, "python": there.python} | {n: s.version if s else None for n, s in sourced.items()}
    return {name: (now[name], value) for name, value in told.items() if value is not None and value != now[name]}
