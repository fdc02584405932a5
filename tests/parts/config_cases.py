"""Model directories in pairs, one that Triton refuses and a twin that it loads, for holding promote's rules to the server.

Not here: the server, and what promote says of them (``tests/contract/test_config_rules.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
from onnx import TensorProto, helper

from promote.core.verdict import Outcome

Dims = tuple[int | str, ...]
PASS_ON = """
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        return [pb_utils.InferenceResponse([pb_utils.Tensor("y", next(iter(r.inputs())).as_numpy())]) for r in requests]
"""
CPU = "instance_group [ { kind: KIND_CPU count: 1 } ]\n"


def adds(dims: Dims = ("n", 4), element: int = TensorProto.FLOAT) -> bytes:
    """y = x + 1."""
    one = onnx.numpy_helper.from_array(np.ones((1,), helper.tensor_dtype_to_np_dtype(element)), "one")
    x, y = (helper.make_tensor_value_info(name, element, list(dims)) for name in "xy")
    graph = helper.make_graph([helper.make_node("Add", ["x", "one"], ["y"])], "g", [x], [y], [one])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(made.SerializeToString())


def tensor(side: str, name: str, *, dims: str = "4", kind: str = "TYPE_FP32", more: str = "") -> str:
    """One ``input`` or ``output`` entry."""
    return f'{side} [ {{ name: "{name}" data_type: {kind} dims: [ {dims} ] {more} }} ]\n'


def config(
    more: str = "",
    *,
    batch: int = 8,
    backend: str = 'backend: "onnxruntime"',
    x: str | None = None,
    y: str | None = None,
    group: str = CPU,
) -> str:
    """A configuration for ``adds``, without its name."""
    entries = (tensor("input", "x") if x is None else x) + (tensor("output", "y") if y is None else y)
    return f"{backend}\nmax_batch_size: {batch}\n{entries}{group}{more}"


@dataclass(frozen=True)
class Folder:
    """A model's directory: ``config.pbtxt`` (``{name}`` stands for the directory's name) and files by path."""

    text: str
    files: Mapping[str, bytes | str] = field(default_factory=lambda: {"1/model.onnx": adds()})

    def write(self, repository: Path, name: str) -> Path:
        """Lays it down; a path ending in ``/`` becomes an empty folder."""
        folder = repository / name
        folder.mkdir()
        stated = "" if self.text.startswith("name:") else f'name: "{name}"\n'
        (folder / "config.pbtxt").write_text(stated + self.text.replace("{name}", name))
        for path, content in self.files.items():
            place = folder / path
            if path.endswith("/"):
                place.mkdir(parents=True)
                continue
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content if isinstance(content, bytes) else content.encode())
        return folder


@dataclass(frozen=True)
class Pair:
    """What Triton refuses, what it loads instead, which of promote's rules tells them apart, and who decides.

    ``outcome``: what the rule says; short of broken where another server would load it.
    ``by``: ``core`` is NVIDIA's own code in the binary; ``backend`` is examples/local_triton, written after
    NVIDIA's C++ backend.
    """

    rule: str
    message: str
    refused: Folder
    loads: Folder
    by: Literal["core", "backend"] = "core"
    outcome: Outcome = Outcome.BROKEN


PYTHON = 'backend: "python"'


def onnx_folder(more: str = "", files: Mapping[str, bytes | str] | None = None, **options: object) -> Folder:
    """An ONNX model's directory."""
    return Folder(config(more, **options), files or {"1/model.onnx": adds()})  # type: ignore[arg-type]


def python_folder(more: str = "", **options: object) -> Folder:
    """A Python model's directory."""
    return Folder(config(more, backend=PYTHON, **options), {"1/model.py": PASS_ON})  # type: ignore[arg-type]


def sequence(controls: str, more: str = "") -> str:
    """Sequence batching with those control inputs."""
    return f"sequence_batching {{ max_sequence_idle_microseconds: 5000000 {controls} {more} }}\n"


def control(name: str, *kinds: str) -> str:
    """One control input."""
    inner = " ".join(f"control [ {{ {kind} }} ]" for kind in kinds)
    return f'control_input [ {{ name: "{name}" {inner} }} ]'


START = "kind: CONTROL_SEQUENCE_START int32_false_true: [ 0, 1 ]"
CORRID = "kind: CONTROL_SEQUENCE_CORRID data_type: {}"


def warm(*inputs: str, batch: str = "batch_size: 1") -> str:
    """Warm-up by one sample."""
    return f'model_warmup [ {{ name: "w" {batch} {" ".join(inputs)} }} ]\n'


def sample(name: str = "x", kind: str = "TYPE_FP32", dims: str = "4", data: str = "zero_data: true") -> str:
    """One input of a sample."""
    return f'inputs {{ key: "{name}" value {{ data_type: {kind} dims: [ {dims} ] {data} }} }}'


def parameter(key: str, value: str) -> str:
    """One parameter."""
    return f'parameters {{ key: "{key}" value {{ string_value: "{value}" }} }}\n'


ENSEMBLE = 'platform: "ensemble"'
# What ensembles of the tests are made of, by the name of its directory.
STEPS = {
    "step": onnx_folder(),
    "step-of-4": onnx_folder(batch=4),
    "step-alone": onnx_folder(batch=0, x=tensor("input", "x", dims="-1, 4"), y=tensor("output", "y", dims="-1, 4")),
}


def step(model: str = "step", version: str = "model_version: -1", takes: str = "x: x", gives: str = "y: y") -> str:
    """One step; ``takes`` and ``gives`` are ``tensor of the model: tensor of the ensemble``, or empty."""
    maps = "".join(
        f'{kind} {{ key: "{key}" value: "{value}" }} '
        for kind, text in (("input_map", takes), ("output_map", gives))
        for key, _, value in (text.partition(": "),)
        if text
    )
    return f'step [ {{ model_name: "{model}" {version} {maps} }} ]\n'


def ensemble(*steps: str, backend: str = ENSEMBLE, group: str = "", **options: object) -> Folder:
    """An ensemble's directory; its version holds nothing."""
    made = f"ensemble_scheduling {{ {' '.join(steps)} }}\n"
    return Folder(config(made, backend=backend, group=group, **options), {"1/": ""})  # type: ignore[arg-type]
