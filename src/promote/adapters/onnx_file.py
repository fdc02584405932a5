"""Facts read off an ONNX file, without running it and without reading the weights that lie beside it.

The file may come from anybody: whatever is wrong with it is an ``IntegrityError``, never a crash. Not here: what a fact
means for a target (``core.rules``).
"""

import math
import os
import stat
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from promote.adapters.onnx_nodes import node_uses
from promote.adapters.onnx_parts import domain_of, dtype_of, graphs_in, node_of, spec_of, text
from promote.core.facts import ExternalFile, Fact, ModelFacts
from promote.core.names import bundle_path, printable
from promote.core.tensors import DType
from promote.errors import InputError, IntegrityError, NotFound

_LARGEST = 2**31  # protobuf's own limit of one message
_PRECISION = {"FLOAT": "fp32", "FLOAT16": "fp16", "BFLOAT16": "bf16", "DOUBLE": "fp64"}
_HALF_BYTE = ("INT4", "UINT4", "FLOAT4E2M1")
_QUARTER_BYTE = ("INT2", "UINT2")


def read_facts(path: str) -> ModelFacts:
    """Facts of an ONNX model.

    Args:
        path: the model file; its external data is looked for beside it, as ONNX Runtime does.

    Raises:
        NotFound: no such file.
        InputError: an empty file, or it cannot be read.
        IntegrityError: damaged, or it says something impossible.
    """
    file = Path(path)
    try:
        if not file.is_file():
            raise NotFound(
                f"{printable(path)} is {'a folder' if file.is_dir() else 'not there'}: expected a model file"
            )
        size = file.stat().st_size
    except OSError as error:
        raise InputError(f"cannot read {printable(path)}: {error.strerror}") from error
    if not size:
        raise InputError(f"{printable(path)} is empty: expected an ONNX model")
    if size >= _LARGEST:
        raise IntegrityError(
            f"{printable(path)} has {size:,} bytes, an ONNX file holds less than {_LARGEST:,}",
            hint="larger models keep their weights in external data: onnx.save(..., save_as_external_data=True)",
        )
    return _onnx_facts(_parse(file), file)


def _parse(file: Path) -> Any:
    from google.protobuf.message import DecodeError
    from onnx import ModelProto

    model = ModelProto()
    try:
        data = file.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {printable(str(file))}: {error.strerror}") from error
    try:
        model.ParseFromString(data)
    except DecodeError as error:
        raise IntegrityError(
            f"{file.name} is no ONNX model, or damaged: {printable(str(error))}",
            hint="promote check reads .onnx files and TensorRT plans",
        ) from error
    if not model.HasField("graph") or not model.ir_version or not (model.opset_import or model.graph.node):
        raise IntegrityError(f"{file.name} is no ONNX model: it has no graph, IR version or opset")
    return model


@dataclass
class _Seen:
    """What a walk over all graphs gathers."""

    tensors: list[Any] = field(default_factory=list)
    domains: set[str] = field(default_factory=set)


def _onnx_facts(model: Any, file: Path) -> ModelFacts:
    name = file.name
    seen = _walk(model)
    sizes = [(dtype_of(t.data_type), _bytes(t, name)) for t in seen.tensors]
    inside = {t.name for t in model.graph.initializer} | {t.values.name for t in model.graph.sparse_initializer}
    inputs = tuple(spec_of(v) for v in model.graph.input if v.name not in inside)
    outputs = tuple(spec_of(v) for v in model.graph.output)
    opsets: dict[str, int] = {}
    # ONNX Runtime holds a function's own imports to the same limit, called or not (measured on 1.32.0).
    for entry in chain(model.opset_import, *(function.opset_import for function in model.functions)):
        opsets[domain_of(entry.domain)] = max(entry.version, opsets.get(domain_of(entry.domain), 0))
    weights: Counter[DType] = Counter()
    for dtype, size in sizes:
        weights[dtype] += size
    nodes = node_uses(model)
    return ModelFacts(
        format=Fact("onnx", name, measured=True),
        ir_version=Fact(model.ir_version, name, measured=True),
        opsets=Fact(opsets, name, measured=True),
        inputs=Fact(inputs, name, measured=True),
        outputs=Fact(outputs, name, measured=True),
        dtypes=Fact(frozenset((*(t.dtype for t in (*inputs, *outputs)), *weights)), name, measured=True),
        weights_bytes=Fact(weights.total(), name, measured=True),
        external=Fact(_external(seen.tensors, file), name, measured=True),
        domains=Fact(frozenset(seen.domains), name, measured=True),
        nodes=Fact(nodes, name, measured=True) if nodes is not None else None,
        producer=Fact(f"{text(model.producer_name)} {text(model.producer_version)}".strip(), name, measured=True),
        precision=Fact(_precision(weights), name, measured=True),
    )


