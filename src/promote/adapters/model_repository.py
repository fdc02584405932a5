"""The model repository of a target on this machine's file system, with promote's record beside it.

A version appears by one rename, complete and checked; a kill at any point leaves the former state or the new one, and
running again finishes. Where what lies is told in ``repository/shelf.py``. Not here: the server (``triton_server``),
and when to do what (``pipeline``). A repository in object storage would be another adapter.
"""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from promote.adapters.repository.disk import disk, scratch, sweep, sync, verify
from promote.adapters.repository.inspection import Digested, inspect_version
from promote.adapters.repository.lock import hold
from promote.adapters.repository.placement import place_version, write_config
from promote.adapters.repository.record import (
    append_record,
    beyond,
    read_record,
    read_told,
    untold,
    with_states,
    write_told,
)
from promote.adapters.repository.samples import read_golden
from promote.adapters.repository.shelf import Shelf, make_state, on_disk, open_shelf, verify_version
from promote.core.layout import PASSPORT
from promote.core.names import MODEL_NAME, model_name
from promote.core.parity import Tolerance
from promote.core.stages import Deployed, Stored
from promote.core.standing import OnDisk
from promote.errors import InputError


class ModelRepository:
    """A ``Store`` on a local folder.

    Args:
        root: the folder Triton reads models from; it exists.
        by: who deploys, told to others who meet the lock.
    """

    def __init__(self, root: Path, by: str) -> None:
        self._root = root
        self._by = by
        self._digested = Digested()

    def current(self, name: str) -> Deployed | None:
        """The last deployment of the record."""
        deployments = self.history(name)
        return deployments[-1] if deployments else None

    def history(self, name: str) -> tuple[Deployed, ...]:
        """Every deployment, oldest first; the last is ``live``, all before it ``kept``.

        Raises:
            IntegrityError: the record was changed afterwards; the message says which line.
        """
        with disk(f"read the record of {model_name(name)}"):
            lines = read_record(open_shelf(self._root).record(name), name)
        return with_states(lines)

    def models(self) -> tuple[str, ...]:
        """Names with at least one deployment, in order."""
        folder = open_shelf(self._root).state / "models"
        with disk("list the models of the record"):
            names = sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []
        return tuple(name for name in names if MODEL_NAME.fullmatch(name) and self.history(name))

    def kept(self, name: str, version: int) -> tuple[bytes, bytes, Mapping[str, str]]:
        """See ``promote.ports.Store``."""
        shelf = open_shelf(self._root)
        with disk(f"read version {version} of {model_name(name)}"):
            files = on_disk(shelf, name, version)
            verify_version(shelf, name, version)
            notes = shelf.notes(name, version)
            config = f"{name}/config.pbtxt"  # in the repository it names the versions that serve
            verify(notes / "config.pbtxt", files[config], config)
            places = {path: str(notes / "config.pbtxt" if path == config else shelf.root / path) for path in files}
            passport = (shelf.root / name / str(version) / PASSPORT).read_bytes()
            return (notes / "manifest.json").read_bytes(), passport, places

    @contextmanager
    def staging(self, stored: Stored) -> Iterator[str]:
        """A private folder on the repository's file system; it goes when the block ends. Call it under the lock."""
        shelf = self._writable()
        with disk("remove what a killed deployment left"):
            sweep(shelf.staging, model_name(stored.name))
        with scratch(shelf.staging, f"{stored.name}@fetch-") as folder:
            yield str(folder)

    def place(self, stored: Stored, files: Mapping[str, str]) -> None:
        """Makes ``NAME/N`` appear, complete and checked; files in ``staging`` are moved, others copied.

        The same version placed again is checked and left as it is.

        Raises:
            IntegrityError: a file that may not be in a bundle or has other bytes, or ``NAME/N`` is another bundle.
            InputError: a model by that name is there that promote did not place; no right to write.
            Unavailable: the disk is full.
        """
        history = self.history(stored.name)
        shelf = self._writable()
        with disk(f"place version {stored.version} of {stored.name}"):
            place_version(shelf, stored, files, history)

    def serve(self, name: str, versions: tuple[int, ...]) -> None:
        """Replaces ``NAME/config.pbtxt`` by that of the last version, naming all of ``versions``.

        Raises:
            NotFound: one of them is not on disk.
            IntegrityError: the last was changed since it was placed.
        """
        shelf = self._writable()
        with disk(f"serve {model_name(name)}"):
            write_config(shelf, name, versions)

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
        with disk(f"withdraw version {version} of {name}"), scratch(shelf.staging, f"{name}@gone-") as folder:
            for number, path in enumerate((shelf.version(name, version), shelf.notes(name, version))):
                if path.exists():
                    path.rename(folder / str(number))
                    sync(path.parent)
            if not history:
                _remove_if_empty(shelf, name, folder)

    def prune(self, name: str, keep: int) -> tuple[int, ...]:
        """Removes all versions that served but the live one and the ``keep`` before it; which they were.

        Args:
            name: of the model.
            keep: how many, at least 0.
        """
        old, shelf = beyond(self.history(name), keep), self._writable()
        gone = tuple(version for version in old if shelf.version(name, version).exists())
        for version in gone:
            with disk(f"remove version {version} of {name}"), scratch(shelf.staging, f"{name}@gone-") as folder:
                shelf.version(name, version).rename(folder / str(version))
                sync(shelf.root / name)
        return gone

    def untold(self, name: str) -> tuple[Deployed, ...]:
        """Deployments that MLflow was not told of yet, oldest first."""
        history = self.history(name)
        with disk(f"read what MLflow knows of {name}"):
            told = read_told(open_shelf(self._root).record(name))
        return untold(history, told)

    def told(self, name: str) -> None:
        """Notes that MLflow knows of every deployment so far."""
        shelf, lines = self._writable(), len(self.history(name))
        with disk(f"note what MLflow knows of {name}"):
            write_told(shelf.record(name), lines, shelf.staging, name)

    def golden(self, name: str, version: int) -> tuple[bytes, Tolerance]:
        """The golden samples of a version on disk, and the tolerance its passport records.

        Raises:
            NotFound: the version or its samples are not on disk.
            IntegrityError: they are not what was placed.
        """
        with disk(f"read the golden samples of {model_name(name)} version {version}"):
            return read_golden(open_shelf(self._root), name, version)

    def inspect(self, name: str, version: int, *, contents: bool = True) -> OnDisk:
        """The version as it lies there now; a file that this store found right is read again only when it was touched."""
        with disk(f"inspect {model_name(name)} version {version}"):
            return inspect_version(open_shelf(self._root), name, version, self._digested, contents=contents)

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """One deployment of a model at a time on this machine; see ``repository/lock.py``.

        Raises:
            Unavailable: another one is under way; the message names it.
        """
        with hold(self._writable().state / "locks" / f"{model_name(name)}.lock", name, self._by):
            yield

    def _writable(self) -> Shelf:
        shelf = open_shelf(self._root)
        make_state(shelf)
        return shelf


def _remove_if_empty(shelf: Shelf, name: str, folder: Path) -> None:
    """A model without versions is no model: Triton would list it and fail to load it."""
    home, notes = shelf.root / name, shelf.record(name).parent
    if home.is_dir() and {entry.name for entry in home.iterdir()} <= {"config.pbtxt"}:
        home.rename(folder / name)
        sync(shelf.root)
    if notes.is_dir() and not home.exists():
        shutil.rmtree(notes)
