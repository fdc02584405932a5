"""What Triton would serve of a model's directory: its backend, its versions, and the file it opens of each. Pure.

Not here: how a directory is read (``adapters.repository_file``), and whether what is served will load (``rules``).
Source: triton core ``src/model_config_utils.cc`` AutoCompleteBackendFields, ``src/constants.h``.
"""

import heapq
import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from promote.core.facts import ModelFolder

if TYPE_CHECKING:
    from tritonclient.grpc.model_config_pb2 import ModelConfig

# Backend -> the file that tells it where nothing else does, in the order in which Triton looks.
FILES = {
    "tensorrt": "model.plan",
    "onnxruntime": "model.onnx",
    "openvino": "model.xml",
    "pytorch": "model.pt",
    "python": "model.py",
}
_ONNX = FILES["onnxruntime"]
_OF_PLATFORM = {
    "tensorrt_plan": "tensorrt",
    "onnxruntime_onnx": "onnxruntime",
    "pytorch_libtorch": "pytorch",
    "torch_aoti": "pytorch",
    "ensemble": "ensemble",
}
_OF_FILE = {file: backend for backend, file in FILES.items()} | {"model.pt2": "pytorch"}
USUAL_FILES = frozenset(_OF_FILE)
"""Names that make a version directory one."""


def backend_of(folder: ModelFolder, config: "ModelConfig | None") -> str:
    """The backend's name, ``ensemble`` for a model that has none, or empty where nothing tells.

    Triton asks, in this order: ``backend``, ``platform``, ``default_model_filename``, and the files of the first version
    directory.
    """
    if config is not None:
        if config.HasField("ensemble_scheduling") and not config.backend:
            return "ensemble"
        if named := config.backend or _OF_PLATFORM.get(config.platform, ""):
            return named
        if config.platform or config.default_model_filename:
            return _OF_FILE.get(config.default_model_filename, "")
    # By name and not by number: Triton takes the first of a sorted set of texts. An ONNX model may be a directory.
    first = min(map(str, folder.versions), default="")
    there = (f for f in _OF_FILE if f"{first}/{f}" in folder.files or f"{first}/{f}/{_ONNX}" in folder.files)
    return next((_OF_FILE[file] for file in there), "")


def served(folder: ModelFolder, config: "ModelConfig | None") -> tuple[int, ...]:
    """The versions that Triton would load under the version policy, which without one is the latest."""
    there = sorted(folder.versions)
    policy = config.version_policy if config is not None else None
    choice = policy.WhichOneof("policy_choice") if policy is not None else None
    if policy is None or choice is None:
        return tuple(there[-1:])
    if choice == "all":
        return tuple(there)
    if choice == "specific":
        named = set(policy.specific.versions)
        return tuple(version for version in there if version in named)
    count = policy.latest.num_versions
    return tuple(there[-count:]) if count else ()


def model_filename(folder: ModelFolder, config: "ModelConfig | None", capability: str = "") -> str:
    """What the backend opens in a version's directory; empty where that is not known, or nothing is opened.

    ``capability`` is the GPU's: a TensorRT model may name a plan for each, which then counts alone
    (tensorrt_backend ``src/model_state.cc``).
    """
    if config is not None and capability in config.cc_model_filenames and backend_of(folder, config) == "tensorrt":
        return str(config.cc_model_filenames[capability])
    named = config.default_model_filename if config is not None else ""
    if named:
        return named
    if config is not None and config.platform == "torch_aoti":
        return "model.pt2"
    return FILES.get(backend_of(folder, config), "")


def model_path(folder: ModelFolder, config: "ModelConfig | None", version: int, capability: str = "") -> str:
    """The file of that version that is there to be read, relative to the directory; empty where there is none.

    An ONNX model may be a directory of that name that holds ``model.onnx``.
    """
    name = model_filename(folder, config, capability)
    if not name:
        return ""
    path = posixpath.normpath(f"{version}/{name}")
    inside = f"{path}/{_ONNX}"
    if path in folder.files:
        return path
    return inside if inside in folder.files and backend_of(folder, config) == "onnxruntime" else ""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """Another model of the same repository, judged before the one that asks.

    Args:
        config: its configuration; ``None`` where it has none.
        word: its verdict; of several versions the worst.
        versions: those that are served.
    """

    config: "ModelConfig | None"
    word: str
    versions: tuple[int, ...] = ()

    def worse(self, other: "Neighbour") -> "Neighbour":
        """The one with the worse verdict, served in all versions of both."""
        words = ("incompatible", "undecided", "degraded", "compatible")
        return Neighbour(self.config, min(self.word, other.word, key=words.index), (*self.versions, *other.versions))


def steps(config: "ModelConfig | None") -> tuple[str, ...]:
    """The models that an ensemble is made of, in its order; none for any other model."""
    return tuple(step.model_name for step in config.ensemble_scheduling.step) if config is not None else ()


def in_order(configs: "Mapping[str, ModelConfig | None]") -> tuple[str, ...]:
    """The names sorted, but that an ensemble comes after the models it is made of; those in a circle come last."""
    missing = {name: {step for step in steps(config) if step in configs} for name, config in configs.items()}
    users: dict[str, list[str]] = {name: [] for name in configs}
    for name, needed in missing.items():
        for step in needed:
            users[step].append(name)
    ready = sorted(name for name, needed in missing.items() if not needed)  # sorted, so a heap
    placed: dict[str, None] = {}
    while ready:
        name = heapq.heappop(ready)
        placed[name] = None
        for user in users[name]:
            missing[user].discard(name)
            if not missing[user]:
                heapq.heappush(ready, user)
    return (*placed, *sorted(configs.keys() - placed))
