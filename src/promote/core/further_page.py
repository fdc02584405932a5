"""The report of a bundle that was promoted for a further target: what is new of it there. Pure.

Parity, files and where it comes from are the bundle's own and stand in the report of the promotion that made it (``page``).
"""

import json
from collections.abc import Iterator
from xml.etree import ElementTree as ET

from promote.core.comparison import Told
from promote.core.html import document, el, pairs
from promote.core.load_page import LOAD_STYLE
from promote.core.names import printable
from promote.core.page import Beside, under_load
from promote.core.page_live import live_section
from promote.core.page_sections import findings_table
from promote.core.passport_summary import summary
from promote.core.promotion_run import FurtherTold
from promote.core.stages import Held
from promote.core.verdict import Compatible


def further_told(stored: Held, told: Told) -> FurtherTold:
    """What a bundle says of itself; ``told`` is of it, or of the variant that the target gets."""
    plan = json.loads(told.side.passport).get("plan") or {}
    files = told.side.stored.files.values()
    return FurtherTold(
        stored=stored, metrics=told.metrics, parity=told.parity, size=sum(blob.size for blob in files),
        format=str(plan.get("format", "")), precision=str(plan.get("precision", "")),
    )  # fmt: skip


def further_report(verdict: Compatible[Held], told: Told, beside: Beside) -> bytes:
    """The page, self-contained."""
    stored = verdict.subject
    title = f"{stored.name} v{stored.version} for {verdict.target}"
    head = (
        el("span", verdict.word, class_=f"word {verdict.word}"),
        f" with {verdict.target}: the bundle that is there already",
    )
    body = el("body", el("h1", title), el("p", *head, class_="headline"))
    for element in _sections(verdict, told, beside):
        body.append(element)
    return document(f"promote: {title}", body, LOAD_STYLE)


def _sections(verdict: Compatible[Held], told: Told, beside: Beside) -> Iterator[ET.Element]:
    stored = verdict.subject
    facts = {name: value for name, value in summary(told.side.passport).items() if name != "verdict"}
    yield pairs([*facts.items(), ("bundle", stored.reference)])
    yield el("h2", f"Against what serves on {verdict.target} now")
    yield live_section(stored.version, beside.new) if beside.new else el("p", printable(beside.why, 400))
    yield el("h2", "Compatibility")
    yield findings_table(verdict.findings)
    yield under_load(beside.figures, stored.digest)
    yield el("h2", "Where it comes from")
    yield el("p", "It was not made anew: parity, files and lineage stand in the report of the promotion that made it.")
