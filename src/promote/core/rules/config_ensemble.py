"""The rules about ensembles: models that are made of other models of the same repository."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from promote.core.model_config import enum_word
from promote.core.model_folder import Neighbour, steps
from promote.core.names import printable
from promote.core.rules.case import Answer, Case, finding, has_config, rule, unfit
from promote.core.verdict import Finding, Outcome

_REMEDY = "correct ensemble_scheduling in config.pbtxt"
Fault = tuple[str, str]


def _is_ensemble(case: Case) -> bool:
    config = case.config
    return has_config(case) and config is not None and (_scheduled(config) or config.platform == "ensemble")


def _scheduled(config: Any) -> bool:
    return bool(config.HasField("ensemble_scheduling"))


@rule(
    "config-ensemble",
    title="An ensemble's steps and maps are whole",
    source="triton core src/model_config_utils.cc ValidateEnsembleSchedulingConfig; refusals seen of the server 2.51.0",
    applies=_is_ensemble,
    remedy=_REMEDY,
)
def config_ensemble(case: Case) -> Answer:
    """Each step names a model and maps both sides; each tensor is made once, and each that is made is used."""
    config = case.config
    assert config is not None  # noqa: S101 - `applies` saw to it; this tells the type checker
    faults = (
        [*_form_faults(config), *_flow_faults(config)] if _scheduled(config) else [("no ensemble_scheduling", "steps")]
    )
    told = tuple(unfit(case, has, "ensemble", needs) for has, needs in faults)
    return told or finding(Outcome.OK, f"{len(steps(config))} steps")


def _form_faults(config: Any) -> Iterator[Fault]:
    if config.platform != "ensemble" or config.backend:
        yield (
            f"platform {printable(config.platform, 40)!r} and backend {printable(config.backend, 40)!r}",
            "'ensemble', no backend",
        )
    if config.instance_group:
        yield "an instance group", "none: the models have their own"
    if not config.ensemble_scheduling.step:
        yield "no step", "a step for each model"
    for place, step in enumerate(config.ensemble_scheduling.step):
        for name in ("model_name", "input_map", "output_map"):
            if not getattr(step, name):
                yield f"step {place} has no {name}", name


def _flow_faults(config: Any) -> Iterator[Fault]:
    made = Counter(tensor for step in config.ensemble_scheduling.step for tensor in step.output_map.values())
    used = {tensor for step in config.ensemble_scheduling.step for tensor in step.input_map.values()}
    inputs, outputs = {entry.name for entry in config.input}, {entry.name for entry in config.output}
    for tensor, count in sorted(made.items()):
        if count > 1:
            yield f"tensor {printable(tensor, 60)!r} is made {count} times", "once"
        if tensor not in used | outputs:
            yield f"tensor {printable(tensor, 60)!r} is not used", "a step that takes it, or an output"
    for kind, names, there in (("input", inputs, used), ("output", outputs, made.keys())):
        for name in sorted(names - there):
            yield f"{kind} {printable(name, 60)!r} is in no {kind}_map", f"a step's {kind}_map that names it"
    for tensor in sorted(used - inputs - made.keys()):
        yield f"tensor {printable(tensor, 60)!r} comes from nowhere", "an input, or a step that makes it"


@rule(
    "ensemble-models",
    title="The models of an ensemble are there, load, and fit together",
    source="triton core src/ensemble_scheduler/ensemble_utils.cc ValidateEnsembleConfig; refusals seen of the server 2.51.0",
    applies=lambda case: _is_ensemble(case) and bool(steps(case.config)),
    remedy=_REMEDY,
)
def ensemble_models(case: Case) -> Answer:
    """An ensemble loads when its models do, at the versions it names, with tensors of the types and shapes it says."""
    config, neighbours = case.config, case.neighbours
    assert config is not None  # noqa: S101
    if neighbours is None:
        return finding(
            Outcome.UNKNOWN,
            "the models around the ensemble are not known",
            needs=", ".join(printable(name, 60) for name in dict.fromkeys(steps(config))),
            remedy="promote check REPOSITORY: the folder that holds the ensemble and its models",
        )
    faults: list[Finding] = []
    tensors: dict[str, tuple[int, list[int], bool]] = {}
    for entry in (*config.input, *config.output):
        dims = entry.reshape.shape if entry.HasField("reshape") else entry.dims
        tensors.setdefault(entry.name, (entry.data_type, list(dims), config.max_batch_size > 0))
    for step in config.ensemble_scheduling.step:
        neighbour = neighbours.get(step.model_name)
        faults += _model_faults(case, step, neighbour)
        if neighbour is not None and neighbour.config is not None:
            faults += [
                unfit(case, f"{printable(step.model_name, 60)}: {has}", "ensemble_models", needs)
                for has, needs in _tensor_faults(step, neighbour.config, config.max_batch_size, tensors)
            ]
    return tuple(faults) or finding(Outcome.OK, ", ".join(printable(name, 60) for name in dict.fromkeys(steps(config))))


def _model_faults(case: Case, step: Any, neighbour: Neighbour | None) -> Iterator[Finding]:
    name = printable(step.model_name, 60)
    if not step.model_name:
        return  # config-ensemble says so
    if neighbour is None:
        needs = "a model of that name that is not made of this one"
        yield unfit(case, f"no model {name!r} to build on", "ensemble_models", needs)
        return
    if neighbour.word == "incompatible":
        yield unfit(case, f"{name} does not load", "ensemble_models", "models that load: its own verdict says why")
    elif neighbour.word == "undecided":
        yield finding(Outcome.UNKNOWN, f"whether {name} loads is not known", needs="what its own verdict asks for")
    if step.model_version >= 0 and step.model_version not in neighbour.versions:
        known = ", ".join(map(str, neighbour.versions))
        needs = f"-1, the latest, or one of {known}"
        yield unfit(case, f"{name} in version {step.model_version}", "ensemble_models", needs)
    if neighbour.config is None or not (neighbour.config.input and neighbour.config.output):
        yield finding(
            Outcome.UNKNOWN, f"{name} leaves its tensors to Triton", needs="inputs and outputs in its config.pbtxt"
        )


def _tensor_faults(
    step: Any, config: Any, most: int, tensors: dict[str, tuple[int, list[int], bool]]
) -> Iterator[Fault]:
    batching = config.max_batch_size > 0
    if 0 < config.max_batch_size < most:
        yield f"max_batch_size {config.max_batch_size}", f"{most} or more, or a smaller one of the ensemble"
    for kind, mapped, entries in (
        ("input", step.input_map, config.input),
        ("output", step.output_map, config.output),
    ):
        known = {entry.name: entry for entry in entries}
        if not known:
            continue
        for name in sorted(mapped):
            if (entry := known.get(name)) is None:
                yield f"{kind} {printable(name, 60)!r}", f"one of {', '.join(printable(n, 40) for n in known)}"
                continue
            mine = (entry.data_type, list(entry.dims), batching)
            theirs = tensors.setdefault(mapped[name], mine)
            if mine[0] != theirs[0]:
                yield (
                    f"tensor {printable(mapped[name], 60)!r} as {enum_word(entry, 'data_type')}",
                    "the same type on both sides",
                )
            elif not _alike(mine, theirs):
                yield f"tensor {printable(mapped[name], 60)!r} with dims {mine[1]}", f"dims {theirs[1]}"
        if kind == "input":
            for name in sorted(n for n, entry in known.items() if n not in mapped and not entry.optional):
                yield (
                    f"input {printable(name, 60)!r} is mapped to nothing",
                    "a tensor for every input that is not optional",
                )


def _alike(mine: tuple[int, list[int], bool], theirs: tuple[int, list[int], bool]) -> bool:
    """Equal but for variable dims, with the batch axis or without: a model may count it among its own."""
    full = [([-1] if batching else []) + dims for _, dims, batching in (mine, theirs)]
    return any(
        len(left) == len(right) and all(-1 in pair or pair[0] == pair[1] for pair in zip(left, right, strict=True))
        for left, right in ((mine[1], theirs[1]), (full[0], full[1]))
    )
