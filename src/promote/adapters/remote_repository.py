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
from promote.adapters.repository.view import Views
from promote.core.bundle_files import read_config
from promote.core.golden import LARGEST
from promote.core.layout import GOLDEN, PASSPORT
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
        self._views = Views(space)

    def current(self, name: str) -> Deployed | None:
        """The last deployment of the record."""
        deployments = self.history(name)
        return deployments[-1] if deployments else None

    def history(self, name: str) -> tuple[Deployed, ...]:
        """Every deployment, oldest first; the last is ``live``, all before it ``kept``.

        Raises:
            IntegrityError: the record was changed afterwards; the message says which line.
        """
        return self._parsed(name, self._record(name)[0])

    def models(self) -> tuple[str, ...]:
        """Names with at least one deployment, in order."""
        self._space.require()
        names = self._space.folders("state/models")
        return tuple(name for name in names if MODEL_NAME.fullmatch(name) and self.history(name))

    def kept(self, name: str, version: int) -> tuple[bytes, bytes, Mapping[str, str]]:
        """See ``promote.ports.Store``."""
        raise InputError(
            f"the bytes of {name} v{version} lie in {self._space.shown}, not on this machine",
            hint="type it on that host, whose target names the folder",
        )

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
        if self._views.sizes(f"root/{name}") and not self._space.sizes(home):
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
        self._views.forget(name)

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
        held = self._views.read(key)
        if held is None or (sha256(held.data), len(held.data)) != (blob.digest, blob.size):
            raise IntegrityError(f"{self._space.shown_key(key)} is missing or was changed, expected {blob.digest}")
        self._views.write(f"root/{name}/config.pbtxt", naming(held.data, name, versions))

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
        self._views.swap(_record(live.name), before + line, held)

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
        self._views.forget(name)
        if not history and set(self._space.sizes(f"root/{name}")) <= {"config.pbtxt"}:
            self._space.drop(f"root/{name}")  # a model without versions is none: Triton would fail to load it
            self._space.drop(f"state/models/{name}")

    def prune(self, name: str, keep: int) -> tuple[int, ...]:
        """Removes all versions that served but the live one and the ``keep`` before it; which they were."""
        old = beyond(self.history(name), keep)
        gone = tuple(version for version in old if self._views.sizes(f"root/{name}/{version}"))
        for version in gone:
            self._take_away(name, version)
        if gone:
            self._views.forget(name)
        return gone

    def untold(self, name: str) -> tuple[Deployed, ...]:
        """Deployments that MLflow was not told of yet, oldest first."""
        self._space.require()
        both = self._space.read_all((_record(model_name(name)), _told(name)))
        held = both.get(_told(name))
        return untold(self._parsed(name, both.get(_record(name))), parse_told(held.data) if held else 0)

    def told(self, name: str) -> None:
        """Notes that MLflow knows of every deployment so far."""
        self._space.write(_told(name), str(len(self.history(name))).encode())

    def golden(self, name: str, version: int) -> tuple[bytes, Tolerance]:
        """The golden samples of a version there, and the tolerance its passport records.

        Raises:
            NotFound: the version or its samples are not there.
            IntegrityError: they are not what was placed.
        """
        files = self._there(name, version)
        wanted = (f"{name}/{version}/{path}" for path in (GOLDEN, PASSPORT))
        keys = [f"root/{path}" for path in wanted if path in files and files[path].size <= LARGEST]
        found = {key: held.data for key, held in self._space.read_all(keys).items()} if keys else {}
        return golden_of(files, lambda path: found.get(f"root/{path}", b""), name, version)

    def inspect(self, name: str, version: int, *, contents: bool = True) -> OnDisk:
        """The version as it lies there now; with ``contents``, every file is read."""
        with self._views.holding(model_name(name)):
            return self._inspected(name, version, contents=contents)

    def _inspected(self, name: str, version: int, *, contents: bool) -> OnDisk:
        fault, checked = "", 0
        home = f"state/models/{name}/{version}"
        try:
            files = self._there(name, version)
            if contents:
                self._verify(name, version)
                checked = sum(blob.size for path, blob in files.items() if path != f"{name}/config.pbtxt")
        except (IntegrityError, NotFound) as error:
            fault = error.message
        own, now = self._views.read(f"{home}/config.pbtxt"), self._views.read(f"root/{name}/config.pbtxt")
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
        with self._space.lock(model_name(name), self._by), self._views.holding(name):
            yield

    def _record(self, name: str) -> tuple[Held | None, bytes]:
        if not self._views.holds(model_name(name)):
            self._space.require()
        held = self._views.read(_record(name))
        return held, held.data if held else b""

    def _parsed(self, name: str, held: Held | None) -> tuple[Deployed, ...]:
        data = whole_lines(held.data if held else b"")
        return with_states(parse_record(data, self._space.shown_key(_record(name)), name)[0])

    def _notes(self, name: str, version: int) -> tuple[str, dict[str, Blob]] | None:
        folder = f"state/models/{name}/{version}"
        placed = self._views.read(f"{folder}/placed.json")
        manifest = self._views.read(f"{folder}/manifest.json") if placed else None
        if placed is None or manifest is None:
            return None
        return parse_notes(placed.data, manifest.data, self._space.shown_key(folder), name, version)

    def _there(self, name: str, version: int) -> dict[str, Blob]:
        """The files of a placed version, none more or less and each of its size."""
        known = self._notes(model_name(name), version)
        if known is None:
            raise _absent(name, version)
        folder = f"root/{name}/{version}"
        same_listing(self._views.sizes(folder), known[1], self._space.shown_key(folder), name, version)
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
