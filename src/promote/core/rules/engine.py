"""All rules, and the function that runs them: every one, whatever the others say."""

from typing import TYPE_CHECKING

from promote.core.facts import ModelFacts, Target
from promote.core.matrix import Matrix
from promote.core.rules import configs, hosts, models, operators, plans, probes
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
    plans.plan_version,
    plans.plan_gpu,
    hosts.triton_release,
    hosts.driver_floor,
    hosts.compute_capability,
    hosts.memory_fit,
    hosts.dtypes,
    hosts.drift,
    probes.probe_age,
    configs.config_name,
    configs.config_batching,
    configs.config_tensors,
    configs.config_instances,
)


def check(
    model: ModelFacts,
    target: Target,
    matrix: Matrix,
    *,
    config: "ModelConfig | None" = None,
    name: str = "",
    version: int = 0,
) -> tuple[Finding, ...]:
    """What every rule says of this model on this target, in the rules' order.

    Args:
        model: of the file, or of what shall become one.
        target: completed here by what its release and GPU imply.
        matrix: what the world accepts.
        config: the message that shall serve the model, or ``None``.
        name: the model's directory, or empty.
        version: its version directory, or 0.
    """
    case = Case(model, matrix.complete(target), matrix, config, version, name)
    return tuple(finding for rule in RULES for finding in rule(case))
