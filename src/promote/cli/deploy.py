"""``promote deploy``: a digest begins to serve, once it has answered."""

import click

from promote.cli import options
from promote.cli.deployed import report_deployment, tell_deployment
from promote.cli.progress import choose
from promote.cli.render import CODES, print_json, print_refused, say
from promote.cli.telling import annotate, tell
from promote.core.gates import GateFailed
from promote.core.review import NotApproved, Rejected
from promote.core.stages import Deployment
from promote.core.verdict import Incompatible, Undecided
from promote.errors import DeployFailed


@click.command()
@click.argument("reference")
@options.target
@options.registry
@options.as_json
@options.quiet
@click.pass_obj
def command(config: str | None, reference: str, target_name: str, registry: str, as_json: bool, quiet: bool) -> int:
    """Bring REFERENCE (MODEL:vN or MODEL@sha256:...) to a target's Triton and prove that it answers.

    MODEL alone is its newest version that is approved for the target. The target is measured and the verdict given anew;
    the former version serves until the new one has answered every golden input over HTTP and gRPC.
    """
    from promote.adapters.settings import current_user
    from promote.pipeline import deploy
    from promote.wiring import open_wiring

    name, version = options.split_reference(reference, newest=True)
    wiring = open_wiring(config, choose(quiet or as_json), registry=registry or options.split_base(reference))
    target, by = wiring.target(target_name), current_user()
    number = int(version[1:]) if version.startswith("v") else 0
    try:
        with wiring.world(target) as world:
            outcome = deploy(name, version, target, by, world)
    except DeployFailed as error:
        tell(wiring, "failed", name, target_name, by=by, version=number, reason=error.message)
        raise
    if isinstance(outcome, Deployment):
        code = report_deployment("deploy", outcome, target_name, as_json=as_json, quiet=quiet)
        tell_deployment(wiring, "deployed", outcome, target_name)
        return code
    reason = outcome.word if isinstance(outcome, Incompatible | Undecided) else f"{outcome.word}: {outcome.reason}"
    code = _report_refused(outcome, reference, target_name, as_json=as_json)
    tell(wiring, "refused", name, target_name, by=by, version=number, reason=reason)
    return code


def _report_refused(
    outcome: "Incompatible | Undecided | NotApproved | Rejected | GateFailed", reference: str, target_name: str,
    *, as_json: bool,
) -> int:  # fmt: skip
    if isinstance(outcome, Incompatible | Undecided):
        # Of the target as it is now, whatever the rules said when it was promoted.
        return print_refused("deploy", outcome, "nothing was deployed: what served before serves on", as_json=as_json)
    code = CODES[outcome.word]
    annotate("error", outcome.word, outcome.reason)
    if as_json:
        print_json("deploy", code, state=outcome.word, reason=outcome.reason, target=target_name)
    else:
        say(click.style(outcome.word, fg="red", bold=True) + f": {outcome.reason}")
        say("\n" + click.style("hint: ", fg="cyan") + f"{_why(outcome)} {reference} --target {target_name}")
    return code


def _why(outcome: "NotApproved | Rejected | GateFailed") -> str:
    """The command that explains it."""
    return "promote policy check" if isinstance(outcome, GateFailed) else "promote review show"
