"""``config.pbtxt`` of the kinds beside ONNX Runtime: messages of their settings, as ``serving`` builds its own. Pure.

Source of the fields: triton common ``protobuf/model_config.proto``; of an ensemble's, triton core
``src/ensemble_scheduler/ensemble_utils.cc``.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from promote.core.facts import Target
from promote.core.kinds import EnsembleTemplate, Environment, PythonTemplate, Tensor, TensorRTTemplate
from promote.core.model_config import enum_word
from promote.core.names import printable
from promote.core.triton_messages import configs
from promote.errors import InputError

if TYPE_CHECKING:
    from tritonclient.grpc.model_config_pb2 import ModelConfig

_PACKED = "$$TRITON_MODEL_DIRECTORY/"
_TOKENIZER_GIVES = ("input_ids", "attention_mask", "token_type_ids")
PARTS = ("tokenizer", "entities", "text")
"""What stands beside the network, each a model ``NETWORK-PART``."""


def python_config(template: PythonTemplate, target: Target, name: str, version: int) -> "ModelConfig":
    """Of a Python model.

    Raises:
        InputError: the Python that the environment shall be of is the target's, and that is not known.
    """
    config = _config(name, version, template.max_batch_size, backend="python")
    _tensors(config.input, template.inputs)
    _tensors(config.output, template.outputs)
    on_gpu = template.instance_group.kind == "gpu" or (template.instance_group.kind == "auto" and _has_gpu(target))
    group = config.instance_group.add(count=template.instance_group.count)
    group.kind = group.KIND_GPU if on_gpu else group.KIND_CPU
    _say(config, template.parameters)
    _add_environment(config, template.environment, target)
    return config


def tensorrt_config(template: TensorRTTemplate, name: str, version: int) -> "ModelConfig":
    """Of a plan, always on the GPU: the backend knows no other place (tensorrt_backend ``src/instance_state.cc``)."""
    config = _config(name, version, template.max_batch_size, platform="tensorrt_plan")
    config.backend, config.default_model_filename = "tensorrt", "model.plan"
    _tensors(config.input, template.inputs)
    _tensors(config.output, template.outputs)
    group = config.instance_group.add(count=template.instance_group.count)
    group.kind = group.KIND_GPU
    group.profile.extend(str(number) for number in template.instance_group.profile)
    if template.dynamic_batching.enabled and template.max_batch_size > 0:
        wanted = template.dynamic_batching.preferred_batch_size
        config.dynamic_batching.preferred_batch_size.extend(s for s in wanted if s <= template.max_batch_size)
        config.dynamic_batching.max_queue_delay_microseconds = template.dynamic_batching.max_queue_delay_microseconds
    _say(config, template.parameters)
    return config


def ensemble_configs(
    template: EnsembleTemplate, target: Target, network: "ModelConfig", version: int
) -> "dict[str, ModelConfig]":
    """Part -> its configuration, around one version of a token classifier.

    Args:
        template: settings.
        target: gives the Python where the settings leave it open.
        network: the classifier's own configuration.
        version: of the classifier, and of all parts.

    Raises:
        InputError: the network takes other inputs than a tokenizer gives, or does not give logits for each token.
    """
    inputs, logits = _of_classifier(network)
    name, most = network.name, network.max_batch_size
    text = Tensor(name="TEXT", data_type="TYPE_STRING", dims=(1,))
    places = Tensor(name="PLACES", data_type="TYPE_INT64", dims=(-1, 3))
    answer = Tensor(name="ENTITIES", data_type="TYPE_STRING", dims=(1,))
    scores = Tensor(name="LOGITS", data_type=enum_word(logits, "data_type"), dims=tuple(logits.dims))
    ids = [Tensor(name=one, data_type="TYPE_INT64", dims=(-1,)) for one in inputs]

    def part(which: str, takes: Iterable[Tensor], gives: Iterable[Tensor]) -> "ModelConfig":
        made = _config(f"{name}-{which}", version, most, backend="python")
        _tensors(made.input, takes)
        _tensors(made.output, gives)
        group = made.instance_group.add(count=template.instance_group.count)
        group.kind = group.KIND_CPU
        _add_environment(made, template.environment, target)
        return made

    tokenizer = part("tokenizer", [text], [*ids, places])
    _say(tokenizer, {"max_tokens": str(template.max_tokens)})
    whole = _config(f"{name}-text", version, most, platform="ensemble")
    _tensors(whole.input, [text])
    _tensors(whole.output, [answer])
    same = {one: one for one in inputs}
    for model, takes, gives in (
        (f"{name}-tokenizer", {"TEXT": "TEXT"}, {**same, "PLACES": "PLACES"}),
        (name, same, {logits.name: "LOGITS"}),
        (f"{name}-entities", {one: one for one in ("TEXT", "PLACES", "LOGITS")}, {"ENTITIES": "ENTITIES"}),
    ):
        step = whole.ensemble_scheduling.step.add(model_name=model, model_version=version)
        step.input_map.update(takes)
        step.output_map.update(gives)
    return {
        "tokenizer": tokenizer,
        "entities": part("entities", [text, places, scores], [answer]),
        "text": whole,
    }


def _of_classifier(network: "ModelConfig") -> tuple[list[str], Any]:
    shown = printable(network.name, 64)
    inputs = [entry.name for entry in network.input]
    other = [name for name in inputs if name not in _TOKENIZER_GIVES]
    if other or not inputs or any(enum_word(entry, "data_type") != "TYPE_INT64" for entry in network.input):
        raise InputError(
            f"{shown} takes {', '.join(printable(name, 40) for name in inputs) or 'nothing'}, which no tokenizer gives",
            hint=f"expected 64-bit integers named {', '.join(_TOKENIZER_GIVES)}",
        )
    floats = ("TYPE_FP16", "TYPE_FP32", "TYPE_FP64")
    outputs = [o for o in network.output if len(o.dims) == 2 and enum_word(o, "data_type") in floats]
    if len(network.output) != 1 or not outputs or network.max_batch_size < 1:
        raise InputError(f"{shown} is no token classifier: expected batches, and one output [tokens, labels] of floats")
    return inputs, outputs[0]


def _config(name: str, version: int, most: int, *, backend: str = "", platform: str = "") -> "ModelConfig":
    config = configs().ModelConfig(name=name, backend=backend, platform=platform, max_batch_size=most)
    config.version_policy.specific.versions.append(version)
    return config


def _tensors(field: Any, tensors: Iterable[Tensor]) -> None:
    for tensor in tensors:
        entry = field.add(name=tensor.name)
        kinds = type(entry).DESCRIPTOR.fields_by_name["data_type"].enum_type.values_by_name
        entry.data_type = kinds[tensor.data_type].number
        entry.dims.extend(tensor.dims)


def _say(config: "ModelConfig", parameters: dict[str, str]) -> None:
    for key in sorted(parameters):
        config.parameters[key].string_value = parameters[key]


def _add_environment(config: "ModelConfig", environment: Environment, target: Target) -> None:
    """``python`` is ours: the rule ``python-version`` reads it, and the code when it is loaded."""
    runs = target.host.python
    if environment.python == "auto" and runs is None:
        raise InputError(
            f"python of {target.name} is not known, and the template leaves it open",
            hint="environment: {python: '3.12'} in template.yaml, or probe the target",
        )
    made = ".".join(runs.value.split(".")[:2]) if environment.python == "auto" and runs else environment.python
    _say(config, {"python": made})
    if environment.packed:
        _say(config, {"EXECUTION_ENV_PATH": _PACKED + environment.packed})


def _has_gpu(target: Target) -> bool:
    return target.host.device is not None and target.host.device.value == "gpu"
