"""The kinds of model that templates know beside ONNX Runtime, and the settings of each. Pure.

Not here: the settings of ``onnxruntime`` (``serving``), and what is written of a kind (``kind_configs``).
"""

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator

from promote.core.serving import DynamicBatching, InstanceGroup, Settings, Template
from promote.core.tensors import TRITON_OF_ONNX

_TENSOR = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:/-]{0,126}")
_TYPES = frozenset(TRITON_OF_ONNX.values())
ParameterName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,63}$")]


class Tensor(Settings):
    """An input or output, without the batch axis; -1 is any extent."""

    name: str
    data_type: str
    dims: Annotated[tuple[Annotated[int, Field(ge=-1)], ...], Field(min_length=1, max_length=8)]

    @field_validator("name")
    @classmethod
    def _named(cls, name: str) -> str:
        if not _TENSOR.fullmatch(name):
            raise ValueError("expected 1 to 127 letters, digits and _ . : / -")
        return name

    @field_validator("data_type")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in _TYPES:
            raise ValueError(f"expected one of {', '.join(sorted(_TYPES))}")
        return name

    @field_validator("dims")
    @classmethod
    def _extents(cls, dims: tuple[int, ...]) -> tuple[int, ...]:
        if 0 in dims:
            raise ValueError("expected extents of 1 or more, or -1 (rule `dims`)")
        return dims


class Environment(Settings):
    """The Python of a Python model.

    ``python``: ``3.12``, or ``auto`` for the target's. ``packed``: an archive of conda-pack beside ``config.pbtxt``; without
    one the server's own Python serves.
    """

    python: Annotated[str, Field(pattern=r"^(auto|3\.[0-9]{1,2}(\.[0-9]{1,3})?)$")] = "auto"
    packed: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}\.tar\.gz$")] | None = None


class Processes(Settings):
    """How many instances, each a process of its own."""

    count: Annotated[int, Field(ge=1, le=64)] = 1


class PythonTemplate(Settings):
    """``python``: code of the template, on Triton's Python backend."""

    schema_: Annotated[Literal[1], Field(alias="schema")] = 1
    backend: Literal["python"]
    inputs: Annotated[tuple[Tensor, ...], Field(min_length=1, max_length=64)]
    outputs: Annotated[tuple[Tensor, ...], Field(min_length=1, max_length=64)]
    max_batch_size: Annotated[int, Field(ge=0, le=4096)] = 8
    instance_group: InstanceGroup = InstanceGroup()
    environment: Environment = Environment()
    parameters: dict[ParameterName, str] = Field(default_factory=dict, max_length=32)


class OnTheGpu(Settings):
    """Instances of a plan, and its optimization profiles by number."""

    count: Annotated[int, Field(ge=1, le=64)] = 1
    profile: tuple[Annotated[int, Field(ge=0, le=64)], ...] = ()


class TensorRTTemplate(Settings):
    """``tensorrt``: a plan that was built on the target."""

    schema_: Annotated[Literal[1], Field(alias="schema")] = 1
    platform: Literal["tensorrt_plan"]
    inputs: tuple[Tensor, ...] = ()
    outputs: tuple[Tensor, ...] = ()
    max_batch_size: Annotated[int, Field(ge=0, le=4096)] = 8
    instance_group: OnTheGpu = OnTheGpu()
    dynamic_batching: DynamicBatching = DynamicBatching()
    parameters: dict[ParameterName, str] = Field(default_factory=dict, max_length=32)


class EnsembleTemplate(Settings):
    """``ensemble``: text to entities, around a token classifier."""

    schema_: Annotated[Literal[1], Field(alias="schema")] = 1
    platform: Literal["ensemble"]
    max_tokens: Annotated[int, Field(ge=3, le=65_536)] = 512
    instance_group: Processes = Processes()
    environment: Environment = Environment()


KINDS: dict[str, type[Settings]] = {
    "onnxruntime": Template,
    "tensorrt": TensorRTTemplate,
    "python": PythonTemplate,
    "ensemble": EnsembleTemplate,
}
"""Kind -> the settings of its ``template.yaml``."""

SERVES = {
    "onnxruntime": "an ONNX model; what promote model and promote deploy use",
    "tensorrt": "a TensorRT plan, on the GPU it was built on",
    "python": "a document conversion, in code of the template",
    "ensemble": "a token classifier that takes text and gives entities",
}
"""Kind -> what it is for."""
