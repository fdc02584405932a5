"""``promote push``: a bundle goes from where it was built to the registry that is deployed from; its digest stays.

Not here: a directory that becomes a bundle (``push_directory``), and copies that nobody records (``copy``).
"""

import click

from promote.cli import options
from promote.cli.handing import Handing
from promote.cli.model_bundle import say_next
from promote.cli.progress import choose
from promote.cli.render import CODES, print_facts, print_json, say
from promote.cli.telling import tell
from promote.core.names import printable
from promote.core.review import Rejected


@click.command()
@click.argument("subject")
@click.argument("to", metavar="[REF]", default="")
@options.target
@click.option("--from", "source", metavar="URL", default="", help="Where the bundle lies: oci:FOLDER or a registry.")
@options.registry
@options.outputs
@options.as_json
@options.quiet
@click.pass_obj
def command(
    config: str | None,
    subject: str,
    to: str,
    target_name: str,
    source: str,
    registry: str,
    outputs: str,
    as_json: bool,
    quiet: bool,
) -> int:
    """Push a bundle, byte for byte (MODEL:vN --from URL), or a directory that becomes one (DIR REF).

    MODEL:vN or MODEL@sha256:... with --from: where it lies now is noted in MLflow, which must have recorded this very
    digest. The last line of stdout is REPOSITORY@sha256:..., and says nothing of a review: `state` in --json and --outputs
    does. Exit code 14 where a reviewer rejected the digest for the target.

    DIR REF: one model of a Triton repository (config.pbtxt, N/model.onnx, its data, perhaps N/promote/golden.safetensors)
    is judged as `promote check` does, and only if it is compatible becomes the bundle REF: MODEL or MODEL:vN with HOST/PATH/ or
    oci:FOLDER/ before it, or a place that ends with a slash. No run is known of it and no parity is proven, which its passport
    says; MLflow is not asked. A policy must allow such bundles (directories: true) before one is deployed.
    """
    if bool(to) == bool(source) or (to and registry):
        raise click.UsageError(
            "give either MODEL:vN --from URL, or DIR REF (which names the registry)", click.get_current_context()
        )
    if to:
        from promote.cli.push_directory import push_directory

        return push_directory(config, subject, to, target_name, outputs=outputs, as_json=as_json, quiet=quiet)
    from promote.adapters.settings import current_user
    from promote.pipeline import push_bundle
    from promote.wiring import open_wiring

    name, version = options.split_reference(subject)
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
    by, stored_there = current_user(), received.stored
    tell(
        wiring, "pushed", name, target_name, by=by, version=stored_there.version, reference=stored_there.reference,
        reason=f"review {pushed.state}",
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
