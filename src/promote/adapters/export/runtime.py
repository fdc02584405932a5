"""Runs ONNX bytes in ONNX Runtime on the CPU, in the child process.

The job names a model file and a samples file; the outputs of every case are written beside. With ``generate`` the
samples are first made from the session's own inputs (for a model that came as ONNX).
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from promote.adapters.export.refusal import Refusal
from promote.adapters.export.samples import TYPICAL_BATCH, TYPICAL_LENGTH, Axis, InputSpec, generate
from promote.core.golden import join, split

if TYPE_CHECKING:
    import numpy as np

_NUMPY_OF_ORT = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(float16)": "float16",
    "tensor(int64)": "int64",
    "tensor(int32)": "int32",
    "tensor(int16)": "int16",
    "tensor(int8)": "int8",
    "tensor(uint8)": "uint8",
    "tensor(uint16)": "uint16",
    "tensor(uint32)": "uint32",
    "tensor(uint64)": "uint64",
    "tensor(bool)": "bool",
}


def run(job: dict[str, Any]) -> dict[str, Any]:
    """Runs ``job["model"]`` on ``job["samples"]`` and writes ``job["out"]``: the inputs and these outputs.

    Raises:
        Refusal: the runtime refuses the model or a sample; its own reason is in the message.
    """
    import onnxruntime

    session = _open(job["model"])
    if job.get("generate"):
        given = split(Path(job["example"]).read_bytes()) if job.get("example") else {}
        cases = {case: inputs for case, (inputs, _) in given.items()}
        cases |= generate(*_specs(session, cases.get("example", {}), job["max_batch_size"]))
    else:
        cases = {case: inputs for case, (inputs, _) in split(Path(job["samples"]).read_bytes()).items()}
    names = [output.name for output in session.get_outputs()]
    answered = {}
    for case, inputs in cases.items():
        print(f"running the {case} sample in ONNX Runtime", flush=True)
        try:
            answered[case] = (inputs, dict(zip(names, session.run(names, dict(inputs)), strict=True)))
        except Exception as error:  # pybind raises its own classes, each derived from Exception
            raise Refusal("export", f"ONNX Runtime fails on the {case} sample: {error}") from error
    Path(job["out"]).write_bytes(join(answered))
    return {"tools": {"onnxruntime": onnxruntime.__version__}, "cases": list(answered)}


def _open(model: str) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # as above
        raise Refusal("export", f"ONNX Runtime {onnxruntime.__version__} does not load the model: {error}") from error


def _specs(
    session: Any, example: "dict[str, np.ndarray]", max_batch_size: int
) -> tuple[list[InputSpec], dict[str, Axis]]:
    """What the session asks for; integer ranges follow the example, where there is one."""
    specs, axes = [], {}
    for given in session.get_inputs():
        if given.type not in _NUMPY_OF_ORT:
            raise Refusal("export", f"input {given.name!r} has type {given.type}: no sample can be made for it")
        shape = tuple(d if isinstance(d, int) else f"{d or given.name + str(i)}" for i, d in enumerate(given.shape))
        seen = example.get(given.name)
        high = max(2, int(seen.max()) + 1) if seen is not None and seen.size else 2
        specs.append(InputSpec(given.name, _NUMPY_OF_ORT[given.type], shape, high))
        for position, dim in enumerate(shape):
            if isinstance(dim, str):
                batch = position == 0
                longest = max_batch_size if batch else 4 * TYPICAL_LENGTH
                axes[dim] = Axis(1, min(TYPICAL_BATCH, longest) if batch else TYPICAL_LENGTH, longest)
    return specs, axes
