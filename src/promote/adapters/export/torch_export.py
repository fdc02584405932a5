"""Exports a torch model to ONNX, in the child process, and runs the source model on the samples.

The opset and the IR version come from the plan, never from a package's defaults; metadata that names paths of this
machine is cleared, so the same model gives the same bytes.
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from promote.adapters.export.refusal import Refusal
from promote.adapters.export.samples import generate
from promote.adapters.export.sources import Source, open_source
from promote.adapters.export.weights import move_out
from promote.core.golden import join

if TYPE_CHECKING:
    import numpy as np

# Words of torch.export for a graph that depends on values, and what they mean for the user.
_DYNAMIC_FLOW = ("data-dependent", "DataDependent", "dynamic control flow", "GuardOnDataDependentSymNode", "UserError")


def export(job: Mapping[str, Any]) -> dict[str, Any]:
    """Writes ``out/`` (model.onnx, tokenizer) and ``source.safetensors``; returns what a reviewer wants to know.

    Raises:
        Refusal: the model cannot be loaded, holds NaN weights, or cannot be exported; the message says why.
    """
    import onnxscript
    import torch

    torch.manual_seed(0)
    print("loading the source model", flush=True)
    source = open_source(job)
    _finite(source.module)
    cases = source.example | generate(list(source.specs), source.axes)
    print("running the source model on the samples", flush=True)
    answered = {case: (inputs, _outputs(source, inputs)) for case, inputs in cases.items()}
    out = Path("out")
    out.mkdir()
    started = time.monotonic()
    typical, outputs = answered["typical"]
    program = _to_onnx(source, typical, list(outputs), job["opset"])
    exported = time.monotonic() - started
    _write(program, out / "model.onnx", job["ir_version"])
    Path("source.safetensors").write_bytes(join(answered))
    for path, data in source.extras.items():
        (out / path).parent.mkdir(parents=True, exist_ok=True)
        (out / path).write_bytes(data)
    return {
        "tools": {"torch": torch.__version__, "onnxscript": onnxscript.__version__, **source.tools},
        "labels": list(source.labels),
        "export_seconds": exported,
    }


def _finite(module: Any) -> None:
    import torch

    for name, parameter in module.state_dict().items():
        if parameter.is_floating_point() and not torch.isfinite(parameter).all():
            raise Refusal(
                "export", f"weight {name!r} holds NaN or infinity", "train again, or pick an earlier checkpoint"
            )


def _to_onnx(source: Source, inputs: "Mapping[str, np.ndarray]", outputs: list[str], opset: int) -> Any:
    """The exporter's program; dynamic axes by name, the plan's opset."""
    import torch

    print(f"exporting to ONNX opset {opset}", flush=True)
    shapes = {spec.name: {i: dim for i, dim in enumerate(spec.shape) if isinstance(dim, str)} for spec in source.specs}
    arguments = {name: torch.from_numpy(array) for name, array in inputs.items()}
    try:
        program = torch.onnx.export(
            source.program or source.module,
            () if source.by_name else tuple(arguments.values()),
            kwargs=arguments if source.by_name else None,
            dynamo=True,
            opset_version=opset,
            dynamic_shapes=None if source.program else (shapes if source.by_name else tuple(shapes.values())),
            input_names=list(arguments),
            output_names=outputs,
            verbose=False,
        )
    except Exception as error:  # torch raises many classes here, all of them "this model cannot be exported"
        raise _refusal(error) from error
    if program is None:
        raise Refusal("export", "torch.onnx.export returned no program")
    return program


def _refusal(error: Exception) -> Refusal:
    chain: BaseException | None = error
    texts = []
    while chain is not None:
        texts.append(f"{type(chain).__name__}: {chain}")
        chain = chain.__cause__ or chain.__context__
    if any(word in text for text in texts for word in _DYNAMIC_FLOW):
        return Refusal(
            "export",
            "the model's control flow depends on its input's values, which ONNX export cannot follow: "
            + _first_line(texts[-1]),
            "write the branch with torch.where or torch.cond, or log an ONNX model",
        )
    return Refusal("export", f"torch.onnx.export failed: {_first_line(texts[0])}; {_first_line(texts[-1])}")


def _first_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[0] if lines else text


def _write(program: Any, path: Path, ir_version: int) -> None:
    import onnx_ir
    from onnx_ir.passes.common import ClearMetadataAndDocStringPass

    print("writing the ONNX file", flush=True)
    model: onnx_ir.Model = program.model
    ClearMetadataAndDocStringPass()(model)
    model.metadata_props.clear()
    model.ir_version = ir_version
    move_out(model, path.parent)
    onnx_ir.save(model, path)


def _outputs(source: Source, inputs: "Mapping[str, np.ndarray]") -> "dict[str, np.ndarray]":
    import torch

    tensors = {name: torch.from_numpy(array) for name, array in inputs.items()}
    with torch.inference_mode():
        answer = source.module(**tensors) if source.by_name else source.module(*tensors.values())
    if isinstance(answer, Mapping):
        named = dict(answer)
    else:
        several = answer if isinstance(answer, tuple | list) else (answer,)
        named = dict(zip(_names(source, len(several)), several, strict=True))
    wrong = next((name for name, value in named.items() if not isinstance(value, torch.Tensor)), None)
    if wrong is not None:
        raise Refusal("export", f"output {wrong!r} is a {type(named[wrong]).__name__}, expected a tensor")
    return {name: value.detach().cpu().numpy() for name, value in named.items()}


def _names(source: Source, count: int) -> list[str]:
    return list(source.outputs) or (["output"] if count == 1 else [f"output_{i}" for i in range(count)])
