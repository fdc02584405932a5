"""The files beside an ONNX model that hold its tensors: which, how much of them it reads, and whether they may be used.

They are looked at and never opened. Not here: what a fault means for a target (``core.rules.models``).
"""

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from promote.adapters.onnx_parts import text
from promote.core.facts import ExternalFile
from promote.core.names import bundle_path, printable
from promote.errors import IntegrityError

_EXTERNAL = 1  # TensorProto.EXTERNAL
_MOST = 50_000  # data files; the largest models have one for each of some ten thousand tensors


def external_files(tensors: Iterable[tuple[Any, int]], folder: str, name: str) -> tuple[ExternalFile, ...]:
    """One entry per data file, with the bytes the model reads of it.

    Args:
        tensors: ``TensorProto`` and the bytes of its values.
        folder: where the model lies, empty or ending with ``/``.
        name: of the model, for messages.

    Raises:
        IntegrityError: an offset or length that is no number, a name that is no UTF-8, or more files than any model has.
    """
    needed: dict[str, int] = {}
    packed: set[str] = set()
    twice: set[str] = set()
    for tensor, size in tensors:
        if tensor.data_location == _EXTERNAL:
            entries = {text(entry.key): text(entry.value) for entry in tensor.external_data}
            location = entries.get("location", "")
            if any(key.startswith("prepacked") for key in entries):
                packed.add(location)
            if len(entries) < len(tensor.external_data) and _locations(tensor) > 1:
                twice.add(location)
            end = _number(entries, "offset", name) + _number(entries, "length", name, size)
            needed[location] = max(end, needed.get(location, 0))
            if len(needed) > _MOST:
                raise IntegrityError(f"{name} keeps its tensors in more than {_MOST:,} files")
    return tuple(
        replace(_file(location, end, folder), packed=location in packed, twice=location in twice)
        for location, end in sorted(needed.items())
    )


def _locations(tensor: Any) -> int:
    return sum(entry.key == "location" for entry in tensor.external_data)


def _number(entries: dict[str, str], key: str, name: str, default: int = 0) -> int:
    text = entries.get(key, "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise IntegrityError(f"{name}: external data has the {key} {printable(text, 40)!r}, expected a whole number")
    return int(text)


def _file(location: str, needed: int, folder: str) -> ExternalFile:
    try:
        bundle_path(location)
    except IntegrityError:
        return ExternalFile(location, needed, None, "not a plain path inside the model's folder")
    try:
        faults = list(_links(folder, location))
        if faults:
            return ExternalFile(location, needed, None, faults[0])
        return ExternalFile(location, needed, os.lstat(folder + location).st_size)
    except OSError:
        return ExternalFile(location, needed, None)


def _links(folder: str, location: str) -> Iterator[str]:
    at, mode = folder, 0
    for part in location.split("/"):
        at += part
        mode = os.lstat(at).st_mode
        if stat.S_ISLNK(mode):
            yield "it is a link, or lies behind one"
        at += "/"
    if not stat.S_ISREG(mode):
        yield "it is not a plain file"
