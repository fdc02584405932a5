"""``promote inspect``: what a bundle holds, what it says of itself, and what refers to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from promote.cli import options
from promote.cli.progress import Silent
from promote.cli.render import print_json, print_table
from promote.core.evidence import TARGET, VERDICT

if TYPE_CHECKING:  # a reference that names nothing is told before all that is loaded
    from promote.core.referrers import Referrer
    from promote.core.stages import Held, Stored
    from promote.core.variant_index import StoredIndex
    from promote.ports import Registry


@click.command()
@click.argument("reference")
@options.registry
@options.as_json
@click.pass_obj
def command(config: str | None, reference: str, registry: str, as_json: bool) -> int:
    """List the bundle REFERENCE (MODEL:vN or MODEL@sha256:..., a registry or oci:FOLDER before it): files, facts,
    annotations, and what refers to it; of an index of variants, the variants.

    What refers to a bundle is listed as the registry tells it. The last line of stdout is REPOSITORY@sha256:...
    """
    from promote.core.variant_index import StoredIndex
    from promote.wiring import open_wiring

    name, version = options.split_reference(reference)
    parts = open_wiring(config, Silent(), registry=registry or options.split_base(reference)).registry
    found = parts.find(name, version)
    inside = _variants(found) if isinstance(found, StoredIndex) else _contents(found, parts)
    referrers = parts.referrers(found)
    if as_json:
        print_json("inspect", 0, **_object(found, inside, referrers))
        return 0
    for table in (*inside.tables, (["annotation", "value"], sorted(map(list, found.annotations.items())))):
        print_table(*table)
        click.echo()
    print_table(["date", "type", "target", "verdict", "digest"], [_row(referrer) for referrer in referrers])
    click.echo(f"\n{found.reference}")
    return 0


Table = tuple[list[str], list[list[str]]]


@dataclass(frozen=True)
class _Inside:
    """What it is made of: to be printed, and as JSON."""

    tables: tuple[Table, ...]
    told: dict[str, Any]


def _contents(stored: Stored, registry: Registry) -> _Inside:
    from promote.core.layout import PASSPORT
    from promote.core.passport_summary import summary

    passport = stored.files.get(f"{stored.name}/{stored.version}/{PASSPORT}")
    facts = summary(registry.read(stored, passport)) if passport else {}
    files = [[path, f"{blob.size:,}", blob.digest[:19]] for path, blob in stored.files.items()]
    told = {path: {"digest": blob.digest, "size": blob.size} for path, blob in stored.files.items()}
    tables = ((["file", "size", "digest"], files), (["fact", "value"], [[*pair] for pair in facts.items()]))
    return _Inside(tables, {"files": told, "facts": facts})


def _variants(index: StoredIndex) -> _Inside:
    rows = [[v.kind.label, v.kind.format, v.kind.precision, v.digest] for v in index.variants]
    keys = ("variant", "format", "precision", "digest")
    return _Inside((([*keys], rows),), {"variants": [dict(zip(keys, row, strict=True)) for row in rows]})


def _row(referrer: Referrer) -> list[str]:
    told = (referrer.created, referrer.artifact_type, *(referrer.annotations.get(key, "") for key in (TARGET, VERDICT)))
    return [*(value or "-" for value in told), referrer.digest[:19]]


def _object(found: Held, inside: _Inside, referrers: tuple[Referrer, ...]) -> dict[str, Any]:
    return {
        "reference": found.reference,
        "digest": found.digest,
        "name": found.name,
        "version": found.version,
        **inside.told,
        "annotations": dict(found.annotations),
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
