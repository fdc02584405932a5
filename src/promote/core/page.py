"""What a reviewer reads: a description in Markdown, and a report as one HTML page without scripts. Pure.

Everything in them comes from outside and is escaped: the page is built as a tree of elements, never as text.
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any
from xml.etree import ElementTree as ET

from promote.core.names import printable
from promote.core.parity import OutputDifference, Tolerance
from promote.core.stages import Release
from promote.core.verdict import Finding
from promote.errors import IntegrityError

REPORT, DESCRIPTION, PASSPORT = "report.html", "description.md", "passport.json"
_MARKS = {"ok": "✓", "degraded": "!", "unknown": "?", "broken": "✗"}
_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem;color:#1c2430;background:#fff}
h1{font-size:1.5rem;margin:0}h2{font-size:1.05rem;margin:2rem 0 .5rem}p{margin:.2rem 0}
table{border-collapse:collapse;width:100%}th,td{text-align:left;vertical-align:top;padding:.3rem .8rem .3rem 0;
border-bottom:1px solid #e3e7ec;overflow-wrap:anywhere}th{color:#5b6675;font-weight:600;white-space:nowrap}
code{font:13px ui-monospace,monospace;background:#f2f4f7;padding:.1rem .3rem;border-radius:3px;overflow-wrap:anywhere}
.word{display:inline-block;padding:.1rem .6rem;border-radius:1rem;font-weight:600;background:#d9f2e3;color:#0d5c33}
.word.degraded{background:#fdf0cf;color:#6b4a00}.ok{color:#0d7a43}.degraded,.unknown{color:#8a6100}.broken{color:#b3261e}
.rule{white-space:nowrap}.small{color:#5b6675;font-size:13px}meter{width:9rem;height:.9rem}
@media(prefers-color-scheme:dark){body{background:#12161c;color:#dfe5ec}th,td{border-color:#2a323d}
code{background:#1d242d}th,.small{color:#97a3b2}.ok{color:#5fd39a}.degraded,.unknown{color:#e5b85a}}
"""


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
    rows = [f"- **{name}**: {_markdown(value)}" for name, value in summary(bundle.passport).items()]
    review = [
        "",
        f"Approve: `promote review approve {bundle.name}:v{bundle.version} --target {bundle.target.name} --reason '...'`",
    ]
    return "\n".join(
        [
            f"**{bundle.verdict.word}** with **{bundle.target.name}**, as promote checked it.",
            "",
            *rows,
            f"- **bundle**: `{release.stored.reference}`",
            f"- **report**: artifact `promote/{bundle.name}/v{bundle.version}/{REPORT}` of the run",
            *(review if bundle.target.review else []),
            "",
        ]
    )


def _markdown(text: str) -> str:
    return re.sub(r"([\\`*_\[\]<>|#~])", r"\\\1", printable(text, 400))


def _el(tag: str, *children: "ET.Element | str", **attributes: str) -> ET.Element:
    """An element; ``class_`` is ``class``. Text is escaped when the tree is written."""
    element = ET.Element(tag, {name.rstrip("_"): value for name, value in attributes.items()})
    for child in children:
        if isinstance(child, ET.Element):
            element.append(child)
        elif len(element):
            element[-1].tail = (element[-1].tail or "") + child
        else:
            element.text = (element.text or "") + child
    return element


def _report(release: Release) -> bytes:
    bundle, proven = release.bundle, release.bundle.verdict.subject
    run, word = proven.export.candidate.run, bundle.verdict.word
    title = f"{bundle.name} v{bundle.version}"
    metrics = [(name, f"{value:.6g}") for name, value in sorted(run.metrics.items())]
    tools = [(f"{name} version", version) for name, version in sorted(proven.export.tools.items())]
    plan = proven.export.plan
    body = _el(
        "body",
        _el("h1", title),
        _el("p", _el("span", word, class_=f"word {word}"), f" with {bundle.target.name}"),
        _el("p", printable(bundle.target.description, 300), class_="small"),
        _pairs([*summary(bundle.passport).items(), ("bundle", release.stored.reference)]),
        _el("h2", "Compatibility"),
        _findings(bundle.verdict.findings),
        _el("h2", "Why this export"),
        _table(("taken", "ruled out"), ((_lines(plan.reasons), _lines(plan.ruled_out)),)),
        _el("h2", "Parity: the source model against the exported bytes"),
        _parity(proven.parity.differences, proven.parity.tolerance),
        _el("h2", "Training run"),
        _pairs([*sorted(run.params.items()), *metrics, *tools]),
        _el("h2", "Files"),
        _table(("path", "bytes", "digest"), ((p, f"{b.size:,}", b.digest) for p, b in bundle.files.items())),
    )
    head = _el(
        "head",
        _el("meta", charset="utf-8"),
        _el("meta", name="viewport", content="width=device-width"),
        _el("title", f"promote: {title}"),
        _el("style", _STYLE),
    )
    page = ET.tostring(_el("html", head, body, lang="en"), encoding="unicode", method="html")
    return f"<!doctype html>\n{page}\n".encode()


def _pairs(facts: Iterable[tuple[str, str]]) -> ET.Element:
    """A row each: a metric named like a param hides nothing."""
    rows = (_el("tr", _el("th", printable(name, 80)), _el("td", printable(value, 500))) for name, value in facts)
    return _el("table", *rows)


def _table(headers: tuple[str, ...], rows: Iterable[tuple["ET.Element | str", ...]]) -> ET.Element:
    cells = (
        _el("tr", *(_el("td", c if isinstance(c, ET.Element) else printable(c, 500)) for c in row)) for row in rows
    )
    return _el("table", _el("tr", *(_el("th", header) for header in headers)), *cells)


def _lines(texts: tuple[str, ...]) -> ET.Element:
    return _el("div", *(_el("p", printable(text, 300)) for text in texts))


def _findings(findings: tuple[Finding, ...]) -> ET.Element:
    return _table(
        ("", "rule", "has", "needs", "by"),
        (
            (
                _el("span", _MARKS[f.outcome.value], class_=f.outcome.value, title=f.outcome.value),
                _el("span", printable(f.rule, 60), class_="rule"),
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
    return _table(
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
    meter = _el(
        "meter", f"{100 * share:.2g} %", min="0", max="1", high="0.5", low="0.1", optimum="0", value=f"{share:.4f}"
    )
    return _el("span", meter, f" {100 * share:.2g} %")
