"""A folder that a bundle is pulled to: it appears by one rename, whole; and is held against the manifest afterwards.

Not here: the model repository of a target (``adapters.model_repository``), and fetching (``registry``).
"""

import errno
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

from promote.adapters.oci.files import chunks_of, counted, disk, sync_folder, verified
from promote.adapters.oci.moves import Move, move_all
from promote.core.bundle_files import check_head, read_config
from promote.core.faults import Fault
from promote.core.names import printable
from promote.core.stages import Blob, Stored
from promote.errors import InputError, IntegrityError, Unavailable
from promote.ports import Step

Told = Callable[[int], None]
_HEAD = 4
_FLUSHES_AT_ONCE = 8  # a disk orders them; one after the other each waits for the last
_OTHER = "name a folder that is not there yet, or empty this one"


class PullFolder:
    """See ``promote.ports.Folder``.

    Args:
        path: as the user named it.
    """

    def __init__(self, path: str) -> None:
        self._root = Path(os.path.abspath(path))  # noqa: PTH100 - lexical: a link on the way stays as the user wrote it
        self._staging = self._root.parent / f".{self._root.name}.pull"

    @property
    def path(self) -> str:
        """See ``promote.ports.Folder``."""
        return str(self._root)

    def filled(self) -> bool:
        """See ``promote.ports.Folder``."""
        shown = printable(self.path)
        with disk(f"look into {shown}"):
            if self._root.is_symlink() or (self._root.exists() and not self._root.is_dir()):
                raise InputError(f"{shown} is there and is no folder", hint=_OTHER)
            if not self._root.exists():
                return False
            if any(self._root.iterdir()):
                return True
            if self._root.is_mount() or self._root.samefile(Path.cwd()):
                raise InputError(f"{shown} cannot be replaced by a rename", hint="name a folder inside of it")
        return False

    def require(self, stored: Stored, step: Step) -> None:
        """See ``promote.ports.Folder``."""
        if faults := self.compare(stored, step):
            raise InputError(
                f"{printable(self.path)} is there and is not {stored.name} v{stored.version}: "
                f"{printable(faults[0].where)} {faults[0].what}",
                hint=f"{_OTHER}; promote verify lists all differences",
            )

    def compare(self, stored: Stored, step: Step) -> tuple[Fault, ...]:
        """See ``promote.ports.Folder``."""
        with disk(f"look into {printable(self.path)}"):
            if self._root.is_symlink() or not self._root.is_dir():
                raise InputError(f"{printable(self.path)} is no folder", hint="name what promote pull made")
            there = dict(_tree(self._root, self._root))
        faults = [Fault(path, f"is a {kind}") for path, kind in there.items() if kind and path in stored.files]
        faults += [
            Fault(path, "is not of the bundle")
            for path, kind in there.items()
            if path not in stored.files and not (kind == "folder" and _leads(path, stored))
        ]
        faults += [Fault(path, "is missing") for path in stored.files if path not in there]
        plain = {path: blob for path, blob in stored.files.items() if there.get(path) == ""}
        total = sum(blob.size for blob in plain.values())
        move_all([Move(b.size, _comparing(self._root, p, b, faults)) for p, b in plain.items()], step, 0, total)
        return tuple(sorted(faults))

    @contextmanager
    def staging(self) -> Iterator[str]:
        """See ``promote.ports.Folder``."""
        doing = f"make {printable(str(self._staging))}"
        with disk(doing):
            self._root.parent.mkdir(parents=True, exist_ok=True)
            self._staging.mkdir(exist_ok=True)
            handle = os.open(self._staging, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            with suppress(OSError):  # some file systems have no locks
                _lock(handle, self.path)
            yield str(self._staging)
        finally:
            os.close(handle)
            _drop_empty(self._staging)

    def place(self, stored: Stored, files: Mapping[str, str]) -> None:
        """See ``promote.ports.Folder``."""
        for path, blob in stored.files.items():
            with disk(f"read {printable(files[path])}"), Path(files[path]).open("rb") as file:
                check_head(path, file.read(_HEAD))
                if path == f"{stored.name}/config.pbtxt":
                    file.seek(0)
                    read_config(file.read(blob.size), stored.name)
        with disk(f"tidy {printable(str(self._staging))}"):
            _clear(self._staging, stored)
            _flush(self._staging, [Path(file) for file in files.values()])
        with disk(f"name {printable(self.path)}"):
            self._staging.replace(self._root)
            sync_folder(self._root.parent)


def _lock(handle: int, path: str) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            raise Unavailable(
                f"another pull to {printable(path)} is under way", hint="wait for it, or name another folder"
            ) from error
        raise


def _tree(folder: Path, root: Path) -> Iterator[tuple[str, str]]:
    """Path within ``root`` and what lies there, at any depth: ``""`` is a plain file; no link is followed."""
    with os.scandir(folder) as entries:
        for entry in entries:
            path = str(Path(entry.path).relative_to(root))
            is_folder = entry.is_dir(follow_symlinks=False)
            kind = "link" if entry.is_symlink() else "folder" if is_folder else ""
            yield path, kind if kind or entry.is_file(follow_symlinks=False) else "device or pipe"
            if is_folder:
                yield from _tree(Path(entry.path), root)


def _leads(path: str, stored: Stored) -> bool:
    return any(file.startswith(f"{path}/") for file in stored.files)


def _comparing(root: Path, path: str, blob: Blob, faults: list[Fault]) -> Callable[[Told], int]:
    def work(told: Told) -> int:
        try:
            for _ in counted(verified(chunks_of(root / path), blob, path), told):
                pass
        except (IntegrityError, FileNotFoundError):
            faults.append(Fault(path, "has other bytes"))
        return blob.size

    return work


def _clear(staging: Path, stored: Stored) -> None:
    """Removes what is not of the bundle: what a pull of another one left, or one that was killed."""
    for path, kind in list(_tree(staging, staging)):
        if path in stored.files or (kind == "folder" and _leads(path, stored)):
            continue
        if kind == "folder":
            shutil.rmtree(staging / path)
        else:
            (staging / path).unlink(missing_ok=True)  # it lay in a folder that is gone by now


def _flush(staging: Path, files: list[Path]) -> None:
    """To the disk, so that a power cut leaves no folder of empty files under the name."""
    with ThreadPoolExecutor(_FLUSHES_AT_ONCE) as flushing:
        list(flushing.map(_sync_file, files))
    for folder in {parent for file in files for parent in file.parents if parent.is_relative_to(staging)}:
        sync_folder(folder)


def _sync_file(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _drop_empty(folder: Path) -> None:
    """Removes folders without a file; nothing of a pull that failed before its first one stays."""
    for path, _, _ in os.walk(folder, topdown=False):
        with suppress(OSError):  # a file lies in it
            Path(path).rmdir()
