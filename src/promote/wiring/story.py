"""Chooses all parts for one story, each opened when it is first used."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from promote.adapters.settings import load_settings
from promote.adapters.work_folder import work_folder
from promote.core.facts import Target
from promote.core.matrix import Matrix
from promote.errors import ExportError
from promote.wiring.subjects import Subjects

if TYPE_CHECKING:
    from promote.core.events import Actor
    from promote.core.policy import Policy
    from promote.core.serving import Template
    from promote.core.stages import Stored
    from promote.ports import (
        Examined,
        Exporter,
        FiguresBook,
        Ledger,
        Load,
        Progress,
        Registry,
        Runs,
        Server,
        Signatures,
        Store,
        World,
    )


class Wiring(Subjects):
    """What one command line asked for, and what that comes to."""

    @contextmanager
    def world(self, target: Target) -> Iterator[World]:
        """All parts for one story; its work folder goes when the story ends, but for the logs of a failed export."""
        with work_folder(self.work_root(), logs_after=ExportError) as work:
            yield LazyWorld(self, target, work)


@dataclasses.dataclass(frozen=True)
class LazyWorld:
    """A ``World`` that opens each part when it is first asked for, so a command needs no more than it uses."""

    wiring: Wiring
    target: Target
    work: Path

    @property
    def matrix(self) -> Matrix:
        """See ``Wiring``."""
        return self.wiring.matrix

    @property
    def template(self) -> Template:
        """See ``Wiring``."""
        return self.wiring.template

    @cached_property
    def policy(self) -> Policy:
        """What ``promotion_policy.yaml`` says of the target."""
        return self.wiring.policy(self.target)

    @property
    def progress(self) -> Progress:
        """How a person is told."""
        return self.wiring.progress

    @property
    def registry(self) -> Registry:
        """See ``Wiring``."""
        return self.wiring.registry

    @property
    def ledger(self) -> Ledger:
        """See ``Wiring``."""
        return self.wiring.ledger

    @cached_property
    def signatures(self) -> Signatures:
        """Who may sign decisions about the target."""
        return self.wiring.signatures(self.policy)

    @cached_property
    def actor(self) -> Actor:
        """Who types this command."""
        return self.wiring.actor()

    @cached_property
    def runs(self) -> Runs:
        """MLflow's runs, fetched into the work folder."""
        return self.wiring.runs(self.work)

    @cached_property
    def exporter(self) -> Exporter:
        """Child processes in the work folder."""
        return self.wiring.exporter(self.work)

    def measured(self) -> Target:
        """See ``World``."""
        return self.wiring.measured(self.target)

    def examine(self, stored: Stored, files: Mapping[str, str]) -> Examined:
        """See ``World``."""
        return self.wiring.examined(self.target, stored, files)

    @cached_property
    def store(self) -> Store:
        """The target's model repository."""
        return self.wiring.store(self.target)

    @cached_property
    def server(self) -> Server:
        """The target's Triton."""
        return self.wiring.server(self.target)

    @cached_property
    def load(self) -> Load:
        """Many requests at once to it."""
        return self.wiring.load(self.target)

    @property
    def figures(self) -> FiguresBook:
        """See ``Wiring``."""
        return self.wiring.figures


def open_wiring(
    config: str | None,
    progress: Progress,
    *,
    registry: str = "",
    allow_pickle: bool = False,
    environ: Mapping[str, str] = os.environ,
) -> Wiring:
    """The wiring of one command line."""
    return Wiring(load_settings(config, environ), progress, registry_url=registry, allow_pickle=allow_pickle)
