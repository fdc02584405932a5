"""``promote copy REF MIRROR`` and ``promote verify REF MIRROR``: a bundle in a bucket or on the Hugging Face Hub."""

import click

from promote.cli.progress import choose
from promote.cli.render import print_facts, print_json, print_table, say
from promote.core.stages import Stored
from promote.errors import IntegrityError
from promote.pipeline import mirror_bundle, verify_mirror
from promote.pipeline.mirroring import Lacked, weigh_mirror
from promote.pipeline.pulling import one_of
from promote.wiring import Wiring, open_wiring
from promote.wiring.mirrors import mirror as open_mirror


def copy_to(config: str | None, source: str, to: str, *, dry_run: bool, as_json: bool, quiet: bool) -> int:
    """Copies the bundle ``source`` to the mirror ``to``; the exit code."""
    from promote.wiring.places import origin, spoken_to

    wiring = open_wiring(config, choose(quiet or as_json), registry=spoken_to(source, to))
    mirror = open_mirror(to)
    wanted = origin(wiring, source)[1]
    registry = wiring.registry_at(wanted.base)
    stored = one_of(registry.find(wanted.name, wanted.version), registry, "")
    if dry_run:
        return _weighed(stored, weigh_mirror(stored, registry, mirror, wiring.progress), mirror.shown, as_json, quiet)
    with wiring.work() as work:
        came = mirror_bundle(stored, registry, mirror, str(work), wiring.progress)
    if as_json:
        print_json(
            "copy", 0, reference=stored.reference, digest=stored.digest, name=stored.name, version=stored.version,
            mirror=mirror.shown, served=came.served, bytes={"sent": came.sent, "skipped": came.skipped},
        )  # fmt: skip
        return 0
    if not quiet:
        say()
        told = {"sent": f"{came.sent:,} bytes, {came.skipped:,} there already", "serves": _served(stored, came.served)}
        print_facts(f"{stored.name} v{stored.version} is copied to {mirror.shown}", told)
    click.echo(stored.reference)
    return 0


def _weighed(stored: Stored, lacking: Lacked, shown: str, as_json: bool, quiet: bool) -> int:
    missing = sum(blob.size for _, blob in lacking.todo)
    if as_json:
        print_json(
            "copy", 0, dry_run=True, reference=stored.reference, digest=stored.digest, name=stored.name,
            version=stored.version, mirror=shown, served=lacking.served,
            files={path: blob.size for path, blob in lacking.todo},
            bytes={"missing": missing, "there": lacking.there},
        )  # fmt: skip
        return 0
    if not quiet:
        say()
        told = {"missing": f"{missing:,} bytes in {len(lacking.todo)} files", "there": f"{lacking.there:,} bytes"}
        print_facts(f"{stored.name} v{stored.version} to {shown} (dry run: nothing was written)", told)
    for path, blob in lacking.todo:
        click.echo(f"{blob.size:>12}  {path}")
    return 0


def verify_at(
    wiring: Wiring, name: str, version: str, variant: str, at: str, *, as_json: bool, quiet: bool
) -> int:  # fmt: skip
    """Holds the mirror ``at`` against a bundle of the registry; the exit code.

    Raises:
        IntegrityError: they differ; what and where is printed.
    """
    mirror = open_mirror(at)
    stored = one_of(wiring.registry.find(name, version), wiring.registry, variant)
    came = verify_mirror(stored, wiring.registry, mirror, wiring.progress)
    if as_json:
        code = IntegrityError.exit_code if came.differences else 0
        print_json(
            "verify", code, reference=stored.reference, digest=stored.digest, name=name, version=stored.version,
            mirror=mirror.shown, served=came.served, bytes=came.checked,
            faults=[{"in": mirror.shown, "where": one.path, "fault": one.words, "kind": one.kind} for one in came.differences],
        )  # fmt: skip
        return code
    if came.differences:
        print_table(["in", "what", "fault"], [[mirror.shown, one.path, one.words] for one in came.differences])
        count = len(came.differences)
        raise IntegrityError(
            f"{mirror.shown}: {count} {'file is' if count == 1 else 'files are'} not as {stored.reference} says",
            hint="promote copy sends what is missing or changed; what is too much is for you to remove",
        )
    if not quiet:
        say(f"\n{mirror.shown} holds {name} v{stored.version} as it is; it serves {_served(stored, came.served)}")
    click.echo(stored.reference)
    return 0


def _served(stored: Stored, version: int) -> str:
    return f"version {version}" + ("" if version == stored.version else ", which is higher")
