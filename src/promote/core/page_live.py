"""A section of the report: what is new beside the version that serves now. Pure."""

from xml.etree import ElementTree as ET

from promote.core.bundle_diff import Change
from promote.core.comparison import Compared, change
from promote.core.html import el, table
from promote.core.stages import Blob

# Told as metrics already, or longer than a page.
_ELSEWHERE = ("metrics.", "parity.max_absolute")


def live_section(version: int, new: Compared) -> ET.Element:
    """Metrics of both; fields of the configuration, files and facts that differ."""
    differ = new.difference
    then, now = f"v{new.version}", f"v{version}"
    section = el(
        "div",
        el("p", f"Version {new.version} serves. {differ.shared:,} bytes are the same, {differ.to_send:,} are new."),
        el("h3", "Metrics"),
    )
    parity = ("largest parity difference", f"{new.parity[0]:.2g}", f"{new.parity[1]:.2g}", change(*new.parity))
    metrics = ((name, _number(a), _number(b), change(a, b)) for name, a, b in new.metrics)
    section.append(table(("metric", then, now, "change"), (parity, *metrics)))
    section.append(el("h3", "config.pbtxt"))
    section.append(_changes(differ.config, "field", then, now))
    section.append(el("h3", "Files"))
    files = ((file.path, _bytes(file.first), _bytes(file.second), file.word) for file in differ.files)
    section.append(table(("path", f"{then} bytes", f"{now} bytes", ""), files))
    section.append(el("h3", "Facts"))
    facts = tuple(fact for fact in differ.facts if not fact.name.startswith(_ELSEWHERE))
    section.append(_changes(facts, "fact", then, now))
    return section


def _changes(changes: tuple[Change, ...], what: str, then: str, now: str) -> ET.Element:
    rows = ((known.name, known.first, known.second, _word(known)) for known in changes)
    return table((what, then, now, ""), rows) if changes else el("p", "the same")


def _word(known: Change) -> str:
    return "added" if not known.first else "removed" if not known.second else "changed"


def _bytes(blob: Blob | None) -> str:
    return f"{blob.size:,}" if blob else ""


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"
