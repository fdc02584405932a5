"""``promote resolve``: which variant of a release a target gets, and what rules the others out."""

from typing import Any

import click

from promote.cli import options
from promote.cli.progress import Silent
from promote.cli.render import CODES, print_json, print_table, print_verdict, say, say_if_stale
from promote.core.passport import plain
from promote.core.ranking import Ranking, Weighed


@click.command()
@click.argument("reference")
@options.target
@options.registry
@options.as_json
@click.pass_obj
def command(config: str | None, reference: str, target_name: str, registry: str, as_json: bool) -> int:
    """Say which variant of REFERENCE (MODEL:vN or MODEL@sha256:...) a target gets, and why no other.

    Each variant is judged by the facts in its passport, on the target as it is known; nothing is fetched or measured. The last
    line of stdout is REPOSITORY@sha256:... of the one chosen.

    Exit code 10 none fits, 11 none fits as long as a needed fact is unknown.
    """
    from promote.pipeline import weigh
    from promote.wiring import open_wiring

    name, version = options.split_reference(reference)
    wiring = open_wiring(config, Silent(), registry=registry or options.split_base(reference))
    stale = say_if_stale(wiring.matrix)
    target = wiring.target(target_name)
    with wiring.world(target) as world:
        found = world.registry.find(name, version)
        ranking = weigh(found, target, world)
    chosen = ranking.chosen
    code = 0 if chosen else CODES[ranking.refusal.word]
    answer = f"{found.repository}@{chosen.variant.digest}" if chosen else ""
    if as_json:
        print_json(
            "resolve", code, reference=answer, release=found.reference, target=target_name, cost=ranking.cost,
            variants=[_object(one) for one in (*ranking.accepted, *ranking.rejected)], stale=bool(stale),
        )  # fmt: skip
        return code
    print_table(("variant", "", "why", "size", "digest"), [*_rows(ranking)])
    if chosen is None:
        say()
        print_verdict(ranking.refusal.word, target_name, ranking.refusal.findings)
        return code
    if ranking.cost:
        say(click.style("falls back: ", fg="yellow") + ranking.cost)
    click.echo(answer)
    return code


def _rows(ranking: Ranking) -> list[tuple[str, ...]]:
    every = (*ranking.accepted, *ranking.rejected)
    return [
        (one.variant.kind.label, _word(one, ranking), one.why, f"{one.variant.size:,}", one.variant.digest[:19])
        for one in every
    ]


def _word(one: Weighed, ranking: Ranking) -> str:
    if one is ranking.chosen:
        return "chosen"
    return "accepted" if one.accepted else "rejected"


def _object(one: Weighed) -> dict[str, Any]:
    kind = one.variant.kind
    return {
        "variant": kind.label,
        "kind": plain(kind),
        "digest": one.variant.digest,
        "size": one.variant.size,
        "accepted": one.accepted,
        "verdict": one.verdict.word,
        "why": one.why,
        "findings": plain(one.verdict.findings),
    }
