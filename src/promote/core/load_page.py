"""What was measured under load, drawn: one HTML page with a chart a protocol, beside the former version's figures. Pure."""

from collections.abc import Iterable
from xml.etree import ElementTree as ET

from promote.core.html import document, el, pairs, table
from promote.core.load import PERCENTILES, Cell, Figures, Measured, beside
from promote.core.names import printable

METHOD = (
    "Closed loop: each client sends its next request when its last one was answered. The percentiles say what so many clients "
    "meet; requests that arrive by themselves would queue while the server is slow. Percentiles are measured values (nearest "
    "rank), from the client's call until the answer had arrived; warm-up, connecting and failed requests are not in them."
)
LOAD_STYLE = """
.load{overflow-x:auto}.load svg{width:100%;min-width:44rem;height:auto;font:12px system-ui,sans-serif}
.load text{fill:currentColor}.now{fill:var(--blue)}.then{fill:var(--grey)}
.range{stroke:var(--blue);stroke-width:8}.range.old{stroke:var(--grey);stroke-width:4}.dot{fill:var(--ink)}
.dot.old{fill:var(--dim)}.load .axis{stroke:var(--line);stroke-width:1}
.key{display:inline-block;width:.8rem;height:.8rem;border-radius:2px;margin:0 .3rem 0 1rem}
.key.now{background:var(--blue)}.key.then{background:var(--grey)}
"""
_ROW, _TOP, _LEFT, _BAR, _GAP, _RANGE = 30, 24, 150, 300, 110, 300
_WIDTH = _LEFT + _BAR + _GAP + _RANGE + 60


def words(cell: Cell) -> str:
    """A load, without its protocol."""
    batch = f"batch {cell.batch}, " if cell.batch else ""
    return f"{batch}{cell.clients} client" + ("s" if cell.clients > 1 else "")


def change(now: float, then: float) -> str:
    """By how much, in per cent of the former."""
    return f"{100 * (now - then) / then:+.0f}%" if then else ""


def load_page(figures: Figures, former: Figures | None, notes: tuple[str, ...]) -> bytes:
    """The page, self-contained."""
    title = f"{figures.name} v{figures.version} on {figures.target}"
    unit = "rows" if any(measured.cell.batch for measured in figures.cells) else "requests"
    body = el(
        "body",
        el("h1", title),
        el("p", "throughput and latency under load", class_="small"),
        pairs(_facts(figures, former)),
        *(el("p", printable(note, 400), class_="degraded") for note in notes),
    )
    for element in _charts(figures, former, unit, "h2"):
        body.append(element)
    body.append(el("h2", "Figures"))
    body.append(_rows(figures, former, unit))
    body.append(el("h2", "How it was measured"))
    body.append(el("p", METHOD, class_="small"))
    return document(f"promote bench: {title}", body, LOAD_STYLE)


def load_section(known: tuple[Figures, ...], digest: str) -> ET.Element:
    """A section of another page: charts and figures of the bundle ``digest`` beside the other's, or of the other alone.

    Args:
        known: of at most two bundles, at least one.
        digest: of the bundle that the page is about.
    """
    mine = next((figures for figures in known if figures.digest == digest), None)
    other = next((figures for figures in known if figures.digest != digest), None)
    shown = mine or known[0]
    former = other if mine else None
    unit = "rows" if any(measured.cell.batch for measured in shown.cells) else "requests"
    section = el("div")
    if not mine:
        section.append(el("p", f"Measured of version {shown.version}; this version was not measured yet."))
    section.append(pairs(_facts(shown, former)))
    for element in _charts(shown, former, unit, "h3"):
        section.append(element)
    section.append(_rows(shown, former, unit))
    section.append(el("p", METHOD, class_="small"))
    return section


def _charts(figures: Figures, former: Figures | None, unit: str, heading: str) -> Iterable[ET.Element]:
    for protocol in dict.fromkeys(measured.cell.protocol for measured in figures.cells):
        cells = [measured for measured in figures.cells if measured.cell.protocol == protocol]
        yield el(heading, f"{protocol}: {unit} a second, and latency from p50 to p99 (mark: p95)")
        yield _legend(figures, former)
        yield el("div", _chart(cells, former), class_="load")


def _legend(figures: Figures, former: Figures | None) -> ET.Element:
    now = (el("span", class_="key now"), f"v{figures.version}")
    then = (el("span", class_="key then"), f"v{former.version}, measured {former.when}") if former else ()
    return el("p", *now, *then, class_="small")


