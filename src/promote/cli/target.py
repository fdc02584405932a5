"""``promote target probe``: the facts of a host, measured and kept."""

import dataclasses
from typing import TYPE_CHECKING

import click

from promote.cli import options
from promote.cli.progress import Silent
from promote.cli.render import print_json, print_table, say
from promote.core.names import printable

if TYPE_CHECKING:
    from promote.core.probe_record import Probe

_MARKS = {"answered": ("✓", "green"), "failed": ("✗", "red"), "not asked": ("-", "yellow")}


@click.group()
def command() -> None:
    """Probe a target, and keep what was measured."""


@command.command("probe")
@click.argument("name")
@click.option("--image", metavar="REF", default="", help="The container image that runs there; its config is read.")
@click.option("--ssh", metavar="HOST", default="", help="Runs nvidia-smi on HOST over SSH, without asking a password.")
@click.option("--here", is_flag=True, help="Runs nvidia-smi on this machine: the target is this one.")
@options.as_json
@click.pass_obj
def probe(config: str | None, name: str, image: str, ssh: str, here: bool, as_json: bool) -> int:
    """Measure what can be measured of the target NAME: its Triton, its GPUs, its container image.

    What was measured wins over what is declared, and is kept with its date. Exit code 5 where nothing answered.
    """
    from promote.core.passport import plain
    from promote.wiring import open_wiring

    if ssh and here:
        raise click.UsageError("give either --ssh or --here", click.get_current_context())
    found, path = open_wiring(config, Silent()).probe(name, image=image, ssh=ssh, here=here)
    code = 0 if path else 5
    if as_json:
        sources = [dataclasses.asdict(source) for source in found.sources]
        kept = str(path) if path else None
        print_json(
            "target probe", code, target=name, date=found.date, facts=plain(found.facts), sources=sources, kept=kept
        )
        return code
    _tell(found)
    say()
    say(f"kept in {path}" if path else f"nothing of {name} could be measured; what was known before is kept")
    return code


def _tell(found: "Probe") -> None:
    width = max(len(source.name) for source in found.sources)
    for source in found.sources:
        mark, colour = _MARKS[source.state]
        note = "not asked: " if source.state == "not asked" else ""
        say(f"  {click.style(mark, fg=colour)} {source.name:<{width}}  {note}{printable(source.told, 400)}")
    known = {name: getattr(found.facts, name) for name in found.facts.__dataclass_fields__}
    rows = [[name, f"{fact.value:,}" if isinstance(fact.value, int) else fact.value, fact.source]
            for name, fact in known.items() if fact]  # fmt: skip
    if rows:
        say()
        print_table(["fact", "value", "source"], rows)
