"""``promote targets``: where models can be promoted to, and what is known of each host."""

import dataclasses
from typing import TYPE_CHECKING, Any

import click

from promote.cli import options
from promote.cli.progress import Silent
from promote.cli.render import print_json, print_table, say

if TYPE_CHECKING:
    from promote.core.facts import Fact, Probed


@click.command()
@options.as_json
@click.pass_obj
def command(config: str | None, as_json: bool) -> None:
    """List the hosts that models can be promoted to, and what is known of each."""
    from promote.core.passport import plain
    from promote.wiring import open_wiring

    targets = open_wiring(config, Silent()).targets()
    if as_json:
        print_json("targets", 0, targets=[plain(target) for target in targets])
        return
    rows = []
    for target in targets:
        host = {f.name: getattr(target.host, f.name) for f in dataclasses.fields(target.host)}
        shown = [_shown(host[k]) for k in ("device", "arch", "triton", "onnxruntime", "gpu", "driver")]
        rows.append([target.name, *shown, target.http or "?", "required" if target.review else "no"])
    print_table(["target", "device", "arch", "triton", "onnxruntime", "gpu", "driver", "http", "review"], rows)
    notes = [f"{target.name}: {_age(target.probed)}" for target in targets if target.probed]
    notes += [f"{target.name}: {note}" for target in targets if not target.probed for note in target.notes]
    if notes:
        say()
    for note in notes:
        say(note)
    if any("*" in cell for row in rows for cell in row):
        say("* measured")


def _shown(fact: "Fact[Any] | None") -> str:
    return "?" if fact is None else f"{fact.value}{'*' if fact.measured else ''}"


def _age(probed: "Probed") -> str:
    return f"probed on {probed.date}" + (f", long ago: {probed.renew}" if probed.old else "")