def _precision(weights: Counter[DType]) -> str:
    floating = [(size, dtype) for dtype, size in weights.items() if dtype in _PRECISION]
    return _PRECISION[max(floating)[1]] if floating else "fp32"


def _walk(model: Any) -> _Seen:
    """Every graph and function, subgraphs included; by a list, as a hostile file may nest deeply."""
    seen = _Seen()
    own = {(domain_of(f.domain), f.name) for f in model.functions}
    nodes: list[Any] = [node for f in model.functions for node in f.node]
    graphs = [model.graph]
    for function in model.functions:
        graphs += _unfold(function.attribute_proto, seen)
    while graphs or nodes:
        if graphs:
            graph = graphs.pop()
            seen.tensors += graph.initializer
            seen.tensors += [t for sparse in graph.sparse_initializer for t in (sparse.values, sparse.indices)]
            nodes += graph.node
            continue
        message = nodes.pop()
        node = node_of(message)
        if not own or (node.domain, node.name) not in own:
            seen.domains.add(node.domain)
        if node.nests or node.holds:
            graphs += _unfold(message.attribute, seen)
    return seen


def _unfold(attributes: Any, seen: _Seen) -> list[Any]:
    """The graphs in these attributes; their tensors are seen."""
    for attribute in attributes:
        seen.tensors += [attribute.t] if attribute.HasField("t") else []
        seen.tensors += attribute.tensors
    return graphs_in(attributes)


def _bytes(tensor: Any, name: str) -> int:
    """Bytes of a tensor's values, from its shape and type; strings as they lie there."""
    if any(d < 0 for d in tensor.dims):
        raise IntegrityError(
            f"{name}: tensor {printable(text(tensor.name), 60)!r} has the shape {list(tensor.dims)[:8]}"
        )
    dtype = dtype_of(tensor.data_type)
    count: int = math.prod(tensor.dims)
    if dtype == "STRING":
        return sum(len(value) for value in tensor.string_data)
    if dtype in _HALF_BYTE:
        return (count + 1) // 2
    if dtype in _QUARTER_BYTE:
        return (count + 3) // 4
    return count * _width(tensor.data_type)


def _width(number: int) -> int:
    from onnx.helper import tensor_dtype_to_np_dtype

    try:
        return int(tensor_dtype_to_np_dtype(number).itemsize)
    except (KeyError, TypeError, ValueError):
        return 1  # a type this onnx does not know: the rule `dtypes` or `io-types` says so


def _external(tensors: list[Any], file: Path) -> tuple[ExternalFile, ...]:
    """One entry per data file, with the bytes the model reads of it."""
    from onnx import TensorProto

    needed: dict[str, int] = {}
    for tensor in tensors:
        if tensor.data_location == TensorProto.EXTERNAL:
            entries = {text(entry.key): text(entry.value) for entry in tensor.external_data}
            location = entries.get("location", "")
            end = _number(entries, "offset", file) + _number(entries, "length", file, _bytes(tensor, file.name))
            needed[location] = max(end, needed.get(location, 0))
    return tuple(_external_file(location, end, file) for location, end in sorted(needed.items()))


def _number(entries: dict[str, str], key: str, file: Path, default: int = 0) -> int:
    text = entries.get(key, "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise IntegrityError(
            f"{file.name}: external data has the {key} {printable(text, 40)!r}, expected a whole number"
        )
    return int(text)


def _external_file(location: str, needed: int, file: Path) -> ExternalFile:
    try:
        bundle_path(location)
    except IntegrityError:
        return ExternalFile(location, needed, None, "not a plain path inside the model's folder")
    try:
        faults = list(_links(file.parent, location))
        if faults:
            return ExternalFile(location, needed, None, faults[0])
        return ExternalFile(location, needed, (file.parent / location).stat().st_size)
    except OSError:
        return ExternalFile(location, needed, None)


def _links(folder: Path, location: str) -> Iterator[str]:
    at = folder
    for part in location.split("/"):
        at = at / part
        mode = os.lstat(at).st_mode
        if stat.S_ISLNK(mode):
            yield "it is a link, or lies behind one"
    if not stat.S_ISREG(mode):
        yield "it is not a plain file"
