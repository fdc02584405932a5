"""What a reviewer reads: a description in Markdown, and a report as one HTML page without scripts. Pure.

Everything in them comes from outside and is escaped: the page is built as a tree of elements, never as text.
"""

import json
import re
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree as ET

from promote.core.html import document, el, pairs, table
from promote.core.names import printable
from promote.core.parity import OutputDifference, ParityProven, Tolerance
from promote.core.stages import Release
from promote.core.verdict import Finding
from promote.errors import IntegrityError

REPORT, DESCRIPTION, PASSPORT = "report.html", "description.md", "passport.json"
_MOST_ROWS = 20
_MARKS = {"ok": "✓", "degraded": "!", "unknown": "?", "broken": "✗"}


def report_files(release: Release) -> Mapping[str, bytes]:
    """Name -> content of what is recorded beside the model version."""
    return {
        DESCRIPTION: _description(release).encode(),
        REPORT: _report(release),
        PASSPORT: release.bundle.passport,
    }


def summary(passport: bytes) -> dict[str, str]:
    """The few facts a reviewer looks at first, in order.

    Raises:
        IntegrityError: these bytes are no passport of promote.
    """
    try:
        return _summary(json.loads(passport))
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise IntegrityError(f"the passport is not one of promote's: {type(error).__name__}") from error


def verdict_of(passport: bytes, target: str) -> str:
    """The verdict's word in a passport that is about ``target``; empty where it is about another.

    Raises:
        IntegrityError: these bytes are no passport of promote.
    """
    try:
        told = json.loads(passport)
        return str(told["verdict"]) if told["target"]["name"] == target else ""
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise IntegrityError(f"the passport is not one of promote's: {type(error).__name__}") from error


def _summary(passport: dict[str, Any]) -> dict[str, str]:
    lineage, parity = passport["lineage"], passport["parity"]
    metrics = {name: float(value) for name, value in lineage["metrics"].items()}
    # What a reviewer asks for first: the scores, the one without a suffix (the overall one) before those by class.
    scores = [name for name in metrics if re.search(r"f1|accuracy|auc|precision|recall|loss", name)]
    chosen = sorted(scores, key=lambda name: (name.startswith("test_"), name))[:6] or sorted(metrics)[:6]
    worst, tolerance = max(parity["differences"], key=lambda d: d["max_absolute"]), parity["tolerance"]
    outcomes = [finding["outcome"] for finding in passport["findings"]]
    counts = ", ".join(f"{outcomes.count(o)} {o}" for o in _MARKS if o in outcomes)
    files = passport["files"].values()
    experiment = f" ({lineage['experiment']})" if lineage["experiment"] else ""
    return {
        "run": f"{lineage['run_id']}{experiment}",
        "verdict": f"{passport['verdict']} with {passport['target']['name']}: {counts}",
        "metrics": ", ".join(f"{name} {metrics[name]:.4g}" for name in chosen) or "none logged",
        "parity": f"largest difference {worst['max_absolute']:.2g} ({worst['output']}, {worst['case']}), "
        f"allowed {tolerance['absolute']:g} + {tolerance['relative']:g} x value",
        "export": "; ".join(passport["plan"]["reasons"]) or passport["plan"]["format"],
        "size": f"{sum(file['size'] for file in files):,} bytes in {len(files)} files",
    }


def _description(release: Release) -> str:
    bundle = release.bundle
    model, target = f"{bundle.name}:v{bundle.version}", bundle.target.name
    rows = [f"- **{name}**: {_markdown(value)}" for name, value in summary(bundle.passport).items()]
    review = [
        f"- approve: `promote review approve {model} --target {target} --reason '...'`",
        f"- reject: `promote review reject {model} --target {target} --reason '...'`",
        f"- or set the tag `promote.review.{target}` to `approved`: a request, which counts where the policy takes it",
    ]
    return "\n".join(
        [
            f"**{bundle.verdict.word}** with **{target}**, as promote checked it.",
            "",
            *rows,
            f"- **bundle**: `{release.stored.reference}`",
            f"- **report**: artifact `promote/{bundle.name}/v{bundle.version}/{REPORT}` of the run",
            "",
            *_parity_lines(bundle.verdict.subject.parity),
            "",
            *(review if bundle.target.review else []),
            f"- deploy: `promote deploy {model} --target {target}`",
            f"- roll back: `promote rollback {bundle.name} --target {target}`",
            "",
        ]
    )


def _parity_lines(parity: ParityProven) -> list[str]:
    """A table of the largest differences, the worst first; what is left out is counted."""
    ranked = sorted(parity.differences, key=lambda d: -d.max_absolute)
    rows = [
        f"| {_markdown(d.case)} | {_markdown(d.output)} | {d.max_absolute:.2g} | {d.mean_absolute:.2g} | {d.max_relative:.2g} |"
        for d in ranked[:_MOST_ROWS]
    ]
    more = [f"| and {len(ranked) - _MOST_ROWS} more | | | | |"] if len(ranked) > _MOST_ROWS else []
    head = "| case | output | largest difference | mean | largest as a share of the value |"
    return [head, "|---|---|---|---|---|", *rows, *more]


def _markdown(text: str) -> str:
    return re.sub(r"([\\`*_\[\]<>|#~])", r"\\\1", printable(text, 400))


def _report(release: Release) -> bytes:
    bundle, proven = release.bundle, release.bundle.verdict.subject
    run, word = proven.export.candidate.run, bundle.verdict.word
    title = f"{bundle.name} v{bundle.version}"
    metrics = [(name, f"{value:.6g}") for name, value in sorted(run.metrics.items())]
    tools = [(f"{name} version", version) for name, version in sorted(proven.export.tools.items())]
    plan = proven.export.plan
    body = el(
        "body",
        el("h1", title),
        el("p", el("span", word, class_=f"word {word}"), f" with {bundle.target.name}"),
        el("p", printable(bundle.target.description, 300), class_="small"),
        pairs([*summary(bundle.passport).items(), ("bundle", release.stored.reference)]),
        el("h2", "Compatibility"),
        _findings(bundle.verdict.findings),
        el("h2", "Why this export"),
        table(("taken", "ruled out"), ((_lines(plan.reasons), _lines(plan.ruled_out)),)),
        el("h2", "Parity: the source model against the exported bytes"),
        _parity(proven.parity.differences, proven.parity.tolerance),
        el("h2", "Training run"),
        pairs([*sorted(run.params.items()), *metrics, *tools]),
        el("h2", "Files"),
        table(("path", "bytes", "digest"), ((p, f"{b.size:,}", b.digest) for p, b in bundle.files.items())),
    )
    return document(f"promote: {title}", body)


def _lines(texts: tuple[str, ...]) -> ET.Element:
    return el("div", *(el("p", printable(text, 300)) for text in texts))


def _findings(findings: tuple[Finding, ...]) -> ET.Element:
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


def _parity(differences: tuple[OutputDifference, ...], tolerance: Tolerance) -> ET.Element:
    """One row an output and case; the bar is the share of the allowed absolute difference that was used."""
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
            for d in differences
        ),
    )


def _share(value: float, allowed: float) -> ET.Element:
    share = min(value / allowed, 1.0) if allowed else 0.0
    meter = el(
        "meter", f"{100 * share:.2g} %", min="0", max="1", high="0.5", low="0.1", optimum="0", value=f"{share:.4f}"
    )
    return el("span", meter, f" {100 * share:.2g} %")
