"""Whether the configuration that a server says it uses is the one that was placed. Pure.

Triton completes what it is given: defaults, names of instance groups, and what a backend reads from the model (triton core
``src/model_config_utils.cc``, NormalizeModelConfig; onnxruntime_backend ``src/onnxruntime.cc``, AutoCompleteConfig). So all
that was placed must be there, and nothing beyond it but what Triton completes.
"""

from typing import TYPE_CHECKING, Any

from promote.core.names import printable

if TYPE_CHECKING:
    from tritonclient.grpc.model_config_pb2 import ModelConfig

_COMPLETED = frozenset({
    "platform", "backend", "runtime", "default_model_filename", "version_policy", "optimization", "instance_group",
    "dynamic_batching", "max_batch_size", "response_cache", "model_transaction_policy",
})  # fmt: skip


def difference(placed: "ModelConfig", served: "ModelConfig") -> str:
    """The first field that differs, with both values; empty when the server uses what was placed.

    Which versions are served is not compared: the server's index says which really are.
    """
    placed, served = _without_versions(placed), _without_versions(served)
    if fault := _lacks(placed, served, ""):
        return fault
    named = {descriptor.name for descriptor, _ in placed.ListFields()}
    for descriptor, value in served.ListFields():
        if descriptor.name not in named and descriptor.name not in _COMPLETED:
            return f"the server uses {descriptor.name} {_shown(value)}, which was not placed"
    return ""


def _without_versions(config: "ModelConfig") -> "ModelConfig":
    copy = type(config)()
    copy.CopyFrom(config)
    copy.ClearField("version_policy")
    return copy


def _lacks(placed: Any, served: Any, path: str) -> str:
    """The first field of ``placed`` that ``served`` does not have, or has otherwise."""
    for descriptor, value in placed.ListFields():
        where, there = f"{path}{descriptor.name}", getattr(served, descriptor.name)
        if hasattr(value, "items"):  # a map
            pairs = [(f"{where}[{key}]", value[key], there.get(key)) for key in sorted(value)]
        elif isinstance(value, (str, bytes)) or not hasattr(value, "__len__"):
            pairs = [(where, value, there)]
        elif len(value) != len(there):
            return f"the server has {len(there)} of {where}, {len(value)} were placed"
        else:
            pairs = [(f"{where}[{n}]", one, other) for n, (one, other) in enumerate(zip(value, there, strict=True))]
        for label, one, other in pairs:
            if other is not None and hasattr(one, "ListFields"):
                if fault := _lacks(one, other, f"{label}."):
                    return fault
            elif one != other:
                return f"the server uses {label} {_shown(other)}, {_shown(one)} was placed"
    return ""


def _shown(value: Any) -> str:
    return printable(" ".join(str(value).split()), 80) or "''"
