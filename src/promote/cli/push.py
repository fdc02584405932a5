"""``promote push``: a bundle goes from a layout or registry to another; its digest stays."""

import click

from promote.cli import options
from promote.cli.handing import Handing
from promote.cli.model_bundle import say_next
from promote.cli.progress import choose
from promote.cli.render import CODES, print_facts, print_json, say
from promote.core.names import printable
from promote.core.review import Rejected


@click.command()
@click.argument("reference")
@options.target
@click.option("--from", "source", metavar="URL", required=True, help="Where the bundle lies: oci:FOLDER or a registry.")
@options.registry
@options.outputs
@options.as_json
@options.quiet
@click.pass_obj
def command(
    config: str | None,
    reference: str,
    target_name: str,
    source: str,
    registry: str,
    outputs: str,
    as_json: bool,
    quiet: bool,
) -> int:
    """Push REFERENCE (MODEL:vN or MODEL@sha256:...) from one registry to another, byte for byte.

    Where it lies now is noted in MLflow, which must have recorded this very digest. The last line of stdout is
    REPOSITORY@sha256:..., and says nothing of a review: `state` in --json and --outputs does. Exit code 14 where a
    reviewer rejected the digest for the target.
    """
    from promote.pipeline import push_bundle
    from promote.wiring import open_wiring

    name, version = options.split_reference(reference)
    wiring = open_wiring(config, choose(quiet or as_json), registry=registry)
    origin = wiring.registry_at(source)
    target = wiring.target(target_name)
    with wiring.world(target) as world, wiring.work() as folder:
        stored = origin.resolve(name, version)
        pushed = push_bundle(stored, origin, target, str(folder), world)
    received = pushed.received
    code = CODES[pushed.standing.word] if isinstance(pushed.standing, Rejected) else 0
    Handing(outputs=outputs).give(
        digest=received.stored.digest, reference=received.stored.reference, state=pushed.state
    )  # fmt: skip
    if as_json:
        print_json(
            "push", code, reference=received.stored.reference, digest=received.stored.digest, name=name,
            version=received.stored.version, target=target_name, state=pushed.state,
            bytes={"sent": received.sent, "skipped": received.skipped},
        )  # fmt: skip
        return code
    if isinstance(pushed.standing, Rejected):
        say(click.style("rejected", fg="red", bold=True) + f": {printable(pushed.standing.reason, 400)}")
    elif not quiet:
        say()
        print_facts(f"{name} v{received.stored.version} for {target_name}: {pushed.state}", {"from": stored.reference})
        say()
        say_next(name, received.stored.version, target_name, pushed.state)
    click.echo(received.stored.reference)
    return code
