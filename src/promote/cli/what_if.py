"""``promote what-if``: a target changes, and every promoted model is judged before and after."""

import click

from promote.cli import options
from promote.cli.progress import Silent
from promote.cli.render import say, say_if_stale
from promote.core.names import printable


@click.command("what-if")
@click.argument("paths", nargs=-1, metavar="[PATH]...")
@click.option("--target", "names", metavar="NAME", multiple=True, required=True, help="Host that changes; may repeat.")
@click.option("--triton", metavar="YY.MM", default=None, help="Suppose this Triton release.")
@click.option("--driver", metavar="VERSION", default=None, help="Suppose this NVIDIA driver.")
@click.option("--gpu", metavar="NAME", default=None, help="Suppose this GPU; its memory is unknown unless given.")
@click.option("--memory-gib", type=float, default=None, help="Suppose this much memory for models.")
@options.registry
@click.option("--model", "models", metavar="NAME", multiple=True, help="Of a registry, only this model; may repeat.")
@click.option("--all", "everything", is_flag=True, help="Also the models that nothing changes for.")
@options.as_json
@click.option("--jsonl", "as_jsonl", is_flag=True, help="One JSON object a line: a model on a host.")
@click.pass_obj
def command(
    config: str | None, /, paths: tuple[str, ...], names: tuple[str, ...], registry: str, models: tuple[str, ...],
    everything: bool, as_json: bool, as_jsonl: bool, **supposed: object,
) -> int:  # fmt: skip
    """Say what breaks, degrades or must be rebuilt when a target changes, for every promoted model.

    Models are those of the layout or registry of the settings, or of each PATH: a folder of bundles, passports or model
    files, or one such file. Each is judged by the facts in its passport, on the target as it is and as supposed.

    Exit code 0 nothing gets worse, 10 something breaks, 11 something becomes undecided, 6 a bundle is damaged.
    """
    from promote.cli.what_if_judging import judge_all
    from promote.cli.what_if_page import counts, print_json_page, print_lines, print_page
    from promote.core.what_if import WhatIf, change
    from promote.errors import IntegrityError
    from promote.wiring import open_wiring

    wiring = open_wiring(config, Silent(), registry=registry)
    stale = say_if_stale(wiring.matrix)
    changes = {key: value for key, value in supposed.items() if value is not None}
    hosts = [change(wiring.target(name), changes, wiring.matrix) for name in dict.fromkeys(names)]
    what_if = WhatIf(hosts, wiring.matrix)
    judged = judge_all(wiring, what_if, paths, models)
    totals = counts(judged)
    code = 6 if judged.faults else 10 if totals["breaks"] else 11 if totals["undecided"] else 0
    if as_json:
        print_json_page(judged, what_if.hosts, code, everything, stale)
    elif as_jsonl:
        print_lines(judged, what_if.hosts, everything)
    else:
        print_page(judged, what_if.hosts, everything)
    if judged.faults and not as_json:
        for where, fault in judged.faults:
            say(f"damaged: {printable(where, 400)}: {printable(fault, 400)}")
        if not as_jsonl:
            raise IntegrityError(f"{len(judged.faults)} damaged, the others are judged")
    return code
