"""A model repository elsewhere (``s3://``, ``ssh://``), with promote's record beside it.

A version counts as placed when its notes say so, and those are written last; Triton's config is written after them. So a
kill at any point leaves the former state or the new one, and running again finishes. Not here: how bytes get there
(``repository/s3.py``, ``repository/ssh.py``), and a folder on this machine (``model_repository``).
"""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from promote.adapters.repository.disk import disk, verify
from promote.adapters.repository.inspection import compare_config
from promote.adapters.repository.placement import check_stored, naming, refuse_other_digest
from promote.adapters.repository.record import (
    beyond,
    next_line,
    parse_record,
    parse_told,
    untold,
    whole_lines,
    with_states,
)
from promote.adapters.repository.samples import golden_of
from promote.adapters.repository.shelf import parse_notes, placed_json, same_listing
from promote.adapters.repository.space import Held, Space
from promote.core.bundle_files import read_config
from promote.core.names import MODEL_NAME, model_name
from promote.core.parity import Tolerance
from promote.core.passport import sha256
from promote.core.stages import Blob, Deployed, Stored
from promote.core.standing import OnDisk
from promote.errors import InputError, IntegrityError, NotFound


class RemoteRepository:
    """A ``Store`` in a ``Space``.

    Args:
        space: where it lies.
        by: who deploys, told to others who meet the lock.
        work: a folder of this machine to fetch bundles into.
    """

    def __init__(self, space: Space, by: str, work: Path) -> None:
        self._space, self._by, self._work = space, by, work

    def current(self, name: str) -> Deployed | None:
        """The last deployment of the record."""
        deployments = self.history(name)
        return deployments[-1] if deployments else None

    def history(self, name: str) -> tuple[Deployed, ...]:
        """Every deployment, oldest first; the last is ``live``, all before it ``kept``.

        Raises:
            IntegrityError: the record was changed afterwards; the message says which line.
        """
        lines = parse_record(whole_lines(self._record(name)[1]), self._space.shown_key(_record(name)), name)[0]
        return with_states(lines)

    def models(self) -> tuple[str, ...]:
        """Names with at least one deployment, in order."""
        self._space.require()
        names = self._space.folders("state/models")
        return tuple(name for name in names if MODEL_NAME.fullmatch(name) and self.history(name))

    @contextmanager
    def staging(self, stored: Stored) -> Iterator[str]:
        """A folder on this machine, gone when the block ends; what killed deployments left there goes now."""
        self._space.require()
        self._space.sweep(model_name(stored.name))
        with tempfile.TemporaryDirectory(prefix=f"{stored.name}-", dir=self._work) as folder:
            yield folder

    def place(self, stored: Stored, files: Mapping[str, str]) -> None:
        """Brings the version there, verified; the same version placed again is checked and left as it is.

        Raises:
            IntegrityError: a file that may not be in a bundle or has other bytes, or the number is another bundle's.
            InputError: a model by that name is there that promote did not place.
        """
        name, version = stored.name, stored.version
        check_stored(stored, files)
        self._space.require()
        home = f"state/models/{name}"
        if not self._space.sizes(home) and self._space.sizes(f"root/{name}"):
            raise InputError(
                f"{self._space.shown_key(f'root/{name}')} is there and was not placed by promote",
                hint="move it away, or promote the model under another name with --name",
            )
        known = self._notes(name, version)
        refuse_other_digest(stored, known[0] if known else "", self.history(name))
        if known:
            self._verify(name, version)
            return
        config = f"{name}/config.pbtxt"
        with disk(f"read the files of {name} version {version}"):
            for path, blob in sorted(stored.files.items()):
                verify(Path(files[path]), blob, path)
            text = Path(files[config]).read_bytes()
        read_config(text, name)
        self._space.write(f"{home}/{version}/manifest.json", stored.manifest)
        self._space.write(f"{home}/{version}/config.pbtxt", text)
        inside = f"{name}/{version}/"
        sent = {path.removeprefix(inside): (files[path], blob) for path, blob in stored.files.items() if path != config}
        self._space.bring(f"root/{name}/{version}", sent)
        same_listing(self._space.sizes(f"root/{name}/{version}"), stored.files, self._space.shown, name, version)
        self._space.write(f"{home}/{version}/placed.json", placed_json(stored))

    def serve(self, name: str, versions: tuple[int, ...]) -> None:
        """Replaces ``NAME/config.pbtxt`` by that of the last version, naming all of ``versions``.

        Raises:
            NotFound: one of them is not there.
            IntegrityError: the last was changed since it was placed.
        """
        model_name(name)
        for version in versions[:-1]:
            if self._notes(name, version) is None:
                raise _absent(name, version)
        last = versions[-1]
        blob = self._there(name, last)[f"{name}/config.pbtxt"]
        key = f"state/models/{name}/{last}/config.pbtxt"
        held = self._space.read(key)
        if held is None or (sha256(held.data), len(held.data)) != (blob.digest, blob.size):
            raise IntegrityError(f"{self._space.shown_key(key)} is missing or was changed, expected {blob.digest}")
        self._space.write(f"root/{name}/config.pbtxt", naming(held.data, name, versions))

    def commit(self, live: Deployed) -> None:
        """Appends to the record; what is live already is not written again.

        Raises:
            IntegrityError: the record is damaged.
            Unavailable: another deployment wrote to it in between.
        """
        held, data = self._record(live.name)
        before, shown = whole_lines(data), self._space.shown_key(_record(live.name))
        lines = parse_record(before, shown, live.name)[0]
        if lines and (lines[-1].version, lines[-1].digest) == (live.version, live.digest):
            return
        line = next_line(before, shown, live)
        self._space.swap(_record(live.name), before + line, held)

    def withdraw(self, name: str, version: int) -> None:
        """Removes a version that never served, and with the last one the model; nothing where it is not there.

        Raises:
            InputError: the version served here, so a rollback may want it.
        """
        history = self.history(name)
        if any(former.version == version for former in history):
            raise InputError(f"version {version} of {name} served here and is kept for a rollback")
        self._take_away(name, version)
        self._space.drop(f"state/models/{name}/{version}")
        if not history and set(self._space.sizes(f"root/{name}")) <= {"config.pbtxt"}:
            self._space.drop(f"root/{name}")  # a model without versions is none: Triton would fail to load it
            self._space.drop(f"state/models/{name}")

    def prune(self, name: str, keep: int) -> tuple[int, ...]:
        """Removes all versions that served but the live one and the ``keep`` before it; which they were."""
        old = beyond(self.history(name), keep)
        gone = tuple(version for version in old if self._space.sizes(f"root/{name}/{version}"))
        for version in gone:
            self._take_away(name, version)
        return gone

    def untold(self, name: str) -> tuple[Deployed, ...]:
        """Deployments that MLflow was not told of yet, oldest first."""
        history = self.history(name)
        held = self._space.read(_told(name))
        told = parse_told(held.data) if held else 0
        return untold(history, told)

    def told(self, name: str) -> None:
        """Notes that MLflow knows of every deployment so far."""
        self._space.write(_told(name), str(len(self.history(name))).encode())

    def golden(self, name: str, version: int) -> tuple[bytes, Tolerance]:
        """The golden samples of a version there, and the tolerance its passport records.

        Raises:
            NotFound: the version or its samples are not there.
            IntegrityError: they are not what was placed.
        """

        def read(path: str) -> bytes:
            held = self._space.read(f"root/{path}")
            return held.data if held else b""

        return golden_of(self._there(name, version), read, name, version)

    def inspect(self, name: str, version: int, *, contents: bool = True) -> OnDisk:
        """The version as it lies there now; with ``contents``, every file is read."""
        fault, checked = "", 0
        home = f"state/models/{model_name(name)}/{version}"
        try:
            files = self._there(name, version)
            if contents:
                self._verify(name, version)
                checked = sum(blob.size for path, blob in files.items() if path != f"{name}/config.pbtxt")
        except (IntegrityError, NotFound) as error:
            fault = error.message
        own, now = self._space.read(f"{home}/config.pbtxt"), self._space.read(f"root/{name}/config.pbtxt")
        if own is None:
            return OnDisk(files=fault, checked=checked)
        shown = self._space.shown_key(f"root/{name}/config.pbtxt")
        config, placed = compare_config(own.data, now.data if now else None, shown, name, version)
        return OnDisk(files=fault, config=config, placed=placed, checked=checked)

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """One deployment of a model at a time, from whichever machine.

        Raises:
            Unavailable: another one is under way; the message names it.
        """
        model_name(name)
        self._space.require()
        with self._space.lock(name, self._by):
            yield

    def _record(self, name: str) -> tuple[Held | None, bytes]:
        model_name(name)
        self._space.require()
        held = self._space.read(_record(name))
        return held, held.data if held else b""

    def _notes(self, name: str, version: int) -> tuple[str, dict[str, Blob]] | None:
        folder = f"state/models/{name}/{version}"
        placed = self._space.read(f"{folder}/placed.json")
        manifest = self._space.read(f"{folder}/manifest.json") if placed else None
        if placed is None or manifest is None:
            return None
        return parse_notes(placed.data, manifest.data, self._space.shown_key(folder), name, version)

    def _there(self, name: str, version: int) -> dict[str, Blob]:
        """The files of a placed version, none more or less and each of its size."""
        known = self._notes(model_name(name), version)
        if known is None:
            raise _absent(name, version)
        folder = f"root/{name}/{version}"
        same_listing(self._space.sizes(folder), known[1], self._space.shown_key(folder), name, version)
        return known[1]

    def _verify(self, name: str, version: int) -> None:
        files, folder = self._there(name, version), f"root/{name}/{version}"
        for path, digest in self._space.digests(folder).items():
            expected = files[f"{name}/{version}/{path}"].digest
            if digest != expected:
                shown = self._space.shown_key(f"{folder}/{path}")
                raise IntegrityError(f"{shown} has digest {digest}, expected {expected}")

    def _take_away(self, name: str, version: int) -> None:
        """The note that it is placed goes first: what a kill leaves then is no version."""
        self._space.remove(f"state/models/{name}/{version}/placed.json")
        self._space.drop(f"root/{name}/{version}")


def _record(name: str) -> str:
    return f"state/models/{name}/record.jsonl"


def _told(name: str) -> str:
    return f"state/models/{name}/told"


def _absent(name: str, version: int) -> NotFound:
    return NotFound(
        f"version {version} of {name} is not in the model repository", hint="promote deploy fetches it again"
    )
