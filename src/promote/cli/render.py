"""How values look: findings, tables, refusals and errors, for a person or as JSON.

JSON is one object on one line, ``{"schema": "promote.cli/1", "command": ..., "exit": {...}, ...}``; keys are only ever
added to it. Everything from outside is escaped before it reaches a terminal.
"""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from promote.cli.telling import annotate
from promote.core.names import printable
from promote.errors import EXIT_CODES

if TYPE_CHECKING:
    from promote.core.matrix import Matrix
    from promote.core.parity import ParityFailed
    from promote.core.rules.case import Rule
    from promote.core.verdict import Finding, Incompatible, Undecided

SCHEMA = "promote.cli/1"
_MARKS = {"broken": ("✗", "red"), "unknown": ("?", "yellow"), "degraded": ("!", "yellow"), "ok": ("✓", "green")}
CODES = {
    "compatible": 0,
    "degraded": 0,
    "incompatible": 10,
    "undecided": 11,
    "parity failed": 12,
    "gate failed": 12,
    "not approved": 13,
    "rejected": 14,
}
"""Exit code of each word a verdict or refusal goes by."""


def print_json(command: str, code: int, **data: Any) -> None:
    """The command's one JSON object, on stdout."""
    head = {"schema": SCHEMA, "command": command, "exit": {"code": code, "reason": EXIT_CODES[code]}}
    click.echo(json.dumps(head | data, sort_keys=False, ensure_ascii=False))


def print_json_line(data: Mapping[str, Any]) -> None:
    """One of many JSON objects, on a line of its own; a file's name in it may be no text."""
    click.echo(json.dumps(data, ensure_ascii=False).encode(errors="backslashreplace").decode())


def print_error(message: str, hint: str, code: int, as_json: bool) -> None:
    """``error: ...``, a blank line, ``hint: ...`` on stderr; with ``--json`` or ``--jsonl`` also an object on stdout."""
    if as_json:
        print_json("", code, error={"message": printable(message, 2000), "hint": printable(hint, 2000)})
    annotate("error", "promote", message)
    click.echo(click.style("error: ", fg="red", bold=True) + printable(message, 2000), err=True)
    if hint:
        click.echo("\n" + click.style("hint: ", fg="cyan") + printable(hint, 2000), err=True)


def say(text: str = "") -> None:
    """A line for a person, on stderr."""
    click.echo(text, err=True)


def print_findings(findings: "Sequence[Finding]", *, err: bool = True) -> None:
    """All findings, worst first, also when all pass; a passing one is one line, any other says what to do."""
    width = max((len(f.rule) for f in findings), default=0)
    for finding in findings:
        mark, colour = _MARKS[finding.outcome.value]
        has = printable(finding.has, 300) + (f" ({printable(finding.has_source)})" if finding.has_source else "")
        passes = finding.outcome.value == "ok"
        confidence = "" if finding.confidence == "high" else f"confidence {finding.confidence}"
        doubt = f", {confidence}: {printable(finding.row)}".removesuffix(": ") if passes and confidence else ""
        click.echo(f"  {click.style(mark, fg=colour)} {finding.rule:<{width}}  {has}{doubt}", err=err)
        if passes:
            continue
        pad = " " * (width + 6)
        row = f"{finding.row}; {finding.source}" if finding.row and finding.source else finding.row or finding.source
        for label, text in (
            ("needs", finding.needs),
            ("by", ", ".join(part for part in (printable(row, 360), confidence) if part)),
            ("do", finding.remedy),
        ):
            if text:
                click.echo(f"{pad}{click.style(label, dim=True)} {printable(text, 400)}", err=err)


def print_refused(
    command: str, refused: "Incompatible | Undecided", last: str, *, as_json: bool, **more: Any
) -> int:  # fmt: skip
    """A verdict that stops a command, its findings, and ``last``: what was not done; the exit code. JSON begins with ``more``."""
    from promote.core.passport import plain

    code = CODES[refused.word]
    grave = [f"{f.rule}: {f.has}" for f in refused.findings if f.outcome.value in ("broken", "unknown")]
    annotate("error", f"{refused.word} with {refused.target}", "; ".join(grave))
    if as_json:
        findings = plain(refused.findings)
        print_json(command, code, **more, verdict=refused.word, target=refused.target, findings=findings)
    else:
        say()
        print_verdict(refused.word, refused.target, refused.findings)
        say(f"\n{last}")
    return code


def print_verdict(word: str, target: str, findings: "Sequence[Finding]", *, err: bool = True) -> None:
    """The verdict's line, then its findings."""
    colour = {"compatible": "green", "degraded": "yellow", "undecided": "yellow"}.get(word, "red")
    counts = {o: sum(f.outcome.value == o for f in findings) for o in _MARKS}
    told = ", ".join(f"{n} {o}" for o, n in counts.items() if n)
    click.echo(f"{click.style(word, fg=colour, bold=True)} with {printable(target)}: {told}", err=err)
    print_findings(findings, err=err)


def print_rule(rule: "Rule") -> None:
    """A rule's page: what it asks, why, by whose word, and what to do."""
    click.echo(f"{rule.id}: {rule.title}\n\n{rule.why}\n\nsource  {rule.source}")
    click.echo(f"do      {rule.remedy or 'what the finding says: a fact is missing'}")


def print_explained(word: str, target: str, findings: "Sequence[Finding]", rule: "Rule") -> None:
    """One rule's findings of a verdict, then its page; without a verdict the page alone."""
    if word:
        click.echo(f"{word} with {printable(target)}; of {rule.id}:")
        print_findings(findings, err=False)
        click.echo("" if findings else "  it does not apply to this model and target\n")
    print_rule(rule)


def say_if_stale(matrix: "Matrix") -> bool:
    """Whether the matrix is stale, which is a note on stderr and no finding: it makes no answer wrong, others are missing."""
    from promote.core.matrix import STALE_DAYS, stale
    from promote.wiring import today

    collected, old = matrix.tables.collected, stale(matrix, today())
    if old:
        say(
            f"stale: {matrix.file} was collected {collected}, more than {STALE_DAYS} days ago: newer releases are not in it"
        )
    return old


def print_parity_failed(failed: "ParityFailed") -> None:
    """Which output differs, and by how much."""
    annotate("error", "parity failed", "; ".join(failed.reasons))
    say(click.style("parity failed", fg="red", bold=True) + ": the export does not answer as the source model does")
    for reason in failed.reasons:
        say(f"  {click.style('✗', fg='red')} {printable(reason, 400)}")
    say(
        "\n"
        + click.style("hint: ", fg="cyan")
        + "tolerances are set under [parity.*] in promote.toml; a reviewer sees them"
    )


def print_table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A plain table on stdout: columns padded, two blanks between; readable without colour and by ``awk``."""
    cells = [[printable(str(cell)) for cell in row] for row in rows]
    widths = [max(len(h), *(len(row[i]) for row in cells)) if cells else len(h) for i, h in enumerate(headers)]
    click.echo(
        click.style("  ".join(h.upper().ljust(w) for h, w in zip(headers, widths, strict=True)).rstrip(), bold=True)
    )
    for row in cells:
        click.echo("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip())


def print_facts(title: str, facts: Mapping[str, str]) -> None:
    """A block of ``name  value`` lines on stderr."""
    say(click.style(title, bold=True))
    width = max((len(name) for name in facts), default=0)
    for name, value in facts.items():
        say(f"  {name:<{width}}  {printable(value, 300)}")


def stdout_is_data() -> bool:
    """Whether stdout goes to a program rather than a person."""
    return not sys.stdout.isatty()
