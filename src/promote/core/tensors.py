"""Tensors as every part of the story names them: a name, a data type, a shape.

The tables translate between ONNX's, Triton's and NumPy's words for one data type.
Source: onnxruntime_backend ``src/onnxruntime_utils.cc``; triton common ``protobuf/model_config.proto``.
"""

from dataclasses import dataclass
from typing import NewType

DType = NewType("DType", str)
"""An ONNX element type name in upper case, as in ``onnx.TensorProto.DataType``: ``FLOAT``, ``INT64``, ``BFLOAT16``."""

Dim = int | str
"""A fixed extent, or the name of a dynamic axis."""

TRITON_OF_ONNX: dict[str, str] = {
    "BOOL": "TYPE_BOOL",
    "UINT8": "TYPE_UINT8",
    "UINT16": "TYPE_UINT16",
    "UINT32": "TYPE_UINT32",
    "UINT64": "TYPE_UINT64",
    "INT8": "TYPE_INT8",
    "INT16": "TYPE_INT16",
    "INT32": "TYPE_INT32",
    "INT64": "TYPE_INT64",
    "FLOAT16": "TYPE_FP16",
    "BFLOAT16": "TYPE_BF16",
    "FLOAT": "TYPE_FP32",
    "DOUBLE": "TYPE_FP64",
    "STRING": "TYPE_STRING",
}

NUMPY_OF_ONNX: dict[str, str] = {
    "BOOL": "bool",
    "UINT8": "uint8",
    "UINT16": "uint16",
    "UINT32": "uint32",
    "UINT64": "uint64",
    "INT8": "int8",
    "INT16": "int16",
    "INT32": "int32",
    "INT64": "int64",
    "FLOAT16": "float16",
    "FLOAT": "float32",
    "DOUBLE": "float64",
}

ONNX_OF_NUMPY: dict[str, str] = {numpy: onnx for onnx, numpy in NUMPY_OF_ONNX.items()}

BITS: dict[str, int] = {
    "FLOAT": 32, "DOUBLE": 64, "FLOAT16": 16, "BFLOAT16": 16, "INT64": 64, "UINT64": 64, "INT32": 32, "UINT32": 32,
    "INT16": 16, "UINT16": 16, "INT8": 8, "UINT8": 8, "BOOL": 8, "COMPLEX64": 64, "COMPLEX128": 128,
    "FLOAT8E4M3FN": 8, "FLOAT8E5M2": 8, "FLOAT8E4M3FNUZ": 8, "FLOAT8E5M2FNUZ": 8, "FLOAT8E8M0": 8,
    "INT4": 4, "UINT4": 4, "FLOAT4E2M1": 4, "INT2": 2, "UINT2": 2,
}  # fmt: skip
"""Of one value as a file holds many, by ONNX element type; of no type whose values have no fixed size.
Source: https://onnx.ai/onnx/repo-docs/IR.html and onnx's ``helper.tensor_dtype_to_np_dtype``.
"""

FLOATING = frozenset({"FLOAT16", "BFLOAT16", "FLOAT", "DOUBLE"})


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """An input or output of a model.

    Args:
        name: as the model names it.
        dtype: ONNX element type name; for an input or output that is no tensor, ``SEQUENCE``, ``MAP`` or ``OPTIONAL``.
        shape: extents, a name for each dynamic axis; ``None`` where the model states no rank.
    """

    name: str
    dtype: DType
    shape: tuple[Dim, ...] | None

    @property
    def dims(self) -> tuple[int, ...]:
        """The shape with -1 for each dynamic axis, as Triton writes it; empty where no rank is stated."""
        return tuple(d if isinstance(d, int) else -1 for d in self.shape or ())

    def __str__(self) -> str:
        shape = "?" if self.shape is None else ", ".join(map(str, self.shape))
        return f"{self.name}: {self.dtype}[{shape}]"
