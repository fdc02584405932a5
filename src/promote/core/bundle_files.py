"""What a bundle may hold: an allow-list of file names and of ``config.pbtxt`` fields. Pure.

A Triton model directory is code: Triton searches ``NAME/N/`` and ``NAME/`` for ``libtriton_<backend>.so`` and
``batchstrategy.so``, and fields of the config name libraries, agents and files
(triton core ``src/backend_model.cc``, triton common ``protobuf/model_config.proto``). So everything that is not known to
be data is refused. Not here: whether the model loads (``rules``), and digests (the registry).
"""

import re
from typing import TYPE_CHECKING, Any

from promote.core.model_config import parse_config
from promote.core.names import bundle_path, distinct_paths, model_name, printable
from promote.errors import IntegrityError

if TYPE_CHECKING:
    from tritonclient.grpc.model_config_pb2 import ModelConfig

BACKENDS = frozenset({"onnxruntime"})
_MOST_FILES = 10_000
_ELF = b"\x7fELF"
# Plans and engines are native code too, built on the target only. Names of tensors serve as file names, so only the
# end of a name counts.
_NO_DATA = re.compile(
    r"\.(so(\.[0-9]+)*|dll|dylib|py|pyc|pyd|sh|exe|pkl|pickle|joblib|plan|engine|pbtxt)$", re.IGNORECASE
)
_FIELDS = frozenset(
    {
        "name",
        "platform",
        "backend",
        "max_batch_size",
        "input",
        "output",
        "version_policy",
        "instance_group",
        "dynamic_batching",
        "model_warmup",
        "default_model_filename",
        "parameters",
        "optimization",
    }
)
_OPTIMIZATION = frozenset(
    {"graph", "priority", "input_pinned_memory", "output_pinned_memory", "execution_accelerators"}
)
# Of ONNX Runtime's TensorRT provider; among its others are paths and libraries (onnxruntime_backend README.md).
_PROVIDER = {
    "precision_mode": re.compile(r"FP32|FP16"),
    "max_workspace_size_bytes": re.compile(r"[0-9]{1,13}"),
    "trt_min_subgraph_size": re.compile(r"[0-9]{1,5}"),
}
_PARAMETER_OF_A_FILE = re.compile(r"path|file|librar|director|folder|agent", re.IGNORECASE)


def check_files(name: str, version: int, paths: list[str]) -> None:
    """Passes when ``paths`` are those of one version of one model, ``NAME/config.pbtxt`` among them.

    Raises:
        IntegrityError: a path that is not plain, collides with another, lies outside ``NAME/N/``, or is not data.
        InputError: the model's name is not one.
    """
    config, within = f"{model_name(name)}/config.pbtxt", f"{name}/{version}/"
    if version < 1 or len(paths) > _MOST_FILES:
        raise IntegrityError(
            f"version {version} with {len(paths):,} files, expected 1 or more and up to {_MOST_FILES:,}"
        )
    distinct_paths(paths)
    for path in paths:
        bundle_path(path)
        if path != config and not path.startswith(within):
            raise IntegrityError(f"{printable(path)!r} may not be in a bundle: expected {config} or a file in {within}")
        if path != config and (found := _NO_DATA.search(path)):
            raise IntegrityError(
                f"{printable(path)!r} may not be in a bundle: {found[0]} files are code, not data",
                hint="bundles hold models, their weights, labels, tokenizers and samples",
            )
    missing = [what for what in (config, f"{within}model.onnx") if what not in paths]
    if missing:
        raise IntegrityError(f"the bundle of {name} version {version} has no {missing[0]}")


def check_head(path: str, head: bytes) -> None:
    """Refuses native code under a harmless name; ``head`` are the first bytes of the file.

    Raises:
        IntegrityError: it is an ELF file.
    """
    if head.startswith(_ELF):
        raise IntegrityError(f"{printable(path)!r} may not be in a bundle: it is native code (ELF), not data")


def read_config(text: bytes, name: str) -> "ModelConfig":
    """The message in a ``config.pbtxt``, when it is data only.

    Args:
        text: the file's bytes, from anywhere.
        name: the model it must be of.

    Raises:
        IntegrityError: not a config, of another model, or a field that may load code or name a file elsewhere.
    """
    config = parse_config(text, f"{name}/config.pbtxt")
    for fault in _faults(config, name):
        raise IntegrityError(
            f"{name}/config.pbtxt may not be deployed: {fault}",
            hint="promote writes this file itself: promote the run again",
        )
    return config


def _faults(config: "ModelConfig", name: str) -> list[str]:
    named = {field.name for field, _ in config.ListFields()}
    faults = [f"field {field} is not allowed" for field in sorted(named - _FIELDS)]
    if config.name != name:
        faults.append(f"it is of model {printable(config.name)!r}")
    if config.backend not in BACKENDS or config.platform not in ("", "onnxruntime_onnx"):
        asked = printable(config.backend or config.platform)
        faults.append(f"backend {asked!r} is not one of {', '.join(sorted(BACKENDS))}")
    if config.default_model_filename not in ("", "model.onnx"):
        faults.append(f"default_model_filename {printable(config.default_model_filename)!r} is not model.onnx")
    optimization = {field.name for field, _ in config.optimization.ListFields()}
    faults += [f"field optimization.{field} is not allowed" for field in sorted(optimization - _OPTIMIZATION)]
    faults += _provider_faults(config)
    faults += [f"parameter {printable(key)!r} names a file" for key in config.parameters if _names_a_file(config, key)]
    faults += [f"label file {printable(o.label_filename)!r} is not of a version" for o in config.output if _stray(o)]
    files = [i.input_data_file for w in config.model_warmup for i in w.inputs.values() if i.input_data_file]
    faults += [f"warm-up reads the file {printable(path)!r}" for path in files]
    groups = config.instance_group
    if any(g.count > 64 or g.host_policy or g.secondary_devices for g in groups) or len(groups) > 64:
        faults.append("instance groups beyond 64 instances, or with a host policy or secondary devices")
    return faults


def _provider_faults(config: "ModelConfig") -> list[str]:
    accelerators = config.optimization.execution_accelerators
    gpu = accelerators.gpu_execution_accelerator
    if accelerators.cpu_execution_accelerator or any(one.name != "tensorrt" for one in gpu) or len(gpu) > 1:
        return ["an execution accelerator other than one tensorrt on the GPU"]
    given = {key: value for one in gpu for key, value in one.parameters.items()}
    return [
        f"execution accelerator's {printable(key)!r} {printable(given[key])!r}"
        for key in sorted(given)
        if key not in _PROVIDER or not _PROVIDER[key].fullmatch(given[key])
    ]


def _names_a_file(config: "ModelConfig", key: str) -> bool:
    value = config.parameters[key].string_value
    return bool(_PARAMETER_OF_A_FILE.search(key)) or "/" in value or "\\" in value


def _stray(output: Any) -> bool:
    return bool(output.label_filename) and not re.fullmatch(r"[1-9][0-9]*/labels\.txt", output.label_filename)
