"""Whole bundles in a registry, copied to a mirror and held against it."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from promote.cli.progress import Silent
from promote.core.layout import content
from promote.core.stages import Stored
from promote.pipeline import Mirrored as Copied
from promote.pipeline import mirror_bundle, verify_mirror
from promote.ports import Mirror, Registry
from tests.fakes.bundle import contents
from tests.fakes.registry import FakeRegistry, Steps, make_bundle

QUIET = Silent()


def whole_bundle(
    registry: Registry, name: str, version: int, weight: float = 2.0, more: Mapping[str, bytes] | None = None,
    passport: bytes = b"", *, alone: bool = True,
) -> Stored:  # fmt: skip
    """A bundle that a server loads, pushed; ``more`` are further files of its version directory."""
    files = contents(name, version, weight) | {f"{name}/{version}/{p}": data for p, data in (more or {}).items()}
    if passport:
        files[f"{name}/{version}/promote/passport.json"] = passport
    bundle = make_bundle(name=name, version=version)
    made = replace(bundle, files={path: content(data) for path, data in sorted(files.items())})
    return registry.push(made, Steps(), alone=alone).stored


@dataclass
class Mirrored:
    """A registry, and what is done with its bundles."""

    registry: FakeRegistry
    work: Path

    def push(
        self,
        name: str,
        version: int,
        weight: float = 2.0,
        more: Mapping[str, bytes] | None = None,
        passport: bytes = b"",
    ) -> Stored:
        return whole_bundle(self.registry, name, version, weight, more, passport)

    def copy(self, stored: Stored, mirror: Mirror) -> Copied:
        with tempfile.TemporaryDirectory(dir=self.work) as folder:
            return mirror_bundle(stored, self.registry, mirror, folder, QUIET)

    def verify(self, stored: Stored, mirror: Mirror) -> list[str]:
        return [str(one) for one in verify_mirror(stored, self.registry, mirror, QUIET).differences]
