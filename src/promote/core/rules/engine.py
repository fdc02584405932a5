"""All rules, and the function that runs them: every one, whatever the others say."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from promote.core.facts import ModelFacts, ModelFolder, Target
from promote.core.matrix import Matrix
from promote.core.model_folder import Neighbour
from promote.core.rules import (
    builds,
    config_scheduling,
    config_shapes,
    configs,
    folders,
    hosts,
    models,
    operators,
    plans,
    probes,
)
from promote.core.rules.case import Case, Rule
from promote.core.verdict import Finding

if TYPE_CHECKING:
    from tritonclient.grpc.model_config_pb2 import ModelConfig

RULES: tuple[Rule, ...] = (
    models.format_served,
    models.onnx_opset,
    models.onnx_ir,
    models.onnx_ml_opset,
    models.onnx_domains,
    operators.operators,
    models.external_data,
    models.io_types,
    plans.plan_arch,
    plans.plan_os,
    plans.plan_version,
    plans.plan_gpu,
    builds.tensorrt_gpu,
    builds.tensorrt_opset,
    builds.tensorrt_precision,
    hosts.triton_release,
    hosts.driver_floor,
    hosts.compute_capability,
    hosts.memory_fit,
    hosts.python_version,
    hosts.dtypes,
    hosts.drift,
    probes.probe_age,
    configs.config_name,
    configs.config_batching,
    configs.config_tensors,
    configs.config_instances,
    config_shapes.config_shapes,
    config_shapes.config_batch_tensors,
    config_scheduling.config_queue,
    config_scheduling.config_sequence,
    config_scheduling.config_cache,
    folders.model_versions,
    folders.model_files,
    folders.label_files,
)


def check(
    model: ModelFacts,
    target: Target,
    matrix: Matrix,
    *,
    config: "ModelConfig | None" = None,
    name: str = "",
    version: int = 0,
    folder: ModelFolder | None = None,
    neighbours: Mapping[str, Neighbour] | None = None,
) -> tuple[Finding, ...]:
    """What every rule says of this model on this target, in the rules' order.

    Args:
        model: of the file, or of what shall become one.
        target: completed here by what its release and GPU imply.
        matrix: what the world accepts.
        config: the message that shall serve the model, or ``None``.
        name: the model's directory, or empty.
        version: its version directory, or 0.
        folder: what lies in the model's directory, or ``None``.
        neighbours: the other models of its repository that are judged already, or ``None``.
    """
    case = Case(model, matrix.complete(target), matrix, config, version, name, folder, neighbours)
    return tuple(finding for rule in RULES for finding in rule(case))
