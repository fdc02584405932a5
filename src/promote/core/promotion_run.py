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
from promote.core.stages import Held, Release, Run

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


@dataclass(frozen=True, slots=True, kw_only=True)
class FurtherTold:
    """A stored bundle, and what its passport tells of it.

    Args:
        stored: the bundle, or the index that it is a variant of.
        metrics: of the training run.
        parity: largest absolute difference.
        size: of its files, bytes.
        format: of the model.
        precision: of it.
    """

    stored: Held
    metrics: Mapping[str, float]
    parity: float
    size: int
    format: str
    precision: str


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


def further_note(stored: Held, word: str) -> str:
    """What the page of a run for a further target says first, Markdown."""
    page = f"[{stored.name} version {stored.version}](#/models/{stored.name}/versions/{stored.version})"
    return f"{page}, promoted for a further target: **{printable(word)}**. The report is among the artifacts: `report.html`."


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


def compared_further(further: FurtherTold, verdict: str, target: str, matrix: str) -> Compared:
    """The same of a bundle that was promoted for a further target: by what it says of itself, the stages of its making left out.

    Args:
        further: the bundle, and what its passport tells.
        verdict: word of the verdict with that target.
        target: its name.
        matrix: digest of the matrix that judged.
    """
    stored = further.stored
    params = {
        "model": stored.name, "version": str(stored.version), "target": target, "verdict": verdict,
        "format": further.format, "precision": further.precision, "digest": stored.digest,
        "source_run": stored.annotations.get("io.promote.run-id", ""), "matrix": matrix,
    }  # fmt: skip
    names = ("digest", "model", "version", "target", "verdict", "source_run")
    return Compared(
        params={name: printable(value, 500) for name, value in params.items() if value},
        metrics=_finite(
            {"parity/max_abs": further.parity, "bytes/size": float(further.size)}
            | {f"task/{_name(name)}": further.metrics[name] for name in sorted(further.metrics)[:_MOST_TASK_METRICS]}
        ),
        tags={"promote.reference": printable(stored.reference, 1000)}
        | {f"promote.{name}": printable(params[name], 500) for name in names if params[name]},
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
