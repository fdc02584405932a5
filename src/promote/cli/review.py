"""``promote review``: a person looks, and says yes or no, about one digest for one target."""

import json

import click

from promote.cli import options
from promote.cli.progress import Silent
from promote.cli.render import print_facts, print_json, say
from promote.core.review import APPROVED, REJECTED, Review


@click.group()
def command() -> None:
    """Show, approve or reject a release for a target."""


@command.command("show")
@click.argument("reference")
@options.target
@options.registry
@options.as_json
@click.pass_obj
def show(config: str | None, reference: str, target_name: str, registry: str, as_json: bool) -> int:
    """Show what a reviewer needs of REFERENCE (MODEL:vN or MODEL@sha256:...)."""
    from promote.core.layout import PASSPORT
    from promote.core.page import summary
    from promote.wiring import open_wiring

    name, version = options.split_reference(reference)
    wiring = open_wiring(config, Silent(), registry=registry or options.split_base(reference))
    target = wiring.target(target_name)
    with wiring.world(target) as world:
        stored = world.registry.resolve(name, version)
        decided = world.ledger.review(name, stored.version, target_name)
        blob = stored.files[f"{name}/{stored.version}/{PASSPORT}"]
        passport = world.registry.read(stored, blob)
    facts = summary(passport)
    state = decided.state if target.review else "not required"
    if as_json:
        print_json(
            "review",
            0,
            reference=stored.reference,
            state=state,
            by=decided.by,
            reason=decided.reason,
            passport=json.loads(passport),
        )
        return 0
    decision = (
        {"decided": f"by {decided.by or 'unknown'}: {decided.reason or '-'}"} if decided.by or decided.reason else {}
    )
    print_facts(f"{name} v{stored.version} for {target_name}: {state}", {"digest": stored.digest} | facts | decision)
    click.echo(stored.reference)
    return 0


def _decide(
    state: str, config: str | None, reference: str, target_name: str, registry: str, reason: str, as_json: bool
) -> int:
    from promote.adapters.settings import current_user
    from promote.pipeline import review_model
    from promote.wiring import open_wiring

    name, version = options.split_reference(reference)
    wiring = open_wiring(config, Silent(), registry=registry or options.split_base(reference))
    target = wiring.target(target_name)
    with wiring.world(target) as world:
        decision = Review(state=state, by=current_user(), reason=reason)
        stored, review = review_model(name, version, target, decision, world)
    if as_json:
        print_json(
            "review", 0, reference=stored.reference, target=target_name, state=state, by=review.by, reason=reason
        )
        return 0
    say(f"{name} v{stored.version} is {state} for {target_name} by {review.by}: {reason}")
    if state == APPROVED:
        say(f"\nnext: promote deploy {name}:v{stored.version} --target {target_name}")
    click.echo(stored.reference)
    return 0


@command.command("approve")
@click.argument("reference")
@options.target
@options.registry
@click.option("--reason", required=True, help="Why; kept with the decision.")
@options.as_json
@click.pass_obj
def approve(config: str | None, reference: str, target_name: str, registry: str, reason: str, as_json: bool) -> int:
    """Approve the digest that REFERENCE names now, for one target."""
    return _decide(APPROVED, config, reference, target_name, registry, reason, as_json)


@command.command("reject")
@click.argument("reference")
@options.target
@options.registry
@click.option("--reason", required=True, help="Why; kept with the decision.")
@options.as_json
@click.pass_obj
def reject(config: str | None, reference: str, target_name: str, registry: str, reason: str, as_json: bool) -> int:
    """Reject the digest that REFERENCE names now, for one target."""
    return _decide(REJECTED, config, reference, target_name, registry, reason, as_json)
