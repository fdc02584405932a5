"""Small but whole bundles for the tests of deployment: a model that multiplies by a weight, with golden samples."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper

from promote.core.facts import Target
from promote.core.golden import join
from promote.core.parity import Tolerance
from promote.core.passport import canonical, sha256
from promote.core.serving import Template, Warmup, build_config, config_text
from promote.core.stages import Blob, Stored
from promote.core.tensors import DType, TensorSpec

X = TensorSpec("x", DType("FLOAT"), ("batch", 4))
Y = TensorSpec("y", DType("FLOAT"), ("batch", 4))
TOLERANCE = Tolerance(1e-4, 1e-3)
BROKEN = b"this is no model"
"""Bytes that no server loads."""

Bundle = tuple[Stored, dict[str, str]]
"""What a registry tells of a bundle, and where its fetched files lie."""


def times(weight: float) -> bytes:
    """An ONNX model: ``y = x * weight``."""
    tensors = [helper.make_tensor_value_info(t.name, TensorProto.FLOAT, list(t.shape)) for t in (X, Y)]
    constant = helper.make_tensor("w", TensorProto.FLOAT, [1], [weight])
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "w"], ["y"])], "times", tensors[:1], tensors[1:], [constant]
    )
    opset = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString(deterministic=True)


def samples(weight: float) -> dict[str, tuple[dict[str, np.ndarray], dict[str, np.ndarray]]]:
    """Golden cases of ``times(weight)``."""
    one = np.array([[1, -2, 3, 0.5]], np.float32)
    two = np.arange(8, dtype=np.float32).reshape(2, 4)
    return {case: ({"x": x}, {"y": x * np.float32(weight)}) for case, x in (("minimum", one), ("typical", two))}


def contents(
    name: str, version: int, weight: float = 2.0, model: bytes | None = None, *, warmup: bool = False
) -> dict[str, bytes]:
    """Path in the bundle -> bytes. Triton counts a warm-up as a request."""
    target = Target(name="local", max_batch_size=8)
    config = build_config(Template(warmup=Warmup(enabled=warmup)), target, name, version, (X,), (Y,))
    tolerance = {"absolute": TOLERANCE.absolute, "relative": TOLERANCE.relative}
    return {
        f"{name}/config.pbtxt": config_text(config),
        f"{name}/{version}/model.onnx": times(weight) if model is None else model,
        f"{name}/{version}/promote/golden.safetensors": join(samples(weight)),
        f"{name}/{version}/promote/passport.json": canonical({"parity": {"tolerance": tolerance}}),
    }


def fetched(folder: Path, name: str, version: int, files: dict[str, bytes]) -> Bundle:
    """Writes the files as a registry's ``fetch`` would, and tells of them as its ``resolve`` would."""
    paths = {}
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
        paths[path] = str(folder / path)
    blobs = {path: Blob(sha256(data), len(data)) for path, data in files.items()}
    layers = [{"digest": blob.digest, "size": blob.size, "title": path} for path, blob in sorted(blobs.items())]
    manifest = json.dumps({"layers": layers}).encode()
    stored = Stored(
        repository=f"oci:/bundles/{name}",
        digest=sha256(manifest),
        name=name,
        version=version,
        files=blobs,
        annotations={},
        manifest=manifest,
    )
    return stored, paths


def bundle(folder: Path, name: str, version: int, weight: float = 2.0, model: bytes | None = None) -> Bundle:
    """A whole bundle under ``folder``."""
    return fetched(folder, name, version, contents(name, version, weight, model))


def lying(made: Bundle, path: str, digest: str) -> Bundle:
    """The same bundle, its manifest naming another digest for one file."""
    stored, paths = made
    files = dict(stored.files) | {path: replace(stored.files[path], digest=digest)}
    return replace(stored, files=files), paths
