"""``promote status``: what is desired on a target, what is deployed, what really answers, and drift between them."""

import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

import click

from promote.cli import options
from promote.cli.progress import Silent
from promote.cli.status_lines import Row, as_data, code_of, print_change, print_status, print_statuses, words
from promote.errors import InputError, Interrupted, PromoteError

if TYPE_CHECKING:
    from promote.core.facts import Target
    from promote.ports import World
    from promote.wiring.story import Wiring

EVERY_SECONDS = 2.0
_CLEAR = "\x1b[H\x1b[2J"


@click.command()
@click.option(
    "--target", "target_name", metavar="NAME", help="One target; else all of promote.toml that have an endpoint."
)
@click.option("--fast", is_flag=True, help="Check files by name and size, without reading them.")
@click.option("--watch", is_flag=True, help="Look again every 2 s until Ctrl-C; not on a terminal: print what changes.")
@options.as_json
@click.pass_obj
def command(config: str | None, target_name: str | None, fast: bool, watch: bool, as_json: bool) -> int:
    """Say for each model what is desired, what is deployed, and what really answers.

    The files of the live version are held against its manifest, and the server's own configuration and versions against
    what was placed. Drift ends with exit code 6, a live version that does not answer with 5.
    """
    from promote.wiring import open_wiring

    wiring = open_wiring(config, Silent())
    targets = [wiring.target(target_name)] if target_name else _with_endpoints(wiring)
    with ExitStack() as stack:
        worlds = [(target, stack.enter_context(wiring.world(target))) for target in targets]
        if watch:
            return _watch(worlds, as_json=as_json, contents=not fast)
        rows = _ask(worlds, contents=not fast)
    if target_name and rows[0].error:
        raise rows[0].error
    code = code_of(rows)
    if as_json:
        print_statuses(rows, code, single=bool(target_name))
    else:
        print_status(rows, single=bool(target_name))
    return code


def _with_endpoints(wiring: "Wiring") -> "list[Target]":
    """The targets of promote.toml that something can be asked of."""
    targets = [wiring.target(name) for name in sorted(wiring.settings.targets)]
    found = [target for target in targets if target.http and target.grpc]
    if not found:
        raise InputError(
            "no target of promote.toml has an http and a grpc endpoint",
            hint="name one of `promote targets`: --target NAME",
        )
    return found


def _ask(worlds: "Sequence[tuple[Target, World]]", *, contents: bool) -> list[Row]:
    """A row for each target: what it is like, or why that cannot be told."""
    from promote.pipeline import status

    rows = []
    for target, world in worlds:
        try:
            rows.append(Row(target, status(target, world, contents=contents)))
        except PromoteError as error:
            rows.append(Row(target, None, error))
    return rows


def _watch(worlds: "Sequence[tuple[Target, World]]", *, as_json: bool, contents: bool) -> int:
    """Until Ctrl-C: on a terminal the whole table again and again, elsewhere a line for each change."""
    former: Mapping[tuple[str, str], str] = {}
    live = sys.stdout.isatty() and not as_json
    try:
        while True:
            rows = _ask(worlds, contents=contents)
            if live:
                click.echo(_CLEAR, nl=False)
                print_status(rows, single=False)
            else:
                now = words(rows)
                for key in sorted({*former, *now}):
                    if former.get(key) != now.get(key):
                        print_change(key, now.get(key, "gone"), as_data(rows, key) if as_json else None)
                former = now
            time.sleep(EVERY_SECONDS)
    except (KeyboardInterrupt, Interrupted):
        return 0
