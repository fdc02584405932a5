"""Looks at a placed version as it lies on disk now: file by file against its manifest, and its ``config.pbtxt``.

Nothing is changed and nothing is raised of what is found: it is told as ``OnDisk``.
"""

import contextlib
import os
import time
from dataclasses import dataclass, field
from pathlib import Path

from promote.adapters.repository.disk import verify
from promote.adapters.repository.shelf import Shelf, on_disk
from promote.core.bundle_files import read_config
from promote.core.model_config import LARGEST_CONFIG
from promote.core.serving import config_text
from promote.core.stages import Blob
from promote.core.standing import OnDisk
from promote.errors import IntegrityError, NotFound

_TICK = 1_000_000_000  # ns; ten times that of any file system here
_Mark = tuple[int, int, int, int, int]


@dataclass(slots=True)
class Digested:
    """Files whose digest was right, and by what one sees that they are the same since.

    A change sets the time of change, which no program can set back as it can the time of modification; so a file of the
    same device, number, size and times is not read again.
    """

    marks: dict[Path, tuple[str, _Mark]] = field(default_factory=dict)

    def check(self, path: Path, blob: Blob, shown: str) -> int:
        """Passes when the file holds exactly these bytes; how many were read for that.

        Raises:
            IntegrityError: it does not.
        """
        mark = _mark(path)
        # A change within the tick of the clock that gave the file its time would not be seen by its time.
        settled = time.time_ns() - max(mark[3:]) > _TICK
        if self.marks.get(path) == (blob.digest, mark):
            return 0
        self.marks.pop(path, None)
        verify(path, blob, shown)
        if settled:
            self.marks[path] = (blob.digest, mark)  # taken before it was read: a change meanwhile is seen next time
        return blob.size


def _mark(path: Path) -> _Mark:
    seen = os.lstat(path)
    return seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns


def inspect_version(shelf: Shelf, name: str, version: int, digested: Digested, *, contents: bool) -> OnDisk:
    """The version as it lies there.

    Args:
        shelf: of the repository.
        name: of the model.
        version: which.
        digested: what was read before.
        contents: read the files; otherwise names and sizes only.

    Raises:
        OSError: as the disk says.
    """
    fault, checked, files = "", 0, {}
    try:
        files = on_disk(shelf, name, version)
        for path, blob in sorted(files.items()) if contents else ():
            if path != f"{name}/config.pbtxt":
                checked += digested.check(shelf.root / path, blob, path)
    except (IntegrityError, NotFound) as error:
        fault = error.message
    config, placed = _config(shelf, name, version, files.get(f"{name}/config.pbtxt"))
    return OnDisk(files=fault, config=config, placed=placed, checked=checked)


def _config(shelf: Shelf, name: str, version: int, blob: Blob | None) -> tuple[str, bytes]:
    """Why the model's ``config.pbtxt`` is not that of the version, and what it should be; nothing where that is not known."""
    own, now = shelf.notes(name, version) / "config.pbtxt", shelf.root / name / "config.pbtxt"
    try:
        if blob is not None:
            verify(own, blob, f"the config of {name} version {version}")
        placed = own.read_bytes()
    except FileNotFoundError:
        return "", b""  # the version is not there: its files say so
    except IntegrityError as error:
        return error.message, b""
    text: bytes | None = None
    with contextlib.suppress(FileNotFoundError):  # a link, or more than any configuration has, is read as none
        text = now.read_bytes() if not now.is_symlink() and now.stat().st_size <= LARGEST_CONFIG else b"\xff"
    return compare_config(placed, text, str(now), name, version)


def compare_config(placed: bytes, now: bytes | None, shown: str, name: str, version: int) -> tuple[str, bytes]:
    """Why ``now``, called ``shown``, is not the configuration of a version that was ``placed``, and what it should be."""
    try:
        own = read_config(placed, name)
    except IntegrityError as error:
        return error.message, b""
    own.version_policy.Clear()
    own.version_policy.specific.versions.append(version)
    expected = config_text(own)
    if now is None:
        return f"{shown} is missing", expected
    try:
        found = read_config(now, name)
    except IntegrityError as error:
        return f"{shown} was changed: {error.message}", expected
    if version not in found.version_policy.specific.versions:
        return f"{shown} was changed: it does not serve version {version}", expected
    own.version_policy.CopyFrom(found.version_policy)
    return (f"{shown} was changed since it was placed" if now != config_text(own) else ""), expected
