"""The rows of ``compat_matrix.yaml``, as pydantic models: what each may say, and of which form.

Every row has a ``source`` and a ``confidence``; ``null`` means *not known* and is never filled with a guess.
Not here: look-ups (``matrix``) and what follows from a row (``rules``).
"""

import re
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Release = Annotated[str, Field(pattern=r"^[0-9]{2}\.[0-9]{2}$")]
"""A Triton container release, ``YY.MM``."""

Version = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+){0,3}$")]
"""One to four numbers."""

Capability = Annotated[str, Field(pattern=r"^[0-9]{1,2}\.[0-9]$")]
"""A CUDA compute capability, ``major.minor``."""

Count = Annotated[int, Field(ge=1)]


def numbers(version: str) -> tuple[int, ...]:
    """The numbers of a dotted version, for comparing; text after them (``-rc1``, ``.dev0``) is left out."""
    found = re.match(r"[0-9]+(\.[0-9]+)*", version)
    return tuple(int(part) for part in found[0].split(".")) if found else ()


class Row(BaseModel):
    """Something the world says, and who says so."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    source: str
    confidence: Literal["high", "medium", "low"] = "high"
    note: str = ""

    @property
    def label(self) -> str:
        """How findings name the row."""
        return type(self).__name__


class Sourced(Row):
    """One version inside a release's image that has a source of its own."""

    version: Version


class TritonRelease(Row):
    """A Triton container release; ``source`` is that of the server, ONNX Runtime and Python versions."""

    release: Release
    server: Version | None
    onnxruntime: Version | None
    python: Version | None
    min_compute_capability: Capability | None
    cuda: Sourced | None
    tensorrt: Sourced | None

    @property
    def label(self) -> str:
        """``triton 26.04``."""
        return f"triton {self.release}"


class DriverFloor(Row):
    """The oldest driver that runs a CUDA major version at all (minor-version compatibility)."""

    cuda_major: int
    min_driver: Version

    @property
    def label(self) -> str:
        """``cuda 13.x``."""
        return f"cuda {self.cuda_major}.x"


class ToolkitDriver(Row):
    """The driver that comes with a CUDA toolkit: full features, not the floor."""

    cuda: Version
    driver: Version | None


class ForwardBranches(Row):
    """Driver branches below the floor that a CUDA version's compat libraries accept."""

    cuda: Version
    driver_branches: tuple[int, ...]
    complete: bool

    @property
    def label(self) -> str:
        """``forward compatibility of cuda 13.0``."""
        return f"forward compatibility of cuda {self.cuda}"


class ForwardCompat(Row):
    """Which GPUs may run a CUDA version on a driver below its floor."""

    rule: str
    rows: tuple[ForwardBranches, ...]

    @property
    def label(self) -> str:
        """``cuda forward compatibility``."""
        return "cuda forward compatibility"


class OnnxRelease(Row):
    """What a release of the ``onnx`` package stamps by default."""

    onnx: Version
    ir_version: Count
    opset: Count
    ml_opset: Count


class OnnxRuntime(Row):
    """What an ONNX Runtime release loads.

    ``strict_external_data``: it refuses data outside the model's folder.
    """

    version: Version
    max_opset: Count | None
    max_ir: Count | None
    max_ml_opset: Count | None
    strict_external_data: bool | None

    @property
    def label(self) -> str:
        """``onnxruntime 1.24.4``."""
        return f"onnxruntime {self.version}"


class OpsetFloor(Row):
    """The oldest opset ONNX Runtime promises to load."""

    opset: Count

    @property
    def label(self) -> str:
        """``onnxruntime opset floor``."""
        return "onnxruntime opset floor"


class Domain(Row):
    """An operator domain: ``full`` is in every build, ``partial`` differs by release, ``absent`` is in none we serve."""

    domain: str
    standing: Literal["full", "partial", "absent"]

    @property
    def label(self) -> str:
        """``domain ai.onnx.ml``."""
        return f"domain {self.domain or 'ai.onnx'}"


class IoType(Row):
    """A data type that a Triton backend carries only since some release."""

    type: str
    backend: str
    since: Release

    @property
    def label(self) -> str:
        """``BFLOAT16 in the onnxruntime backend``."""
        return f"{self.type} in the {self.backend} backend"


class TensorRTBuilds(Row):
    """Published four-part builds."""

    versions: tuple[Version, ...]
    unpublished: tuple[Version, ...]


