"""``promote withdraw``: a bad version is never deployed again, anywhere."""

import click

from promote.cli import options
from promote.cli.progress import Silent
from promote.cli.render import print_json, print_table, say
from promote.cli.telling import tell
from promote.core.events import LONGEST_REASON
from promote.core.names import printable


@click.command()
@click.argument("reference")
@options.registry
@click.option("--reason", required=True, help="Why; kept with the bundle and told whenever somebody deploys it.")
@options.as_json
@click.pass_obj
def command(config: str | None, reference: str, registry: str, reason: str, as_json: bool) -> int:
    """Withdraw REFERENCE (MODEL:vN or MODEL@sha256:...): no target takes it from now on, whoever approved it.

    What serves goes on serving: the targets where it is live are printed, each with the command that goes back.
    """
    from promote.pipeline.withdrawing import withdraw
    from promote.wiring import open_wiring

    name, version = options.split_reference(reference)
    wiring = open_wiring(config, Silent(), registry=registry or options.split_base(reference))
    came = withdraw(name, version, wiring.actor(), reason[:LONGEST_REASON], wiring)
    serves = [
        {
            "target": one.event.target, "place": one.event.more.get("place", ""), "since": one.event.at,
            "command": f"promote rollback {name} --target {one.event.target}",
        }
        for one in came.serves
    ]  # fmt: skip
    for target in sorted({one["target"] for one in serves}) or [""]:  # where it is live somebody has something to type
        tell(
            wiring, "withdrawn", name, target, by=came.event.by, version=came.stored.version,
            reference=came.stored.reference, reason=came.event.reason,
        )  # fmt: skip
    if as_json:
        print_json(
            "withdraw", 0, reference=came.stored.reference, name=name, version=came.stored.version, by=came.event.by,
            how=came.event.how, at=came.event.at, reason=came.event.reason, live=serves, warnings=list(came.warnings),
        )  # fmt: skip
        return 0
    for warning in came.warnings:
        say(click.style("warning: ", fg="yellow") + printable(warning, 600))
    say(f"{name} v{came.stored.version} is withdrawn by {came.event.by}: {came.event.reason}")
    if serves:
        say("\nit is live, and goes on serving until somebody types:")
        print_table(
            ("target", "place", "since", "command"),
            [(s["target"], s["place"] or "-", s["since"], s["command"]) for s in serves],
        )
    click.echo(came.stored.reference)
    return 0
