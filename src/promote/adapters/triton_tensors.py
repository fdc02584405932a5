"""Tensors in Triton's words: what a loaded version takes and gives, requests for it, and its answers as arrays."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from promote.core.names import printable
from promote.errors import DeployFailed

if TYPE_CHECKING:
    import numpy as np

    Tensors = Mapping[str, np.ndarray]


@dataclass(frozen=True, slots=True)
class Signature:
    """Of one loaded version.

    Args:
        shown: model and version, for messages.
        inputs: tensor name -> Triton's data type.
        outputs: tensor names.
    """

    shown: str
    inputs: Mapping[str, str]
    outputs: tuple[str, ...]


def read_signature(shown: str, config: Mapping[str, Any]) -> Signature:
    """The signature in a model configuration's JSON form (HTTP, or gRPC as JSON)."""
    inputs, outputs = config.get("input", []), config.get("output", [])
    return Signature(shown, {t["name"]: _datatype(t) for t in inputs}, tuple(t["name"] for t in outputs))


def _datatype(tensor: Mapping[str, Any]) -> str:
    name = str(tensor["data_type"]).removeprefix("TYPE_")
    return "BYTES" if name == "STRING" else name


def write_request(wire: Any, signature: Signature, inputs: "Tensors") -> dict[str, Any]:
    """Arguments for the client's ``infer``: ``inputs`` and ``outputs``, all outputs asked for.

    Args:
        wire: ``tritonclient.http`` or ``tritonclient.grpc``: their request classes have one form.
        signature: of the version.
        inputs: by name; strings as ``object`` arrays of ``bytes`` or ``str``, or NumPy's fixed-width kinds.

    Raises:
        DeployFailed: an input that the model has not.
        InferenceServerException: an array of another type than the model takes.
    """
    asked = []
    for name, array in inputs.items():
        if name not in signature.inputs:
            there = ", ".join(map(printable, signature.inputs))
            raise DeployFailed(f"{signature.shown} has no input {printable(name)!r}, only: {there}")
        sent = array.reshape(1) if array.ndim == 0 else array  # Triton has no scalars
        entry = wire.InferInput(name, list(sent.shape), signature.inputs[name])
        entry.set_data_from_numpy(sent.astype(object) if sent.dtype.kind in "US" else sent)
        asked.append(entry)
    return {"inputs": asked, "outputs": [wire.InferRequestedOutput(name) for name in signature.outputs]}


def read_answer(signature: Signature, result: Any) -> "Tensors":
    """All outputs by name; what is a scalar to the model comes with shape ``(1,)``.

    Raises:
        DeployFailed: an output is missing or cannot be read.
    """
    answer = {}
    for name in signature.outputs:
        try:
            array = result.as_numpy(name)
        except (ValueError, TypeError) as error:
            why = printable(str(error))
            raise DeployFailed(f"{signature.shown}: output {printable(name)!r} cannot be read: {why}") from error
        if array is None:
            raise DeployFailed(f"{signature.shown} gave no output {printable(name)!r}")
        answer[name] = array
    return answer
