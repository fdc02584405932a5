"""Which file a version serves, and an ONNX Runtime session opened on it with the config's parameters.

It names the parameters as the C++ ONNX Runtime backend does, and gives ONNX Runtime's own message as that backend would
print it. It does not compare the model with the config (ort_checks) and answers no request (model).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnxruntime
from ort_checks import Config, Refused

# What a Python exception of ONNX Runtime says; the C API gives number and text apart, and Triton prints those.
_ORT_MESSAGE = re.compile(r"^\[ONNXRuntimeError\] : (?P<code>\d+) : [A-Z_]+ : (?P<text>.*)$", re.DOTALL)
_GRAPH_LEVELS = {-1: "ORT_ENABLE_BASIC", 1: "ORT_ENABLE_EXTENDED", 2: "ORT_DISABLE_ALL"}


def model_file(config: Config, repository: Path, version: str) -> Path:
    """The ONNX file of this version. Raises `Refused` if there is none.

    `cc_model_filenames` names files by GPU compute capability; a CPU instance has none and takes the default name.
    """
    path = repository / version / (config.get("default_model_filename") or "model.onnx")
    if path.is_dir():
        path = path / "model.onnx"
    if not path.exists():
        raise Refused(f"unable to find '{path}' for model instance '{config['name']}'")
    return path


def open_session(path: Path, config: Config) -> onnxruntime.InferenceSession:
    """A CPU session. Raises `Refused` with `onnx runtime error N: …` where ONNX Runtime will not open the file."""
    options = session_options(config)
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001 - its classes share no base: Fail, InvalidGraph, NoSuchFile, …
        raise Refused(ort_error(error)) from None


def ort_error(error: Exception) -> str:
    """ONNX Runtime's message as `RETURN_IF_ORT_ERROR` of the C++ backend prints it."""
    said = _ORT_MESSAGE.match(str(error))
    # 1 is ORT_FAIL, which the C API also gives for an exception that is not its own.
    return f"onnx runtime error {said['code']}: {said['text']}" if said else f"onnx runtime error 1: {error}"


def session_options(config: Config) -> onnxruntime.SessionOptions:
    """What the config's `parameters` and `optimization` ask of the session. Raises `Refused` on a bad value."""
    options = onnxruntime.SessionOptions()
    parameters: Mapping[str, Any] = config.get("parameters", {})
    level = int(config.get("optimization", {}).get("graph", {}).get("level", 0))
    options.graph_optimization_level = getattr(
        onnxruntime.GraphOptimizationLevel, _GRAPH_LEVELS.get(level, "ORT_ENABLE_ALL")
    )
    if (threads := _integer(parameters, "intra_op_thread_count")) > 0:
        options.intra_op_num_threads = threads
    if (threads := _integer(parameters, "inter_op_thread_count")) > 0:
        options.inter_op_num_threads = threads
    mode = _integer(parameters, "execution_mode")
    if mode not in (0, 1):
        raise Refused(
            f"Invalid configuration value provided. Expected values for  execution_mode are 0 or 1 but got {mode} ."
        )
    options.execution_mode = (
        onnxruntime.ExecutionMode.ORT_PARALLEL if mode else onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    )
    options.enable_cpu_mem_arena = _boolean(parameters, "enable_mem_arena", default=True)
    options.enable_mem_pattern = _boolean(parameters, "enable_mem_pattern", default=True)
    return options


def _integer(parameters: Mapping[str, Any], key: str) -> int:
    text = str(parameters.get(key, {}).get("string_value", "0"))
    try:
        return int(text)
    except ValueError:
        raise Refused(f"failed to convert '{text}' of parameter '{key}' to int") from None


def _boolean(parameters: Mapping[str, Any], key: str, *, default: bool) -> bool:
    text = str(parameters.get(key, {}).get("string_value", default)).lower()
    if text not in ("true", "false", "1", "0"):
        raise Refused(f"failed to convert '{text}' of parameter '{key}' to boolean value")
    return text in ("true", "1")
