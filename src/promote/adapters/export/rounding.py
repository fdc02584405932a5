"""A bf16 model as fp32 arithmetic whose every result is rounded to bf16: what a device with bf16 hardware would answer.

ONNX Runtime has few bf16 kernels on a CPU beside ``Cast`` (measured: 1.32.0 has none for ``Add``). The weights are those of
the exact bytes. Devices add up in fp32 inside one operator too, so the difference is that of the order. In the child process.
"""

from pathlib import Path
from typing import Any


def write_rounding(model: Path, goal: Path) -> None:
    """Writes the model at ``model``, whose inner types are bf16, as one that a CPU runs."""
    import onnx
    import onnx_ir

    typed = onnx.shape_inference.infer_shapes(onnx.load(str(model)), check_type=True, strict_mode=True)
    ir = onnx_ir.serde.deserialize_model(typed)
    wide, half = onnx_ir.DataType.FLOAT, onnx_ir.DataType.BFLOAT16
    for graph in (ir.graph, *ir.graph.subgraphs()):
        for value in graph.initializers.values():
            if value.const_value is not None and value.const_value.dtype == half:
                value.const_value, value.dtype = _wide(value.const_value), wide
        for node in list(graph):
            _widen(node, wide, half)
            for value in node.outputs:
                if value.dtype == half:
                    _round(graph, node, value, wide, half)
    onnx_ir.save(ir, goal)


def _widen(node: Any, wide: Any, half: Any) -> None:
    import onnx_ir

    for name, attribute in list(node.attributes.items()):
        if attribute.type == onnx_ir.AttributeType.INT and name in ("to", "dtype") and attribute.value == half:
            node.attributes[name] = onnx_ir.AttrInt64(name, int(wide))
        if attribute.type == onnx_ir.AttributeType.TENSOR and attribute.value.dtype == half:
            node.attributes[name] = onnx_ir.AttrTensor(name, _wide(attribute.value))


def _wide(tensor: Any) -> Any:
    import onnx_ir

    return onnx_ir.tensor(tensor.numpy().astype("float32"), dtype=onnx_ir.DataType.FLOAT, name=tensor.name)


def _round(graph: Any, node: Any, value: Any, wide: Any, half: Any) -> None:
    """Puts a cast to bf16 and one back between the value and all that reads it."""
    import onnx_ir

    value.dtype = wide
    down = onnx_ir.node("Cast", [value], {"to": int(half)})
    up = onnx_ir.node("Cast", down.outputs, {"to": int(wide)})
    down.outputs[0].dtype, up.outputs[0].dtype = half, wide
    down.outputs[0].name, up.outputs[0].name = f"{value.name}_rounded", f"{value.name}_rounded_up"
    onnx_ir.convenience.replace_all_uses_with(value, up.outputs[0], replace_graph_outputs=True)
    down.replace_input_with(0, value)
    graph.insert_after(node, [down, up])
