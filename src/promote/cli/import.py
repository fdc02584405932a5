"""``promote import``: a bundle from a file that ``promote export`` wrote, into a registry or layout; its digest stays."""

import sys

import click

from promote.cli import options
from promote.cli.copy import as_object, say_copied
from promote.cli.progress import choose
from promote.cli.render import print_json


@click.command()
@click.argument("path", metavar="FILE")
@click.argument("to", metavar="[DST]", default="")
@options.as_json
@options.quiet
@click.pass_obj
def command(config: str | None, path: str, to: str, as_json: bool, quiet: bool) -> int:
    """Bring the bundle in FILE to DST, as `promote copy` does; without DST to the settings' registry or layout.

    FILE is an archive of an OCI layout, by `promote export` or skopeo, or `-` for stdin. It is read, never extracted: what is no
    plain file of a layout is refused, and each blob counts when its digest is right. DST is MODEL or MODEL:vN with HOST/PATH/ or
    oci:FOLDER/ before it, or a place that ends with a slash. The last line of stdout is REPOSITORY@sha256:...
    """
    from promote.core.references import Reference
    from promote.pipeline.copying import copy_bundle
    from promote.wiring import open_wiring
    from promote.wiring.places import archive, goal, under

    wiring = open_wiring(config, choose(quiet or as_json), registry=under(to).base if to else "")
    there, wanted = goal(wiring, to) if to else (wiring.registry_at(""), Reference("", "", ""))
    with wiring.work() as work:
        here, reference = archive(path, work, sys.stdin.buffer)
        imported = copy_bundle(here, reference, there, wanted, wiring.progress)
    if as_json:
        print_json("import", 0, file=path, **as_object(imported))
        return 0
    if not quiet:
        say_copied(imported)
    click.echo(imported.landed.reference)
    return 0
