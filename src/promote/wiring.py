"""Chooses the parts: settings become a ``World``. The only file that knows all adapters.

Each command opens only what it needs: ``check`` reads the matrix and a file and never imports MLflow or torch. Parts that
a command does not need are left unopened; asking one of them for work opens it then.
"""

import contextlib
import dataclasses
import datetime
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from promote.adapters.settings import Settings, current_user, load_settings
from promote.core.facts import HostFacts, ModelFacts, Target
from promote.core.kernels import KernelTable
from promote.core.matrix import Matrix, bare_runtime, new_target, parse, with_settings
from promote.core.probe import ssh_host
from promote.core.probe_record import Probe, probed, settled
from promote.core.serving import Template, parse_template
from promote.core.stages import RunRef
from promote.errors import ExportError, InputError, IntegrityError, NotFound
from promote.ports import Exporter, Ledger, Progress, Registry, Runs, Server, Store, World

if TYPE_CHECKING:
    from tritonclient.grpc.model_config_pb2 import ModelConfig

    from promote.adapters.passports import Item


@dataclasses.dataclass(frozen=True)
class Subject:
    """What ``promote check`` judges.

    Args:
        label: as the user named it, or more exactly.
        facts: read or declared.
        config: of a bundle.
        name: model name of a bundle.
        version: of a bundle.
        before_export: what the export will tell is not known yet.
    """

    label: str
    facts: ModelFacts
    config: "ModelConfig | None" = None
    name: str = ""
    version: int = 0
    before_export: bool = False


@dataclasses.dataclass(frozen=True)
class Wiring:
    """What one command line asked for.

    Args:
        settings: of ``promote.toml`` and the environment.
        progress: how a person is told.
        registry_url: ``--registry``, else the settings'.
        allow_pickle: ``--allow-pickle``.
    """

    settings: Settings
    progress: Progress
    registry_url: str = ""
    allow_pickle: bool = False

    @cached_property
    def matrix(self) -> Matrix:
        """The shipped matrix, or the settings' own."""
        return read_matrix(self.matrix_path)

    @property
    def matrix_path(self) -> Path:
        """Where the matrix lies."""
        path = self.settings.matrix
        return self.settings.path(path) if path else shipped("compat_matrix.yaml")

    @cached_property
    def template(self) -> Template:
        """The serving settings of the ONNX Runtime backend."""
        folder = self.settings.templates
        root = self.settings.path(folder) if folder else shipped("model_repo_templates")
        path = root / "onnxruntime" / "template.yaml"
        return parse_template(_read(path), str(path))

    def target(self, name: str) -> Target:
        """A target as declared, settled against its last probe, and against measuring now where it is this machine."""
        from promote.adapters.probe.records import last

        target = self.declared(name)
        probe = last(self.settings.path(self.settings.work_dir), name)
        if probe is None and not target.local:
            return target
        facts = probe.facts if probe else HostFacts()
        if target.local:
            from promote.adapters.host import measure_here

            facts = _over(facts, measure_here())
        dated = probed(probe, _today()) if probe else None
        return dataclasses.replace(settled(target, facts, self.matrix), probed=dated)

    def declared(self, name: str) -> Target:
        """A target of the matrix, completed by the settings; nothing is measured."""
        given = self.settings.targets.get(name)
        origin = f"promote.toml: targets.{name}"
        if given is None:
            return self.matrix.target(name)
        if name in self.matrix.targets:
            return with_settings(self.matrix.target(name), given, origin)
        return new_target(name, given, origin)

    def probe(self, name: str, *, image: str = "", ssh: str = "", here: bool = False) -> tuple[Probe, Path | None]:
        """Measures a target, and keeps what was measured; the file is ``None`` where nothing was.

        What is not said is as in the last probe, so that a name alone renews it.

        Raises:
            InputError: no such form of an image or host.
        """
        from promote.adapters.oci.image import parse_reference, read_image
        from promote.adapters.probe.measure import measure
        from promote.adapters.probe.records import keep, last

        if image:
            parse_reference(image)
        if ssh:
            ssh_host(ssh)

        def read(reference: str, arch: str) -> tuple[str, tuple[str, ...]]:
            found = read_image(reference, arch, os.environ)
            return f"{found.name.partition('@')[0]}@{found.digest[:19]}", found.environment

        target, root = self.declared(name), self.settings.path(self.settings.work_dir)
        with contextlib.suppress(IntegrityError):  # a damaged record is replaced
            former = last(root, name)
            image = image or (former.image if former else "")
            if former and not (ssh or here):
                ssh, here = former.ssh, former.here
        found = measure(target, self.matrix, _today().isoformat(), read, image=image, ssh=ssh, here=here)
        return found, None if found.empty else keep(root, found)

    def targets(self) -> tuple[Target, ...]:
        """All of them, by name."""
        return tuple(self.target(name) for name in sorted({*self.matrix.targets, *self.settings.targets}))

    def runtime(self, text: str) -> Target:
        """``--runtime onnxruntime=1.20.1`` as a target."""
        return bare_runtime(self.matrix, text)

    def read_facts(self, path: str) -> ModelFacts:
        """Facts of a model file, read without running it."""
        from promote.adapters.onnx_file import read_facts

        return read_facts(path)

    @cached_property
    def registry(self) -> Registry:
        """The registry or layout of ``--registry`` or the settings."""
        from promote.adapters.oci.registry import open_registry

        return open_registry(self._registry_base, env=os.environ)

    @property
    def _registry_base(self) -> str:
        url = self.registry_url or self.settings.registry.url
        return f"oci:{self.settings.path(Path(url.removeprefix('oci:')))}" if url.startswith("oci:") else url

    def passports(self, paths: tuple[str, ...] = (), models: tuple[str, ...] = ()) -> "Iterator[Item]":
        """The passports at ``paths``, else of every bundle that the registry or layout holds.

        Args:
            paths: folders or files; see ``adapters.passports.find``.
            models: of a registry, the models to ask for; none: all that it lists.
        """
        from promote.adapters.passports import find

        base = self._registry_base
        if paths or base.startswith("oci:"):
            for path in paths or (base.removeprefix("oci:"),):
                yield from find(path)
            return
        from promote.adapters.oci.listing import read_remote

        yield from read_remote(base, os.environ, models)

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
        return open_ledger(self.tracking_uri, reports=reports)

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
        """The target's model repository, on this machine or mounted here."""
        from promote.adapters.model_repository import ModelRepository

        if not target.model_repository:
            raise InputError(
                f"target {target.name} has no model repository",
                hint=f'in promote.toml: [targets.{target.name}] model_repository = "/path"',
            )
        return ModelRepository(self.settings.path(Path(target.model_repository)), by=current_user())

    def server(self, target: Target) -> Server:
        """The target's Triton."""
        from promote.adapters.triton_server import TritonServer

        if not target.http or not target.grpc:
            raise InputError(
                f"target {target.name} has no http and grpc endpoint",
                hint=f'in promote.toml: [targets.{target.name}] http = "host:8000", grpc = "host:8001"',
            )
        return TritonServer(target.http, target.grpc)

    @contextmanager
    def _work(self) -> Iterator[Path]:
        """A folder of this command's own, gone when it ends."""
        with tempfile.TemporaryDirectory(prefix="work-", dir=self._work_root()) as work:
            yield Path(work)

    def _work_root(self) -> Path:
        """Where work folders are made; it is there."""
        root = self.settings.path(self.settings.work_dir)
        root.mkdir(parents=True, exist_ok=True)
        return root

    def bundle_subject(self, name: str, reference: str) -> Subject:
        """A bundle of the registry: every byte fetched and verified, its model read, its configuration parsed."""
        from promote.core.bundle_files import read_config

        stored = self.registry.resolve(name, reference)
        with self._work() as work, self.progress.stage("fetch", stored.reference) as step:
            paths = self.registry.fetch(stored, str(work), step)
            config = read_config(Path(paths[f"{name}/config.pbtxt"]).read_bytes(), name)
            facts = self.read_facts(paths[f"{name}/{stored.version}/model.onnx"])
        return Subject(stored.reference, facts, config, name, stored.version)

    def run_subject(self, run_id: str, model: str = "") -> Subject:
        """The model of a run: read where it is ONNX, else as the run declares it and the plan shall make it."""
        with self._work() as work, self.progress.stage("find", f"run {run_id}") as step:
            candidate = self.runs(work).find(RunRef(run_id, model), step)
            if candidate.model.flavour != "onnx":
                return Subject(f"run {run_id}", candidate.facts, before_export=True)
            return Subject(f"run {run_id}", self.read_facts(str(Path(candidate.model.root) / candidate.model.entry)))

    @contextmanager
    def world(self, target: Target) -> Iterator[World]:
        """All parts for one story; its work folder goes when the story ends, but for the logs of a failed export."""
        work = Path(tempfile.mkdtemp(prefix="work-", dir=self._work_root()))
        try:
            yield LazyWorld(self, target, work)
        except ExportError:
            _keep_logs(work)  # the message points to them
            raise
        except BaseException:
            shutil.rmtree(work, ignore_errors=True)
            raise
        shutil.rmtree(work, ignore_errors=True)


