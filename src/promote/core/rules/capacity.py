"""The rule about memory: the weights, what answering takes, and what is taken already."""

from collections.abc import Mapping
from functools import lru_cache

from promote.core.extents import Activations, work_out
from promote.core.rules.case import Answer, Case, finding, no_host_fact, no_model_fact, on_server, rule
from promote.core.tensors import TensorSpec
from promote.core.verdict import Outcome


@rule(
    "memory-fit",
    title="The model fits into the memory models may use",
    source="promote's estimate, row `memory_estimate`; held against ONNX Runtime in docs/performance.md",
    applies=on_server,
    remedy="a smaller precision, another host, fewer models on it, or targets.NAME.max_batch_size and max_sequence as they are",
)
def memory_fit(case: Case) -> Answer:
    """Weights that alone exceed the memory never load; an estimate on top of them is a warning only.

    Where the file tells the shapes of its tensors, what is alive together at the largest batch and sequence is added to the
    weights; else the weights count by a factor. The first open axis of an input is the batch, every other one the sequence. Each
    instance of the configuration takes both again. Not counted: workspaces of kernels, what an arena holds beyond what was
    asked of it, the runtime and its libraries. What the server uses now is taken off what is free, and may be an older version.
    """
    weights, memory, row = case.model.weights_bytes, case.target.host.memory_bytes, case.matrix.tables.memory_estimate
    if weights is None:
        return no_model_fact("size of weights")
    if memory is None:
        return no_host_fact(case, "memory_gib", f"for weights of {_size(weights.value)}")
    activations, inputs = case.model.activations, case.model.inputs
    estimate, has = _served(
        weights.value,
        activations.value if activations else None,
        inputs.value if inputs else None,
        *_asked(case),
        _instances(case),
        row.factor,
    )
    needs = f"at most {_size(memory.value)} ({memory.source})"
    if weights.value > memory.value:
        return finding(Outcome.BROKEN, has, weights, needs=needs)
    used = case.target.host.memory_used_bytes
    if used is not None:  # at one moment, and maybe by the version that this one replaces: a warning, never a refusal
        needs += f", of which {_size(used.value)} are taken now"
    free = memory.value - (used.value if used else 0)
    outcome = Outcome.DEGRADED if estimate > free else Outcome.OK
    return finding(outcome, has, weights, needs=needs, row=row)


def _asked(case: Case) -> tuple[int, int]:
    """The largest batch and sequence."""
    batch = case.config.max_batch_size if case.config is not None else 0
    return (
        batch if batch > 0 else case.target.max_batch_size,
        case.target.max_sequence or case.matrix.tables.memory_estimate.sequence,
    )


@lru_cache(maxsize=64)  # hosts differ in their memory and seldom in this, and what-if asks a model on many
def _served(
    weights: int,
    activations: Activations | None,
    inputs: tuple[TensorSpec, ...] | None,
    batch: int,
    length: int,
    instances: int,
    factor: float,
) -> tuple[int, str]:
    """Bytes that all instances take, with how to say it."""
    answering, words = _answering(activations, inputs, batch, length)
    if answering is None:
        estimate, has = int(weights * factor) * instances, f"weights of {_size(weights)}"
    else:
        estimate, has = (weights + answering) * instances, f"weights of {_size(weights)} and {words}"
    times = f" in {instances} instances" if instances > 1 else ""
    return estimate, f"{has}, about {_size(estimate)} when served{times}"


def _answering(
    activations: Activations | None, inputs: tuple[TensorSpec, ...] | None, batch: int, length: int
) -> tuple[int | None, str]:
    """Bytes that are alive together while the model answers, with how to say it; ``None`` where too little is known."""
    if activations is None or inputs is None or not activations.peaks or 2 * activations.unsized > activations.tensors:
        return None, ""
    numbers: dict[str, int] = {}
    for spec in inputs:
        for axis, extent in enumerate(spec.shape or ()):
            if isinstance(extent, str):
                numbers.setdefault(extent, length if axis else batch)
    sizes = [work_out(peak, numbers) for peak in activations.peaks]
    known = [size for size in sizes if size is not None]
    if len(known) < len(sizes) or not known:
        return None, ""
    missed = f", {activations.unsized} of {activations.tensors} tensors left out" if activations.unsized else ""
    return max(known), f"activations of {_size(max(known))} ({_taken(numbers, batch, length)}{missed})"


def _taken(numbers: Mapping[str, int], batch: int, length: int) -> str:
    """``batch 8, sequence 512``: what the open axes were taken for."""
    said = [f"batch {batch}"] if batch in numbers.values() else []
    said += [f"sequence {length}"] if any(n != batch for n in numbers.values()) else []
    return ", ".join(said) or "all axes fixed"


def _instances(case: Case) -> int:
    """Copies of the model that one device holds."""
    groups = case.config.instance_group if case.config is not None else ()
    return sum(max(group.count, 1) for group in groups) or 1


def _size(size: int) -> str:
    for unit, width in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if size >= width:
            return f"{size / width:.3g} {unit}"
    return f"{size} bytes"
