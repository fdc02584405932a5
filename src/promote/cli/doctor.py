"""``promote doctor``: what a promotion needs, looked at before it is needed."""

import click

from promote.cli import options
from promote.cli.progress import Silent
from promote.cli.render import print_json, say
from promote.core.diagnosis import Check, Standing, exit_code
from promote.core.names import printable

_MARKS = {Standing.OK: ("✓", "green"), Standing.WARN: ("~", "yellow"), Standing.FAIL: ("✗", "red")}


@click.command()
@options.registry
@click.option(
    "--target",
    "target_name",
    metavar="NAME",
    default="",
    help="Ask its Triton and MLflow too, and how old its probe is.",
)
@click.option(
    "--model", metavar="NAME", default="promote-doctor", help="Whose repository is asked for; need not be there."
)
@options.as_json
@click.pass_obj
def command(config: str | None, registry: str, target_name: str, model: str, as_json: bool) -> int:
    """Look at the registry, the matrix and a target as a promotion will meet them: a line each, and what to do.

    Nothing is left behind: a right to push is seen by beginning an upload and cancelling it. Exit code 0, or that of the
    error that a promotion would end with: 4 credentials or rights, 5 not reachable, 2 settings.
    """
    from promote.wiring import open_wiring
    from promote.wiring.doctor import examine

    wiring = open_wiring(config, Silent(), registry=registry)
    checks: list[Check] = []
    for check in examine(wiring, model, target_name):
        checks.append(check)
        if not as_json:
            _tell(check)
    code = exit_code(checks)
    if as_json:
        rows = [
            {"check": c.name, "standing": c.standing.value, "has": c.has, "remedy": c.remedy, "exit": c.exit_code}
            for c in checks
        ]
        print_json("doctor", code, checks=rows)
    else:
        counts = {standing: sum(check.standing is standing for check in checks) for standing in Standing}
        say("\n" + ", ".join(f"{count} {standing.value}" for standing, count in counts.items() if count))
    return code


def _tell(check: Check) -> None:
    mark, colour = _MARKS[check.standing]
    click.echo(f"{click.style(mark, fg=colour)} {check.name:<21} {printable(check.has, 300)}")
    if check.remedy and check.standing is not Standing.OK:
        click.echo(f"  {'':<21} do {printable(check.remedy, 400)}")
