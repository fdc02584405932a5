"""Golden samples: inputs and the answers to them, as safetensors bytes that travel inside a bundle.

Keys are ``<case>/in/<tensor>`` and ``<case>/out/<tensor>``; a tensor's own name may hold slashes. The same samples give
the same bytes. Not here: how samples are made (the exporter) and whether an answer is right (``parity.compare``).
"""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from promote.core.names import printable
from promote.core.tensors import ONNX_OF_NUMPY
from promote.errors import InputError, IntegrityError

if TYPE_CHECKING:
    import numpy as np

    Arrays = Mapping[str, np.ndarray]
    Cases = Mapping[str, tuple[Arrays, Arrays]]

LARGEST = 256 * 2**20
"""Bytes of golden samples in a bundle, at most: they are replayed at every deployment. ``split`` has no limit."""

_CASE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_LONGEST_NAME = 512


def join(cases: "Cases") -> bytes:
    """Samples as safetensors bytes.

    Args:
        cases: case name -> (inputs, outputs), each tensor name -> array; outputs may be empty.

    Raises:
        InputError: a case without inputs or with a name that cannot be a key; a type that safetensors or NumPy lacks.
    """
    from safetensors.numpy import save

    tensors: dict[str, np.ndarray] = {}
    for case, (inputs, outputs) in cases.items():
        if not _CASE.fullmatch(case) or not inputs:
            why = "has no inputs" if _CASE.fullmatch(case) else "is no name of letters, digits, '_', '.' and '-'"
            raise InputError(f"sample case {printable(case)!r} {why}")
        for side, arrays in (("in", inputs), ("out", outputs)):
            for name, array in arrays.items():
                tensors[f"{case}/{side}/{name}"] = _storable(case, name, array)
    data: bytes = save(tensors)  # which sorts them
    return data


def _storable(case: str, name: str, array: "np.ndarray") -> "np.ndarray":
    """The array in C order and this machine's byte order, or the reason why it cannot be kept."""
    import numpy as np

    where = f"sample case {case}: tensor {printable(name)!r}"
    if not 0 < len(name) <= _LONGEST_NAME:
        raise InputError(f"{where} has a name of {len(name)} characters, expected 1 to {_LONGEST_NAME}")
    if array.dtype.kind in "OSUT":
        raise InputError(
            f"{where} holds strings, which safetensors has no type for",
            hint="leave string inputs and outputs out of the exported part of the model",
        )
    if array.dtype.name == "bfloat16":
        raise InputError(
            f"{where} is bfloat16, which NumPy has no type for", hint="have the model take and give float32"
        )
    if array.dtype.name not in ONNX_OF_NUMPY:
        known = ", ".join(ONNX_OF_NUMPY)
        raise InputError(f"{where} has type {printable(array.dtype.name)}, expected one of: {known}")
    return np.asarray(array, dtype=array.dtype.newbyteorder("="), order="C")


def split(data: bytes) -> "dict[str, tuple[dict[str, np.ndarray], dict[str, np.ndarray]]]":
    """Case name -> (inputs, outputs), cases and tensors in the order of their names.

    Args:
        data: safetensors bytes from anywhere.

    Raises:
        IntegrityError: not safetensors, a key of another form, a type NumPy has not, a case without inputs, or no
            case at all.
    """
    tensors = _read(data)
    cases: dict[str, tuple[dict[str, np.ndarray], dict[str, np.ndarray]]] = {}
    for key in sorted(tensors):
        case, _, rest = key.partition("/")
        side, _, name = rest.partition("/")
        if not _CASE.fullmatch(case) or side not in ("in", "out") or not 0 < len(name) <= _LONGEST_NAME:
            raise IntegrityError(
                f"golden samples hold a key {printable(key, 80)!r}, expected <case>/in/<tensor> or <case>/out/<tensor>"
            )
        cases.setdefault(case, ({}, {}))[side == "out"][name] = tensors[key]
    blind = [case for case, (inputs, _) in cases.items() if not inputs]
    if blind or not cases:
        raise IntegrityError(
            f"golden samples: case {blind[0]} has no inputs" if blind else "golden samples hold no case"
        )
    return dict(sorted(cases.items()))  # by key, case "0." came before case "0"


def as_served(arrays: "Arrays") -> "dict[str, np.ndarray]":
    """The same arrays in the shapes a server takes and gives: Triton has no scalars, they become ``(1,)``."""
    return {name: array.reshape(1) if array.ndim == 0 else array for name, array in arrays.items()}


def _read(data: bytes) -> "dict[str, np.ndarray]":
    from safetensors import SafetensorError, deserialize

    try:
        entries = deserialize(data)  # type: ignore[no-untyped-call]
    except SafetensorError as error:
        raise IntegrityError(f"golden samples are not safetensors: {printable(str(error), 120)}") from error
    return {name: _array(name, entry["dtype"], entry["shape"], entry["data"]) for name, entry in entries}


# Source: safetensors ``README.md``, "Format"; bfloat16 and the 8-bit floats have no NumPy type.
_NUMPY_OF_SAFETENSORS = {
    "BOOL": "bool",
    "U8": "uint8",
    "U16": "uint16",
    "U32": "uint32",
    "U64": "uint64",
    "I8": "int8",
    "I16": "int16",
    "I32": "int32",
    "I64": "int64",
    "F16": "float16",
    "F32": "float32",
    "F64": "float64",
}


def _array(key: str, dtype: str, shape: list[int], data: bytes) -> "np.ndarray":
    import numpy as np

    if dtype not in _NUMPY_OF_SAFETENSORS:
        raise IntegrityError(
            f"golden samples: {printable(key, 80)!r} has type {printable(dtype)}, which NumPy has no type for"
        )
    little = np.dtype(_NUMPY_OF_SAFETENSORS[dtype]).newbyteorder("<")
    if dtype == "BOOL" and data.strip(b"\x00\x01"):  # any other byte is neither true nor false
        raise IntegrityError(f"golden samples: {printable(key, 80)!r} holds a byte that is no boolean")
    try:
        return np.frombuffer(data, dtype=little).reshape(shape)
    except ValueError as error:  # more axes than NumPy allows, or an empty tensor with extents beyond its integers
        raise IntegrityError(f"golden samples: {printable(key, 80)!r}: {printable(str(error), 120)}") from error
