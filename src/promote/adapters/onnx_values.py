"""Whether a tensor holds just the values that its shape and type ask for: ONNX Runtime reads no other.

Source: onnxruntime core/framework/tensorprotoutils.cc ``UnpackTensor``, ``GetExternalDataInfo``; core/framework/endian_utils.cc;
core/framework/tensor_external_data_info.cc for the keys. Measured alike in 1.16.3, 1.20.1, 1.24.4, 1.28.0 and 1.32.0; a tensor
that nothing reads is not looked at there. Not here: where external files lie (``onnx_external``).
"""

from collections.abc import Iterable, Sequence
from typing import Any

from promote.adapters.onnx_parts import dtype_of
from promote.core.names import printable

_EXTERNAL = 1  # TensorProto.EXTERNAL
_KEYS = ("location", "offset", "length", "checksum")
# Where values lie that are not raw, by type (onnx.proto, TensorProto). Types that share numbers are left out.
_FIELDS = {"FLOAT": "float_data", "INT64": "int64_data", "DOUBLE": "double_data", "STRING": "string_data"}
_FIELDS |= dict.fromkeys(("INT32", "INT16", "INT8", "UINT16", "UINT8", "BOOL", "FLOAT16", "BFLOAT16"), "int32_data")
_FIELDS |= dict.fromkeys(("UINT32", "UINT64"), "uint64_data")


def value_flaws(tensors: Iterable[tuple[Any, int]], graphs: Sequence[Any]) -> list[str]:
    """What is wrong with the values of tensors that the graphs read, in words.

    Args:
        tensors: ``TensorProto`` and the bytes that its shape and type ask for.
        graphs: all of the model.
    """
    wrong = [(tensor, flaw) for tensor, size in tensors if (flaw := _flaw(tensor, size))]
    if not wrong:
        return []
    read = {name for graph in graphs for node in graph.node for name in node.input}
    read |= {value.name for graph in graphs for value in graph.output}
    held = {id(t) for graph in graphs for t in graph.initializer if t.name in read} | {
        id(a.t) for graph in graphs for node in graph.node if node.op_type == "Constant" for a in node.attribute
    }
    return [f"the tensor {printable(str(t.name), 60)!r} {flaw}" for t, flaw in wrong if id(t) in held]


def _flaw(tensor: Any, size: int) -> str:
    if tensor.data_location == _EXTERNAL:
        return _external_flaw(tensor, size)
    if tensor.HasField("raw_data"):
        held = len(tensor.raw_data)
    elif tensor.HasField("segment"):  # a large file, read without its values (`onnx_wire`)
        if not tensor.segment.begin:
            return ""
        held = tensor.segment.begin - 1
    else:
        field = _FIELDS.get(dtype_of(tensor.data_type))
        if field is None:
            return ""
        count, asked = len(getattr(tensor, field)), _count(tensor)
        return "" if count == asked else f"holds {count:,} values, its shape asks for {asked:,}"
    return "" if held == size else f"holds {held:,} bytes, its shape and type ask for {size:,}"


def _count(tensor: Any) -> int:
    count = 1
    for extent in tensor.dims:
        count *= extent
    return count


def _external_flaw(tensor: Any, size: int) -> str:
    entries = {str(entry.key): str(entry.value) for entry in tensor.external_data}
    for key in entries:
        if key not in _KEYS and not key.startswith("prepacked"):
            return f"lies in external data with the key {printable(key, 40)!r}, which ONNX Runtime does not know"
    empty = [str(entry.key) for entry in tensor.external_data if entry.key in _KEYS and not entry.value]
    if empty:
        return f"lies in external data with an empty {empty[0]}"
    length = entries.get("length", "")
    if length and length.isdecimal() and int(length) != size:
        return f"lies in {int(length):,} bytes of external data, its shape and type ask for {size:,}"
    return ""
