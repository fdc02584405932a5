"""How the errors of each output are spread: a histogram over all cases, drawn as SVG, its worst case named. Pure."""

import math
from collections import Counter
from xml.etree import ElementTree as ET

from promote.core.html import el
from promote.core.names import printable
from promote.core.parity import BIN_EDGES, OutputDifference, ParityProven

PLOT_STYLE = """
.plots{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(20rem,100%),1fr));gap:1rem 1.5rem;margin:.5rem 0 1rem}
.plots figure{margin:0;break-inside:avoid}.plots figcaption{overflow-wrap:anywhere}.plots svg{width:100%;height:auto;
font:11px system-ui,sans-serif}.plots text{fill:var(--dim)}.plots .bar{fill:var(--blue)}.plots .equal{fill:var(--green)}
.plots .axis{stroke:var(--line)}.plots .allowed{stroke:var(--red);stroke-dasharray:3 3}.plots text.allowed{fill:var(--red);
stroke:none}
"""
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 340, 170, 34, 8, 22, 30
_MOST = 24
_EQUAL = 44  # width of the column of equal values


def parity_plots(parity: ParityProven) -> ET.Element:
    """A plot an output, the one with the largest error first; an output of equal values has a sentence."""
    by_output: dict[str, list[OutputDifference]] = {}
    for difference in parity.differences:
        by_output.setdefault(difference.output, []).append(difference)
    ranked = sorted(by_output.values(), key=lambda group: -max(d.max_absolute for d in group))
    plots = el("div", class_="plots")
    for group in ranked[:_MOST]:
        plots.append(_figure(group, parity.tolerance.absolute))
    if len(ranked) > _MOST:
        plots.append(el("p", f"and {len(ranked) - _MOST} more outputs with smaller errors: see the table"))
    return plots


def _figure(group: list[OutputDifference], allowed: float) -> ET.Element:
    bins: Counter[int] = Counter()
    for difference in group:
        bins.update(dict(difference.errors))
    total = sum(math.prod(d.shape) for d in group)
    equal = total - sum(bins.values())
    worst = max(group, key=lambda d: d.max_absolute)
    name = el("strong", printable(worst.output, 60))
    if not worst.max_absolute:
        return el("figure", el("figcaption", name, f": all {total:,} values are equal"))
    of_all = f"{equal:,} of {total:,} values equal"
    caption = f": largest error {worst.max_absolute:.2g}, in case {printable(worst.case, 60)}; {of_all}"
    figure = el("figure", el("figcaption", name, caption))
    if bins:
        figure.append(_histogram(bins, equal, allowed))
    return figure


def _histogram(bins: Counter[int], equal: int, allowed: float) -> ET.Element:
    """Counts and errors are both drawn by their logarithm: one wrong value in a million shall be seen."""
    limit = next((at for at, edge in enumerate(BIN_EDGES) if edge >= allowed), len(BIN_EDGES))
    first, last = min(bins) - 1, max(*bins, limit) + 1
    most = math.log10(1 + max(*bins.values(), equal))
    base, high = _HEIGHT - _BOTTOM, _HEIGHT - _BOTTOM - _TOP
    start = _LEFT + _EQUAL
    wide = (_WIDTH - _RIGHT - start) / (last - first + 1)
    svg = el("svg", viewBox=f"0 0 {_WIDTH} {_HEIGHT}", role="img", aria_label="how many values have which error")

    def tall(count: int) -> float:
        return high * math.log10(1 + count) / most

    def place(edge: float) -> float:
        """Where the edge that begins bin ``edge`` is."""
        return start + wide * (edge - first)

    for count in _ticks(max(*bins.values(), equal)):
        y = base - tall(count)
        svg.append(el("line", class_="axis", x1=str(_LEFT), x2=str(_WIDTH - _RIGHT), y1=f"{y:.1f}", y2=f"{y:.1f}"))
        svg.append(el("text", _short(count), x=str(_LEFT - 4), y=f"{y + 4:.1f}", text_anchor="end"))
    if equal:
        svg.append(_bar("equal", _LEFT + 8, _EQUAL - 18, tall(equal), base, f"{equal:,} values are equal"))
    svg.append(el("text", "equal", x=f"{_LEFT + _EQUAL / 2 - 1:.1f}", y=str(base + 14), text_anchor="middle"))
    for at, count in sorted(bins.items()):
        svg.append(_bar("bar", place(at), max(wide - 1, 1), tall(count), base, f"{count:,} values: {_range(at)}"))
    step = 4 * max(1, math.ceil((last - first) / 4 / 6))
    for at in range(0, len(BIN_EDGES), step):
        # Edge `at` begins bin `at + 1`; every fourth is a power of ten.
        if first <= at + 1 <= last:
            svg.append(
                el("text", f"{BIN_EDGES[at]:.0e}", x=f"{place(at + 1):.1f}", y=str(base + 14), text_anchor="middle")
            )
    at_most = f"{place(limit + 0.5):.1f}"
    svg.append(el("line", class_="allowed", x1=at_most, x2=at_most, y1=str(_TOP - 6), y2=str(base)))
    svg.append(
        el(
            "text",
            f"allowed {allowed:g} + share of value",
            class_="allowed",
            x=str(_WIDTH - _RIGHT),
            y="11",
            text_anchor="end",
        )
    )
    svg.append(el("text", "error, absolute", x=str((start + _WIDTH) // 2), y=str(base + 27), text_anchor="middle"))
    return svg


def _bar(kind: str, x: float, width: float, height: float, base: float, told: str) -> ET.Element:
    return el(
        "rect", el("title", told), class_=kind, x=f"{x:.1f}", y=f"{base - height:.1f}", width=f"{width:.1f}",
        height=f"{height:.1f}",
    )  # fmt: skip


def _range(at: int) -> str:
    low = f"{BIN_EDGES[at - 1]:.2g}" if at else "0"
    return f"{low} to {BIN_EDGES[at]:.2g}" if at < len(BIN_EDGES) else f"{low} or more"


def _ticks(most: int) -> list[int]:
    return [10**power for power in range(0, 12, 1 if most < 10_000 else 2) if 10**power <= most]


def _short(count: int) -> str:
    for unit, size in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if count >= size:
            return f"{count // size}{unit}"
    return str(count)
