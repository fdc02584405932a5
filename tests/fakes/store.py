"""A ``Store`` in memory; ``tests/contract/test_store.py`` holds it to what the real one does."""

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from pydantic import TypeAdapter

from promote.core.bundle_files import check_files, check_head, read_config
from promote.core.names import model_name
from promote.core.parity import Tolerance
from promote.core.passport import sha256
from promote.core.stages import Deployed, Stored
from promote.core.standing import OnDisk
from promote.errors import InputError, IntegrityError, NotFound, Unavailable


class FakeStore:
    """What was placed, served and recorded lies open: ``placed``, ``policy``, ``record``."""

    def __init__(self) -> None:
        self.placed: dict[tuple[str, int], tuple[Stored, dict[str, bytes]]] = {}
        self.policy: dict[str, tuple[int, ...]] = {}
        self.record: list[Deployed] = []
        self.locked: set[str] = set()
        self.heard: dict[str, int] = {}

    def current(self, name: str) -> Deployed | None:
        history = self.history(name)
        return history[-1] if history else None

    def history(self, name: str) -> tuple[Deployed, ...]:
        model_name(name)
        lines = [line for line in self.record if line.name == name]
        return tuple(replace(line, state="live" if line is lines[-1] else "kept") for line in lines)

    def models(self) -> tuple[str, ...]:
        return tuple(sorted({line.name for line in self.record}))

    def kept(self, name: str, version: int) -> tuple[bytes, bytes, Mapping[str, str]]:
        if (model_name(name), version) not in self.placed:
            raise NotFound(f"version {version} of {name} is not in the model repository")
        stored, data = self.placed[name, version]
        if wrong := [p for p, blob in stored.files.items() if sha256(data.get(p, b"")) != blob.digest]:
            raise IntegrityError(f"{wrong[0]} was changed")
        folder = Path(tempfile.mkdtemp())
        for number, content in enumerate(data.values()):
            (folder / str(number)).write_bytes(content)
        return (
            stored.manifest,
            data[f"{name}/{version}/promote/passport.json"],
            {path: str(folder / str(number)) for number, path in enumerate(data)},
        )

    @contextmanager
    def staging(self, stored: Stored) -> Iterator[str]:
        folder = tempfile.mkdtemp()
        try:
            yield folder
        finally:
            shutil.rmtree(folder)

    def place(self, stored: Stored, files: Mapping[str, str]) -> None:
        key = (stored.name, stored.version)
        check_files(*key, list(stored.files))
        if sha256(stored.manifest) != stored.digest or files.keys() != stored.files.keys():
            raise IntegrityError("not the files of that manifest")
        former = [d.digest for d in self.history(stored.name) if d.version == stored.version]
        former += [self.placed[key][0].digest] if key in self.placed else []
        if any(digest != stored.digest for digest in former):
            raise IntegrityError(f"version {stored.version} of {stored.name} is another bundle")
        data = {path: Path(files[path]).read_bytes() for path in files}
        for path, blob in stored.files.items():
            check_head(path, data[path])
            if (sha256(data[path]), len(data[path])) != (blob.digest, blob.size):
                raise IntegrityError(f"{path} has other bytes")
        read_config(data[f"{stored.name}/config.pbtxt"], stored.name)
        self.placed[key] = (stored, data)

    def serve(self, name: str, versions: tuple[int, ...]) -> None:
        model_name(name)
        for version in versions:
            if (name, version) not in self.placed:
                raise NotFound(f"version {version} of {name} is not placed")
        self.policy[name] = tuple(sorted(set(versions)))

    def commit(self, live: Deployed) -> None:
        current = self.current(live.name)
        if not current or (current.version, current.digest) != (live.version, live.digest):
            self.record.append(live)

    def withdraw(self, name: str, version: int) -> None:
        if any(former.version == version for former in self.history(name)):
            raise InputError(f"version {version} of {name} served and is kept for a rollback")
        self.placed.pop((name, version), None)
        if not any(placed == name for placed, _ in self.placed):
            self.policy.pop(name, None)

    def prune(self, name: str, keep: int) -> tuple[int, ...]:
        served = list(dict.fromkeys(d.version for d in reversed(self.history(name))))
        gone = tuple(sorted(v for v in served[1 + keep :] if (name, v) in self.placed))
        for version in gone:
            del self.placed[name, version]
        return gone

    def untold(self, name: str) -> tuple[Deployed, ...]:
        return self.history(name)[self.heard.get(name, 0) :]

    def told(self, name: str) -> None:
        self.heard[name] = len(self.history(name))

    def golden(self, name: str, version: int) -> tuple[bytes, Tolerance]:
        model_name(name)
        if (name, version) not in self.placed:
            raise NotFound(f"version {version} of {name} is not placed")
        data = self.placed[(name, version)][1]
        folder = f"{name}/{version}/promote"
        if f"{folder}/golden.safetensors" not in data:
            raise NotFound(f"{name} version {version} has no golden samples")
        passport = TypeAdapter(dict).validate_json(data[f"{folder}/passport.json"])
        return data[f"{folder}/golden.safetensors"], Tolerance(**passport["parity"]["tolerance"])

    def inspect(self, name: str, version: int, *, contents: bool = True) -> OnDisk:
        if (name, version) not in self.placed:
            return OnDisk(files=f"version {version} of {name} is not in the model repository")
        stored, data = self.placed[name, version]
        within = {path: blob for path, blob in stored.files.items() if path.startswith(f"{name}/{version}/")}
        wrong = [p for p, blob in within.items() if len(data.get(p, b"")) != blob.size]
        wrong += [p for p, blob in within.items() if contents and sha256(data.get(p, b"")) != blob.digest]
        checked = sum(blob.size for blob in within.values()) if contents else 0
        return OnDisk(
            files=f"{wrong[0]} was changed" if wrong else "", placed=data[f"{name}/config.pbtxt"], checked=checked
        )

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        if model_name(name) in self.locked:
            raise Unavailable(f"{name} is being deployed by another")
        self.locked.add(name)
        try:
            yield
        finally:
            self.locked.remove(name)
