"""Makes a lower precision of an exported ONNX file, in the child process; its inputs and outputs stay as they were.

ONNX Runtime's own converter decides which operators may compute in fp16 and puts casts around the others and at the edges. bf16
is the same graph with the other type, its weights taken anew from the export: bf16 keeps fp32's range, so nothing is cut off.
Not here: whether the answers still agree (``core.parity``).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from promote.adapters.export.refusal import Refusal
from promote.adapters.export.rounding import write_rounding
from promote.adapters.export.weights import move_out


def lower(job: dict[str, Any]) -> dict[str, Any]:
    """Writes ``out/model.onnx`` of precision ``job["precision"]`` (``fp16`` or ``bf16``) from ``job["model"]``.

    Raises:
        Refusal: the converter fails on it, or finds nothing to lower.
    """
    import onnx
    import onnx_ir
    import onnxruntime

    print(f"converting to {job['precision']}", flush=True)
    ir = onnx_ir.serde.deserialize_model(_to_fp16(onnx.load(job["model"])))
    if job["precision"] == "bf16":
        _to_bf16(ir, onnx_ir.serde.deserialize_model(onnx.load(job["model"])))
    wanted = {"fp16": onnx_ir.DataType.FLOAT16, "bf16": onnx_ir.DataType.BFLOAT16}[job["precision"]]
    if not any(value.const_value is not None and value.const_value.dtype == wanted for value in _weights(ir)):
        raise Refusal("export", f"no weight of the model can be {job['precision']}", "leave this variant out")
    ir.graph.sort()  # the converter puts its casts at the end; ONNX wants each value made before it is read
    out = Path(job["out"])
    move_out(ir, out)
    onnx_ir.save(ir, out / "model.onnx")
    if job["precision"] == "bf16":
        write_rounding(out / "model.onnx", Path(job["rounding"]))
    return {"tools": {"onnxruntime": onnxruntime.__version__, "onnx_ir": onnx_ir.__version__}}


def _to_fp16(model: Any) -> Any:
    from onnxruntime.transformers.float16 import convert_float_to_float16

    try:
        return convert_float_to_float16(model, keep_io_types=True)
    except Exception as error:  # protobuf, onnx and the converter raise many classes: "this model cannot be converted"
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise Refusal("export", f"ONNX Runtime's converter fails on it: {first}", "leave this variant out") from error


def _weights(model: Any) -> Iterator[Any]:
    for graph in (model.graph, *model.graph.subgraphs()):
        yield from graph.initializers.values()


def _to_bf16(model: Any, source: Any) -> None:
    """Every fp16 of the model becomes bf16; weights and constants are those of ``source``, rounded once."""
    import onnx_ir

    half, other = onnx_ir.DataType.FLOAT16, onnx_ir.DataType.BFLOAT16
    held = {value.name: value.const_value for value in _weights(source)}
    made = {node.outputs[0].name: node for node in source.graph.all_nodes()}
    for value in _weights(model):
        if value.const_value is not None and value.const_value.dtype == half:
            value.const_value = _rounded(held.get(value.name) or value.const_value)
            value.dtype = other
    for node in model.graph.all_nodes():
        for value in node.outputs:
            if value.dtype == half:
                value.dtype = other
        for name, attribute in list(node.attributes.items()):
            if attribute.type == onnx_ir.AttributeType.INT and name in ("to", "dtype") and attribute.value == half:
                node.attributes[name] = onnx_ir.AttrInt64(name, int(other))
            if attribute.type == onnx_ir.AttributeType.TENSOR and attribute.value.dtype == half:
                former = made.get(node.outputs[0].name)
                tensor = former.attributes[name].value if former and name in former.attributes else attribute.value
                node.attributes[name] = onnx_ir.AttrTensor(name, _rounded(tensor))


def _rounded(tensor: Any) -> Any:
    """The same values as bf16, to the nearest."""
    import ml_dtypes
    import onnx_ir

    return onnx_ir.tensor(tensor.numpy().astype(ml_dtypes.bfloat16), dtype=onnx_ir.DataType.BFLOAT16, name=tensor.name)
