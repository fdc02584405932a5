"""``promote diff``: what differs between two bundles, and how many bytes the second is away from the first."""

import dataclasses
from typing import TYPE_CHECKING

import click

from promote.cli import options
from promote.cli.progress import Silent
from promote.cli.render import print_json, print_table
from promote.core.references import Reference, parse_reference

if TYPE_CHECKING:
    from promote.core.bundle_diff import Change, Difference, Side
    from promote.core.stages import Blob

_SHOWN = 60  # characters of a value, so that a line stays one


@click.command()
@click.argument("first")
@click.argument("second")
@options.registry
@options.as_json
@click.pass_obj
def command(config: str | None, first: str, second: str, registry: str, as_json: bool) -> int:
    """Compare the bundle FIRST with SECOND: files, config.pbtxt, facts, and bytes.

    Each is MODEL:vN or MODEL@sha256:..., a registry or oci:FOLDER before it; they may lie in two registries. The user
    and password of the environment are for the first registry that is named. No large file is fetched. The last line of
    stdout is SECOND as REPOSITORY@sha256:...
    """
    from promote.core.bundle_diff import differ

    one, other = _sides(config, registry, parse_reference(first), parse_reference(second))
    found = differ(one, other)
    if as_json:
        print_json(
            "diff", 0, first=one.stored.reference, second=other.stored.reference, same=found.same,
            files=[{"path": f.path, "change": f.word, "first": _blob(f.first), "second": _blob(f.second)} for f in found.files],
             config=_told(found.config), facts=_told(found.facts),
            bytes={"shared": found.shared, "to_send": found.to_send},
        )  # fmt: skip
        return 0
    _print(found)
    click.echo(f"\n{other.stored.reference}")
    return 0


def _sides(config: str | None, registry: str, *references: Reference) -> "tuple[Side, ...]":
    from promote.pipeline import side_of
    from promote.wiring import open_wiring

    bases = [reference.base or registry for reference in references]
    wiring = open_wiring(config, Silent(), registry=next(filter(None, bases), ""))
    parts = [wiring.registry_at(base) for base in bases]
    stored = [part.resolve(ref.name, ref.version) for part, ref in zip(parts, references, strict=True)]
    return tuple(side_of(*pair) for pair in zip(stored, parts, strict=True))


def _print(found: "Difference") -> None:
    if found.files:
        rows = [[file.path, _size(file.first), _size(file.second), file.word] for file in found.files]
        print_table(["file", "first", "second", ""], rows)
        click.echo()
    for title, changes in (("field of config.pbtxt", found.config), ("fact", found.facts)):
        if changes:
            print_table([title, "first", "second"], [[c.name, _short(c.first), _short(c.second)] for c in changes])
            click.echo()
    click.echo(f"{len(found.files)} files differ, {found.same} are the same")
    click.echo(f"{found.shared:,} bytes shared, {found.to_send:,} to send where the first is")


def _size(blob: "Blob | None") -> str:
    return f"{blob.size:,}" if blob else "-"


def _short(value: str) -> str:
    return (value if len(value) <= _SHOWN else value[: _SHOWN - 3] + "...") or "-"


def _told(changes: "tuple[Change, ...]") -> list[dict[str, str]]:
    return [dataclasses.asdict(change) for change in changes]


def _blob(blob: "Blob | None") -> dict[str, object] | None:
    return {"digest": blob.digest, "size": blob.size} if blob else None
