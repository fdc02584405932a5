"""What a reviewer reads: a description in Markdown, and a report as one HTML page without scripts. Pure.

Everything in them comes from outside and is escaped: the page is built as a tree of elements, never as text. Not here: the
sections themselves (``page_sections``, ``page_live``, ``parity_plot``, ``load_page``).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from promote.core.comparison import Compared, change
from promote.core.description import description
from promote.core.html import document, el, pairs, table
from promote.core.load import Figures
from promote.core.load_page import LOAD_STYLE, load_section
from promote.core.names import printable
from promote.core.page_live import live_section
from promote.core.page_sections import findings_table, lineage, parity_table, said_lines
from promote.core.parity_plot import PLOT_STYLE, parity_plots
from promote.core.passport_summary import first_metrics, summary
from promote.core.promotion_run import PromotionRun
from promote.core.stages import Release

REPORT, DESCRIPTION, PASSPORT = "report.html", "description.md", "passport.json"
_LOAD, _AFTER_LOAD = b'<section id="load">', b"<h2>Why this export</h2>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """What a reviewer is told beside the release itself.

    Args:
        run: of the promotion, in MLflow.
        new: beside the version that serves on the target now, where it is another.
        why: why nothing is compared; empty where it is.
        figures: measured under load on the target, of this version and of the live one.
    """

    run: PromotionRun | None = None
    new: Compared | None = None
    why: str = ""
    figures: tuple[Figures, ...] = ()


def report_files(release: Release, beside: Beside | None = None) -> Mapping[str, bytes]:
    """Name -> content of what is recorded of a promotion."""
    beside = beside or Beside()
    return {
        DESCRIPTION: description(release, beside.run, beside.new).encode(),
        REPORT: _report(release, beside),
        PASSPORT: release.bundle.passport,
    }


def with_load(report: bytes, figures: tuple[Figures, ...], digest: str) -> bytes:
    """A report that was written before, with what was measured under load since; all else stays as it was.

    Args:
        report: the page; one that is none of promote's comes back as it is.
        figures: of at most two bundles, at least one.
        digest: of the bundle that the page is about.
    """
    section = ET.tostring(under_load(figures, digest), encoding="unicode", method="html").encode()
    before, begins, rest = report.partition(_LOAD)
    if begins:
        return before + section + rest.partition(b"</section>")[2]
    before, begins, rest = report.partition(_AFTER_LOAD)  # of a release whose reports had no place for it
    return before + section + begins + rest if begins else report


def under_load(figures: tuple[Figures, ...], digest: str) -> ET.Element:
    """A section of a report with a place of its own, so that it is found again; empty until something was measured."""
    place = el("section", id="load")
    if figures:
        place.append(el("h2", f"Under load on {figures[0].target}"))
        place.append(load_section(figures, digest))
    return place


def _report(release: Release, beside: Beside) -> bytes:
    bundle = release.bundle
    title = f"{bundle.name} v{bundle.version}"
    body = el("body", el("h1", title), _headline(release, beside.new))
    for element in _sections(release, beside):
        body.append(element)
    return document(f"promote: {title}", body, PLOT_STYLE + LOAD_STYLE)


def _headline(release: Release, new: Compared | None) -> ET.Element:
    """One line that says it all: the verdict, parity, size, and the first score beside the live version's."""
    bundle, parity = release.bundle, release.bundle.verdict.subject.parity
    run, word = bundle.verdict.subject.export.candidate.run, bundle.verdict.word
    size = sum(blob.size for blob in bundle.files.values())
    told = [f" with {bundle.target.name}"]
    if parity.differences:
        told.append(f"parity {parity.worst.max_absolute:.2g}, allowed {parity.tolerance.absolute:g}")
    told.append(_bytes(size) + (f", {_bytes(new.difference.to_send)} to send" if new else ""))
    if names := first_metrics(list(run.metrics), 1):
        then = {name: value for name, value, _ in new.metrics}.get(names[0]) if new else None
        against = change(then, run.metrics[names[0]])
        live = f" ({against} against v{new.version})" if against and new else ""
        told.append(f"{printable(names[0], 60)} {run.metrics[names[0]]:.4g}{live}")
    return el("p", el("span", word, class_=f"word {word}"), " · ".join(told), class_="headline")


def _bytes(size: int) -> str:
    for unit, many in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if size >= many:
            return f"{size / many:.3g} {unit}"
    return f"{size} bytes"


def _sections(release: Release, beside: Beside) -> Iterator[ET.Element]:
    bundle, proven = release.bundle, release.bundle.verdict.subject
    plan = proven.export.plan
    if bundle.target.description:
        yield el("p", printable(bundle.target.description, 300), class_="small")
    yield pairs([*summary(bundle.passport).items(), ("bundle", release.stored.reference)])
    yield el("h2", "Parity: the source model against the exported bytes")
    yield parity_plots(proven.parity)
    yield parity_table(proven.parity.differences, proven.parity.tolerance)
    yield el("h2", f"Against what serves on {bundle.target.name} now")
    yield live_section(bundle.version, beside.new) if beside.new else el("p", printable(beside.why, 400))
    yield el("h2", "Compatibility")
    yield findings_table(bundle.verdict.findings)
    yield under_load(beside.figures, release.stored.digest)
    yield el("h2", "Why this export")
    yield table(("taken", "ruled out"), ((said_lines(plan.reasons), said_lines(plan.ruled_out)),))
    yield el("h2", "Where it comes from")
    yield pairs(lineage(release, beside.run))
    yield el("h2", "Files")
    yield table(
        ("path", "bytes", "digest"), ((p, f"{b.size:,}", el("code", b.digest)) for p, b in bundle.files.items())
    )
