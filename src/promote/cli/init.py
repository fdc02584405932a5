"""``promote init``: a commented ``promote.toml`` to start from."""

from pathlib import Path

import click

from promote.cli.render import say


@click.command()
def command() -> None:
    """Write a commented promote.toml into this folder; never overwrites one."""
    from promote.adapters.settings import write_example

    click.echo(write_example(Path.cwd()))
    say("\nnext: promote targets")
