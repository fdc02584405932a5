"""``promote list``: what lies in a registry or layout."""

from typing import TYPE_CHECKING, Any

import click

from promote.cli import options
from promote.cli.progress import Silent
from promote.cli.render import print_json, print_table
from promote.core.references import Reference, parse_reference
from promote.errors import InputError, NotFound

if TYPE_CHECKING:
    from promote.pipeline import Listed
    from promote.ports import Registry


@click.command()
@click.argument("where", metavar="[REPO]", required=False, default="")
@options.registry
@options.as_json
@click.pass_obj
def command(config: str | None, where: str, registry: str, as_json: bool) -> int:
    """List the bundles of REPO: a model (ner, ghcr.io/acme/models/ner, oci:bundles/ner), or all models below an address.

    Without REPO, all models of the registry of the settings. Not every registry lists its repositories (GHCR does not):
    there the model must be named. TARGETS are those that a bundle was judged for; `promote inspect` tells more of one.
    """
    from promote.pipeline import list_bundles

    source, models = _models(config, where, registry)
    rows = list(list_bundles(source, models))
    if as_json:
        print_json("list", 0, bundles=[_object(row) for row in rows])
        return 0
    print_table(
        ["model", "tag", "digest", "size", "created", "kind", "targets"],
        [[row.name, row.tag or "-", *_told(row)] for row in rows],
    )
    return 0


def _models(config: str | None, where: str, registry: str) -> "tuple[Registry, tuple[str, ...]]":
    """The registry, and the models that are listed."""
    from promote.wiring import open_wiring

    if not where:
        source = open_wiring(config, Silent(), registry=registry).registry
        return source, source.models()
    wanted = parse_reference(where, versioned=False)
    if wanted.version:
        raise InputError(f"{where} names one bundle, expected a model", hint=f"promote inspect {where} tells of one")
    source = open_wiring(config, Silent(), registry=wanted.base or registry).registry
    if source.tags(wanted.name):
        return source, (wanted.name,)
    return _below(config, wanted, registry)


def _below(config: str | None, wanted: Reference, registry: str) -> "tuple[Registry, tuple[str, ...]]":
    """All models below an address that is no model itself.

    Raises:
        NotFound: there are none.
    """
    from promote.wiring import open_wiring

    missing = NotFound(
        f"{wanted} holds no bundle", hint="check the name; a private repository may look empty to a stranger"
    )
    if not wanted.base:
        raise missing
    source = open_wiring(config, Silent(), registry=str(wanted)).registry
    try:
        models = source.models()
    except InputError:  # it lists none: then the name was meant for a model
        raise missing from None
    if not models:
        raise missing
    return source, models


def _told(row: "Listed") -> list[str]:
    if row.held is None:
        return ["-", "-", "-", row.kind, "-"]
    targets = ", ".join(f"{target} {word}".strip() for target, word in sorted(row.targets.items()))
    return [row.held.digest[:19], f"{row.size:,}", row.created or "-", row.kind, targets or "-"]


def _object(row: "Listed") -> dict[str, Any]:
    return {
        "name": row.name,
        "tag": row.tag,
        "reference": row.held.reference if row.held else "",
        "digest": row.held.digest if row.held else "",
        "version": row.held.version if row.held else 0,
        "size": row.size,
        "created": row.created,
        "kind": row.kind,
        "targets": dict(row.targets),
        "fault": row.fault,
    }
