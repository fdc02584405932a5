"""An HTML page without scripts, built as a tree of elements and never as text: what comes from outside is escaped. Pure.

Not here: what stands on a page (``page``, ``load_page``).
"""

import base64
import hashlib
from collections.abc import Iterable
from xml.etree import ElementTree as ET

from promote.core.names import printable

# Nothing is fetched and nothing runs, whatever comes to stand on the page: only the style that is written here is taken.
_POLICY = "default-src 'none'; style-src '{}'; base-uri 'none'; form-action 'none'"
_STYLE = """
:root{color-scheme:light dark;--ink:#1c2430;--page:#fff;--dim:#5b6675;--line:#dde2e8;--soft:#f2f4f7;--blue:#2f6fde;
--grey:#b7c0cc;--green:#0d7a43;--amber:#8a6100;--red:#b3261e}
@media(prefers-color-scheme:dark){:root{--ink:#dfe5ec;--page:#12161c;--dim:#97a3b2;--line:#2a323d;--soft:#1d242d;
--blue:#6ea0f5;--grey:#566170;--green:#5fd39a;--amber:#e5b85a;--red:#ff8a80}}
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem;color:var(--ink);
background:var(--page);overflow-wrap:anywhere}
h1{font-size:1.5rem;margin:0}h2{font-size:1.1rem;margin:2.2rem 0 .5rem}h3{font-size:.95rem;margin:1.2rem 0 .3rem}
p{margin:.2rem 0}table{border-collapse:collapse;width:100%}
th,td{text-align:left;vertical-align:top;padding:.3rem .8rem .3rem 0;border-bottom:1px solid var(--line)}
th{color:var(--dim);font-weight:600;overflow-wrap:normal}table.pairs th{width:11rem;overflow-wrap:anywhere}
code{font:12px ui-monospace,monospace}.headline{font-size:1.02rem;margin:.5rem 0 .8rem}
.word{display:inline-block;padding:.05rem .6rem;border-radius:1rem;font-weight:600;border:1px solid;color:var(--green)}
.word.degraded{color:var(--amber)}.ok{color:var(--green)}.degraded,.unknown{color:var(--amber)}
.broken{color:var(--red)}.rule{white-space:nowrap}.small{color:var(--dim);font-size:13px}
meter{width:6rem;height:.9rem}
@media(max-width:44rem){body{margin:1rem auto}table:not(.pairs) tr:first-child{display:none}
table:not(.pairs) tr{display:block;border-bottom:1px solid var(--line);padding:.4rem 0}
table:not(.pairs) td{display:block;border:0;padding:.05rem 0}
td[data-head]:not(:empty)::before{content:attr(data-head) ": ";color:var(--dim)}table.pairs th{width:7rem}}
@media print{:root{--ink:#000;--page:#fff;--dim:#444;--line:#bbb;--soft:#f4f4f4;--blue:#2f6fde;--grey:#b7c0cc;
--green:#0d7a43;--amber:#8a6100;--red:#b3261e}body{margin:0;max-width:none;font-size:10pt;print-color-adjust:exact}
h2,h3{break-after:avoid}tr,figure,svg{break-inside:avoid}}
"""


def document(title: str, body: ET.Element, style: str = "") -> bytes:
    """The whole page, self-contained; ``style`` is CSS of ours that it needs beside the common one."""
    css = _STYLE + style
    known = "sha256-" + base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    policy = {"http-equiv": "Content-Security-Policy", "content": _POLICY.format(known)}
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", **policy),
        el("meta", name="viewport", content="width=device-width"),
        el("title", title),
        el("style", css),
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
    return el("table", *rows, class_="pairs")


def table(headers: tuple[str, ...], rows: Iterable[tuple["ET.Element | str", ...]]) -> ET.Element:
    """A row of headers, then the rows; where the page is narrow each cell names its column instead."""
    cells = (el("tr", *map(_cell, headers, row)) for row in rows)
    return el("table", el("tr", *(el("th", header) for header in headers)), *cells)


def _cell(header: str, told: "ET.Element | str") -> ET.Element:
    shown = told if isinstance(told, ET.Element) else printable(told, 500)
    children = (shown,) if shown != "" else ()
    return el("td", *children, data_head=header) if header else el("td", *children)
