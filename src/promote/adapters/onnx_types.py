"""Types of a node's outputs by the signature that onnx publishes of its operator, by attributes and by inner graphs.

Types only, no shapes, and without onnx's C++ inference, which a hostile file could keep busy. Not here: the walk over graphs
(``onnx_nodes``).
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from promote.adapters.onnx_package import operators
from promote.adapters.onnx_parts import element_of

_BY_ATTRIBUTE = {"Cast": "to", "RandomNormal": "dtype", "RandomUniform": "dtype", "RandomNormalLike": "dtype",
                 "RandomUniformLike": "dtype", "EyeLike": "dtype", "Multinomial": "dtype", "Bernoulli": "dtype",
                 "QuantizeLinear": "output_dtype", "DequantizeLinear": "output_dtype", "BlackmanWindow": "output_datatype",
                 "HannWindow": "output_datatype", "HammingWindow": "output_datatype",
                 "MelWeightMatrix": "output_datatype", "SequenceEmpty": "dtype"}  # fmt: skip
_DEFAULT = {"RandomNormal": 1, "RandomUniform": 1, "Multinomial": 6, "BlackmanWindow": 1, "HannWindow": 1,
            "HammingWindow": 1, "MelWeightMatrix": 1, "SequenceEmpty": 1}  # fmt: skip


@lru_cache(maxsize=4096)
def signature(domain: str, name: str, version: int) -> Any:
    """onnx's own schema of the operator at that opset, or ``None``."""
    try:
        return operators().get_schema(name, version, domain)
    except (operators().SchemaError, ValueError, TypeError):
        return None


def outputs_of(
    node: Any, domain: str, version: int, inputs: tuple[str | None, ...], inside: list[list[str | None]]
) -> list[str | None]:
    """Types of a node's outputs, as far as its signature, attributes and subgraphs tell."""
    count = len(node.output)
    if domain == "" and node.op_type in ("If", "Loop", "Scan", "SequenceMap") and inside:
        return _of_subgraph(node, inputs, inside, count, version)
    if (domain == "" or node.op_type == "Constant") and (told := _by_attribute(node, inputs)):
        return [told] * count
    schema = signature(domain, node.op_type, version) if version else None
    if schema is None:
        return [None] * count
    bound: dict[str, str] = {}
    for position, given in enumerate(inputs):
        if given and schema.inputs:
            formal = schema.inputs[min(position, len(schema.inputs) - 1)]
            if formal.is_homogeneous:
                bound.setdefault(formal.type_str, given)
    if domain == "" and node.op_type in _CONTAINERS:
        return [_CONTAINERS[node.op_type](inputs)] * count
    return [_formal_type(schema.outputs, position, bound) for position in range(count)]


def _formal_type(formals: Any, position: int, bound: Mapping[str, str]) -> str | None:
    if not formals:
        return None
    formal = formals[min(position, len(formals) - 1)]
    if formal.type_str in bound:
        return bound[formal.type_str]
    return next(iter(formal.types)) if len(formal.types) == 1 else None


_CONTAINERS: Mapping[str, Any] = {
    "SequenceConstruct": lambda i: f"seq({i[0]})" if i and i[0] else None,
    "SequenceAt": lambda i: i[0][4:-1] if i and i[0] and i[0].startswith("seq(") else None,
    "SplitToSequence": lambda i: f"seq({i[0]})" if i and i[0] else None,
    "ConcatFromSequence": lambda i: i[0][4:-1] if i and i[0] and i[0].startswith("seq(") else None,
    "SequenceInsert": lambda i: i[0] if i else None,
    "SequenceErase": lambda i: i[0] if i else None,
    "Optional": lambda i: f"optional({i[0]})" if i and i[0] else None,
    "OptionalGetElement": lambda i: (
        i[0].removeprefix("optional(")[: -1 if i[0].startswith("optional(") else None] if i and i[0] else None
    ),
}


def _by_attribute(node: Any, inputs: tuple[str | None, ...]) -> str | None:
    """The type that an attribute names: ``to`` of Cast, the value of a Constant..."""
    attributes = {a.name: a for a in node.attribute}
    if node.op_type == "Constant":
        return _constant(attributes)
    if node.op_type == "ConstantOfShape":
        return f"tensor({element_of(attributes['value'].t.data_type)})" if "value" in attributes else "tensor(float)"
    if node.op_type not in _BY_ATTRIBUTE:
        return None
    told = attributes.get(_BY_ATTRIBUTE[node.op_type])
    number = (told.i if told is not None else 0) or _DEFAULT.get(node.op_type, 0)
    if number:
        tensor = f"tensor({element_of(number)})"
        return f"seq({tensor})" if node.op_type == "SequenceEmpty" else tensor
    if node.op_type == "QuantizeLinear":
        return inputs[2] if len(inputs) > 2 and inputs[2] else "tensor(uint8)"
    if node.op_type in ("RandomNormalLike", "RandomUniformLike", "EyeLike", "Bernoulli"):
        return inputs[0] if inputs else None
    return None  # DequantizeLinear: by its signature


def _constant(attributes: Mapping[str, Any]) -> str | None:
    for name, told in attributes.items():
        if name == "value":
            return f"tensor({element_of(told.t.data_type)})"
        if name == "sparse_value":
            return f"tensor({element_of(told.sparse_tensor.values.data_type)})"
        for kind, element in (("float", "float"), ("int", "int64"), ("string", "string")):
            if name in (f"value_{kind}", f"value_{kind}s"):
                return f"tensor({element})"
    return None


def _of_subgraph(
    node: Any, inputs: tuple[str | None, ...], inside: list[list[str | None]], count: int, version: int
) -> list[str | None]:
    if node.op_type == "If":
        first, second = inside[0], inside[-1]
        return [a or b for a, b in zip(first, second, strict=False)][:count]
    told = inside[0][1:] if node.op_type == "Loop" else inside[0]  # a Loop's body answers its condition first
    if node.op_type == "SequenceMap":
        told = [f"seq({t})" if t else None for t in told]
    if node.op_type == "Scan":
        scanned = next((int(a.i) for a in node.attribute if a.name == "num_scan_inputs"), 0)
        states = inputs[0 if version > 8 else 1 : max(len(inputs) - scanned, 0)]
        told = [*(before or after for before, after in zip(states, told, strict=False)), *told[len(states) :]]
    return (told + [None] * count)[:count]
