"""What a workflow shows of a verdict, as Markdown; and what it hands on, as ``name=value`` lines. Pure.

Everything in them comes from outside: a cell is one line in which no mark of Markdown or HTML means anything.
"""

import re
from collections.abc import Mapping, Sequence

from promote.core.names import printable
from promote.core.verdict import Finding

_MARKS = {"ok": "✅", "degraded": "⚠️", "unknown": "❔", "broken": "❌"}
_OUTPUT = re.compile(r"[a-z][a-z_]{0,30}")


def verdict_page(word: str, target: str, findings: Sequence[Finding], facts: Mapping[str, str]) -> str:
    """A heading, the facts, and every finding in a table, worst first."""
    lines = [f"### {_plain(word)} with {_plain(target)}", ""]
    lines += [f"- **{_plain(name)}**: {_plain(value)}" for name, value in facts.items() if value]
    lines += ["", "| | rule | has | needs | do |", "|---|---|---|---|---|"] if findings else []
    lines += [f"| {_MARKS[f.outcome.value]} | {' | '.join(map(_plain, _cells(f)))} |" for f in findings]
    return "\n".join([*lines, ""])


def reasons_page(word: str, reasons: Sequence[str]) -> str:
    """A refusal that has reasons and no findings."""
    return "\n".join([f"### {_plain(word)}", "", *(f"- {_plain(reason)}" for reason in reasons), ""])


def output_lines(values: Mapping[str, str]) -> str:
    """``name=value`` lines as a workflow reads them.

    Raises:
        ValueError: a name of another form: names are ours.
    """
    if bad := [name for name in values if not _OUTPUT.fullmatch(name)]:
        raise ValueError(f"no names of outputs: {bad}")
    # A line of its own in a value would be an output of its own: `printable` leaves none.
    return "".join(f"{name}={printable(value, 1000)}\n" for name, value in values.items())


def _cells(finding: Finding) -> tuple[str, str, str, str]:
    has = f"{finding.has} ({finding.has_source})" if finding.has_source else finding.has
    return finding.rule, has, finding.needs, finding.remedy


def _plain(text: str) -> str:
    return re.sub(r"([\\`*_\[\]()<>|#~@!&:])", lambda mark: f"&#{ord(mark[1])};", printable(text, 400))
