"""What makes promotions comparable in MLflow's own tables and charts: parameters, metrics and tags of a run each. Pure.

Names come from a training run and from a model's outputs, so each is brought into the form that MLflow takes. Not here: how
a run is made (``adapters.tracking.promotions``).
"""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from promote.core.load import Figures
from promote.core.names import printable
from promote.core.stages import Release, Run

_NO_NAME = re.compile(r"[^\w .-]", re.ASCII)
_LONGEST_NAME = 200  # MLflow takes 250 characters
_MOST_TASK_METRICS = 400  # MLflow takes 1,000 in a request


@dataclass(frozen=True, slots=True)
class PromotionRun:
    """A promotion's run in MLflow.

    Args:
        run_id: MLflow's.
        path: where its page lies within MLflow's UI: ``#/experiments/3/runs/4f2a``.
    """

    run_id: str
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """What one promotion says of itself.

    Args:
        params: what was asked and chosen; the same for the same promotion.
        metrics: what was measured: bytes, seconds, and numbers in units of their own.
        tags: to find it by, all named ``promote.*``.
    """

    params: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]


def run_name(release: Release) -> str:
    """``ner v3 for calypso``."""
    bundle = release.bundle
    return f"{bundle.name} v{bundle.version} for {bundle.target.name}"


def run_note(release: Release) -> str:
    """What the run's page says first, Markdown: where the version and the training run are."""
    bundle = release.bundle
    run = bundle.verdict.subject.export.candidate.run
    return "\n".join(
        [
            f"Promotion of [{bundle.name} version {bundle.version}](#/models/{bundle.name}/versions/{bundle.version}): "
            f"**{bundle.verdict.word}** with **{bundle.target.name}**.",
            "",
            f"Made of [training run {run.run_id}]({training_page(run)}). The report is among the artifacts: `report.html`.",
        ]
    )


def training_page(run: Run) -> str:
    """Where the training run's page lies within MLflow's UI."""
    known = re.fullmatch(r"\w{1,64}", run.experiment_id, re.ASCII)
    return f"#/experiments/{run.experiment_id}/runs/{run.run_id}" if known else f"#/runs/{run.run_id}"


def compared(release: Release, seconds: Mapping[str, float]) -> Compared:
    """What is written of a release.

    Args:
        release: as it was pushed.
        seconds: stage -> how long it took.
    """
    bundle = release.bundle
    export = bundle.verdict.subject.export
    run, plan = export.candidate.run, export.plan
    commit = run.tags.get("mlflow.source.git.commit") or run.tags.get("git.commit", "")
    params = {
        "model": bundle.name,
        "version": str(bundle.version),
        "target": bundle.target.name,
        "verdict": bundle.verdict.word,
        "format": plan.format,
        "opset": str(plan.opset or ""),
        "precision": plan.precision,
        "flavour": export.candidate.model.flavour,
        "digest": release.stored.digest,
        "source_run": run.run_id,
        "source_experiment": run.experiment,
        "source_digest": export.candidate.model.digest,
        "matrix": bundle.matrix,
        "git_commit": commit,
    }
    return Compared(
        params={name: printable(value, 500) for name, value in params.items() if value},
        metrics=_finite(_measured(release) | {f"seconds/{stage}": taken for stage, taken in seconds.items()}),
        tags={
            "promote.digest": release.stored.digest,
            "promote.reference": printable(release.stored.reference, 1000),
            "promote.model": bundle.name,
            "promote.version": str(bundle.version),
            "promote.target": bundle.target.name,
            "promote.verdict": bundle.verdict.word,
            "promote.source_run": printable(run.run_id),
        },
    )


def _measured(release: Release) -> dict[str, float]:
    bundle = release.bundle
    differences = bundle.verdict.subject.parity.differences
    outputs: dict[str, float] = {}
    for difference in differences:
        name = f"parity/output_{_name(difference.output)}"
        outputs[name] = max(outputs.get(name, 0.0), difference.max_absolute)
    task = bundle.verdict.subject.export.candidate.run.metrics
    chosen = sorted(task)[:_MOST_TASK_METRICS]
    return {
        "parity/max_abs": max((d.max_absolute for d in differences), default=0.0),
        **dict(list(outputs.items())[:_MOST_TASK_METRICS]),
        "bytes/size": float(sum(blob.size for blob in bundle.files.values())),
        "bytes/sent": float(release.sent),
        "bytes/there_already": float(release.skipped),
        **{f"task/{_name(name)}": task[name] for name in chosen},
    }


def under_load(figures: Figures) -> dict[str, float]:
    """What ``promote bench`` measured, as metrics: for each load the answers (rows, where there is a batch) a second and
    percentiles of the latency in ms.
    """
    told: dict[str, float] = {}
    for measured in figures.cells:
        cell = measured.cell
        load = f"{cell.protocol}_batch{cell.batch}_clients{cell.clients}"
        told[f"bench_{_name(figures.target)}/{load}_per_second"] = measured.rate
        for percent, milliseconds in measured.milliseconds.items():
            told[f"bench_{_name(figures.target)}/{load}_p{percent}_ms"] = milliseconds
    return _finite(told)


def _name(text: str) -> str:
    """As a part of a metric's name: word characters, blanks, dots and dashes; never a path of its own."""
    plain = _NO_NAME.sub("_", text)[:_LONGEST_NAME]
    return plain if plain.strip(". ") else "_"


def _finite(values: Mapping[str, float] | Iterable[tuple[str, float]]) -> dict[str, float]:
    return {name: float(value) for name, value in dict(values).items() if math.isfinite(value)}