def _facts(figures: Figures, former: Figures | None) -> Iterable[tuple[str, str]]:
    yield "bundle", figures.digest
    yield "server", f"Triton {figures.triton}"
    yield "measured", f"{figures.when}, by {figures.by}, {figures.seconds:g} s a load, golden case {figures.case}"
    if former:
        yield "beside", f"version {former.version}, {former.digest}, measured {former.when} by {former.by}"


def _chart(cells: list[Measured], former: Figures | None) -> ET.Element:
    """Left a bar of the throughput, right a line from p50 to p99; the former version's in grey below its successor's."""
    pairs_ = [(measured, beside(measured, former)) for measured in cells]
    shown = [m for pair in pairs_ for m in pair if m]
    fastest = max((m.rate for m in shown), default=0.0) or 1.0
    slowest = max((m.milliseconds.get(99, 0.0) for m in shown), default=0.0) or 1.0
    height = _TOP + _ROW * len(cells) + 6
    svg = el("svg", viewBox=f"0 0 {_WIDTH} {height}", role="img", aria_label="throughput and latency of each load")
    right = _LEFT + _BAR + _GAP
    svg.append(el("text", "0", x=str(right), y="14"))
    svg.append(el("text", f"{slowest:.3g} ms", x=str(right + _RANGE), y="14", text_anchor="middle"))
    for x in (_LEFT, right):
        svg.append(el("line", class_="axis", x1=str(x), x2=str(x), y1="20", y2=str(height)))
    for row, (mine, other) in enumerate(pairs_):
        top = _TOP + _ROW * row
        svg.append(el("text", words(mine.cell), x=str(_LEFT - 8), y=str(top + 16), text_anchor="end"))
        for measured, kind, place, thick in ((mine, "now", 4, 12), (other, "then", 17, 7)):
            if measured is None:
                continue
            wide = f"{_BAR * measured.rate / fastest:.1f}"
            told = el("title", f"{measured.rate:.1f} a second")
            svg.append(
                el("rect", told, class_=kind, x=str(_LEFT), y=str(top + place), width=wide, height=str(thick), rx="2")
            )
            svg.append(_latencies(measured, right, _RANGE / slowest, top + place + thick / 2, old=kind == "then"))
        rate = f"{mine.rate:.4g}/s" + (f"  {change(mine.rate, other.rate)}" if other else "")
        svg.append(el("text", rate, x=f"{_LEFT + _BAR * mine.rate / fastest + 6:.1f}", y=str(top + 15)))
    return svg


def _latencies(measured: Measured, left: float, scale: float, y: float, *, old: bool) -> ET.Element:
    at = measured.milliseconds
    if not at:
        return el("g")
    mark = " old" if old else ""
    spread = el("title", ", ".join(f"p{p} {at[p]:.3g} ms" for p in PERCENTILES))
    ends = {"x1": f"{left + scale * at[50]:.1f}", "x2": f"{left + scale * at[99] + 1:.1f}"}
    line = el("line", spread, class_=f"range{mark}", y1=f"{y:.1f}", y2=f"{y:.1f}", **ends)
    dot = el("circle", class_=f"dot{mark}", cx=f"{left + scale * at[95]:.1f}", cy=f"{y:.1f}", r="2" if old else "3")
    return el("g", line, dot)


def _rows(figures: Figures, former: Figures | None, unit: str) -> ET.Element:
    heads = ("protocol", "load", f"{unit}/s", *(f"p{p} ms" for p in PERCENTILES), "answers", "failed", "former")
    return table(heads, (_row(measured, beside(measured, former)) for measured in figures.cells))


def _row(mine: Measured, other: Measured | None) -> tuple[str, ...]:
    marks = ("" if mine.sure else " ~") + (" *" if mine.busy > 0.9 else "")
    then = f"{other.rate:.1f}/s, p99 {other.milliseconds[99]:.2f} ms" if other else ""
    return (
        mine.cell.protocol,
        words(mine.cell) + marks,
        f"{mine.rate:.1f}",
        *(f"{mine.milliseconds[p]:.2f}" if p in mine.milliseconds else "" for p in PERCENTILES),
        str(mine.answers),
        str(mine.failed),
        f"{then} ({change(mine.rate, other.rate)})" if other else then,
    )
