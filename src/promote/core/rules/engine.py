"""All rules, and the function that runs them: every one, whatever the others say."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from promote.core.facts import ModelFacts, ModelFolder, Target
from promote.core.matrix import Matrix
from promote.core.model_folder import Neighbour
from promote.core.rules import (
    architectures,
    builds,
    capacity,
    config_ensemble,
    config_fields,
    config_scheduling,
    config_shapes,
    config_warmup,
    configs,
    folders,
    hosts,
    models,
    operators,
    placement,
    plans,
    probes,
)
from promote.core.rules.case import Case, Rule
from promote.core.rules.memory import Keys, Numbers, Remembering
from promote.core.verdict import Finding

if TYPE_CHECKING:
    from tritonclient.grpc.model_config_pb2 import ModelConfig

RULES: tuple[Rule, ...] = (
    models.format_served,
    models.onnx_opset,
    models.onnx_ir,
    models.onnx_ml_opset,
    models.onnx_domains,
    operators.onnx_graph,
    operators.operators,
    placement.operators_placement,
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
    architectures.onnxruntime_gpu,
    capacity.memory_fit,
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
    config_warmup.config_warmup,
    config_ensemble.config_ensemble,
    config_ensemble.ensemble_models,
    config_fields.config_complete,
    config_fields.config_parameters,
    folders.model_versions,
    folders.model_files,
    folders.label_files,
)


_MOST = 10_000  # models remembered


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


class Series:
    """``check`` of many models, by their files alone, on one target: what they have in common is judged once.

    Args:
        target: completed here by what its release and GPU imply.
        matrix: what the world accepts.
        rules: for tests.
    """

    def __init__(self, target: Target, matrix: Matrix, rules: tuple[Rule, ...] = RULES) -> None:
        completed = matrix.complete(target)
        self._rules = [Remembering(rule, completed, matrix, tuple) for rule in rules]
        self._numbers = Numbers()
        self._reads: tuple[str, ...] = ()
        self._found: dict[tuple[int, ...], tuple[Finding, ...]] = {}

    def check(self, model: ModelFacts) -> tuple[Finding, ...]:
        """What every rule says of this model, in the rules' order; the same tuple for models that agree in all it rests on."""
        keys = Keys(model, self._numbers)
        findings = self._found.get(keys.of(self._reads))
        if findings is None:
            findings = tuple([finding for rule in self._rules for finding in rule.ask(model, keys)])
            reads = tuple(sorted({name for rule in self._rules for name in rule.reads}))
            if reads != self._reads or len(self._found) >= _MOST:
                self._found.clear()
            # A rule that read nothing of the first model reads nothing of any: it says of all what it said of that one.
            self._rules = [rule for rule in self._rules if rule.reads or rule.found != {(): ()}]
            self._reads = reads
            self._found[keys.of(reads)] = findings
        return findings
