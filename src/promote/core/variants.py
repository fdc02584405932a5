"""A variant: one bundle of a version of a model among several, and what binds it to hosts. Pure.

Portable ONNX runs wherever ONNX Runtime does. A lower precision asks the device for hardware; a TensorRT plan is bound to
what it was built with and on. Not here: which variant a host gets (``ranking``), and the index that lists them
(``variant_index``).
"""

import re
from dataclasses import dataclass

from promote.core.names import printable
from promote.errors import IntegrityError

ONNX, TENSORRT = "onnx", "tensorrt"
FORMATS = (ONNX, TENSORRT)
LOWER = ("fp16", "bf16")
"""Precisions that a variant may have beside the model's own, the one nearer to fp32 first."""
_PRECISION = re.compile(r"fp64|fp32|fp16|bf16|mixed|int8|fp8|fp4|int4")
_VERSION = re.compile(r"[0-9]{1,3}(\.[0-9]{1,3}){3}")
_CAPABILITY = re.compile(r"[0-9]{1,2}\.[0-9]")
_ARCH = {"x86_64": "amd64", "aarch64": "arm64"}  # image-spec: architectures have Go's names
LEVELS = ("none", "ampere_plus", "same_compute_capability")


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """What a TensorRT plan is bound to; source: NVIDIA/TensorRT ``include/NvInfer.h``, support policies of TensorRT.

    Args:
        tensorrt: the build, all four numbers.
        compute_capability: of the GPU that it was built on.
        level: hardware compatibility level: ``none``, ``ampere_plus`` or ``same_compute_capability``.
        version_compatible: built to load on a newer TensorRT of the same major version too.
        os: operating system, ``linux`` or ``windows``.
        arch: CPU architecture, ``x86_64`` or ``aarch64``.
    """

    tensorrt: str
    compute_capability: str
    level: str = "none"
    version_compatible: bool = False
    os: str = "linux"
    arch: str

    def __post_init__(self) -> None:
        fits = (
            _VERSION.fullmatch(self.tensorrt), _CAPABILITY.fullmatch(self.compute_capability), self.level in LEVELS,
            self.os in ("linux", "windows"), self.arch in _ARCH,
        )  # fmt: skip
        if not all(fits):
            raise IntegrityError(f"a plan cannot be bound to {printable(repr(self), 200)}")

    @property
    def platform(self) -> dict[str, str]:
        """As an OCI index tells it."""
        return {"architecture": _ARCH[self.arch], "os": self.os}


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What sort of variant it is.

    Args:
        format: ``onnx`` or ``tensorrt``.
        precision: of its weights and activations, ``fp32``...
        binding: of a plan; ``None`` for ONNX, which nothing binds.
    """

    format: str
    precision: str
    binding: Binding | None = None

    def __post_init__(self) -> None:
        if self.format not in FORMATS or not _PRECISION.fullmatch(self.precision):
            raise IntegrityError(f"{printable(self.format)} {printable(self.precision)} is no kind of variant")
        if (self.binding is None) is (self.format == TENSORRT):
            raise IntegrityError(f"a variant of {self.format} {'needs' if self.binding is None else 'has'} a binding")

    @property
    def label(self) -> str:
        """Its name within the version: ``onnx-fp16``, ``tensorrt-fp16-11.1.0.106-cc9.0-linux-x86_64``."""
        bound = self.binding
        tail = ""
        if bound:
            wide = "+" if bound.level == "ampere_plus" else ""
            forward = "+" if bound.version_compatible else ""
            tail = f"-{bound.tensorrt}{forward}-cc{bound.compute_capability}{wide}-{bound.os}-{bound.arch}"
        return f"{self.format}-{self.precision}{tail}"

    @property
    def portable(self) -> bool:
        """Nothing of the host's hardware is asked for beyond what every host has."""
        return self.format == ONNX and self.precision not in LOWER


__all__ = ["FORMATS", "LEVELS", "LOWER", "ONNX", "TENSORRT", "Binding", "Kind"]
