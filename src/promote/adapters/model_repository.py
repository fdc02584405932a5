"""The model repository of a target on this machine's file system, with promote's record beside it.

A version appears by one rename, complete and checked; a kill at any point leaves the former state or the new one, and
running again finishes. Where what lies is told in ``repository/shelf.py``. Not here: the server (``triton_server``), and
when to do what (``pipeline``). A repository in object storage is another adapter.
"""

import errno
import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from promote.adapters.repository.disk import disk, sync, take, verify, write_whole
from promote.adapters.repository.record import append_record, read_record
from promote.adapters.repository.shelf import (
    Shelf,
    make_state,
    on_disk,
    open_shelf,
    read_notes,
    verify_version,
    write_notes,
)
from promote.core.bundle_files import check_files, read_config
from promote.core.golden import LARGEST
from promote.core.names import MODEL_NAME, model_name, printable
from promote.core.parity import Tolerance
from promote.core.passport import sha256
from promote.core.serving import config_text
from promote.core.stages import Blob, Deployed, Stored
from promote.errors import InputError, IntegrityError, NotFound, Unavailable

_GOLDEN = "promote/golden.safetensors"
_PASSPORT = "promote/passport.json"


class _Tolerance(BaseModel):
    model_config = ConfigDict(frozen=True)

    absolute: float = Field(ge=0, allow_inf_nan=False)
    relative: float = Field(ge=0, allow_inf_nan=False)


class _Parity(BaseModel):
    tolerance: _Tolerance


class _Passport(BaseModel):
    parity: _Parity


class ModelRepository:
    """A ``Store`` on a local folder.

    Args:
        root: the folder Triton reads models from; it exists.
        by: who deploys, for the lock's message to others.
    """

    def __init__(self, root: Path, by: str) -> None:
        self._root = root
        self._by = by

    def current(self, name: str) -> Deployed | None:
        """The last deployment of the record."""
        deployments = self.history(name)
        return deployments[-1] if deployments else None

    def history(self, name: str) -> tuple[Deployed, ...]:
        """Every deployment, oldest first; the last is ``live``, all before it ``kept``."""
        with disk(f"read the record of {model_name(name)}"):
            lines = read_record(self._shelf().record(name), name)
        return tuple(
            Deployed(
                name=name,
                version=line.version,
                digest=line.digest,
                repository=line.repository,
                since=line.since,
                by=line.by,
                state="live" if place == len(lines) else "kept",
            )
            for place, line in enumerate(lines, start=1)
        )

    def models(self) -> tuple[str, ...]:
        """Names with at least one deployment, in order."""
        folder = self._shelf().state / "models"
        with disk("list the models of the record"):
            names = sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []
        return tuple(name for name in names if MODEL_NAME.fullmatch(name) and self.history(name))

    @contextmanager
    def staging(self, stored: Stored) -> Iterator[str]:
        """A private folder on the repository's file system; it goes when the block ends."""
        shelf = self._writable()
        with disk("sweep what a killed deployment left"):
            _sweep(shelf, f"{model_name(stored.name)}@")
        with _scratch(shelf, f"{stored.name}@fetch-") as folder:
            yield str(folder)

    def place(self, stored: Stored, files: Mapping[str, str]) -> None:
        """Makes ``NAME/N`` appear, complete and checked; files in ``staging`` are moved, others copied.

        The same version placed again is checked and left as it is.

        Raises:
            IntegrityError: a file that may not be in a bundle or has other bytes, or ``NAME/N`` is another bundle.
            InputError: a model by that name is there that promote did not place; no right to write.
            Unavailable: the disk is full.
        """
        name, version = stored.name, stored.version
        check_files(name, version, list(stored.files))
        if sha256(stored.manifest) != stored.digest or files.keys() != stored.files.keys():
            raise IntegrityError(f"{stored.reference} does not come with the manifest or the files that it names")
        shelf = self._writable()
        with disk(f"place version {version} of {name}"):
            self._refuse_another(shelf, stored)
            if shelf.version(name, version).exists():
                verify_version(shelf, name, version)
                return
            with _scratch(shelf, f"{name}@place-") as folder:
                config = _build(stored, files, shelf, folder)
                write_notes(shelf, stored, config)
                _name(folder / str(version), shelf, name, version)

    def serve(self, name: str, versions: tuple[int, ...]) -> None:
        """Replaces ``NAME/config.pbtxt`` by that of the last version, naming all of ``versions``.

        Raises:
            NotFound: one of them is not on disk.
            IntegrityError: one of them was changed since it was placed.
        """
        shelf = self._writable()
        with disk(f"serve {model_name(name)}"):
            known = {version: on_disk(shelf, name, version) for version in versions}
            path = shelf.notes(name, versions[-1]) / "config.pbtxt"
            text = path.read_bytes()
            if sha256(text) != known[versions[-1]][f"{name}/config.pbtxt"].digest:
                raise IntegrityError(f"{path} was changed afterwards")
            config = read_config(text, name)
            config.version_policy.Clear()
            config.version_policy.specific.versions.extend(sorted(set(versions)))
            write_whole(shelf.root / name / "config.pbtxt", config_text(config), shelf.staging)

    def commit(self, live: Deployed) -> None:
        """Appends to the record; what is live already is not written again.

        Raises:
            IntegrityError: the record is damaged.
        """
        shelf = self._writable()
        current = self.current(live.name)
        if current and (current.version, current.digest) == (live.version, live.digest):
            return
        with disk(f"record that version {live.version} of {live.name} is live"):
            shelf.record(live.name).parent.mkdir(parents=True, exist_ok=True)
            append_record(shelf.record(live.name), live)

    def withdraw(self, name: str, version: int) -> None:
        """Removes a version that never served, and with the last one the model; nothing where it is not there.

        Raises:
            InputError: the version served here, so a rollback may want it.
        """
        history = self.history(name)
        if any(former.version == version for former in history):
            raise InputError(f"version {version} of {name} served here and is kept for a rollback")
        shelf = self._writable()
        with disk(f"withdraw version {version} of {name}"), _scratch(shelf, f"{name}@gone-") as folder:
            for number, path in enumerate((shelf.version(name, version), shelf.notes(name, version))):
                if path.exists():
                    path.rename(folder / str(number))
                    sync(path.parent)
            home = shelf.root / name
            if not history and home.is_dir() and {entry.name for entry in home.iterdir()} <= {"config.pbtxt"}:
                home.rename(folder / name)
                sync(shelf.root)
                shutil.rmtree(shelf.record(name).parent)

    def golden(self, name: str, version: int) -> tuple[bytes, Tolerance]:
        """The golden samples of a version on disk, and the tolerance its passport records.

        Raises:
            NotFound: the version or its samples are not on disk.
            IntegrityError: they are not what was placed.
        """
        shelf = self._shelf()
        with disk(f"read the golden samples of {model_name(name)} version {version}"):
            files = on_disk(shelf, name, version)
            samples = _read(shelf, files, f"{name}/{version}/{_GOLDEN}")
            passport = _read(shelf, files, f"{name}/{version}/{_PASSPORT}")
        try:
            tolerance = _Passport.model_validate_json(passport).parity.tolerance
        except ValidationError as error:
            raise IntegrityError(f"the passport of {name} version {version} records no tolerance") from error
        return samples, Tolerance(tolerance.absolute, tolerance.relative)

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """One deployment of a model at a time on this machine; a killed holder's lock is gone with it.

        It saves work, no more: on file systems where locks do nothing, digests and renames still keep the state whole.

        Raises:
            Unavailable: another one is under way; the message names it.
        """
        path = self._writable().state / "locks" / f"{model_name(name)}.lock"
        with disk(f"lock {name}"):
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        try:
            with disk(f"lock {name}"):
                _hold(handle, name, self._by)
            yield
            os.ftruncate(handle, 0)
        finally:
            os.close(handle)

    def _shelf(self) -> Shelf:
        return open_shelf(self._root)

    def _writable(self) -> Shelf:
        shelf = self._shelf()
        make_state(shelf)
        return shelf

    def _refuse_another(self, shelf: Shelf, stored: Stored) -> None:
        """A version number stands for one bundle for ever, and a model made by hand is not ours to change."""
        name, version = stored.name, stored.version
        home = shelf.root / name
        if home.is_symlink() or (home.exists() and not shelf.record(name).parent.is_dir()):
            raise InputError(
                f"{home} is there and was not placed by promote",
                hint="move it away, or promote the model under another name with --name",
            )
        known = read_notes(shelf, name, version) if shelf.version(name, version).exists() else None
        former = [known[0]] if known else [d.digest for d in self.history(name) if d.version == version]
        if any(one != stored.digest for one in former):
            raise IntegrityError(
                f"version {version} of {name} is here as {former[0]}, not {stored.digest}",
                hint="a version number stands for one bundle: promote the run again to get the next number",
            )


