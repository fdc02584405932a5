"""The small parts of an ONNX model in plain values: nodes, declared values, types. Each is read once.

Models repeat themselves and each other, and reading a protobuf message field by field is slow: a short message is known
again by its bytes. Nothing of a message is kept alive here. Not here: what follows from a part (``onnx_nodes``,
``onnx_file``).
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Generic, TypeVar

from promote.adapters.onnx_package import messages
from promote.core.names import printable
from promote.core.tensors import DType, TensorSpec
from promote.errors import IntegrityError

_P = TypeVar("_P")
_MOST = 32_768  # parts remembered of each kind
_SHORT = 512  # bytes of a message that is remembered
_TOLD = 1024  # bytes of an attribute, and
_MOST_TOLD = 40  # attributes, beyond which a node is not told by them


class Memory(Generic[_P]):
    """Answers by what they were made from; all are forgotten when they are too many."""

    __slots__ = ("_made", "get")

    def __init__(self) -> None:
        self._made: dict[Any, _P] = {}
        self.get = self._made.get

    def keep(self, key: Any, answer: _P) -> _P:
        """The answer, remembered."""
        _keep(self._made, key, answer)
        return answer


def _remembered(make: Callable[[Any], _P]) -> Callable[[Any], _P]:
    """``make``, asked once for short messages of the same bytes."""
    made: dict[bytes, _P] = {}

    def ask(message: Any) -> _P:
        data: bytes = message.SerializeToString()
        found = made.get(data)
        if found is None:
            found = make(message)
            if len(data) <= _SHORT:
                _keep(made, data, found)
        return found

    return ask


def _keep(made: dict[Any, _P], key: Any, answer: _P) -> None:
    if len(made) >= _MOST:
        made.clear()
    made[key] = answer


@dataclass(frozen=True, slots=True)
class Node:
    """What a node says itself.

    Args:
        domain: the default one has no name.
        name: of the operator.
        label: the node's own name, or empty.
        inputs: names of values, empty where one is left out.
        outputs: likewise.
        key: the same for nodes that differ in the names of values alone; ``None`` where it nests or its attributes are long.
        nests: it holds graphs.
        holds: it holds tensors, outside of graphs.
    """

    domain: str
    name: str
    label: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    key: tuple[Any, ...] | None
    nests: bool
    holds: bool


@_remembered
def node_of(node: Any) -> Node:
    """A ``NodeProto``.

    Raises:
        IntegrityError: the domain or operator is no UTF-8.
    """
    attributes, outputs = node.attribute, tuple(node.output)
    told, nests = _told(attributes), bool(graphs_in(attributes))
    domain, name = domain_of(node.domain), text(node.op_type)
    return Node(
        domain,
        name,
        str(node.name),
        tuple(node.input),
        outputs,
        None if nests or told is None else (name, domain, told, len(outputs)),
        nests,
        any(a.HasField("t") or a.tensors for a in attributes),
    )


def _told(attributes: Any) -> tuple[bytes, ...] | None:
    if len(attributes) > _MOST_TOLD:
        return None
    told = tuple([a.SerializeToString() for a in attributes])
    return None if any(len(one) > _TOLD for one in told) else told


@dataclass(frozen=True, slots=True)
class Value:
    """A declared value: an input or output of a graph, or one between nodes.

    Args:
        name: as nodes name it.
        type: in ONNX's words, ``tensor(float)``; ``None`` where it says nothing.
    """

    name: str
    type: str | None


@_remembered
def value_of(value: Any) -> Value:
    """A ``ValueInfoProto``."""
    return Value(value.name, type_text(value.type))


@_remembered
def spec_of(value: Any) -> TensorSpec:
    """A ``ValueInfoProto`` that is an input or output of the model.

    Raises:
        IntegrityError: a name that is no UTF-8.
    """
    name = text(value.name)
    kind = value.type.WhichOneof("value")
    if kind != "tensor_type":
        words = {"sequence_type": "SEQUENCE", "map_type": "MAP", "optional_type": "OPTIONAL", None: "UNDEFINED"}
        return TensorSpec(name, DType(words.get(kind, str(kind).upper())), None)
    tensor = value.type.tensor_type
    shape = None
    if tensor.HasField("shape"):
        shape = tuple(_dim(dim, f"{name}_{axis}") for axis, dim in enumerate(tensor.shape.dim))
    return TensorSpec(name, dtype_of(tensor.elem_type), shape)


def _dim(dim: Any, unnamed: str) -> int | str:
    if dim.HasField("dim_value") and dim.dim_value > 0:
        return int(dim.dim_value)
    return text(dim.dim_param) or unnamed


def graphs_in(attributes: Iterable[Any]) -> list[Any]:
    """The subgraphs that these attributes hold."""
    found = []
    for attribute in attributes:
        found += [attribute.g] if attribute.HasField("g") else []
        found += attribute.graphs
    return found


def type_text(proto: Any) -> str | None:
    """A ``TypeProto`` in ONNX's words, ``tensor(float)``; ``None`` where it says nothing."""
    kind = proto.WhichOneof("value")
    if kind == "tensor_type":
        return f"tensor({element_of(proto.tensor_type.elem_type)})" if proto.tensor_type.elem_type else None
    if kind in ("sequence_type", "optional_type"):
        inner = type_text(getattr(proto, kind).elem_type)
        return f"{'seq' if kind == 'sequence_type' else 'optional'}({inner})" if inner else None
    if kind == "map_type":
        inner = type_text(proto.map_type.value_type)
        return f"map({element_of(proto.map_type.key_type)},{inner})" if inner else None
    if kind == "sparse_tensor_type":
        return f"sparse_tensor({element_of(proto.sparse_tensor_type.elem_type)})"
    return None


def type_proto(text: str | None) -> Any:
    """The reverse, for tensors, sequences and optionals of them."""
    proto = messages().TypeProto()
    if not text:
        return proto
    for head, field in (("seq(", "sequence_type"), ("optional(", "optional_type")):
        if text.startswith(head):
            getattr(proto, field).elem_type.CopyFrom(type_proto(text[len(head) : -1]))
            return proto
    if text.startswith("tensor("):
        proto.tensor_type.elem_type = _numbers().get(text[7:-1], 0)
    return proto


def dtype_of(number: int) -> DType:
    """An element type by its number, ``FLOAT``; ``TYPE_99`` where this onnx does not know it."""
    return DType(_names().get(number, f"TYPE_{number}"))


def element_of(number: int) -> str:
    """The same in ONNX's words for types, ``float``."""
    return _words().get(number, f"type{number}")


@lru_cache(maxsize=1)
def _names() -> Mapping[int, str]:
    return {number: name for name, number in messages().TensorProto.DataType.items()}


@lru_cache(maxsize=1)
def _words() -> Mapping[int, str]:
    return {number: name.lower() for number, name in _names().items()}


@lru_cache(maxsize=1)
def _numbers() -> Mapping[str, int]:
    return {name: number for number, name in _words().items()}


def text(value: Any) -> str:
    """A string of the file; protobuf hands out ``bytes`` where it is no UTF-8.

    Raises:
        IntegrityError: those bytes.
    """
    if isinstance(value, str):
        return value
    raise IntegrityError(f"the ONNX model holds a name that is no UTF-8: {printable(repr(value), 60)}")


def domain_of(domain: Any) -> str:
    """The operator domain in one spelling: the default one has no name."""
    return "" if domain == "ai.onnx" else text(domain)
