"""``promote rollback``: the version before serves again, from what lies on the target's disk."""

import contextlib
import os
from typing import TYPE_CHECKING

import click

from promote.cli import options
from promote.core.names import model_name, printable
from promote.errors import InputError

if TYPE_CHECKING:
    from promote.pipeline import Withdrawn

_PRIORITY = -10  # of nice(2), which goes from -20 to 19


@click.command()
@click.argument("model")
@options.target
@click.option("--to", metavar="vN", default="", help="A certain version instead of the one before.")
@click.option("--allow-withdrawn", is_flag=True, help="Also to a version that was withdrawn; nobody is asked before.")
@options.as_json
@options.quiet
@click.pass_obj
def command(
    config: str | None, model: str, target_name: str, to: str, allow_withdrawn: bool, as_json: bool, quiet: bool
) -> int:
    """Serve the version of MODEL that served before. Needs neither the registry nor MLflow.

    Where the registry answers within a few seconds and says that this version was withdrawn, the live one serves on (exit
    code 14), and what to type instead is said.
    """
    _hurry()
    from promote.adapters.settings import current_user
    from promote.cli.deployed import report_deployment, tell_deployment
    from promote.cli.progress import choose
    from promote.pipeline import Withdrawn, rollback
    from promote.wiring import open_wiring

    number = to.removeprefix("v")
    if to and not number.isdecimal():
        raise InputError(f"--to {to!r} is not a version", hint="for instance --to v3")
    wiring = open_wiring(config, choose(quiet or as_json))
    target = wiring.target(target_name)
    with wiring.world(target) as world:
        deployment = rollback(
            model_name(model), target, current_user(), world, int(number) if to else None, withdrawn=allow_withdrawn
        )
    if isinstance(deployment, Withdrawn):
        return _refused(deployment, model, target_name, as_json=as_json)
    code = report_deployment("rollback", deployment, target_name, as_json=as_json, quiet=quiet)
    tell_deployment(wiring, "rolled-back", deployment, target_name)
    return code


def _hurry() -> None:
    """Before what makes the host busy, where this user may: somebody waits for it, and it is short."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, _PRIORITY)


def _refused(refused: "Withdrawn", model: str, target: str, *, as_json: bool) -> int:
    from promote.cli.render import CODES, print_json, say
    from promote.cli.telling import annotate

    code, again = CODES[refused.word], f"promote rollback {model} --target {target}"
    annotate("error", refused.word, refused.reason)
    if as_json:
        print_json(
            "rollback", code, state=refused.word, reason=refused.reason, target=target, others=list(refused.others)
        )
        return code
    say(
        click.style(refused.word, fg="red", bold=True)
        + f": {printable(refused.reason, 400)}; the live version serves on"
    )
    other = f"{again} --to v{refused.others[0]}, or " if refused.others else ""
    say("\n" + click.style("hint: ", fg="cyan") + f"{other}{again} --allow-withdrawn where even that one is better")
    return code
