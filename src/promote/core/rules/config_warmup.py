"""The rule about warm-up: a model is not ready before its samples have run, so a wrong sample keeps it from loading."""

import math
import posixpath
from collections.abc import Iterator
from typing import Any

from promote.core.model_config import enum_word
from promote.core.names import printable
from promote.core.rules.case import Answer, Case, finding, has_config, rule, unfit
from promote.core.verdict import Finding, Outcome

_WIDTHS = {
    "TYPE_BOOL": 1, "TYPE_UINT8": 1, "TYPE_INT8": 1, "TYPE_UINT16": 2, "TYPE_INT16": 2, "TYPE_FP16": 2, "TYPE_BF16": 2,
    "TYPE_UINT32": 4, "TYPE_INT32": 4, "TYPE_FP32": 4, "TYPE_UINT64": 8, "TYPE_INT64": 8, "TYPE_FP64": 8,
}  # fmt: skip
Fault = tuple[str, str]


@rule(
    "config-warmup",
    title="Every warm-up sample is one the model takes",
    source="triton core src/backend_model_instance.cc GenerateWarmupData, WarmUp; refusals seen of the server 2.51.0",
    applies=lambda case: has_config(case) and case.config is not None and len(case.config.model_warmup) > 0,
    remedy="correct model_warmup in config.pbtxt, or take it out",
)
def config_warmup(case: Case) -> Answer:
    """Samples are made and run while the model loads: of every input, with its type, whole dims and data.

    A sample of batch_size 0 is skipped. A folder where a data file should be ended the server 2.51.0 itself, and so did, now
    and then, a batch_size above max_batch_size.
    """
    config = case.config
    assert config is not None  # noqa: S101 - `applies` saw to it; this tells the type checker
    faults: list[Finding] = []
    skipped = []
    for sample in config.model_warmup:
        if sample.batch_size == 0:
            skipped.append(f"sample {printable(sample.name, 60)!r} has batch_size 0, so it is skipped")
            continue
        told = [*_size_faults(sample, config.max_batch_size), *_input_faults(sample, config)]
        faults += [unfit(case, f"sample {printable(sample.name, 60)!r}: {has}", "warmup", needs) for has, needs in told]
        faults += _file_faults(case, sample)
    if skipped and not faults:
        return finding(
            Outcome.DEGRADED, "; ".join(skipped), needs="batch_size 1 or more", row=case.matrix.triton_check("warmup")
        )
    return tuple(faults) or finding(Outcome.OK, f"{len(config.model_warmup)} samples")


def _size_faults(sample: Any, most: int) -> Iterator[Fault]:
    if sample.batch_size > max(most, 1):
        yield f"batch_size {sample.batch_size}", f"1 to {max(most, 1)}, as max_batch_size is {most}"


def _input_faults(sample: Any, config: Any) -> Iterator[Fault]:
    known = {entry.name: entry for entry in config.input}
    for name, entry in known.items():
        if name not in sample.inputs and not entry.optional:
            yield f"no input {printable(name, 60)!r}", "every input that is not optional"
    for name in sorted(sample.inputs):
        given, shown = sample.inputs[name], printable(name, 60)
        dims, entry = list(given.dims), known.get(name)
        if -1 in dims:
            yield f"input {shown!r} has dims {dims}", "whole dims: nothing fills in a variable one"
        if given.WhichOneof("input_data_type") is None:
            yield f"input {shown!r} has no data", "zero_data, random_data or input_data_file"
        if entry is None:  # a control input, or one that the model ignores
            continue
        if given.data_type != entry.data_type:
            yield f"input {shown!r} as {enum_word(given, 'data_type')}", enum_word(entry, "data_type")
        if -1 not in dims and not _matches(dims, list(entry.dims)):
            yield f"input {shown!r} has dims {dims}", f"dims {list(entry.dims)}"


def _matches(dims: list[int], asked: list[int]) -> bool:
    return len(dims) == len(asked) and all(theirs in (-1, mine) for mine, theirs in zip(dims, asked, strict=True))


def _file_faults(case: Case, sample: Any) -> Iterator[Finding]:
    """Data files lie in ``warmup/`` of the model's directory, and hold one batch entry at least."""
    if case.folder is None:
        return
    for name in sorted(sample.inputs):
        given = sample.inputs[name]
        if not (file := given.input_data_file):
            continue
        path = posixpath.normpath(f"warmup/{file}")
        shown = f"sample {printable(sample.name, 60)!r}: {printable(path, 80)}"
        if path.startswith(("../", "/")):
            yield finding(Outcome.UNKNOWN, f"{shown} lies outside the model's directory", needs="a file in warmup/")
        elif path not in case.folder.files:
            yield unfit(case, f"{shown} is no file", "warmup", "a file of that name")
        else:
            needed = math.prod(given.dims) * _WIDTHS.get(enum_word(given, "data_type"), 0)
            size = case.folder.warmup.get(path, needed)
            if size < needed:
                yield unfit(case, f"{shown} has {size:,} bytes", "warmup", f"{needed:,} bytes")
