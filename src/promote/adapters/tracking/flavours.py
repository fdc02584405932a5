"""Reads ``MLmodel``: what there is to export, which file or folder it is, and whether loading it runs a pickle.

Not here: fetching the files (``artifacts``), nor loading any of them (``adapters.export``).
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from promote.core.facts import Fact, ModelFacts
from promote.core.names import bundle_path, printable
from promote.core.stages import Blob
from promote.errors import InputError, IntegrityError, NotFound

MLMODEL = "MLmodel"
_LARGEST = 1 << 20
_PRECISIONS = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}
_PICKLES = ("model.pth", "pytorch_model.bin")
_NONE = ModelFacts()
_SUPPORTED = "transformers (safetensors), onnx, pytorch (exported program)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Flavour:
    """How a logged model is opened; the fields are ``SourceModel``'s.

    Args:
        flavour: ``transformers``, ``onnx`` or ``pytorch``.
        entry: path of the thing to export.
        task: for transformers.
        pickled: loading it would run a pickle.
        labels: label names in id order, where the model's own configuration has them.
        facts: what the run declares.
    """

    flavour: str
    entry: str
    task: str = ""
    pickled: bool = False
    labels: tuple[str, ...] = ()
    facts: ModelFacts = _NONE


def read_mlmodel(files: Mapping[str, Blob]) -> Mapping[str, Any]:
    """The model's own description.

    Raises:
        NotFound: there is none.
        IntegrityError: it is no YAML mapping, or too large to be one.
    """
    import yaml

    if MLMODEL not in files:
        raise NotFound("the model has no MLmodel file", hint="log it again: its folder is incomplete")
    try:
        told = yaml.safe_load(_small(files, MLMODEL))
    except (yaml.YAMLError, ValueError, RecursionError):
        told = None
    if not isinstance(told, dict) or not isinstance(told.get("flavors"), dict):
        raise IntegrityError("MLmodel is not a YAML mapping with flavors")
    return told


def read_flavour(mlmodel: Mapping[str, Any], files: Mapping[str, Blob], *, allow_pickle: bool) -> Flavour:
    """The first flavour that can be exported.

    Raises:
        InputError: none of them can, or it is a pickle and those are not allowed.
        IntegrityError: ``MLmodel`` names a path outside the model.
        NotFound: ``MLmodel`` names a file that is not there.
    """
    flavours = mlmodel["flavors"]
    for name, read in _READERS.items():
        if isinstance(settings := flavours.get(name), dict):
            found = read(settings, files)
            if found.pickled and not allow_pickle:
                raise InputError(
                    f"{found.entry} is a pickle: loading it runs whatever code it holds",
                    hint="--allow-pickle loads it in a separate process without credentials",
                )
            return found
    there = ", ".join(sorted(printable(str(name), 40) for name in flavours)[:10]) or "none"
    raise InputError(f"the model's flavours are {there}; supported are {_SUPPORTED}")


def example_path(mlmodel: Mapping[str, Any], files: Mapping[str, Blob]) -> str:
    """Where the input example lies, as JSON; empty where the run logged none.

    Raises:
        IntegrityError: a path outside the model.
    """
    info = mlmodel.get("saved_input_example_info")
    path = info.get("artifact_path") if isinstance(info, dict) else None
    if not isinstance(path, str) or not path.endswith(".json"):
        return ""
    return path if bundle_path(path) in files else ""


def _transformers(settings: Mapping[str, Any], files: Mapping[str, Blob]) -> Flavour:
    if settings.get("peft_adaptor"):
        raise InputError("the model is a PEFT adapter", hint="merge it into its base model, then log that")
    entry = _path(settings, "model_binary", "model")
    inside = [path for path in files if path.startswith(f"{entry}/")]
    if not inside and entry not in files:
        raise InputError(
            "the run holds a reference to a model and not its weights",
            hint="mlflow.transformers.persist_pretrained_model(uri) stores them",
        )
    weights = [path for path in inside if path.endswith(".safetensors")]
    config = _config(files, f"{entry}/config.json")
    dtype = str(config.get("dtype") or config.get("torch_dtype") or "").removeprefix("torch.")
    where = f"{entry}/config.json of the run"
    return Flavour(
        flavour="transformers",
        entry=entry,
        task=printable(str(settings.get("task") or ""), 60),
        pickled=not weights,
        labels=_labels(config),
        facts=ModelFacts(
            weights_bytes=Fact(sum(files[p].size for p in weights), "safetensors of the run") if weights else None,
            precision=Fact(_PRECISIONS[dtype], where) if dtype in _PRECISIONS else None,
        ),
    )


def _onnx(settings: Mapping[str, Any], files: Mapping[str, Blob]) -> Flavour:
    entry = _path(settings, "data", "model.onnx")
    _require(entry, files)
    return Flavour(flavour="onnx", entry=entry, facts=ModelFacts(format=Fact("onnx", "MLmodel of the run")))


def _pytorch(settings: Mapping[str, Any], files: Mapping[str, Blob]) -> Flavour:
    folder = _path(settings, "model_data", "data")
    program = f"{folder}/model.pt2"
    if program in files:
        return Flavour(flavour="pytorch", entry=program)
    pickled = next((f"{folder}/{n}" for n in _PICKLES if f"{folder}/{n}" in files), f"{folder}/model.pth")
    _require(pickled, files)
    return Flavour(flavour="pytorch", entry=pickled, pickled=True)


_READERS: Mapping[str, Callable[[Mapping[str, Any], Mapping[str, Blob]], Flavour]] = {
    "transformers": _transformers,
    "onnx": _onnx,
    "pytorch": _pytorch,
}


def _path(settings: Mapping[str, Any], key: str, default: str) -> str:
    return bundle_path(str(settings.get(key) or default))


def _require(path: str, files: Mapping[str, Blob]) -> None:
    if path not in files:
        raise NotFound(f"MLmodel names {path!r}, which is not among the model's files", hint="log the model again")


def _labels(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Label names in id order; transformers' own ``LABEL_0`` placeholders are no names."""
    names = config.get("id2label")
    if not isinstance(names, dict):
        return ()
    ordered = tuple(names.get(str(i)) for i in range(len(names)))
    if not all(isinstance(name, str) for name in ordered) or all(n == f"LABEL_{i}" for i, n in enumerate(ordered)):
        return ()
    return tuple(printable(str(name)) for name in ordered)


def _config(files: Mapping[str, Blob], path: str) -> Mapping[str, Any]:
    try:
        told = json.loads(_small(files, path)) if path in files else {}
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict):
        raise IntegrityError(f"{path} is not a JSON object")
    return told


def _small(files: Mapping[str, Blob], path: str) -> bytes:
    if files[path].size > _LARGEST:
        raise IntegrityError(f"{path} has {files[path].size:,} bytes, expected at most {_LARGEST:,}")
    return Path(files[path].path).read_bytes()
