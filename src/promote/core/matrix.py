"""``compat_matrix.yaml`` as typed look-ups: what the world accepts, each answer with its row.

A look-up answers with a row or ``None``, which means *not known*; nothing is interpolated. Not here: what a row may hold
(``matrix_rows``, ``target_rows``) and what follows from it (``rules``).
"""

import dataclasses
import datetime
import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from promote.core.facts import DOUBT, Fact, HostFacts, Target
from promote.core.gpu_names import nearest, plain_name
from promote.core.kernels import KernelTable
from promote.core.matrix_rows import (
    DgxSpark,
    Domain,
    DriverFloor,
    DtypeSupport,
    Exporter,
    ForwardBranches,
    ForwardCompat,
    Gpu,
    IoType,
    MemoryEstimate,
    OnnxRelease,
    OnnxRuntime,
    OnnxRuntimeBuild,
    OpsetFloor,
    RegistryLimits,
    Statement,
    TensorRTBuilds,
    TensorRTHardware,
    TensorRTOpset,
    ToolkitDriver,
    TritonRelease,
    numbers,
)
from promote.core.names import printable
from promote.core.placement import CudaTable
from promote.core.reviewed_file import read_reviewed
from promote.core.target_rows import TargetName, TargetRow, as_target, new_target, with_settings
from promote.errors import InputError, NotFound

_R = TypeVar("_R", bound=BaseModel)

STALE_DAYS = 120
_LARGEST = 4 * 1024 * 1024
_HINT = "docs/reference/matrix.md says what a row may hold"


def _unique(*names: str) -> AfterValidator:
    """Refuses two rows that answer the same question."""

    def check(rows: tuple[Any, ...]) -> tuple[Any, ...]:
        seen: set[tuple[Any, ...]] = set()
        for row in rows:
            key = tuple(getattr(row, name) for name in names)
            if key in seen:
                raise ValueError(f"two rows for {', '.join(map(str, key))}")
            seen.add(key)
        return rows

    return AfterValidator(check)


def _date(text: str) -> str:
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        raise ValueError("expected a day, YYYY-MM-DD")
    return datetime.date.fromisoformat(text).isoformat()


