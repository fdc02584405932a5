"""``promote check``: the verdict on a file, without running or shipping anything. Imports neither MLflow nor torch."""

import click

from promote.cli import options
from promote.cli.progress import Silent
from promote.cli.render import CODES, print_json, print_verdict


@click.command()
@click.argument("path", type=click.Path())
@click.option("--target", "target_name", metavar="NAME", default="", help="As in `promote targets`.")
@click.option("--runtime", metavar="NAME=VERSION", default="", help="A bare runtime instead, e.g. onnxruntime=1.20.1.")
@options.as_json
@click.pass_obj
def command(config: str | None, path: str, target_name: str, runtime: str, as_json: bool) -> int:
    """Say whether the model file PATH will load on a target, and by which facts.

    Exit code 0 compatible or degraded, 10 incompatible, 11 undecided.
    """
    from promote.core.passport import plain
    from promote.core.rules.engine import check
    from promote.core.verdict import judge
    from promote.wiring import open_wiring

    if bool(target_name) == bool(runtime):
        raise click.UsageError("give either --target or --runtime", click.get_current_context())
    wiring = open_wiring(config, Silent())
    target = wiring.target(target_name) if target_name else wiring.runtime(runtime)
    facts = wiring.read_facts(path)
    verdict = judge(path, target.name, check(facts, target, wiring.matrix))
    code = CODES[verdict.word]
    if as_json:
        print_json("check", code, path=path, target=target.name, verdict=verdict.word, findings=plain(verdict.findings))
    else:
        print_verdict(verdict.word, target.name, verdict.findings, err=False)
    return code
