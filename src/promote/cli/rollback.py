"""``promote rollback``: the version before serves again, from what lies on the target's disk."""

import contextlib
import os

import click

from promote.cli import options
from promote.core.names import model_name
from promote.errors import InputError

_PRIORITY = -10  # of nice(2), which goes from -20 to 19


@click.command()
@click.argument("model")
@options.target
@click.option("--to", metavar="vN", default="", help="A certain version instead of the one before.")
@options.as_json
@options.quiet
@click.pass_obj
def command(config: str | None, model: str, target_name: str, to: str, as_json: bool, quiet: bool) -> int:
    """Serve the version of MODEL that served before. Needs neither the registry nor MLflow."""
    _hurry()
    from promote.adapters.settings import current_user
    from promote.cli.deployed import report_deployment, tell_deployment
    from promote.cli.progress import choose
    from promote.pipeline import rollback
    from promote.wiring import open_wiring

    number = to.removeprefix("v")
    if to and not number.isdecimal():
        raise InputError(f"--to {to!r} is not a version", hint="for instance --to v3")
    wiring = open_wiring(config, choose(quiet or as_json))
    target = wiring.target(target_name)
    with wiring.world(target) as world:
        deployment = rollback(model_name(model), target, current_user(), world, int(number) if to else None)
    code = report_deployment("rollback", deployment, target_name, as_json=as_json, quiet=quiet)
    tell_deployment(wiring, "rolled-back", deployment, target_name)
    return code


def _hurry() -> None:
    """Before what makes the host busy, where this user may: somebody waits for it, and it is short."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, _PRIORITY)