class Tables(BaseModel):
    """The whole file."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    schema_: Annotated[Literal[1], Field(alias="schema")]
    collected: Annotated[str, AfterValidator(_date)]
    triton_releases: Annotated[tuple[TritonRelease, ...], _unique("release")]
    cuda_driver_floors: Annotated[tuple[DriverFloor, ...], _unique("cuda_major")]
    cuda_toolkit_drivers: Annotated[tuple[ToolkitDriver, ...], _unique("cuda")]
    cuda_forward_compat: ForwardCompat
    onnx_releases: Annotated[tuple[OnnxRelease, ...], _unique("onnx")]
    onnxruntime: Annotated[tuple[OnnxRuntime, ...], _unique("version")]
    onnxruntime_opset_floor: OpsetFloor
    operator_domains: Annotated[tuple[Domain, ...], _unique("domain")]
    io_types: Annotated[tuple[IoType, ...], _unique("type", "backend")]
    triton_checks: Annotated[tuple[Statement, ...], _unique("id")]
    tensorrt_builds: TensorRTBuilds
    tensorrt_hardware: tuple[TensorRTHardware, ...]
    tensorrt_opsets: tuple[TensorRTOpset, ...]
    tensorrt_plan_rules: Annotated[tuple[Statement, ...], _unique("id")]
    gpus: Annotated[tuple[Gpu, ...], _unique("name")]
    dtype_support: tuple[DtypeSupport, ...]
    dgx_spark: DgxSpark
    exporters: Annotated[tuple[Exporter, ...], _unique("name")]
    memory_estimate: MemoryEstimate
    onnxruntime_builds: tuple[OnnxRuntimeBuild, ...] = ()
    registries: Annotated[tuple[RegistryLimits, ...], _unique("host")] = ()
    targets: dict[TargetName, TargetRow]


@dataclass(frozen=True, slots=True)
class Matrix:
    """The facts of the world.

    Args:
        tables: the rows.
        file: the file's name without its folder, as facts and findings cite it.
        digest: ``sha256:`` of its text, as passports name it.
        kernels: what each ONNX Runtime release implements; ``None`` leaves operators unjudged.
        cuda: what of it runs on NVIDIA GPUs; ``None`` leaves that unjudged.
    """

    tables: Tables
    file: str
    digest: str
    kernels: "KernelTable | None" = None
    cuda: "CudaTable | None" = None

    @property
    def targets(self) -> Mapping[str, TargetRow]:
        """By name."""
        return self.tables.targets

    def target(self, name: str) -> Target:
        """The target of that name, completed by what its release and its GPU's name say.

        Raises:
            NotFound: no target of that name; the hint lists them.
        """
        if name not in self.targets:
            close = difflib.get_close_matches(name, self.targets, n=1)
            suggestion = f"did you mean {close[0]}? " if close else ""
            raise NotFound(
                f"no target {printable(name, 60)!r}", hint=f"{suggestion}targets: {', '.join(sorted(self.targets))}"
            )
        return self.complete(as_target(name, self.targets[name], f"declared in {self.file}"))

    def complete(self, target: Target) -> Target:
        """``target`` with the facts that its Triton release and its GPU's name imply, where it does not say them itself.

        A local target runs no container, so its release implies nothing. The answer completes to itself.
        """
        host = target.host
        implied: dict[str, Fact[Any] | None] = {}
        release = self.release(host.triton.value) if host.triton and not target.local else None
        if release is not None:
            versions = {
                "onnxruntime": (release.onnxruntime, release),
                "python": (release.python, release),
                "cuda": (release.cuda.version if release.cuda else None, release.cuda),
                "tensorrt": (release.tensorrt.version if release.tensorrt else None, release.tensorrt),
            }
            for name, (version, row) in versions.items():
                if version and row:
                    doubt = "" if row.confidence == "high" else f"{DOUBT}{row.confidence}"
                    implied[name] = Fact(version, self.cite(release.label) + doubt)
        gpu = self.gpu(host.gpu.value) if host.gpu else None
        if gpu is not None:
            implied["compute_capability"] = Fact(gpu.compute_capability, self.cite(gpu.label))
        missing = {name: fact for name, fact in implied.items() if getattr(host, name) is None}
        return dataclasses.replace(target, host=dataclasses.replace(host, **missing)) if missing else target

    def cite(self, label: str) -> str:
        """A row of this file, as a fact's source."""
        return f"{label} of {self.file}"

    def release(self, release: str) -> TritonRelease | None:
        """The container release ``YY.MM``."""
        return _find(self.tables.triton_releases, "release", release)

    def onnxruntime(self, version: str) -> tuple[OnnxRuntime, str] | None:
        """The row of that version, else of the newest patch release of the same minor version; with how to name it."""
        rows = self.tables.onnxruntime
        exact = _find(rows, "version", version)
        if exact is not None:
            return exact, exact.label
        same = [row for row in rows if numbers(row.version)[:2] == numbers(version)[:2]]
        if not same:
            return None
        row = max(same, key=lambda row: numbers(row.version))
        return row, f"{row.label}, for want of one for {printable(version, 40)}"

    def driver_floor(self, cuda: str) -> DriverFloor | None:
        """The oldest driver for the major version of ``cuda``."""
        return _find(self.tables.cuda_driver_floors, "cuda_major", (numbers(cuda) or (0,))[0])

    def toolkit_driver(self, cuda: str) -> ToolkitDriver | None:
        """The driver that comes with that toolkit (three numbers count)."""
        wanted = numbers(cuda)[:3]
        return next((row for row in self.tables.cuda_toolkit_drivers if numbers(row.cuda) == wanted), None)

    @property
    def forward_compat(self) -> ForwardCompat:
        """The rule of forward compatibility."""
        return self.tables.cuda_forward_compat

    def forward_branches(self, cuda: str) -> ForwardBranches | None:
        """The driver branches the compat libraries of ``cuda`` (two numbers count) accept."""
        wanted = numbers(cuda)[:2]
        return next((row for row in self.forward_compat.rows if numbers(row.cuda) == wanted), None)

    def gpu(self, name: str) -> Gpu | None:
        """The GPU of that name, as a person or ``nvidia-smi`` writes it; a ``Ti`` or ``SUPER`` is another card."""
        wanted = plain_name(name)
        return next((g for g in self.tables.gpus if wanted in {plain_name(one) for one in (g.name, *g.aliases)}), None)

    def named_gpu(self, name: str) -> Gpu:
        """See ``gpu``.

        Raises:
            InputError: the file has no such GPU; the hint names near ones.
        """
        gpu = self.gpu(name)
        if gpu is None:
            near = nearest(name, [known for g in self.tables.gpus for known in (g.name, *g.aliases)])
            raise InputError(
                f"{self.file} has no GPU {printable(name, 60)!r}",
                hint=f"{'did you mean ' + ' or '.join(near) + '? ' if near else ''}promote matrix show gpus lists them all",
            )
        return gpu

    def dtypes(self, compute_capability: str) -> DtypeSupport | None:
        """Data types with hardware behind them."""
        rows = self.tables.dtype_support
        return next((row for row in rows if compute_capability in row.compute_capabilities), None)

    def domain(self, domain: str) -> Domain | None:
        """How an operator domain stands."""
        return _find(self.tables.operator_domains, "domain", domain)

    def io_type(self, dtype: str, backend: str) -> IoType | None:
        """Since when that backend carries that type; ``None``: in all releases."""
        return next((row for row in self.tables.io_types if (row.type, row.backend) == (dtype, backend)), None)

    def exporter(self, name: str) -> Exporter:
        """What the exporter of that name writes.

        Raises:
            InputError: the file has no such row.
        """
        row = _find(self.tables.exporters, "name", name)
        if row is None:
            raise InputError(f"{self.file} has no row for the exporter {name}", hint=_HINT)
        return row

    def triton_check(self, id: str) -> Statement:
        """The check of Triton that a rule cites.

        Raises:
            InputError: the file has no such row.
        """
        return self._statement(self.tables.triton_checks, id)

    def plan_rule(self, id: str) -> Statement:
        """The rule about TensorRT plans that a rule cites.

        Raises:
            InputError: the file has no such row.
        """
        return self._statement(self.tables.tensorrt_plan_rules, id)

    def _statement(self, rows: tuple[Statement, ...], wanted: str) -> Statement:
        row = _find(rows, "id", wanted)
        if row is None:
            raise InputError(f"{self.file} has no row {wanted}, which a rule cites", hint=_HINT)
        return row


