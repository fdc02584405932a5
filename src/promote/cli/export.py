"""``promote export``: a bundle with all that refers to it as one file; the same bundle gives the same bytes."""

import sys

import click

from promote.cli import options
from promote.cli.copy import as_object, say_copied
from promote.cli.progress import choose
from promote.cli.render import print_json, say
from promote.core.names import printable
from promote.errors import InputError


@click.command()
@click.argument("reference", metavar="REF")
@click.argument("path", metavar="FILE")
@options.as_json
@options.quiet
@click.pass_obj
def command(config: str | None, reference: str, path: str, as_json: bool, quiet: bool) -> int:
    """Write the bundle REF with the decisions, verdicts and signatures that refer to it into FILE, a tar.

    It is an OCI image layout: `promote import` reads it, and `skopeo copy oci-archive:FILE:vN` too. FILE appears whole or not at
    all, and the same bundle gives the same bytes; `-` is stdout, which then has nothing else. The last line of stdout
    is REPOSITORY@sha256:... of what was read.
    """
    from promote.core.references import Reference
    from promote.pipeline.copying import copy_bundle
    from promote.wiring import open_wiring
    from promote.wiring.places import file, origin, spoken_to

    if path == "-" and as_json:
        raise InputError("stdout holds the archive or the JSON, not both", hint="name a file")
    wiring = open_wiring(config, choose(quiet or as_json), registry=spoken_to(reference, "oci:."))
    here, wanted = origin(wiring, reference)
    goal = file(path, sys.stdout.buffer)
    exported = copy_bundle(here, wanted, goal, Reference("", "", ""), wiring.progress)
    if as_json:
        print_json("export", 0, file=path, **as_object(exported))
        return 0
    if not quiet:
        say_copied(exported)
        if path != "-":
            say()
            say(f"next: promote import {printable(path)}")
    if path != "-":
        click.echo(exported.landed.reference)
    return 0
