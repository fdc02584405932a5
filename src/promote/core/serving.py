"""``config.pbtxt`` as a typed message, built from a template's settings and the model's own inputs and outputs.

No text template: the message is ``tritonclient``'s protobuf ``ModelConfig``, so a hostile tensor name cannot become
configuration. Not here: whether the result will load (``rules``).
Source of the fields: triton common ``protobuf/model_config.proto``.
"""

from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from promote.core.facts import Target
from promote.core.tensors import TRITON_OF_ONNX, TensorSpec
from promote.core.triton_messages import configs
from promote.errors import InputError

if TYPE_CHECKING:
    from tritonclient.grpc.model_config_pb2 import ModelConfig

_LARGEST_TEMPLATE = 64 * 1024


class Settings(BaseModel):
    """Settings of a template: no key that is not known."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class InstanceGroup(Settings):
    """How many instances, and on what; ``auto`` follows the target's device."""

    count: Annotated[int, Field(ge=1, le=64)] = 1
    kind: Literal["auto", "gpu", "cpu"] = "auto"


class DynamicBatching(Settings):
    """Joining requests to batches; sizes beyond the target's maximum are left out."""

    enabled: bool = True
    preferred_batch_size: tuple[Annotated[int, Field(ge=1, le=4096)], ...] = ()
    max_queue_delay_microseconds: Annotated[int, Field(ge=0, le=10_000_000)] = 0


class Warmup(Settings):
    """One run with zeros before the model is called ready; ``length`` for every dynamic axis but the batch."""

    enabled: bool = True
    length: Annotated[int, Field(ge=1, le=65_536)] = 16


class TensorRT(Settings):
    """ONNX Runtime's TensorRT execution provider: an engine for each part of the graph it takes, built on the target.

    The names are those of triton onnxruntime_backend ``README.md``, "ONNX Runtime with TensorRT optimization". INT8 is not
    among the precisions: it needs a calibration table beside the model.
    """

    precision_mode: Literal["FP32", "FP16"] = "FP32"
    max_workspace_size_bytes: Annotated[int, Field(ge=2**20, le=2**40)] = 2**30
    trt_min_subgraph_size: Annotated[int, Field(ge=1, le=10_000)] = 1


class Template(Settings):
    """The settings of one ``model_repo_templates/`` folder."""

    schema_: Annotated[Literal[1], Field(alias="schema")] = 1
    backend: Literal["onnxruntime"] = "onnxruntime"
    instance_group: InstanceGroup = InstanceGroup()
    dynamic_batching: DynamicBatching = DynamicBatching()
    warmup: Warmup = Warmup()
    tensorrt: TensorRT | None = None
    parameters: dict[str, str] = Field(default_factory=dict, max_length=32)


def parse_template(text: str, origin: str) -> Template:
    """The template in ``text``.

    Raises:
        InputError: it is not YAML, or a field is unknown or wrong; the message names ``origin`` and the field's path.
    """
    return parse_settings(Template, text, origin)


Kind = TypeVar("Kind", bound=Settings)


def parse_settings(kind: type[Kind], text: str, origin: str) -> Kind:
    """The settings of that kind in ``text``.

    Raises:
        InputError: as ``parse_template``.
    """
    try:
        if len(text) > _LARGEST_TEMPLATE:
            raise yaml.YAMLError("larger than 64 KiB")
        return kind.model_validate(yaml.safe_load(text))
    except ValidationError as error:
        first = error.errors()[0]
        path = ".".join(map(str, first["loc"])) or "the file"
        raise InputError(f"{origin}: {path}: {first['msg']}", hint="see model_repo_templates/") from error
    except yaml.YAMLError as error:
        raise InputError(f"{origin} is not YAML: {str(error).splitlines()[0]}") from error


