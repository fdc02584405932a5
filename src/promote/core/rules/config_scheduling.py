"""Rules about how config.pbtxt schedules requests: dynamic batching, sequences, warm-up and the response cache."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from promote.core.model_config import enum_word
from promote.core.names import printable
from promote.core.rules.case import Answer, Case, finding, has_config, rule, unfit
from promote.core.verdict import Outcome

_SOURCE = "triton core src/model_config_utils.cc ValidateModelConfig"
_REMEDY = "correct config.pbtxt, or let promote write it: promote the run again"
Fault = tuple[str, str]


@rule("config-queue", title="Priorities and queues fit together", source=_SOURCE, applies=has_config, remedy=_REMEDY)
def config_queue(case: Case) -> Answer:
    """With priority levels a default level is a must; keeping the order excludes priorities and delayed requests."""
    config = case.config
    assert config is not None  # noqa: S101 - `applies` saw to it; this tells the type checker
    if not config.HasField("dynamic_batching"):
        return None
    faults = tuple(unfit(case, has, "queue", needs) for has, needs in _queue_faults(config.dynamic_batching))
    return faults or finding(Outcome.OK, f"{config.dynamic_batching.priority_levels} priority levels")


def _queue_faults(batching: Any) -> Iterator[Fault]:
    levels = batching.priority_levels
    if levels:
        if not 1 <= batching.default_priority_level <= levels:
            yield f"default_priority_level {batching.default_priority_level}", f"1 to {levels}"
        for level in sorted(batching.priority_queue_policy):
            if not 1 <= level <= levels:
                yield f"a queue policy for level {level}", f"levels 1 to {levels}"
    if batching.preserve_ordering:
        if levels > 1:
            yield f"preserve_ordering with {levels} priority levels", "one level"
        policies = [batching.default_queue_policy, *batching.priority_queue_policy.values()]
        if any(p.default_timeout_microseconds and enum_word(p, "timeout_action") == "DELAY" for p in policies):
            yield "preserve_ordering with timeout_action DELAY", "REJECT"


@rule("config-sequence", title="Sequence batching is whole", source=_SOURCE, applies=has_config, remedy=_REMEDY)
def config_sequence(case: Case) -> Answer:
    """Each control is given once, on a tensor of its own, with two values; batch sizes stay within max_batch_size."""
    config = case.config
    assert config is not None  # noqa: S101
    if not config.HasField("sequence_batching"):
        return None
    batcher = config.sequence_batching
    faults = [*_control_faults(batcher), *_strategy_faults(batcher, config.max_batch_size)]
    return tuple(unfit(case, has, "sequence", needs) for has, needs in faults) or finding(
        Outcome.OK, f"{len(batcher.control_input)} control inputs"
    )


def _control_faults(batcher: Any) -> Iterator[Fault]:
    names = Counter(entry.name for entry in batcher.control_input)
    if "" in names:
        yield "a control input without a name", "a name"
    for name in (n for n, count in names.items() if count > 1):
        yield f"control input {printable(name, 60)!r} twice", "a tensor for each control"
    controls = [c for entry in batcher.control_input for c in entry.control]
    for kind, count in Counter(enum_word(c, "kind") for c in controls).items():
        if count > 1:
            yield f"{kind} {count} times", "once"
    for c in controls:
        kind = enum_word(c, "kind")
        values = [v for v in (c.int32_false_true, c.fp32_false_true, c.bool_false_true) if v]
        if kind == "CONTROL_SEQUENCE_CORRID":
            if values:
                yield f"{kind} with false and true values", "none: it carries the sequence's id"
            if enum_word(c, "data_type") not in (
                "TYPE_UINT64",
                "TYPE_INT64",
                "TYPE_UINT32",
                "TYPE_INT32",
                "TYPE_STRING",
            ):
                yield f"{kind} as {enum_word(c, 'data_type')}", "a 32 or 64 bit integer, or TYPE_STRING"
        elif len(values) != 1 or len(values[0]) != 2:
            yield f"{kind} with {len(values)} kinds of values", "a false and a true value of one type"


def _strategy_faults(batcher: Any, most: int) -> Iterator[Fault]:
    if batcher.HasField("oldest"):
        for size in batcher.oldest.preferred_batch_size:
            if not 0 < size <= most:
                yield f"preferred batch size {size}", f"1 to {most}"
    if batcher.HasField("direct") and not 0 <= batcher.direct.minimum_slot_utilization <= 1:
        yield f"minimum_slot_utilization {batcher.direct.minimum_slot_utilization}", "0 to 1"


@rule(
    "config-cache",
    title="The response cache is asked for where it works",
    source=_SOURCE,
    applies=has_config,
    remedy=_REMEDY,
)
def config_cache(case: Case) -> Answer:
    """Triton's response cache serves neither sequences nor decoupled models, and refuses to load them with it."""
    config = case.config
    assert config is not None  # noqa: S101
    if not config.response_cache.enable:
        return None
    if config.HasField("sequence_batching"):
        return unfit(case, "response_cache with sequence batching", "cache", "no response cache")
    if config.model_transaction_policy.decoupled:
        return unfit(case, "response_cache of a decoupled model", "cache", "no response cache")
    return finding(Outcome.OK, "response_cache")
