"""Rules about config.pbtxt: the checks Triton itself makes when it loads a model."""

from collections.abc import Iterator
from typing import Any

from promote.core.names import printable
from promote.core.rules.case import Answer, Case, finding, has_config, no_model_fact, of_onnx, rule, unfit
from promote.core.tensors import TRITON_OF_ONNX, TensorSpec
from promote.core.verdict import Finding, Outcome

_PLATFORMS = {
    "onnxruntime": ("onnxruntime_onnx",),
    "tensorrt": ("tensorrt_plan",),
    "pytorch": ("pytorch_libtorch", "torch_aoti"),
}
_BACKENDS = {"onnx": "onnxruntime", "tensorrt": "tensorrt", "python": "python"}
_SOURCE = "triton core src/model_config_utils.cc; onnxruntime_backend src/onnxruntime_utils.cc"


@rule(
    "config-name",
    title="The configuration is of this model and version",
    source=_SOURCE,
    applies=has_config,
    remedy="promote writes config.pbtxt itself: promote the run again",
)
def config_name(case: Case) -> Answer:
    """Triton refuses a name that is not the directory's, a version that is not there, and a foreign backend."""
    config = case.config
    assert config is not None  # noqa: S101 - `applies` saw to it; this tells the type checker
    faults = []
    if case.name and config.name and config.name != case.name:  # Triton gives a model without a name its directory's
        faults.append(unfit(case, f"name {printable(config.name, 60)!r}", "name", f"{case.name!r}"))
    faults += [unfit(case, has, "platform_backend", needs) for has, needs in _backend_faults(case, config)]
    versions = list(config.version_policy.specific.versions)
    if case.version and versions and case.version not in versions:
        faults.append(unfit(case, f"versions {versions}", "version_policy", f"version {case.version}"))
    return tuple(faults) or finding(
        Outcome.OK,
        f"{config.name or case.name} on {printable(config.backend or config.platform or 'a backend that Triton chooses', 40)}",
    )


def _backend_faults(case: Case, config: Any) -> Iterator[tuple[str, str]]:
    """Of the backend and the platform: each known backend has platforms of its own."""
    backend, platform = printable(config.backend, 40), printable(config.platform, 40)
    allowed = _PLATFORMS.get(config.backend)
    if allowed and config.platform and config.platform not in allowed:
        yield f"backend {backend!r} with platform {platform!r}", " or ".join(allowed)
    meant = config.backend or next((b for b, known in _PLATFORMS.items() if config.platform in known), "")
    if config.platform and not meant and config.platform != "ensemble":
        yield (
            f"platform {platform!r}",
            f"one of {', '.join(p for known in _PLATFORMS.values() for p in known)}, ensemble",
        )
        return
    filled = not config.backend and not config.platform  # Triton looks at the model file's name
    if case.format in _BACKENDS and meant != _BACKENDS[case.format] and not filled:
        yield f"backend {backend!r}" if config.backend else f"platform {platform!r}", _BACKENDS[case.format]


@rule(
    "config-batching",
    title="The batch settings fit the model",
    source=_SOURCE,
    applies=has_config,
    remedy="max_batch_size 0, or export with a dynamic first axis on every input and output",
)
def config_batching(case: Case) -> Answer:
    """With max_batch_size above 0 the first axis of every input and output is the batch, and must be dynamic."""
    config = case.config
    assert config is not None  # noqa: S101
    most = config.max_batch_size
    if most < 0:
        return unfit(case, f"max_batch_size {most}", "max_batch_size")
    faults = [
        unfit(case, f"preferred batch size {size}", "preferred", f"1 to {most}")
        for size in config.dynamic_batching.preferred_batch_size
        if not 0 < size <= most
    ]
    if faults or not of_onnx(case):
        return tuple(faults) or finding(Outcome.OK, f"max_batch_size {most}")
    if case.model.inputs is None or case.model.outputs is None:
        return no_model_fact("inputs and outputs")
    if most:
        faults += [
            unfit(case, f"{printable(str(tensor), 100)}", "batch_onnx")
            for tensor in (*case.model.inputs.value, *case.model.outputs.value)
            if not tensor.shape or isinstance(tensor.shape[0], int)
        ]
    return tuple(faults) or finding(Outcome.OK, f"max_batch_size {most}")


