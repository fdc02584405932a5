"""Sections of the report: findings, the table of parity, where a release comes from. Pure."""

from collections.abc import Iterator
from xml.etree import ElementTree as ET

from promote.core.html import el, table
from promote.core.names import printable
from promote.core.parity import OutputDifference, Tolerance
from promote.core.promotion_run import PromotionRun
from promote.core.stages import Release
from promote.core.verdict import Finding

_MARKS = {"ok": "✓", "degraded": "!", "unknown": "?", "broken": "✗"}


def findings_table(findings: tuple[Finding, ...]) -> ET.Element:
    """Every finding, with who says so."""
    return table(
        ("", "rule", "has", "needs", "by"),
        (
            (
                el("span", _MARKS[f.outcome.value], class_=f.outcome.value, title=f.outcome.value),
                el("span", printable(f.rule, 60), class_="rule"),
                f"{f.has} ({f.has_source})" if f.has_source else f.has,
                f"{f.needs}; to do: {f.remedy}" if f.remedy else f.needs,
                _authority(f),
            )
            for f in findings
        ),
    )


def _authority(finding: Finding) -> str:
    """Who says so, and how far to trust it."""
    known = "; ".join(text for text in (finding.row, finding.source) if text)
    return known if finding.confidence == "high" or not known else f"{known} (confidence {finding.confidence})"


def parity_table(differences: tuple[OutputDifference, ...], tolerance: Tolerance) -> ET.Element:
    """One row an output and case, the worst first; the bar is the share of the allowed absolute difference that was used."""
    return table(
        ("case", "output", "shape", "max absolute", "mean absolute", "max relative", "of the allowance"),
        (
            (
                d.case,
                d.output,
                "x".join(map(str, d.shape)) + f" {d.dtype}",
                f"{d.max_absolute:.2g}",
                f"{d.mean_absolute:.2g}",
                f"{d.max_relative:.2g}",
                _share(d.max_absolute, tolerance.absolute),
            )
            for d in sorted(differences, key=lambda d: -d.max_absolute)
        ),
    )


def _share(value: float, allowed: float) -> ET.Element:
    share = min(value / allowed, 1.0) if allowed else 0.0
    meter = el(
        "meter", f"{100 * share:.2g} %", min="0", max="1", high="0.5", low="0.1", optimum="0", value=f"{share:.4f}"
    )
    return el("span", meter, f" {100 * share:.2g} %", class_="rule")


def said_lines(texts: tuple[str, ...]) -> ET.Element:
    """A paragraph each."""
    return el("div", *(el("p", printable(text, 300)) for text in texts))


def lineage(release: Release, promotion: PromotionRun | None) -> Iterator[tuple[str, str]]:
    """From the training run to the bundle: a name and what it is, in order."""
    bundle = release.bundle
    export = bundle.verdict.subject.export
    run = export.candidate.run
    yield "training run", run.run_id + (f" ({run.name})" if run.name else "")
    yield "experiment", f"{run.experiment} at {run.tracking_uri}" if run.tracking_uri else run.experiment
    yield "source model", f"{export.candidate.model.flavour}, {export.candidate.model.digest}"
    if commit := run.tags.get("mlflow.source.git.commit") or run.tags.get("git.commit"):
        yield "git commit", commit
    yield "matrix", bundle.matrix
    yield "bundle", release.stored.reference
    if promotion:
        yield "promotion", f"run {promotion.run_id}"
    yield from sorted(run.params.items())
    yield from ((name, f"{value:.6g}") for name, value in sorted(run.metrics.items()))
    yield from ((f"{name} version", version) for name, version in sorted(export.tools.items()))
