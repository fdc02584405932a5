"""``promote sync``: the agent on a host, which brings it to what is desired of it and decides nothing itself."""

import os
import signal
import threading
import time
from contextlib import ExitStack

import click

from promote.cli import options
from promote.cli.render import print_json
from promote.cli.sync_log import Log
from promote.cli.sync_rounds import Rounds, Stop
from promote.core.agent import seconds
from promote.errors import InputError, Interrupted

_SECRET = "PROMOTE_WEBHOOK_SECRET"  # noqa: S105 - the name of the variable
_SECRET_HINT = "the secret that the webhook was made with in MLflow; openssl rand -hex 32 makes one"  # noqa: S105
_SHORTEST_KEY = 16
_SHORTEST_ROUND = 1.0  # what calls without end is looked at once a second


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
@click.option(
    "--webhook", "calls", metavar="PORT", type=click.IntRange(1, 65535),
    help="Look at once when MLflow's webhook calls 127.0.0.1; its secret is in PROMOTE_WEBHOOK_SECRET.",
)  # fmt: skip
@options.registry
@options.as_json
@click.pass_obj
def command(
    config: str | None, names: tuple[str, ...], interval: str, once: bool, models: tuple[str, ...], form: str,
    port: int | None, metrics_file: str | None, calls: int | None, registry: str, as_json: bool,
) -> int:  # fmt: skip
    """Bring a target to what is desired of it, again and again; runs on the host, and only ever calls out.

    Desired is the version that carries the target's alias in MLflow, or its tag in the registry while MLflow is away. What is
    not approved is not deployed; what came of it is written on the model version.
    """
    if (every := seconds(interval)) is None:
        raise InputError(f"--interval {interval!r} is no time", hint="for instance --interval 30s, 5m or 1h")
    key = _key(once=once) if calls else b""
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
        wake = threading.Event()
        if calls:
            from promote.adapters.tracking.webhook import serve_webhook

            stack.enter_context(serve_webhook(calls, key, wake.set, lambda why: log.line("", "webhook", text=why)))
        code = _run(rounds, targets, stop, wake, once=once, metrics_file=metrics_file)
    if as_json:
        print_json("sync", code, targets={target: rounds.summary(target) for target in targets})
    elif once:
        for reference in rounds.references():
            click.echo(reference)
    return code


def _key(*, once: bool) -> bytes:
    """The key of the webhook's secret."""
    from promote.core.webhook import key_of

    if once:
        raise InputError("--once does not wait, and --webhook is waited for", hint="leave one of them out")
    try:
        key = key_of(os.environ.get(_SECRET, ""))
    except ValueError as error:
        raise InputError(f"{_SECRET}: {error}", hint=_SECRET_HINT) from None
    if len(key) < _SHORTEST_KEY:
        raise InputError(f"--webhook needs a secret of at least {_SHORTEST_KEY} bytes in {_SECRET}", hint=_SECRET_HINT)
    return key


def _run(
    rounds: Rounds, targets: tuple[str, ...], stop: Stop, wake: threading.Event, *, once: bool, metrics_file: str | None
) -> int:
    """Rounds until it is asked to stop, each after the interval or when it is woken; the exit code."""
    code = 0
    try:
        while not stop.asked:
            started = time.monotonic()
            wake.clear()  # before it looks: what calls during a round is looked at in the next
            code = 0
            for target in targets:
                code = max(code, rounds.round(target, stop, now=once))
            if metrics_file:
                rounds.write(metrics_file)
            if once:
                break
            time.sleep(max(0.0, min(started + _SHORTEST_ROUND, started + rounds.every) - time.monotonic()))
            wake.wait(max(0.0, started + rounds.every - time.monotonic()))
    except Interrupted:
        pass
    if stop.asked:
        rounds.log.line("", "stopped", text=f"by {stop.asked}")
        return Interrupted.exit_code if once else 0
    return code