def batches(inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> bool:
    """Whether Triton may batch: the first axis of every input and output is dynamic.

    Source: onnxruntime_backend ``src/onnxruntime_utils.cc`` (rule ``batch_onnx`` of the matrix).
    """
    return all(t.shape and isinstance(t.shape[0], str) for t in (*inputs, *outputs))


def build_config(
    template: Template,
    target: Target,
    name: str,
    version: int,
    inputs: tuple[TensorSpec, ...],
    outputs: tuple[TensorSpec, ...],
    label_filename: str = "",
) -> "ModelConfig":
    """The ``ModelConfig`` message of one version of a model.

    Args:
        template: settings of the serving kind.
        target: gives the device and the largest batch.
        name: model name, equal to its directory.
        version: the one version served; deploying may name a second one for a while.
        inputs: in the model's order; types that Triton cannot carry raise.
        outputs: likewise.
        label_filename: relative to the model's directory, or empty.

    Raises:
        InputError: an input or output has a type Triton does not know.
    """
    config = configs().ModelConfig(name=name, backend=template.backend, default_model_filename="model.onnx")
    batched = batches(inputs, outputs)
    config.max_batch_size = target.max_batch_size if batched else 0
    config.version_policy.specific.versions.append(version)
    _add_tensors(config.input, inputs, batched)
    _add_tensors(config.output, outputs, batched)
    if label_filename:
        for output in config.output:
            output.label_filename = label_filename
    on_gpu = template.instance_group.kind == "gpu" or (
        template.instance_group.kind == "auto" and target.host.device is not None and target.host.device.value == "gpu"
    )
    group = config.instance_group.add(count=template.instance_group.count)
    group.kind = group.KIND_GPU if on_gpu else group.KIND_CPU
    if batched and template.dynamic_batching.enabled:
        batching = config.dynamic_batching
        wanted = template.dynamic_batching.preferred_batch_size
        batching.preferred_batch_size.extend(s for s in wanted if s <= config.max_batch_size)
        batching.max_queue_delay_microseconds = template.dynamic_batching.max_queue_delay_microseconds
    if template.tensorrt and on_gpu:  # a processor has no TensorRT: the same template serves both
        accelerators = config.optimization.execution_accelerators
        provider = accelerators.gpu_execution_accelerator.add(name="tensorrt")
        provider.parameters.update({key: str(value) for key, value in template.tensorrt.model_dump().items()})
    if template.warmup.enabled:
        _add_warmup(config, inputs, template.warmup.length)
    for key in sorted(template.parameters):
        config.parameters[key].string_value = template.parameters[key]
    return config


def _add_tensors(field: Any, tensors: tuple[TensorSpec, ...], batched: bool) -> None:
    for tensor in tensors:
        if tensor.dtype not in TRITON_OF_ONNX:
            raise InputError(
                f"{tensor.name!r} has type {tensor.dtype}, which Triton cannot carry",
                hint="convert it inside the model to one of: " + ", ".join(sorted(TRITON_OF_ONNX)),
            )
        entry = field.add(name=tensor.name)
        entry.data_type = (
            type(entry)
            .DESCRIPTOR.fields_by_name["data_type"]
            .enum_type.values_by_name[TRITON_OF_ONNX[tensor.dtype]]
            .number
        )
        dims = tensor.dims[1:] if batched else tensor.dims
        if dims:
            entry.dims.extend(dims)
        else:  # a scalar: Triton wants at least one dimension, and a reshape back to none (rule `dims`)
            entry.dims.append(1)
            entry.reshape.SetInParent()


def _add_warmup(config: "ModelConfig", inputs: tuple[TensorSpec, ...], length: int) -> None:
    sample = config.model_warmup.add(name="zeros", batch_size=1)  # 0 would be skipped
    for tensor, entry in zip(inputs, config.input, strict=True):
        warm = sample.inputs[tensor.name]
        warm.data_type = entry.data_type
        warm.dims.extend(length if d == -1 else d for d in entry.dims)
        warm.zero_data = True


def config_text(config: "ModelConfig") -> bytes:
    """``config.pbtxt``: the message as protobuf text, the same bytes for the same message."""
    from google.protobuf import text_format

    head = "# Written by promote. Changes here are lost at the next deployment.\n"
    text: str = text_format.MessageToString(config, use_index_order=True)
    return (head + text).encode()
