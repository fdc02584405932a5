"""``promote matrix``: what the verdicts rest on, for a reader: rows, rules, the difference of two files."""

import json
from pathlib import Path
from typing import Any

import click

from promote.cli import options
from promote.cli.progress import Silent
from promote.cli.render import print_json, print_rule, print_table, say, say_if_stale
from promote.core.names import printable
from promote.errors import NotFound


@click.group()
def command() -> None:
    """Show, explain, compare, validate and refresh what the verdicts rest on."""


@command.command("show")
@click.argument("table", required=False)
@options.as_json
@click.pass_obj
def show(config: str | None, table: str | None, as_json: bool) -> None:
    """Show the rows of TABLE; without it, the tables and how many rows each has."""
    from promote.core.matrix_diff import tables
    from promote.wiring import open_wiring

    matrix = open_wiring(config, Silent()).matrix
    shown = tables(matrix)
    if table is not None and table not in shown:
        raise NotFound(f"{matrix.file} has no table {printable(table, 60)!r}", hint=f"tables: {', '.join(shown)}")
    if as_json:
        rows = {table: shown[table]} if table else shown
        print_json("matrix show", 0, file=matrix.file, collected=matrix.tables.collected, tables=rows)
    elif table is None:
        print_table(["table", "rows"], [[name, str(len(rows))] for name, rows in shown.items()])
        say(f"\n{matrix.file}, collected {matrix.tables.collected}\nnext: promote matrix show TABLE")
    else:
        columns = list(dict.fromkeys(key for row in shown[table] for key in row if key != "note"))
        columns.sort(key=("confidence", "source").__contains__)  # long ones last
        print_table(columns, [[_shown(row.get(column)) for column in columns] for row in shown[table]])


def _shown(value: Any) -> str:
    if value is None:
        return "?"
    if isinstance(value, dict):
        return str(value.get("version", json.dumps(value, ensure_ascii=False)))
    if isinstance(value, list):
        return ", ".join(map(_shown, value)) or "-"
    return str(value) if value != "" else "-"


@command.command("explain")
@click.argument("rule_id", required=False)
@click.option("--markdown", "as_markdown", is_flag=True, help="Every rule, as docs/reference/rules.md holds them.")
@options.as_json
def explain(rule_id: str | None, as_markdown: bool, as_json: bool) -> None:
    """Say what the rule RULE_ID asks, why, by whose word, and what to do; without it, list all rules."""
    from promote.core.rules.engine import RULES
    from promote.core.rules.pages import markdown, named, page

    chosen = RULES if rule_id is None else (named(rule_id),)
    if as_json:
        print_json("matrix explain", 0, rules=[page(rule) for rule in chosen])
    elif as_markdown:
        click.echo(markdown(chosen), nl=False)
    elif rule_id is None:
        print_table(["rule", "holds when it passes"], [[rule.id, rule.title] for rule in chosen])
    else:
        print_rule(chosen[0])


@command.command("diff")
@click.argument("old", type=click.Path())
@click.argument("new", type=click.Path())
@options.as_json
def diff(old: str, new: str, as_json: bool) -> None:
    """Compare two matrix files row by row, and say which targets' facts and which rules' answers change."""
    from promote.core.matrix_diff import diff as compare
    from promote.wiring import read_matrix

    found = compare(read_matrix(Path(old)), read_matrix(Path(new)))
    if as_json:
        rows = [{"table": r.table, "row": r.row, "state": r.state, "fields": _pairs(r.fields)} for r in found.rows]
        targets = {name: _pairs(facts) for name, facts in found.targets.items()}
        print_json("matrix diff", 0, rows=rows, targets=targets, rules=list(found.rules))
        return
    for row in found.rows:
        click.echo(f"{row.state} {row.table}" + (f" {printable(row.row, 80)}" if row.row else ""))
        for name, (before, after) in row.fields.items() if row.state == "changed" else ():
            click.echo(f"  {name}: {_cut(before)} -> {_cut(after)}")
    for target, facts in found.targets.items():
        click.echo(f"target {target}")
        for name, (before, after) in facts.items():
            click.echo(f"  {name}: {_cut(before)} -> {_cut(after)}")
    if found.rules:
        click.echo(f"rules that may answer otherwise: {', '.join(found.rules)}")
    say(f"{len(found.rows)} rows differ, {len(found.targets)} targets, {len(found.rules)} rules")


def _cut(value: Any) -> str:
    return printable(_shown(value), 160)


def _pairs(fields: Any) -> dict[str, dict[str, Any]]:
    return {name: {"before": before, "after": after} for name, (before, after) in fields.items()}


@command.command("validate")
@click.argument("file", type=click.Path(), required=False)
@options.as_json
@click.pass_obj
def validate(config: str | None, file: str | None, as_json: bool) -> None:
    """Check FILE, or the matrix in use: every row's form, and whether its facts are old.

    Exit code 2 with the path of the first wrong field.
    """
    from promote.core.matrix_diff import tables
    from promote.wiring import open_wiring, read_matrix

    matrix = read_matrix(Path(file)) if file else open_wiring(config, Silent()).matrix
    rows = sum(len(table) for table in tables(matrix).values())
    old = say_if_stale(matrix)
    if as_json:
        print_json("matrix validate", 0, file=matrix.file, rows=rows, collected=matrix.tables.collected, stale=old)
        return
    click.echo(f"{matrix.file}: valid, {rows} rows, collected {matrix.tables.collected}")


@command.command("refresh")
@click.option("--image", "reference", metavar="REF", required=True, help="HOST/NAME:TAG or HOST/NAME@sha256:...")
@click.option("--arch", type=click.Choice(["x86_64", "aarch64"]), default="x86_64", help="Of an image for several.")
@options.as_json
@click.pass_obj
def refresh(config: str | None, reference: str, arch: str, as_json: bool) -> None:
    """Propose the rows that a Triton container image tells of itself, as YAML, and say what differs from those there.

    The image's configuration is read from its registry, no layer. The matrix is not changed: read the rows, then put them in.
    """
    from promote.core.matrix_refresh import propose
    from promote.wiring import open_wiring, today

    wiring = open_wiring(config, Silent())
    found, matrix = wiring.image(reference, arch), wiring.matrix
    name = f"{found.name.partition('@')[0]}@{found.digest}"
    proposal = propose(found.environment, name, today().isoformat(), matrix)
    if as_json:
        rows = {table: [row] for table, row in proposal.rows.items()}
        differs, untold = _pairs(proposal.differs), list(proposal.untold)
        print_json("matrix refresh", 0, image=name, rows=rows, new=list(proposal.new), differs=differs, untold=untold)
        return
    click.echo(proposal.yaml(), nl=False)
    for table in proposal.new:
        say(f"new: {matrix.file} has no such row of {table}")
    for field, (before, after) in proposal.differs.items():
        say(f"differs: {field}: {_cut(before)} -> {_cut(after)}")
    if not (proposal.new or proposal.differs):
        say(f"{matrix.file} says the same")
    if proposal.untold:
        say(f"not told by the image, so as it was or null: {', '.join(proposal.untold)}")
