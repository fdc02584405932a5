"""``promote pull``: a bundle becomes a folder that Triton serves."""

import click

from promote.cli import options
from promote.cli.progress import choose
from promote.cli.render import print_facts, print_json, say


@click.command()
@click.argument("reference")
@click.argument("folder", metavar="DIR")
@click.option("--variant", metavar="LABEL", default="", help="Which variant of an index; else the portable one.")
@options.registry
@options.as_json
@options.quiet
@click.pass_obj
def command(
    config: str | None, reference: str, folder: str, variant: str, registry: str, as_json: bool, quiet: bool
) -> int:  # fmt: skip
    """Fetch the bundle REFERENCE (MODEL:vN or MODEL@sha256:..., a registry or oci:FOLDER before it) as the folder DIR.

    DIR is a model repository for Triton. It appears whole, every byte held against its digest, or not at all; what a
    pull that was cut had fetched is not fetched again. DIR may be missing, or empty; where the bundle lies there already,
    all of it is read. The last line of stdout is REPOSITORY@sha256:...
    """
    from promote.pipeline import pull_bundle
    from promote.wiring import open_wiring

    name, version = options.split_reference(reference)
    progress = choose(quiet or as_json)
    wiring = open_wiring(config, progress, registry=registry or options.split_base(reference))
    pulled = pull_bundle(name, version, wiring.registry, wiring.folder(folder), progress, variant=variant)
    stored = pulled.stored
    if as_json:
        print_json(
            "pull", 0, reference=stored.reference, digest=stored.digest, name=name, version=stored.version,
            folder=pulled.folder, there=pulled.there, files=len(stored.files),
            bytes=sum(blob.size for blob in stored.files.values()),
        )  # fmt: skip
        return 0
    if not quiet:
        say()
        print_facts(
            f"{name} v{stored.version} lies in {pulled.folder}",
            {"serve": f"tritonserver --model-repository={pulled.folder}"},
        )
    click.echo(stored.reference)
    return 0
