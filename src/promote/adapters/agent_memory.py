"""What an agent remembers of a target, in a small file: so that it waits, and reports once, also when it is started anew.

Losing it costs a try and a report, so a damaged file is no reason to stop.
"""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from promote.core.agent import Remembered
from promote.core.names import printable
from promote.errors import Unavailable

_FORM = TypeAdapter(dict[str, Remembered])


def read_memory(path: Path) -> dict[str, Remembered]:
    """By model; nothing where there is no file, or one that cannot be read."""
    try:
        return _FORM.validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return {}


def write_memory(path: Path, memory: Mapping[str, Remembered]) -> None:
    """The whole file, by a rename.

    Raises:
        Unavailable: the disk is full, or cannot be written.
    """
    write_whole(path, _FORM.dump_json(dict(memory)))


def write_whole(path: Path, data: bytes) -> None:
    """Replaces a file in one step; a reader sees the former bytes or these. Its folder is made.

    Raises:
        Unavailable: the disk is full, or cannot be written.
    """
    name = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            os.fchmod(file.fileno(), 0o644)
        Path(name).replace(path)
    except OSError as error:
        if name:
            Path(name).unlink(missing_ok=True)
        raise Unavailable(f"cannot write {printable(str(path))}: {error.strerror or error}") from error