class TensorRTHardware(Row):
    """GPUs a range of TensorRT versions runs on; ``until`` is inclusive, ``null`` open."""

    since: Version
    until: Version | None
    min_compute_capability: Capability | None
    adds: tuple[Capability, ...]


class OnnxRuntimeBuild(Row):
    """CUDA architectures that the ONNX Runtime of a range of Triton releases was compiled for; ``until`` is inclusive.

    ``architectures`` as CMake has them: ``86`` with PTX for newer GPUs, ``86-real`` without, ``120f`` a family.
    """

    since: Release
    until: Release | None
    arch: Literal["x86_64", "aarch64"]
    architectures: tuple[Annotated[str, Field(pattern=r"^[0-9]{2,3}(-real|f)?$")], ...]

    @property
    def label(self) -> str:
        """``onnxruntime of Triton 26.02, x86_64``."""
        return f"onnxruntime of Triton {self.since}, {self.arch}"


class TensorRTOpset(Row):
    """ONNX opsets a range of TensorRT versions parses; ``until`` is inclusive, ``null`` open."""

    since: Version
    until: Version | None
    min_opset: Count | None
    max_opset: Count | None


class Statement(Row):
    """A rule somebody else wrote down, and the message it fails with; our rules cite it by ``id``."""

    id: str
    rule: str
    message: str

    @property
    def label(self) -> str:
        """``triton check kind_gpu``."""
        return f"check {self.id}"


class Gpu(Row):
    """A GPU model. ``memory_gb`` lists its variants; promote shows it, and judges only what a target declares."""

    name: str
    aliases: tuple[str, ...]
    compute_capability: Capability
    memory_gb: tuple[Count, ...]
    memory_source: str
    unified: bool
    arch: Literal["x86_64", "aarch64", "any"]
    kind: Literal["geforce", "workstation", "datacenter", "jetson", "soc"]
    forward_compat: Literal["always", "some", "never"] | None

    @property
    def label(self) -> str:
        """``gpu RTX 4090``."""
        return f"gpu {self.name}"


class DtypeSupport(Row):
    """Data types with hardware behind them at some compute capabilities."""

    compute_capabilities: tuple[Capability, ...]
    fp16: bool
    bf16: bool
    int8: bool
    fp8: bool
    fp4: bool

    @property
    def label(self) -> str:
        """``data types at compute capability 8.9``."""
        return f"data types at compute capability {', '.join(self.compute_capabilities)}"


class DgxSpark(Row):
    """The machine plans are often built on by mistake."""

    arch: Literal["x86_64", "aarch64"]
    gpu: str
    compute_capability: Capability
    memory_gb: Count
    unified: bool
    min_cuda: Version
    drivers_seen: tuple[Version, ...]
    os: str

    @property
    def label(self) -> str:
        """``dgx_spark``."""
        return "dgx_spark"


class Exporter(Row):
    """What an exporter writes; measured by promote.

    ``default_opset`` is the highest that promote picks by itself, ``max_opset`` the highest it takes by ``--opset``.
    """

    name: str
    tools: dict[str, str]
    min_opset: Count
    default_opset: Count
    max_opset: Count
    ir_version: Count

    @property
    def label(self) -> str:
        """``exporter torch``."""
        return f"exporter {self.name}"


class RegistryLimits(Row):
    """What a registry takes, and how. ``host``: as in its address, or ``*.domain``; the longest that fits counts.

    ``largest_layer``: bytes of one file of a bundle. ``upload``: a file in one request, or in requests of ``largest_chunk``
    bytes. ``upload_seconds``: within which an upload must end. ``resume``: whether it is asked, after a break, what it has.
    """

    host: str
    largest_layer: Count | None = None
    upload: Literal["monolithic", "chunked"] = "monolithic"
    largest_chunk: Count | None = None
    upload_seconds: Count | None = None
    resume: Literal["ask", "never"] = "ask"

    @property
    def label(self) -> str:
        """``registry ghcr.io``."""
        return f"registry {self.host}"


class MemoryEstimate(Row):
    """Device memory a served model takes. An estimate, never a proof.

    ``factor``: a multiple of its weights, where its tensors are not known. ``sequence``: what an open axis beside the batch is
    taken for, where the target does not say.
    """

    factor: Annotated[float, Field(gt=1)]
    sequence: Count = 512

    @property
    def label(self) -> str:
        """``memory estimate``."""
        return "memory estimate"
