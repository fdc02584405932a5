"""Rules about the inputs and outputs of config.pbtxt that Triton's core checks by itself, without looking at the model."""

import math
from collections.abc import Iterator
from typing import Any

from promote.core.names import printable
from promote.core.rules.case import Answer, Case, finding, has_config, rule, unfit
from promote.core.verdict import Finding, Outcome

_SOURCE = "triton core src/model_config_utils.cc ValidateIOShape, ValidateModelInput, ValidateBatchIO"


@rule(
    "config-shapes",
    title="Every input and output of the configuration is whole",
    source=_SOURCE,
    applies=has_config,
    remedy="promote writes config.pbtxt itself: promote the run again",
)
def config_shapes(case: Case) -> Answer:
    """Triton's core refuses an entry without name, type or dims, a dim of 0, and a reshape to another size.

    Layout formats ask for three dims; shape tensors and non-linear formats are TensorRT's alone.
    """
    config = case.config
    assert config is not None  # noqa: S101 - `applies` saw to it; this tells the type checker
    faults = tuple(
        unfit(case, f"{kind} {printable(entry.name, 60)!r} {fault}", "dims", needs)
        for kind, entries in (("input", config.input), ("output", config.output))
        for entry in entries
        for fault, needs in _entry_faults(entry, config)
    )
    return faults or finding(Outcome.OK, f"{len(config.input)} inputs, {len(config.output)} outputs")


def _entry_faults(entry: Any, config: Any) -> Iterator[tuple[str, str]]:
    dims = list(entry.dims)
    if not entry.name:
        yield "has no name", "a name"
    if entry.data_type == 0:
        yield "has no data_type", "a data_type"
    if not dims:
        yield "has no dims", "dims"
    if any(d < 1 and d != -1 for d in dims):
        yield f"has dims {dims}", "dims of 1 or more, or -1"
    elif dims and entry.HasField("reshape"):
        yield from _reshape_faults(dims, list(entry.reshape.shape), config.max_batch_size)
    tensorrt = config.platform == "tensorrt_plan" or config.backend == "tensorrt"
    if getattr(entry, "format", 0) != 0 and len(dims) != 3:
        yield "has a layout format", "3 dims with FORMAT_NHWC and FORMAT_NCHW"
    if entry.is_shape_tensor and not tensorrt:
        yield "is a shape tensor", "a TensorRT plan: no other model has them"
    if getattr(entry, "is_non_linear_format_io", False) and not (tensorrt and len(dims) == 3):
        yield "has a non-linear format", "a TensorRT plan and 3 dims"


def _reshape_faults(dims: list[int], shape: list[int], most: int) -> Iterator[tuple[str, str]]:
    if not shape and most == 0:
        yield "has an empty reshape", "max_batch_size above 0: a scalar needs the batch axis"
    elif any(d < 1 and d != -1 for d in shape):
        yield f"has reshape {shape}", "dims of 1 or more, or -1"
    elif _chunks(dims) != _chunks(shape):
        yield f"has dims {dims} and reshape {shape}", "the same number of elements between variable dims"


def _chunks(dims: list[int]) -> list[int]:
    """Elements between the variable dims: ``[2, 4, -1, 6]`` and ``[8, -1, 1, 6]`` are both ``[8, 6]``."""
    ends = [place for place, d in enumerate(dims) if d == -1]
    starts = [-1, *ends]
    return [math.prod(dims[a + 1 : b]) for a, b in zip(starts, [*ends, len(dims)], strict=True)]


@rule(
    "config-batch-tensors",
    title="Tensors that Triton makes of a batch come from real inputs",
    source=_SOURCE,
    applies=has_config,
    remedy="correct batch_input and batch_output in config.pbtxt",
)
def config_batch_tensors(case: Case) -> Answer:
    """``batch_input`` and ``batch_output`` name one input each, outputs once, and carry INT32 or FP32 only."""
    config = case.config
    assert config is not None  # noqa: S101
    if not config.batch_input and not config.batch_output:
        return None
    inputs, outputs = {entry.name for entry in config.input}, {entry.name for entry in config.output}
    faults: list[Finding] = []
    for kind, entries in (("batch_input", config.batch_input), ("batch_output", config.batch_output)):
        for entry in entries:
            sources = list(entry.source_input)
            if len(sources) != 1 or sources[0] not in inputs:
                faults.append(unfit(case, f"{kind} of {len(sources)} inputs", "batch_tensors", "one of the inputs"))
    for made in config.batch_input:
        words = made.DESCRIPTOR.fields_by_name["data_type"].enum_type.values_by_name
        if made.data_type not in (words["TYPE_INT32"].number, words["TYPE_FP32"].number):
            faults.append(unfit(case, "batch_input of another type", "batch_tensors", "TYPE_INT32 or TYPE_FP32"))
    for given in config.batch_output:
        names = list(given.target_name)
        if not set(names) <= outputs or len(set(names)) != len(names):
            faults.append(unfit(case, "batch_output of other targets", "batch_tensors", "each of the outputs once"))
    return tuple(faults) or finding(Outcome.OK, f"{len(config.batch_input)} and {len(config.batch_output)}")
