"""``promote show``: what a bundle holds, what it says of itself, and what refers to it."""

from typing import Any

import click

from promote.cli import options
from promote.cli.progress import Silent
from promote.cli.render import print_json, print_table
from promote.core.evidence import TARGET, VERDICT
from promote.core.referrers import Referrer
from promote.core.stages import Stored


@click.command()
@click.argument("reference")
@options.registry
@options.as_json
@click.pass_obj
def command(config: str | None, reference: str, registry: str, as_json: bool) -> int:
    """List the bundle REFERENCE (MODEL:vN or MODEL@sha256:...): files, facts, annotations, and what refers to it.

    What refers to a bundle is listed as the registry tells it. The last line of stdout is REPOSITORY@sha256:...
    """
    from promote.core.layout import PASSPORT
    from promote.core.page import summary
    from promote.wiring import open_wiring

    name, version = options.split_reference(reference)
    parts = open_wiring(config, Silent(), registry=registry or options.split_base(reference)).registry
    stored = parts.resolve(name, version)
    passport = stored.files.get(f"{name}/{stored.version}/{PASSPORT}")
    facts = summary(parts.read(stored, passport)) if passport else {}
    referrers = parts.referrers(stored)
    if as_json:
        print_json("show", 0, **_object(stored, facts, referrers))
        return 0
    files = [[path, f"{blob.size:,}", blob.digest[:19]] for path, blob in stored.files.items()]
    print_table(["file", "size", "digest"], files)
    click.echo()
    print_table(["fact", "value"], list(facts.items()))
    click.echo()
    print_table(["annotation", "value"], sorted(stored.annotations.items()))
    click.echo()
    print_table(["date", "type", "target", "verdict", "digest"], [_row(referrer) for referrer in referrers])
    click.echo(f"\n{stored.reference}")
    return 0


def _row(referrer: Referrer) -> list[str]:
    told = (referrer.created, referrer.artifact_type, *(referrer.annotations.get(key, "") for key in (TARGET, VERDICT)))
    return [*(value or "-" for value in told), referrer.digest[:19]]


def _object(stored: Stored, facts: dict[str, str], referrers: tuple[Referrer, ...]) -> dict[str, Any]:
    return {
        "reference": stored.reference,
        "digest": stored.digest,
        "name": stored.name,
        "version": stored.version,
        "files": {path: {"digest": blob.digest, "size": blob.size} for path, blob in stored.files.items()},
        "facts": facts,
        "annotations": dict(stored.annotations),
        "referrers": [
            {
                "digest": referrer.digest,
                "size": referrer.size,
                "type": referrer.artifact_type,
                "date": referrer.created,
                "annotations": dict(referrer.annotations),
            }
            for referrer in referrers
        ],
    }
