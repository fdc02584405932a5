"""``promote verify``: every byte of a bundle read and held against its digest."""

import click

from promote.cli import options
from promote.cli.progress import choose
from promote.cli.render import print_json, print_table, say
from promote.core.mirrors import SCHEMES
from promote.core.references import scheme_of
from promote.errors import IntegrityError


@click.command()
@click.argument("reference")
@click.argument("folder", metavar="[DIR|MIRROR]", required=False, default="")
@click.option("--variant", metavar="LABEL", default="", help="Of an index: which one lies in DIR; else the portable.")
@options.registry
@options.as_json
@options.quiet
@click.pass_obj
def command(
    config: str | None, reference: str, folder: str, variant: str, registry: str, as_json: bool, quiet: bool
) -> int:
    """Read every byte of the bundle REFERENCE where it lies, and of all that refers to it, and hold it against its digest.

    An index is read with all its variants. With DIR, a folder that `promote pull` made is held against the bundle too.
    With MIRROR, s3://BUCKET/PREFIX or hf://ORG/NAME[@BRANCH], every byte there is held against the manifest instead.
    Nothing is written. What is wrong is listed, and the exit code is 6; otherwise the last line of stdout is
    REPOSITORY@sha256:...
    """
    from promote.pipeline import verify_bundle
    from promote.wiring import open_wiring

    name, version = options.split_reference(reference)
    progress = choose(quiet or as_json)
    wiring = open_wiring(config, progress, registry=registry or options.split_base(reference))
    if scheme_of(folder) in SCHEMES:
        from promote.cli.mirror import verify_at

        return verify_at(wiring, name, version, variant, folder, as_json=as_json, quiet=quiet)
    goal = wiring.folder(folder) if folder else None
    found = verify_bundle(name, version, wiring.registry, goal, progress, variant=variant)
    held, audit = found.held, found.audit
    rows = [("registry", fault) for fault in audit.faults] + [("folder", fault) for fault in found.folder or ()]
    if as_json:
        code = IntegrityError.exit_code if rows else 0
        print_json(
            "verify", code, reference=held.reference, digest=held.digest, name=name, version=held.version,
            folder=goal.path if goal else None, manifests=audit.manifests, blobs=audit.blobs, bytes=audit.size,
            faults=[{"in": place, "where": fault.where, "fault": fault.what} for place, fault in rows],
        )  # fmt: skip
        return code
    if rows:
        print_table(["in", "what", "fault"], [[place, fault.where, fault.what] for place, fault in rows])
        raise IntegrityError(
            f"{held.reference}: {len(rows)} {'part is' if len(rows) == 1 else 'parts are'} not as the digests say",
            hint="what lies in DIR: pull it again; what a registry lost: copy the bundle from where it is whole",
        )
    if not quiet:
        say(f"\n{name} v{held.version}: everything is as its digest says")
    click.echo(held.reference)
    return 0
