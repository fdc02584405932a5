"""Facts read off an ONNX file, without running it and without reading the weights that lie beside it.

The file may come from anybody: whatever is wrong with it is an ``IntegrityError``, never a crash. Not here: what a fact
means for a target (``core.rules``).
"""

import math
import os
import stat
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, lru_cache
from itertools import chain
from typing import Any, TypeVar

from promote.adapters.onnx_external import external_files
from promote.adapters.onnx_memory import memory_of
from promote.adapters.onnx_nodes import Walk, walked
from promote.adapters.onnx_package import messages
from promote.adapters.onnx_parts import domain_of, dtype_of, graphs_in, node_of, spec_of, text
from promote.adapters.onnx_values import value_flaws
from promote.adapters.onnx_wire import skim
from promote.core.extents import Activations
from promote.core.facts import Fact, Later, ModelFacts
from promote.core.names import printable
from promote.core.tensors import BITS, DType
from promote.errors import InputError, IntegrityError, NotFound

_LARGEST = 2**31  # protobuf's own limit of one message
_LARGE = 1024 * 1024  # from here on the weights are left out before the file is parsed
_PRECISION = {"FLOAT": "fp32", "FLOAT16": "fp16", "BFLOAT16": "bf16", "DOUBLE": "fp64"}
_MOST_DIMS = 1024
_MOST_FLAWS = 5
_MOST_TENSORS = 500_000  # the largest models have some ten thousand

T = TypeVar("T")


def read_facts(path: str) -> ModelFacts:
    """Facts of an ONNX model.

    Args:
        path: the model file; its external data is looked for beside it, as ONNX Runtime does.

    Raises:
        NotFound: no such file.
        InputError: an empty file, or it cannot be read.
        IntegrityError: damaged, or it says something impossible.
    """
    with opened(path) as handle:
        return facts_of(handle, path)


@contextmanager
def opened(path: str) -> Iterator[int]:
    """A plain file, open for reading.

    Raises:
        NotFound: no such file.
        InputError: it cannot be read, now or inside the ``with``.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe would wait for its writer
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:  # ValueError: a zero byte
        raise NotFound(f"{printable(path)} is not there: expected a model file") from error
    except OSError as error:
        raise InputError(f"cannot read {printable(path)}: {error.strerror}") from error
    try:
        mode = os.fstat(handle).st_mode
        if not stat.S_ISREG(mode):
            kind = "a folder" if stat.S_ISDIR(mode) else "not there"
            raise NotFound(f"{printable(path)} is {kind}: expected a model file")
        yield handle
    except OSError as error:
        raise InputError(f"cannot read {printable(path)}: {error.strerror}") from error
    finally:
        os.close(handle)


def facts_of(handle: int, path: str, source: str = "") -> ModelFacts:
    """The same of an open file; ``source`` is what the facts call it, where not by its name."""
    size = os.fstat(handle).st_size
    if not size:
        raise InputError(f"{printable(path)} is empty: expected an ONNX model")
    if size >= _LARGEST:
        raise IntegrityError(
            f"{printable(path)} has {size:,} bytes, an ONNX file holds less than {_LARGEST:,}",
            hint="larger models keep their weights in external data: onnx.save(..., save_as_external_data=True)",
        )
    folder, slash, name = path.rpartition("/")
    data = os.pread(handle, size, 0) if size <= _LARGE else skim(handle, size, name)
    return _onnx_facts(_parse(data, name), folder + slash, name, source or name)


def _parse(data: bytes, name: str) -> Any:
    from google.protobuf.message import DecodeError

    model = messages().ModelProto()
    try:
        model.ParseFromString(data)
    except DecodeError as error:
        raise IntegrityError(
            f"{name} is no ONNX model, or damaged: {printable(str(error))}",
            hint="promote check reads .onnx files and TensorRT plans",
        ) from error
    if not model.HasField("graph") or not model.ir_version or not (model.opset_import or model.graph.node):
        raise IntegrityError(f"{name} is no ONNX model: it has no graph, IR version or opset")
    return model


@dataclass
class _Seen:
    """What a walk over all graphs gathers."""

    tensors: list[Any] = field(default_factory=list)
    domains: set[str] = field(default_factory=set)

    def of_graph(self, graph: Any) -> None:
        """The tensors of a graph, its nodes' left out."""
        self.tensors += graph.initializer
        self.tensors += [t for sparse in graph.sparse_initializer for t in (sparse.values, sparse.indices)]


