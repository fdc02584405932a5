"""What the C++ ONNX Runtime backend checks of a config at load, made here with the same messages.

It judges a model configuration against the tensors an opened session declares, and raises `Refused` with the text the
real backend would give. It opens no file and knows nothing of Triton. Source of every rule and text:
`ValidateInputs`, `ValidateOutputs` and `CompareDimsSupported` of triton-inference-server/onnxruntime_backend
(src/onnxruntime.cc, src/onnxruntime_utils.cc), and `CheckAllowedModelInput` of triton-inference-server/backend.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

# Element type as ONNX Runtime spells it -> name after TYPE_ in a config. BFLOAT16 is missing on purpose: the backend of
# release 24.10, whose server answers here, refuses it, and so does NumPy, by which tensors reach this process.
CONFIG_TYPES: Mapping[str, str] = {
    "tensor(bool)": "BOOL",
    "tensor(uint8)": "UINT8",
    "tensor(uint16)": "UINT16",
    "tensor(uint32)": "UINT32",
    "tensor(uint64)": "UINT64",
    "tensor(int8)": "INT8",
    "tensor(int16)": "INT16",
    "tensor(int32)": "INT32",
    "tensor(int64)": "INT64",
    "tensor(float16)": "FP16",
    "tensor(float)": "FP32",
    "tensor(double)": "FP64",
    "tensor(string)": "STRING",
}
# Features of the C++ backend that this one does not have. Serving them wrongly would be worse than refusing.
NOT_SERVED_HERE = ("sequence_batching", "batch_input", "batch_output", "model_operations")

Config = Mapping[str, Any]


class Refused(Exception):
    """The configuration and the model do not fit; the text is the load error."""


class Node(Protocol):
    """One input or output, as `onnxruntime.NodeArg` describes it."""

    name: str
    type: str
    shape: Sequence[int | str | None]


@dataclass(frozen=True, slots=True)
class Declared:
    """A tensor of the model: its ONNX Runtime type and its dims, -1 where variable."""

    type: str
    dims: tuple[int, ...]


def declared(nodes: Iterable[Node]) -> dict[str, Declared]:
    """Name -> tensor. Raises `Refused` on a sequence, map, optional or sparse input or output."""
    found: dict[str, Declared] = {}
    for node in nodes:
        if not node.type.startswith("tensor("):
            raise Refused(
                f"Unsupported ONNX Type '{_onnx_kind(node.type)}' for I/O '{node.name}', expected 'ONNX_TYPE_TENSOR'."
            )
        found[node.name] = Declared(node.type, tuple(dim if isinstance(dim, int) else -1 for dim in node.shape))
    return found


def check_served_here(config: Config) -> None:
    """Raises `Refused` where the config asks for a feature of the C++ backend that this one lacks."""
    ragged = [tensor["name"] for tensor in config.get("input", []) if tensor.get("allow_ragged_batch")]
    # Triton writes an unset list as [] and leaves an unset message out; an empty scheduler is set all the same.
    asked = [key for key in NOT_SERVED_HERE if config.get(key) not in (None, [])]
    asked += ["allow_ragged_batch"] if ragged else []
    if asked:
        raise Refused(
            f"model '{config['name']}': {', '.join(asked)} is not served by the local Python-based ONNX Runtime "
            "backend; load this model with the C++ backend"
        )
    accelerators = config.get("optimization", {}).get("execution_accelerators", {})
    for accelerator in accelerators.get("cpu_execution_accelerator", []):
        raise Refused(f"unknown Execution Accelerator '{accelerator.get('name', '')}' is requested")


def check_inputs(config: Config, inputs: Mapping[str, Declared], overridable: Mapping[str, Declared]) -> None:
    """Raises `Refused` where `input` of the config does not fit; initialisers may be fed as optional inputs."""
    model, max_batch = str(config["name"]), int(config["max_batch_size"])
    expected = sum(not tensor.get("optional", False) for tensor in config["input"])
    if len(inputs) != expected:
        raise Refused(
            f"unable to load model '{model}', configuration expects {expected} inputs, model provides {len(inputs)}"
        )
    allowed = {**inputs, **overridable}
    for tensor in config["input"]:
        if tensor.get("optional", False) and max_batch != 0:
            raise Refused(
                f"unable to load model '{model}', optional input '{tensor['name']}' is not supported for models that "
                "support batching"
            )
        _check_tensor(model, "input", tensor, allowed, max_batch)


def check_outputs(config: Config, outputs: Mapping[str, Declared]) -> None:
    """Raises `Refused` where `output` of the config does not fit; it may name fewer outputs than the model has."""
    for tensor in config["output"]:
        _check_tensor(str(config["name"]), "output", tensor, outputs, int(config["max_batch_size"]))


def config_dims(tensor: Mapping[str, Any]) -> tuple[int, ...]:
    """The dims the model must show: those of `reshape` where the config has one, without the batch dimension."""
    dims = tensor["reshape"].get("shape", []) if "reshape" in tensor else tensor["dims"]
    return tuple(int(dim) for dim in dims)


def _check_tensor(
    model: str, side: str, tensor: Mapping[str, Any], allowed: Mapping[str, Declared], max_batch: int
) -> None:
    name, data_type = str(tensor["name"]), str(tensor["data_type"])
    if name not in allowed:
        raise Refused(f"unexpected inference {side} '{name}', allowed {side}s are: {', '.join(sorted(allowed))}")
    have = allowed[name]
    if data_type.removeprefix("TYPE_") not in CONFIG_TYPES.values():
        raise Refused(f"unsupported datatype {data_type} for {side} '{name}' for model '{model}'")
    if data_type != f"TYPE_{CONFIG_TYPES.get(have.type)}":
        raise Refused(
            f"unable to load model '{model}', configuration expects datatype {data_type} for {side} '{name}', "
            f"model provides TYPE_{_server_type(have.type)}"
        )
    dims = config_dims(tensor)
    if have.dims:
        _check_dims(f"model '{model}', tensor '{name}'", have.dims, dims, max_batch, exact=side == "output")
    elif any(dim != 1 for dim in dims):
        raise Refused(
            f"unable to load model '{model}', scalar tensor '{name}', should only provide 1 in the model configuration "
            f"when the model doesn't support batching. Model configuration provided: {_shape(dims)}."
        )


def _check_dims(where: str, have: Sequence[int], dims: Sequence[int], max_batch: int, *, exact: bool) -> None:
    if max_batch > 0 and have[0] != -1:
        raise Refused(
            f"{where}: for the model to support batching the shape should have at least 1 dimension and the first "
            f"dimension must be -1; but shape expected by the model is {_shape(have)}"
        )
    full = (-1, *dims) if max_batch > 0 else tuple(dims)
    # An input dim that the model leaves open takes any config dim; an output dim must be the same on both sides.
    fits = len(have) == len(full) and all(
        mine == theirs or (mine == -1 and not exact) for mine, theirs in zip(have, full, strict=True)
    )
    if not fits:
        shape = (
            "an initial batch dimension because max_batch_size > 0 followed by the explicit tensor shape, making "
            f"complete shape {_shape(full)}"
            if max_batch > 0
            else f"shape {_shape(full)}"
        )
        raise Refused(
            f"{where}: the model expects {len(have)} dimensions (shape {_shape(have)}) but the model configuration "
            f"specifies {len(full)} dimensions ({shape})"
        )


def _server_type(onnx_type: str) -> str:
    """The server's own name of a type, as `TRITONSERVER_DataTypeString` prints it (BYTES for a string)."""
    name = CONFIG_TYPES.get(onnx_type, "<invalid>")
    return "BYTES" if name == "STRING" else name


def _onnx_kind(onnx_type: str) -> str:
    kinds = {"seq": "SEQUENCE", "map": "MAP", "opaque": "OPAQUE", "sparse_tensor": "SPARSETENSOR"}
    return f"ONNX_TYPE_{kinds.get(onnx_type.partition('(')[0], 'UNKNOWN')}"


def _shape(dims: Sequence[int]) -> str:
    return f"[{','.join(str(dim) for dim in dims)}]"
