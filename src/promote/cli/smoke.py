"""``promote smoke``: does what is live still answer as it was proven?"""

import statistics

import click

from promote.cli import options
from promote.cli.progress import choose
from promote.cli.render import print_facts, print_json, say
from promote.core.names import model_name, printable
from promote.core.stages import Replay
from promote.pipeline.smoking import Smoke

_WRONG = 12


@click.command()
@click.argument("model")
@options.target
@click.option("--text", default=None, help="Also ask the model's text side (template ensemble) what is in this text.")
@options.as_json
@options.quiet
@click.pass_obj
def command(config: str | None, model: str, target_name: str, text: str | None, as_json: bool, quiet: bool) -> int:
    """Replay the golden answers of the live version of MODEL over HTTP and gRPC. Nothing is changed.

    Exit code 0: every answer lies within the recorded tolerance. 12: one does not, or was refused. 5: the server does not
    answer, or does not have ready what the target's record calls live.
    """
    from promote.pipeline import smoke
    from promote.wiring import open_wiring

    wiring = open_wiring(config, choose(quiet or as_json))
    target = wiring.target(target_name)
    with wiring.world(target) as world:
        smoked = smoke(model_name(model), target, world, text)
    code = _WRONG if smoked.faults else 0
    if as_json:
        _print_json(smoked, target_name, code)
        return code
    for fault in smoked.faults:
        say(click.style("wrong: ", fg="red", bold=True) + printable(fault, 600))
    if not quiet:
        _tell(smoked, target_name)
    if smoked.faults:
        again = f"promote deploy {model}:v{smoked.deployed.version} --target {target_name}"
        say("\n" + click.style("hint: ", fg="cyan") + f"promote rollback {model} --target {target_name}, or {again}")
    click.echo(f"{smoked.deployed.repository}@{smoked.deployed.digest}")
    return code


def _print_json(smoked: Smoke, target: str, code: int) -> None:
    live = smoked.deployed
    print_json(
        "smoke", code, reference=f"{live.repository}@{live.digest}", digest=live.digest, name=live.name,
        version=live.version, target=target, triton=smoked.triton, answers="wrong" if smoked.faults else "right",
        replays=[
            {"case": r.case, "protocol": r.protocol, "max_absolute": r.max_absolute, "ms": round(r.seconds * 1000, 3)}
            for r in smoked.replays
        ],
        faults=list(smoked.faults), read=smoked.read,
    )  # fmt: skip


def _tell(smoked: Smoke, target: str) -> None:
    live, word = smoked.deployed, "answers wrongly" if smoked.faults else "answers as it was proven"
    cases = sorted({replay.case for replay in smoked.replays})
    worst = max((replay.max_absolute for replay in smoked.replays), default=0.0)
    say()
    print_facts(
        f"{live.name} version {live.version} {word} on {target}",
        {
            "digest": live.digest,
            "live": f"since {live.since}, by {live.by}",
            "cases": f"{', '.join(cases) or 'none was answered'}; largest difference {worst:.2g}",
            "http": _latency(smoked.replays, "http"),
            "grpc": _latency(smoked.replays, "grpc"),
            "triton": smoked.triton,
        }
        | ({} if smoked.read is None else {"text": smoked.read}),
    )


def _latency(replays: tuple[Replay, ...], protocol: str) -> str:
    """Of a few requests; with a connection each, which a client that keeps its own does not pay."""
    found = [1000 * replay.seconds for replay in replays if replay.protocol == protocol]
    if not found:
        return "no answer"
    return (
        f"{len(found)} answers, median {statistics.median(found):.1f} ms, slowest {max(found):.1f} ms (with connecting)"
    )
