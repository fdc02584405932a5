"""``promote sync``: the agent on a host, which brings it to what is desired of it and decides nothing itself."""

import signal
import time
from contextlib import ExitStack

import click

from promote.cli import options
from promote.cli.render import print_json
from promote.cli.sync_log import Log
from promote.cli.sync_rounds import Rounds, Stop
from promote.core.agent import seconds
from promote.errors import InputError, Interrupted


@click.command()
@click.option(
    "--target", "names", metavar="NAME", multiple=True, required=True, help="As in `promote targets`; may be repeated."
)
@click.option("--interval", metavar="TIME", default="30s", show_default=True, help="Between two looks: 30s, 5m, 1h.")
@click.option("--once", is_flag=True, help="One round, tried now; the exit code says what came of it.")
@click.option(
    "--model", "models", metavar="NAME", multiple=True, help="A model to ask the registry for while MLflow is away."
)
@click.option(
    "--log",
    "form",
    type=click.Choice(["human", "json"]),
    default="human",
    show_default=True,
    help="Of events, on stderr.",
)
@click.option(
    "--metrics", "port", metavar="PORT", type=click.IntRange(1, 65535), help="Metrics for Prometheus on 127.0.0.1."
)
@click.option("--metrics-file", metavar="FILE", help="The same as a file, for node_exporter.")
@options.registry
@options.as_json
@click.pass_obj
def command(
    config: str | None, names: tuple[str, ...], interval: str, once: bool, models: tuple[str, ...], form: str,
    port: int | None, metrics_file: str | None, registry: str, as_json: bool,
) -> int:  # fmt: skip
    """Bring a target to what is desired of it, again and again; runs on the host, and only ever calls out.

    Desired is the version that carries the target's alias in MLflow, or its tag in the registry while MLflow is away. What is
    not approved is not deployed; what came of it is written on the model version.
    """
    if (every := seconds(interval)) is None:
        raise InputError(f"--interval {interval!r} is no time", hint="for instance --interval 30s, 5m or 1h")
    log = Log(as_json=form == "json")
    rounds = Rounds(config, registry, models, log, every)
    stop = Stop()
    with ExitStack() as stack:
        for number in (signal.SIGTERM, signal.SIGINT):
            stack.callback(signal.signal, number, signal.signal(number, stop))
        targets = tuple(dict.fromkeys(names))
        rounds.open(targets)
        if port:
            from promote.adapters.metrics_page import serve_metrics

            stack.enter_context(serve_metrics(port, rounds.page))
        code = _run(rounds, targets, stop, once=once, metrics_file=metrics_file)
    if as_json:
        print_json("sync", code, targets={target: rounds.summary(target) for target in targets})
    elif once:
        for reference in rounds.references():
            click.echo(reference)
    return code


def _run(rounds: Rounds, targets: tuple[str, ...], stop: Stop, *, once: bool, metrics_file: str | None) -> int:
    """Rounds until it is asked to stop; the exit code."""
    code = 0
    try:
        while not stop.asked:
            started = time.monotonic()
            code = 0
            for target in targets:
                code = max(code, rounds.round(target, stop, now=once))
            if metrics_file:
                rounds.write(metrics_file)
            if once:
                break
            time.sleep(max(0.0, started + rounds.every - time.monotonic()))
    except Interrupted:
        pass
    if stop.asked:
        rounds.log.line("", "stopped", text=f"by {stop.asked}")
        return Interrupted.exit_code if once else 0
    return code
