"""Chooses what is written of a kind: its settings, its code, and the files that the model brings."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from promote.adapters.kind_folder import template_files, write_models
from promote.core.kind_configs import ensemble_configs, python_config, tensorrt_config
from promote.core.kinds import KINDS, EnsembleTemplate, PythonTemplate, TensorRTTemplate
from promote.core.names import model_name, printable
from promote.core.serving import config_text, parse_settings
from promote.errors import InputError, NotFound
from promote.wiring.data import read_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from promote.core.facts import Target
    from promote.wiring.data import Data

_ONNX = "promote model and promote deploy serve an ONNX model"


@dataclasses.dataclass(frozen=True)
class KindOrder:
    """What shall be written.

    Args:
        kind: a word of ``KINDS``.
        name: model name; of an ensemble empty, as its network has one.
        version: of the directory; of an ensemble its network's counts.
        brought: a plan; of an ensemble the network's version directory, ``NAME/N``; ``None`` where a kind needs none.
        out: where to.
        settings: instead of the template's own.
    """

    kind: str
    name: str
    version: int
    brought: Path | None
    out: Path
    settings: Path | None = None


def write_kind(order: KindOrder, target: Target, data: Data) -> tuple[Path, ...]:
    """The models' directories that were written.

    Raises:
        InputError: settings, names or files that make no sense.
        NotFound: a file is not there.
        IntegrityError: the plan is none, or the network's configuration is none.
    """
    folder = data.templates / order.kind
    path = order.settings or folder / "template.yaml"
    settings = parse_settings(KINDS[order.kind], read_text(path), str(path))
    if isinstance(settings, EnsembleTemplate):
        return write_models(order.out, _ensemble(settings, order, target, folder))
    within = f"{model_name(order.name)}/{order.version}"
    if isinstance(settings, PythonTemplate):
        config = python_config(settings, target, order.name, order.version)
        files: dict[str, bytes | Path] = {f"{within}/{name}": path for name, path in template_files(folder).items()}
        if f"{within}/model.py" not in files:
            raise NotFound(f"{folder} has no model.py", hint="the template's code is served as it lies there")
    elif isinstance(settings, TensorRTTemplate):
        config = tensorrt_config(settings, order.name, order.version)
        files = {f"{within}/model.plan": _plan(order, data)}
    else:
        raise InputError(f"the kind {order.kind} is not written by hand", hint=_ONNX)
    return write_models(order.out, files | {f"{order.name}/config.pbtxt": config_text(config)})


def settings_schema(kind: str) -> dict[str, object]:
    """JSON Schema of a kind's ``template.yaml``."""
    return KINDS[kind].model_json_schema()


def _plan(order: KindOrder, data: Data) -> Path:
    if order.brought is None:
        raise InputError("a plan is needed", hint="--from model.plan")
    if not order.brought.is_file():
        raise NotFound(f"no file {printable(str(order.brought))}", hint="--from names a plan built on the target")
    facts = data.read_facts(str(order.brought))
    if facts.format is None or facts.format.value != "tensorrt":
        raise InputError(f"{printable(str(order.brought))} is no TensorRT plan", hint="trtexec or polygraphy build one")
    return order.brought


def _ensemble(settings: EnsembleTemplate, order: KindOrder, target: Target, folder: Path) -> Mapping[str, bytes | Path]:
    from promote.core.bundle_files import read_config

    at = order.brought
    if at is None or not at.name.isdecimal() or order.name:
        raise InputError(
            "an ensemble takes its name and version from its network",
            hint="--from models/NAME/N, the version directory of a token classifier; no --name",
        )
    network = model_name(at.resolve().parent.name)
    texts = {"tokenizer": at / "tokenizer/tokenizer.json", "entities": at / "labels.txt"}
    for path in (*texts.values(), at.parent / "config.pbtxt"):
        if not path.is_file():
            raise NotFound(f"no file {printable(str(path))}", hint="its run logged no tokenizer, or no labels.txt")
    config = read_config((at.parent / "config.pbtxt").read_bytes(), network)
    files: dict[str, bytes | Path] = {}
    version = int(at.name)
    for part, made in ensemble_configs(settings, target, config, version).items():
        files[f"{network}-{part}/config.pbtxt"] = config_text(made)
        if part not in texts:
            files[f"{network}-{part}/{version}/about.txt"] = _ABOUT
            continue
        within = f"{network}-{part}/{version}"
        files[f"{within}/{texts[part].name}"] = texts[part]
        code = template_files(folder / part) | template_files(folder)
        files |= {f"{within}/{name}": path for name, path in code.items()}
    return files


_ABOUT = b"Triton wants a version directory of every model; an ensemble has nothing to put into it.\n"