def _onnx_facts(model: Any, folder: str, name: str, source: str) -> ModelFacts:
    walk = walked(model)
    seen = _seen(model, walk)
    if len(seen.tensors) > _MOST_TENSORS:
        raise IntegrityError(f"{name} has {len(seen.tensors):,} tensors, expected at most {_MOST_TENSORS:,}")
    sizes = [(tensor, _bytes(tensor, name)) for tensor in seen.tensors]
    weights: Counter[DType] = Counter()
    for tensor, size in sizes:
        weights[dtype_of(tensor.data_type)] += size
    graph = model.graph
    inside = {t.name for t in graph.initializer} | {t.values.name for t in graph.sparse_initializer}
    inputs = tuple([spec_of(value) for value in graph.input if value.name not in inside])
    outputs = tuple([spec_of(value) for value in graph.output])

    flaws = (*walk.flaws, *value_flaws(sizes, walk.graphs))[:_MOST_FLAWS]

    @cache
    def memory() -> tuple[Activations, dict[str, tuple[int, int]]]:
        return memory_of(model)

    def fact(value: T) -> Fact[T]:
        return Fact(value, source, measured=True)

    return ModelFacts(
        format=fact("onnx"),
        ir_version=fact(model.ir_version),
        opsets=fact(_opsets(model)),
        inputs=fact(inputs),
        outputs=fact(outputs),
        dtypes=fact(frozenset([*[spec.dtype for spec in inputs], *[spec.dtype for spec in outputs], *weights])),
        weights_bytes=fact(weights.total()),
        external=fact(external_files(sizes, folder, name)),
        domains=fact(frozenset(seen.domains)),
        nodes=None if walk.too_deep else fact(frozenset(walk.uses)),
        tally=Later(lambda: memory()[1], source),
        activations=Later(lambda: memory()[0], source),
        flaws=fact(flaws),
        producer=fact(f"{text(model.producer_name)} {text(model.producer_version)}".strip()),
        precision=fact(_precision(weights)),
    )


def _opsets(model: Any) -> dict[str, int]:
    """The highest of each domain: ONNX Runtime holds a function's own imports to the same limit, called or not (measured
    on 1.32.0).
    """
    opsets: dict[str, int] = {}
    for entry in chain(model.opset_import, *(function.opset_import for function in model.functions)):
        domain = domain_of(entry.domain)
        opsets[domain] = max(entry.version, opsets.get(domain, 0))
    return opsets


def _precision(weights: Counter[DType]) -> str:
    floating = [(size, dtype) for dtype, size in weights.items() if dtype in _PRECISION]
    return _PRECISION[max(floating)[1]] if floating else "fp32"


def _seen(model: Any, walk: Walk) -> _Seen:
    """All tensors and domains; the walk over the operators met them, but for functions that nobody calls."""
    if model.functions or walk.too_deep:
        return _walk(model)
    seen = _Seen(domains=walk.domains)
    for graph in walk.graphs:
        seen.of_graph(graph)
    for node in walk.holders:
        _unfold(node.attribute, seen)
    return seen


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
            seen.of_graph(graph)
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
    dims = tuple(tensor.dims)
    if len(dims) > _MOST_DIMS or (dims and min(dims) < 0):
        raise IntegrityError(f"{name}: tensor {printable(text(tensor.name), 60)!r} has the shape {list(dims[:8])}")
    bits = _bits(tensor.data_type)
    if bits is None:
        left_out: int = tensor.segment.end  # see ``onnx_wire``
        return sum(len(value) for value in tensor.string_data) + max(left_out, 0)
    count: int = math.prod(dims)
    return (count * bits + 7) // 8


@lru_cache(maxsize=256)
def _bits(number: int) -> int | None:
    """Of one value; ``None`` where it is a text."""
    dtype = dtype_of(number)
    # Of a type that is not known the rule `dtypes` or `io-types` says so.
    return None if dtype == "STRING" else BITS.get(dtype, 8)
