"""``promote copy``: a bundle with all that refers to it, from one registry or layout to another; its digest stays."""

from typing import TYPE_CHECKING, Any

import click

from promote.cli import options
from promote.cli.progress import choose
from promote.cli.render import print_facts, print_json, say
from promote.core.mirrors import SCHEMES
from promote.core.references import scheme_of

if TYPE_CHECKING:
    from promote.pipeline.copying import Copied, Weighed


@click.command()
@click.argument("source", metavar="SRC")
@click.argument("to", metavar="DST")
@click.option("--dry-run", is_flag=True, help="Say what would be sent and what is there already; nothing is written.")
@options.as_json
@options.quiet
@click.pass_obj
def command(config: str | None, source: str, to: str, dry_run: bool, as_json: bool, quiet: bool) -> int:
    """Copy the bundle SRC to DST, byte for byte, with the decisions, verdicts and signatures that refer to it.

    SRC is MODEL:vN or MODEL@sha256:..., in the settings' registry or with HOST/PATH/ or oci:FOLDER/ before it. DST is such a
    reference too, its version left out if you like, or a place that ends with a slash: ghcr.io/acme/models/, oci:/media/disk/.
    DST may also be a mirror, s3://BUCKET/PREFIX or hf://ORG/NAME[@BRANCH]: files that Triton serves, without what refers to them.
    What DST has is not sent, within one registry nothing is; the same command again goes on where it was cut. The last line
    of stdout is REPOSITORY@sha256:...
    """
    if scheme_of(to) in SCHEMES:
        from promote.cli.mirror import copy_to

        return copy_to(config, source, to, dry_run=dry_run, as_json=as_json, quiet=quiet)
    from promote.pipeline.copying import copy_bundle, weigh_copy
    from promote.wiring import open_wiring
    from promote.wiring.places import goal, origin, spoken_to

    wiring = open_wiring(config, choose(quiet or as_json), registry=spoken_to(source, to))
    there, wanted = goal(wiring, to)
    here, reference = origin(wiring, source)
    if dry_run:
        return _weighed(weigh_copy(here, reference, there, wanted, wiring.progress), as_json=as_json, quiet=quiet)
    copied = copy_bundle(here, reference, there, wanted, wiring.progress)
    if as_json:
        print_json("copy", 0, **as_object(copied))
        return 0
    if not quiet:
        say_copied(copied)
    click.echo(copied.landed.reference)
    return 0


def _weighed(weighed: "Weighed", *, as_json: bool, quiet: bool) -> int:
    """Prints what a copy would send, each file, config and manifest a line of stdout."""
    cargo, lacking = weighed.cargo, weighed.lacking
    paths = {blob.digest: path for path, blob in cargo.files.items()}
    lines = {paths.get(blob.digest, blob.digest): blob.size for blob in (*lacking.blobs, *lacking.manifests)}
    total = len(cargo.blobs) + len(cargo.manifests)
    if as_json:
        print_json(
            "copy", 0, dry_run=True, reference=lacking.reference, digest=cargo.root.digest, name=cargo.name,
            version=cargo.version, **{"from": cargo.reference}, files=lines, takes_over=lacking.takes_over,
            bytes={"missing": lacking.size, "there": cargo.size - lacking.size},
        )  # fmt: skip
        return 0
    if not quiet:
        say()
        facts = {
            "from": cargo.reference,
            "to": lacking.reference,
            "missing": f"{lacking.size:,} bytes in {len(lines)} of {total} blobs and manifests",
            "there": f"{cargo.size - lacking.size:,} bytes in {total - len(lines)}",
        }
        if lacking.takes_over and lacking.blobs:
            facts["sent"] = "perhaps less: it is one registry, which may take blobs over without a byte sent"
        print_facts(f"{cargo.name} v{cargo.version} (dry run: nothing was written)", facts)
    for name, size in sorted(lines.items()):
        click.echo(f"{size:>12}  {name}")
    return 0


def as_object(copied: "Copied") -> dict[str, Any]:
    """What was copied, for ``--json``; also of ``export`` and ``import``."""
    cargo, landed = copied.cargo, copied.landed
    return {
        "reference": landed.reference,
        "digest": cargo.root.digest,
        "name": cargo.name,
        "version": cargo.version,
        "from": cargo.reference,
        "variants": len(cargo.bundles),
        "referrers": [one.manifest.digest for one in cargo.attached],
        "gone": list(cargo.gone),
        "bytes": {"sent": landed.sent, "skipped": landed.skipped},
    }


def say_copied(copied: "Copied") -> None:
    """What came along, and what could not."""
    cargo = copied.cargo
    say()
    facts = {"from": cargo.reference, "files": f"{sum(len(b.files) for b in cargo.bundles)}"}
    if len(cargo.bundles) > 1:
        facts["variants"] = str(len(cargo.bundles))
    facts["with it"] = f"{len(cargo.attached)} that refer to it"
    if cargo.gone:
        facts["not there"] = (
            f"{len(cargo.gone)} that its lists of referrers name: {', '.join(d[:19] for d in cargo.gone[:5])}"
        )
    print_facts(f"{cargo.name} v{cargo.version}", facts)
