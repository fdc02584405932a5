"""Rules about config.pbtxt: the checks Triton itself makes when it loads a model."""

from collections.abc import Iterator
from typing import Any

from promote.core.names import printable
from promote.core.rules.case import Answer, Case, finding, no_model_fact, rule
from promote.core.tensors import TRITON_OF_ONNX, TensorSpec
from promote.core.verdict import Finding, Outcome

_SOURCE = "triton core src/model_config_utils.cc; onnxruntime_backend src/onnxruntime_utils.cc"


def _has_config(case: Case) -> bool:
    return case.config is not None and not case.target.bare


def _broken(case: Case, has: str, check: str, needs: str = "") -> Finding:
    row = case.matrix.triton_check(check)
    return finding(Outcome.BROKEN, has, needs=needs or row.rule, row=row)


@rule(
    "config-name",
    title="The configuration is of this model and version",
    source=_SOURCE,
    applies=_has_config,
    remedy="promote writes config.pbtxt itself: promote the run again",
)
def config_name(case: Case) -> Answer:
    """Triton refuses a name that is not the directory's, a version that is not there, and a foreign backend."""
    config = case.config
    assert config is not None  # noqa: S101 - `applies` saw to it; this tells the type checker
    faults = []
    if case.name and config.name != case.name:
        faults.append(_broken(case, f"name {printable(config.name, 60)!r}", "name", f"{case.name!r}"))
    if config.backend != "onnxruntime" and case.format == "onnx":
        faults.append(_broken(case, f"backend {printable(config.backend, 40)!r}", "platform_backend", "onnxruntime"))
    versions = list(config.version_policy.specific.versions)
    if case.version and versions and case.version not in versions:
        faults.append(_broken(case, f"versions {versions}", "version_policy", f"version {case.version}"))
    return tuple(faults) or finding(Outcome.OK, f"{config.name} on {config.backend}")


@rule(
    "config-batching",
    title="The batch settings fit the model",
    source=_SOURCE,
    applies=_has_config,
    remedy="max_batch_size 0, or export with a dynamic first axis on every input and output",
)
def config_batching(case: Case) -> Answer:
    """With max_batch_size above 0 the first axis of every input and output is the batch, and must be dynamic."""
    config = case.config
    assert config is not None  # noqa: S101
    if case.model.inputs is None or case.model.outputs is None:
        return no_model_fact("inputs and outputs")
    most = config.max_batch_size
    if most < 0:
        return _broken(case, f"max_batch_size {most}", "max_batch_size")
    faults = [
        _broken(case, f"preferred batch size {size}", "preferred", f"1 to {most}")
        for size in config.dynamic_batching.preferred_batch_size
        if not 0 < size <= most
    ]
    if most:
        faults += [
            _broken(case, f"{printable(str(tensor), 100)}", "batch_onnx")
            for tensor in (*case.model.inputs.value, *case.model.outputs.value)
            if not tensor.shape or isinstance(tensor.shape[0], int)
        ]
    return tuple(faults) or finding(Outcome.OK, f"max_batch_size {most}")


@rule(
    "config-tensors",
    title="Names, types and shapes in the configuration are the model's",
    source=_SOURCE,
    applies=_has_config,
    remedy="promote writes config.pbtxt itself: promote the run again",
)
def config_tensors(case: Case) -> Answer:
    """Triton holds every input and output against the model's own; any difference is refused at load."""
    config = case.config
    assert config is not None  # noqa: S101
    if case.model.inputs is None or case.model.outputs is None:
        return no_model_fact("inputs and outputs")
    faults: list[Finding] = []
    for kind, entries, fact in (
        ("input", config.input, case.model.inputs),
        ("output", config.output, case.model.outputs),
    ):
        faults += _tensor_faults(case, kind, entries, fact.value)
    return tuple(faults) or finding(Outcome.OK, f"{len(config.input)} inputs, {len(config.output)} outputs")


def _tensor_faults(case: Case, kind: str, entries: Any, tensors: tuple[TensorSpec, ...]) -> Iterator[Finding]:
    known = {tensor.name: tensor for tensor in tensors}
    if kind == "input" and {entry.name for entry in entries} != set(known):
        listed = ", ".join(printable(entry.name, 40) for entry in entries)
        yield _broken(case, f"inputs {listed}", "io_count", ", ".join(printable(name, 40) for name in known))
    for entry in entries:
        tensor = known.get(entry.name)
        if tensor is None:
            yield _broken(case, f"{kind} {printable(entry.name, 60)!r}", "io_names", "one of the model's")
            continue
        word = type(entry).DESCRIPTOR.fields_by_name["data_type"].enum_type.values_by_number[entry.data_type].name
        if word != TRITON_OF_ONNX.get(tensor.dtype):
            yield _broken(case, f"{printable(entry.name, 60)!r} as {word}", "io_dtype", tensor.dtype)
        yield from _shape_faults(case, entry, tensor)


def _shape_faults(case: Case, entry: Any, tensor: TensorSpec) -> Iterator[Finding]:
    dims, name = list(entry.dims), printable(entry.name, 60)
    if not dims or any(d < 1 and d != -1 for d in dims):
        yield _broken(case, f"{name!r} has dims {dims}", "dims")
        return
    if tensor.shape is None:
        return
    batched = case.config is not None and case.config.max_batch_size > 0
    own = list(tensor.dims[1:] if batched else tensor.dims)
    if not own:
        if dims != [1]:
            yield _broken(case, f"{name!r} has dims {dims}", "scalar")
        elif entry.HasField("reshape") and not batched:
            yield _broken(case, f"{name!r} is a scalar with an empty reshape", "scalar")
    elif len(own) != len(dims) or any(mine not in (-1, theirs) for mine, theirs in zip(own, dims, strict=True)):
        yield _broken(case, f"{name!r} has dims {dims}", "rank", f"dims {own}")


@rule(
    "config-instances",
    title="The instances run on the device the target has",
    source=_SOURCE,
    applies=_has_config,
    remedy="instance_group.kind in the template: auto follows the target",
)
def config_instances(case: Case) -> Answer:
    """KIND_GPU without a GPU does not load; KIND_AUTO becomes KIND_CPU without a word when the driver is too old."""
    config = case.config
    assert config is not None  # noqa: S101
    kinds = [
        type(g).DESCRIPTOR.fields_by_name["kind"].enum_type.values_by_number[g.kind].name for g in config.instance_group
    ]
    shown = (
        ", ".join(f"{group.count} x {kind}" for group, kind in zip(config.instance_group, kinds, strict=True)) or "none"
    )
    if "KIND_GPU" in kinds and case.device == "cpu":
        return _broken(case, shown, "kind_gpu", f"KIND_CPU: {case.target.name} serves on its CPU")
    if "KIND_AUTO" in kinds or not kinds:
        return finding(
            Outcome.DEGRADED,
            shown,
            needs="KIND_GPU or KIND_CPU, said out loud",
            row=case.matrix.triton_check("kind_gpu"),
        )
    if "KIND_CPU" in kinds and case.device == "gpu":
        return finding(Outcome.DEGRADED, shown, needs=f"KIND_GPU: {case.target.name} has a GPU, which stays idle")
    return finding(Outcome.OK, shown)