def parse(text: str, origin: str) -> Matrix:
    """The matrix in ``text``.

    Raises:
        InputError: larger than 4 MiB, no plain YAML, or a row that is wrong; the message names ``origin`` and the first
            wrong field by its path, and counts the others.
    """
    tables, file, digest = read_reviewed(text, origin, Tables, _LARGEST, _HINT)
    return Matrix(tables, file, digest)


def stale(matrix: Matrix, today: datetime.date) -> bool:
    """Whether the facts were gathered more than ``STALE_DAYS`` ago: a Triton release comes out every month."""
    return (today - datetime.date.fromisoformat(matrix.tables.collected)).days > STALE_DAYS


def bare_runtime(matrix: Matrix, text: str) -> Target:
    """``onnxruntime=1.20.1`` as a target: the runtime alone on a CPU, no Triton around it.

    Raises:
        InputError: another runtime, or no version.
    """
    name, _, version = text.partition("=")
    if name != "onnxruntime" or not re.fullmatch(r"[0-9]+\.[0-9]+(\.[0-9]+)?", version):
        raise InputError(
            f"--runtime {printable(text, 60)!r}: expected onnxruntime=VERSION",
            hint=f"for instance: --runtime onnxruntime={matrix.tables.onnxruntime[-1].version}",
        )
    host = HostFacts(device=Fact("cpu", "--runtime"), onnxruntime=Fact(version, "--runtime"))
    return Target(name=f"onnxruntime {version}", description="a bare runtime", host=host, review=False, bare=True)


def _find(rows: tuple[_R, ...], field: str, wanted: object) -> _R | None:
    return next((row for row in rows if getattr(row, field) == wanted), None)


__all__ = ["STALE_DAYS", "Matrix", "Tables", "bare_runtime", "new_target", "parse", "stale", "with_settings"]
