"""Metrics of the agent in Prometheus' text format. Pure.

Source of the format: prometheus.io/docs/instrumenting/exposition_formats, "Text-based format"; of the names: "Metric and label
naming" (base units, ``_total`` for what only grows, ``_info`` for what is told by labels).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


@dataclass(slots=True)
class Figures:
    """What the agent of one target counts since it was started.

    Args:
        deploys: versions brought up.
        restores: live versions loaded again, after the server had lost them.
        failures: tries that failed.
        refusals: what the review or the rules did not let pass, once for each change.
        desired: Unix seconds when it was last read what is desired; 0: never.
        success: Unix seconds of the last round in which everything was as desired; 0: never.
        source: where that was read: ``mlflow`` or ``registry``.
        served: model -> version and digest that serve.
        in_step: model -> whether what is desired serves.
    """

    deploys: int = 0
    restores: int = 0
    failures: int = 0
    refusals: int = 0
    desired: float = 0.0
    success: float = 0.0
    source: str = ""
    served: dict[str, tuple[int, str]] = field(default_factory=dict)
    in_step: dict[str, bool] = field(default_factory=dict)


def exposition(figures: Mapping[str, Figures], now: float) -> str:
    """The page, by target; ``now`` is Unix seconds."""
    each = sorted(figures.items())
    counters = (
        ("deploys", "Versions brought up since the agent was started."),
        ("restores", "Live versions loaded again since then, after the server had lost them."),
        ("failures", "Tries that failed since then."),
        ("refusals", "Changes that the review or the rules did not let pass since then."),
    )
    lines: list[str] = []
    for name, words in counters:
        samples = [({"target": target}, float(getattr(one, name))) for target, one in each]
        lines += _metric(f"promote_sync_{name}_total", "counter", words, samples)
    lines += _metric(
        "promote_sync_desired_age_seconds", "gauge", "Since it was last read what is desired.",
        [({"target": target, "source": one.source}, now - one.desired) for target, one in each if one.desired],
    )  # fmt: skip
    lines += _metric(
        "promote_sync_last_success_timestamp_seconds", "gauge", "The last round in which everything was as desired.",
        [({"target": target}, one.success) for target, one in each if one.success],
    )  # fmt: skip
    lines += _metric(
        "promote_sync_in_step", "gauge", "1 where what is desired serves.",
        [({"target": t, "model": model}, float(same)) for t, one in each for model, same in sorted(one.in_step.items())],
    )  # fmt: skip
    lines += _metric(
        "promote_sync_served_info", "gauge", "Which digest serves.",
        [
            ({"target": target, "model": model, "version": str(version), "digest": digest}, 1.0)
            for target, one in each
            for model, (version, digest) in sorted(one.served.items())
        ],
    )  # fmt: skip
    return "\n".join(lines) + "\n"


def _metric(name: str, kind: str, words: str, samples: Iterable[tuple[Mapping[str, str], float]]) -> list[str]:
    lines = [f"# HELP {name} {words}", f"# TYPE {name} {kind}"]
    for labels, value in samples:
        inside = ",".join(f'{key}="{text.translate(_ESCAPES)}"' for key, text in labels.items())
        lines.append(f"{name}{{{inside}}} {value:.3f}".removesuffix(".000"))
    return lines