@rule(
    "config-tensors",
    title="Names, types and shapes in the configuration are the model's",
    source=_SOURCE,
    applies=has_config,
    remedy="promote writes config.pbtxt itself: promote the run again",
)
def config_tensors(case: Case) -> Answer:
    """Triton holds every input and output against the model's own; any difference is refused at load."""
    config = case.config
    assert config is not None  # noqa: S101
    if not of_onnx(case):
        return None
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
    asked = [entry.name for entry in entries if not getattr(entry, "optional", False)]
    if not entries:  # Triton's backend completes them from the model: rule `config-complete`
        return
    if kind == "input" and (len(asked) != len(known) or not {entry.name for entry in entries} <= set(known)):
        listed = ", ".join(printable(entry.name, 40) for entry in entries)
        yield unfit(case, f"inputs {listed}", "io_count", ", ".join(printable(name, 40) for name in known))
    for entry in entries:
        tensor = known.get(entry.name)
        if tensor is None:
            yield unfit(case, f"{kind} {printable(entry.name, 60)!r}", "io_names", "one of the model's")
            continue
        word = type(entry).DESCRIPTOR.fields_by_name["data_type"].enum_type.values_by_number[entry.data_type].name
        if word != TRITON_OF_ONNX.get(tensor.dtype):
            yield unfit(case, f"{printable(entry.name, 60)!r} as {word}", "io_dtype", tensor.dtype)
        yield from _shape_faults(case, entry, tensor, exact=kind == "output")


def _shape_faults(case: Case, entry: Any, tensor: TensorSpec, *, exact: bool) -> Iterator[Finding]:
    """The dims that the model sees, after ``reshape``; an open dim of an output must be open in both (rule ``rank``)."""
    dims, name = list(entry.reshape.shape if entry.HasField("reshape") else entry.dims), printable(entry.name, 60)
    if tensor.shape is None:
        return
    batched = case.config is not None and case.config.max_batch_size > 0
    own = list(tensor.dims[1:] if batched else tensor.dims)
    if not tensor.dims:
        if any(d != 1 for d in dims):
            yield unfit(case, f"{name!r} has dims {dims}", "scalar")
    elif len(own) != len(dims) or any(
        mine != theirs and (exact or mine != -1) for mine, theirs in zip(own, dims, strict=True)
    ):
        yield unfit(case, f"{name!r} has dims {dims}", "rank", f"dims {own}")


@rule(
    "config-instances",
    title="The instances run on the device the target has",
    source=_SOURCE,
    applies=has_config,
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
    faults = tuple(
        unfit(case, has, "kind_gpu", needs) for has, needs in _instance_faults(config, kinds, case.device, case.format)
    )
    if faults:
        return faults
    if "KIND_GPU" in kinds and case.device == "cpu":
        return unfit(case, shown, "kind_gpu", f"KIND_CPU: {case.target.name} serves on its CPU")
    if config.HasField("ensemble_scheduling"):  # its models have instances, it has none
        return None
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


def _instance_faults(config: Any, kinds: list[str], device: str, format: str) -> Iterator[tuple[str, str]]:
    plan = format == "tensorrt" or config.platform == "tensorrt_plan" or config.backend == "tensorrt"
    for group, kind in zip(config.instance_group, kinds, strict=True):
        without = kind in ("KIND_CPU", "KIND_MODEL") or (kind == "KIND_AUTO" and device == "cpu")
        if group.gpus and without:
            yield f"{kind} with gpus {list(group.gpus)[:8]}", "no gpus: it does not run on one"
        if group.profile and not plan:
            yield f"{kind} with a profile", "no profile: TensorRT plans alone have them"
        elif any(not profile.isdecimal() for profile in group.profile):
            yield f"{kind} with a profile that is no number", "whole numbers"
        if plan and kind in ("KIND_CPU", "KIND_MODEL"):
            yield f"{kind} for a TensorRT plan", "KIND_GPU"
