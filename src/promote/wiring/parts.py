"""Chooses the parts themselves: where bundles, runs, versions and served models are kept."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from promote.adapters.settings import current_user
from promote.adapters.work_folder import work_folder
from promote.core.facts import Target
from promote.errors import InputError
from promote.wiring.hosts import Hosts

if TYPE_CHECKING:
    from promote.adapters.oci.registry import OciRegistry
    from promote.adapters.tracking.identity import Person
    from promote.core.events import Actor
    from promote.core.passport_item import Item
    from promote.ports import Exporter, FiguresBook, Folder, Ledger, Load, Registry, Runs, Server, Store


class Parts(Hosts):
    """The parts, each opened when it is asked for."""

    @cached_property
    def registry(self) -> Registry:
        """The registry or layout of ``--registry`` or the settings."""
        return self._registry(self.registry_base, os.environ)

    def registry_at(self, url: str) -> OciRegistry:
        """Another registry or layout; the user and password of the environment are for the host of ``registry`` alone."""
        from promote.adapters.oci.credentials import login_of

        there = dataclasses.replace(self, registry_url=url)
        return self._registry(there.registry_base, login_of(os.environ, self.registry_host, there.registry_host))

    def folder(self, path: str) -> Folder:
        """A folder that a bundle is pulled to, or was; relative to where the command is typed."""
        from promote.adapters.oci.folder import PullFolder

        return PullFolder(path)

    def _registry(self, base: str, env: Mapping[str, str]) -> OciRegistry:
        from promote.adapters.oci.registry import open_registry

        work = self.settings.path(self.settings.work_dir)
        return open_registry(
            base,
            env=env,
            limits=self.matrix.tables.registries,
            uploads=work / "uploads",
            mounts=work / "mounts",
        )

    def passport_paths(self, paths: tuple[str, ...] = ()) -> tuple[str, ...]:
        """Where passports lie on this machine: ``paths``, else the layout; none where they lie in a registry."""
        base = self.registry_base
        return paths or ((base.removeprefix("oci:"),) if base.startswith("oci:") else ())

    def passports(
        self, paths: tuple[str, ...] = (), models: tuple[str, ...] = (), share: tuple[int, int] = (0, 1)
    ) -> Iterator[Item]:
        """The passports at ``paths``, else of every bundle that the registry or layout holds.

        Args:
            paths: folders or files; see ``adapters.passports.find``.
            models: of a registry, the models to ask for; none: all that it lists.
            share: of paths only a part: which, of how many.
        """
        from promote.adapters.oci.passports import read_layout
        from promote.adapters.passports import Share, find

        if here := self.passport_paths(paths):
            for path in here:
                for item in find(path, Share(*share)):
                    yield from read_layout(item.layout) if item.layout else (item,)
            return
        from promote.adapters.oci.listing import read_remote

        yield from read_remote(self.registry_base, os.environ, models)

    @cached_property
    def tracking_uri(self) -> str:
        """The tracking server; a relative SQLite file is relative to the settings' folder."""
        uri = self.settings.mlflow.tracking_uri
        head = "sqlite:///"
        if uri.startswith(head) and not uri.startswith(head + "/"):
            return f"{head}{self.settings.path(Path(uri.removeprefix(head)))}"
        return uri

    @cached_property
    def ledger(self) -> Ledger:
        """MLflow's model registry."""
        from promote.adapters.tracking.ledger import open_ledger

        reports = self.settings.path(self.settings.work_dir) / "reports"
        return open_ledger(
            self.tracking_uri, reports=reports, by=current_user(), promotions=self.settings.mlflow.promotions
        )

    def person(self) -> Person:
        """Who types this command, as far as anybody vouches for it."""
        from promote.adapters.tracking.identity import who

        return who(self.tracking_uri, current_user(), os.environ)

    def actor(self) -> Actor:
        """The same person, as events name them."""
        from promote.core.events import Actor

        found = self.person()
        return Actor(found.name, found.how)

    def tell(self, body: bytes) -> str:
        """Sends a notice where the settings say; why it did not arrive, empty where it did or none is asked for."""
        asked = self.settings.events
        if not asked.webhook:
            return ""
        from promote.adapters.notifying import open_webhook

        try:
            return open_webhook(asked.webhook, asked.secret_env, os.environ).send(body)
        except InputError as error:
            return error.message

    def runs(self, work: Path) -> Runs:
        """MLflow's runs, fetched into ``work``."""
        from promote.adapters.tracking.runs import open_runs

        return open_runs(self.tracking_uri, work, allow_pickle=self.allow_pickle)

    def exporter(self, work: Path) -> Exporter:
        """Child processes in ``work``."""
        from promote.adapters.export.exporter import TorchExporter
        from promote.adapters.export.sandbox import Limits

        asked = self.settings.export
        limits = Limits(seconds=asked.seconds)
        if asked.memory_gib is not None:
            limits = dataclasses.replace(limits, memory_bytes=int(asked.memory_gib * 2**30))
        return TorchExporter(work, self.read_facts, limits)

    def store(self, target: Target) -> Store:
        """The target's model repository: a folder, a bucket, or a folder of another host."""
        from promote.core.repository_place import FolderPlace, S3Place, parse_place

        if not target.model_repository:
            raise InputError(
                f"target {target.name} has no model repository",
                hint=f'in promote.toml: [targets.{target.name}] model_repository = "/path"',
            )
        place = parse_place(target.model_repository)
        if isinstance(place, FolderPlace):
            from promote.adapters.model_repository import ModelRepository

            return ModelRepository(self.settings.path(Path(place.path)), by=current_user())
        from promote.adapters.remote_repository import RemoteRepository
        from promote.adapters.repository.s3 import S3Space
        from promote.adapters.repository.ssh import SshSpace

        space = S3Space(place) if isinstance(place, S3Place) else SshSpace(place)
        return RemoteRepository(space, by=current_user(), work=self.work_root())

    def server(self, target: Target) -> Server:
        """The target's Triton."""
        from promote.adapters.triton_server import TritonServer

        if not target.http or not target.grpc:
            raise InputError(
                f"target {target.name} has no http and grpc endpoint",
                hint=f'in promote.toml: [targets.{target.name}] http = "host:8000", grpc = "host:8001"',
            )
        access = self.access(target)
        first = TritonServer(target.http, target.grpc, access=access)
        if not target.replicas:
            return first
        from promote.adapters.triton_replicas import TritonReplicas

        others = {http: TritonServer(http, grpc, access=access) for http, grpc in target.replicas}
        return TritonReplicas({target.http: first} | others)

    def load(self, target: Target) -> Load:
        """Many requests at once to the target's Triton; its endpoints are known to be set."""
        from promote.adapters.triton_load import TritonLoad

        return TritonLoad(target.http or "", target.grpc or "", access=self.access(target))

    @property
    def figures(self) -> FiguresBook:
        """What was measured before, in the work folder."""
        from promote.adapters.figures import FiguresFolder

        return FiguresFolder(self.settings.path(self.settings.work_dir) / "bench")

    @contextmanager
    def work(self) -> Iterator[Path]:
        """A folder of this command's own, gone when it ends."""
        with work_folder(self.work_root()) as work:
            yield work

    def work_root(self) -> Path:
        """Where work folders are made; it is there."""
        root = self.settings.path(self.settings.work_dir)
        root.mkdir(parents=True, exist_ok=True)
        return root
