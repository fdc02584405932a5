"""``promote template``: the kinds of model there are, their settings, and their directories written."""

import json
from pathlib import Path

import click

from promote.cli import options
from promote.cli.progress import Silent
from promote.cli.render import print_json, print_table, say
from promote.core.kinds import KINDS, SERVES
from promote.core.names import printable

_KIND = click.Choice(tuple(KINDS))


@click.group(name="template")
def command() -> None:
    """Kinds of model: list them, tell their settings, write their directories for Triton."""


@command.command(name="list")
@options.as_json
def list_kinds(as_json: bool) -> int:
    """The kinds of model there are."""
    if as_json:
        print_json("template list", 0, kinds=[{"kind": kind, "serves": SERVES[kind]} for kind in KINDS])
        return 0
    print_table(["kind", "serves"], [[kind, SERVES[kind]] for kind in KINDS])
    return 0


@command.command()
@click.argument("kind", type=_KIND)
@options.as_json
def schema(kind: str, as_json: bool) -> int:
    """JSON Schema of a kind's template.yaml."""
    from promote.wiring.kinds import settings_schema

    found = settings_schema(kind)
    if as_json:
        print_json("template schema", 0, kind=kind, settings=found)
    else:
        click.echo(json.dumps(found, indent=2))
    return 0


@command.command()
@click.argument("kind", type=_KIND)
@options.target
@click.option("--name", default="", help="Model name; an ensemble takes its network's.")
@click.option("--version", type=click.IntRange(1, 2**31 - 1), default=1, show_default=True, help="Version directory.")
@click.option("--from", "brought", metavar="PATH", default=None, help="A plan; for an ensemble models/NAME/N.")
@click.option("--settings", metavar="FILE", default=None, help="Instead of the template's own template.yaml.")
@click.option(
    "--out", metavar="FOLDER", required=True, help="Where the directories are written; nothing is written over."
)
@options.as_json
@click.pass_obj
def write(
    config: str | None,
    kind: str,
    target_name: str,
    name: str,
    version: int,
    brought: str | None,
    settings: str | None,
    out: str,
    as_json: bool,
) -> int:
    """Write the directories of a model of KIND, for Triton on a target; promote check judges them.

    Code in them is the template's, as it lies on this machine. They are not deployed: put them into the model repository and
    load them (an ensemble loads its parts).
    """
    from promote.wiring import open_wiring
    from promote.wiring.kinds import KindOrder, write_kind

    wiring = open_wiring(config, Silent())
    target = wiring.target(target_name)
    order = KindOrder(
        kind, name, version, Path(brought) if brought else None, Path(out), Path(settings) if settings else None
    )
    written = write_kind(order, target, wiring)
    if as_json:
        print_json("template write", 0, kind=kind, target=target_name, models=[str(path) for path in written])
        return 0
    for path in written:
        click.echo(printable(str(path), 1000))
    say(f"\nnext: promote check {printable(out)} --target {target_name}")
    return 0
