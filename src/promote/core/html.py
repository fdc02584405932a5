"""An HTML page without scripts, built as a tree of elements and never as text: what comes from outside is escaped. Pure.

Not here: what stands on a page (``page``, ``load_page``).
"""

from collections.abc import Iterable
from xml.etree import ElementTree as ET

from promote.core.names import printable

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


def document(title: str, body: ET.Element, style: str = "") -> bytes:
    """The whole page, self-contained; ``style`` is CSS of ours that it needs beside the common one."""
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", name="viewport", content="width=device-width"),
        el("title", title),
        el("style", _STYLE + style),
    )
    page = ET.tostring(el("html", head, body, lang="en"), encoding="unicode", method="html")
    return f"<!doctype html>\n{page}\n".encode()


def el(tag: str, *children: "ET.Element | str", **attributes: str) -> ET.Element:
    """An element; ``class_`` is ``class``, ``text_anchor`` is ``text-anchor``. Text is escaped when the tree is written."""
    element = ET.Element(tag, {name.rstrip("_").replace("_", "-"): value for name, value in attributes.items()})
    for child in children:
        if isinstance(child, ET.Element):
            element.append(child)
        elif len(element):
            element[-1].tail = (element[-1].tail or "") + child
        else:
            element.text = (element.text or "") + child
    return element


def pairs(facts: Iterable[tuple[str, str]]) -> ET.Element:
    """A row each: a metric named like a param hides nothing."""
    rows = (el("tr", el("th", printable(name, 80)), el("td", printable(value, 500))) for name, value in facts)
    return el("table", *rows)


def table(headers: tuple[str, ...], rows: Iterable[tuple["ET.Element | str", ...]]) -> ET.Element:
    """A row of headers, then the rows."""
    cells = (el("tr", *(el("td", c if isinstance(c, ET.Element) else printable(c, 500)) for c in row)) for row in rows)
    return el("table", el("tr", *(el("th", header) for header in headers)), *cells)