def _keep_logs(work: Path) -> None:
    """Removes everything but the children's logs: a failed export leaves no copy of a model behind."""
    for path in sorted(work.rglob("*"), reverse=True):
        if path.is_dir() and not path.is_symlink():
            with contextlib.suppress(OSError):  # a log lies in it
                path.rmdir()
        elif path.suffix != ".log":
            path.unlink(missing_ok=True)


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
    def runs(self) -> Runs:
        """MLflow's runs, fetched into the work folder."""
        return self.wiring.runs(self.work)

    @cached_property
    def exporter(self) -> Exporter:
        """Child processes in the work folder."""
        return self.wiring.exporter(self.work)

    @cached_property
    def store(self) -> Store:
        """The target's model repository."""
        return self.wiring.store(self.target)

    @cached_property
    def server(self) -> Server:
        """The target's Triton."""
        return self.wiring.server(self.target)


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


def shipped(name: str) -> Path:
    """A data file or folder that comes with promote: inside the wheel, or at the top of a checkout."""
    packaged = Path(str(files("promote"))) / "data" / name
    checkout = Path(__file__).resolve().parents[2] / name
    for path in (packaged, checkout):
        if path.exists():
            return path
    raise NotFound(f"{name} did not come with this installation", hint="install promote again")


def read_matrix(path: Path) -> Matrix:
    """The matrix in a file, with what each ONNX Runtime release implements.

    Raises:
        InputError: it cannot be read, or is wrong; the message names the first wrong field.
    """
    kernels = KernelTable(shipped("operator_kernels.json.gz").read_bytes())
    return dataclasses.replace(parse(_read(path), str(path)), kernels=kernels)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read {path}: {error}") from error


def _over(former: HostFacts, now: HostFacts) -> HostFacts:
    """What is measured now, else what was."""
    fields = HostFacts.__dataclass_fields__
    return HostFacts(**{name: getattr(now, name) or getattr(former, name) for name in fields})


def _today() -> datetime.date:
    return datetime.datetime.now(datetime.UTC).date()