def _build(stored: Stored, files: Mapping[str, str], shelf: Shelf, folder: Path) -> bytes:
    """The version's tree in ``folder``, checked and flushed; gives back the bytes of its config."""
    config = b""
    for path, blob in sorted(stored.files.items()):
        source = Path(files[path])
        own = shelf.staging in source.absolute().parents
        if path == f"{stored.name}/config.pbtxt":
            take(source, folder / "config.pbtxt", blob, path, own=own)
            config = (folder / "config.pbtxt").read_bytes()
            read_config(config, stored.name)
            continue
        goal = folder / path.removeprefix(f"{stored.name}/")
        goal.parent.mkdir(parents=True, exist_ok=True)
        take(source, goal, blob, path, own=own)
    for parent, _, _ in os.walk(folder / str(stored.version), topdown=False):
        Path(parent).chmod(0o755)
        sync(Path(parent))
    return config


def _name(tree: Path, shelf: Shelf, name: str, version: int) -> None:
    home = shelf.root / name
    home.mkdir(exist_ok=True)
    home.chmod(0o755)
    try:
        tree.rename(home / str(version))
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        verify_version(shelf, name, version)  # another deployment of the same version was faster
    sync(home)
    sync(shelf.root)


def _read(shelf: Shelf, files: Mapping[str, Blob], path: str) -> bytes:
    if path not in files:
        raise NotFound(f"the bundle has no {path}", hint="promote the run again: this bundle cannot be proven")
    if files[path].size > LARGEST:
        raise IntegrityError(f"{path} has {files[path].size:,} bytes, the most allowed is {LARGEST:,}")
    verify(shelf.root / path, files[path], path)
    return (shelf.root / path).read_bytes()


def _hold(handle: int, name: str, by: str) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = printable(os.pread(handle, 400, 0).decode(errors="replace")) or "another process"
        raise Unavailable(
            f"{name} is being deployed by {holder}", hint="wait until it ends; a lock goes with its process"
        ) from error
    os.ftruncate(handle, 0)
    os.pwrite(handle, f"process {os.getpid()} of {by}".encode(), 0)


@contextmanager
def _scratch(shelf: Shelf, prefix: str) -> Iterator[Path]:
    with disk("make a private folder beside the model repository"):
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=shelf.staging))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # what stays is swept by the next deployment


def _sweep(shelf: Shelf, prefix: str) -> None:
    for left in shelf.staging.iterdir():
        if left.name.startswith(prefix):
            shutil.rmtree(left, ignore_errors=True)
