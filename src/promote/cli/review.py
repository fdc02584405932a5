"""``promote review``: a person looks, and says yes or no, about one digest for one target."""

import json
from typing import TYPE_CHECKING

import click

from promote.cli import options
from promote.cli.progress import Silent
from promote.cli.render import print_facts, print_json, print_table, say
from promote.cli.telling import tell
from promote.core.events import LONGEST_REASON
from promote.core.passport import plain
from promote.core.review import APPROVED, NOT_KNOWN, NOT_REQUIRED, PENDING, REJECTED, Approved, Review

if TYPE_CHECKING:
    from promote.core.stages import Stored
    from promote.core.variant_index import StoredIndex
    from promote.pipeline import Outcome


signing_key = click.option(
    "--sign",
    "key",
    metavar="KEY",
    default="",
    help="Sign it with this SSH key; the .pub of one that an agent holds will do.",
)


@click.group(invoke_without_command=True)
@click.option("--target", "target_name", metavar="NAME", default="", help="Of this target alone.")
@options.registry
@options.as_json
@click.pass_context
def command(ctx: click.Context, target_name: str, registry: str, as_json: bool) -> int:
    """List what waits for a review, and why; show, approve or reject a release for a target."""
    if ctx.invoked_subcommand is not None:
        return 0
    from promote.pipeline import waiting
    from promote.wiring import open_wiring

    wiring = open_wiring(ctx.obj, Silent(), registry=registry)
    targets = (wiring.target(target_name),) if target_name else wiring.targets()
    rows = []
    for target in targets:
        if target.review:
            with wiring.world(target) as world:
                rows += list(waiting((target,), world))
    if as_json:
        print_json("review", 0, waiting=plain(tuple(rows)))
        return 0
    if not rows:
        say("nothing waits for a review")
        return 0
    print_table(
        ("model", "version", "target", "state", "digest", "why"),
        [(r.name, f"v{r.version}", r.target, r.state, r.digest[:19], r.reason) for r in rows],
    )
    first = rows[0]
    say(f"\nnext: promote review show {first.name}:v{first.version} --target {first.target}")
    return 0


@command.command("show")
@click.argument("reference")
@options.target
@options.registry
@options.as_json
@click.pass_obj
def show(config: str | None, reference: str, target_name: str, registry: str, as_json: bool) -> int:
    """Show what a reviewer needs of REFERENCE (MODEL:vN or MODEL@sha256:...)."""
    from promote.core.layout import passport_of
    from promote.core.passport_summary import summary
    from promote.pipeline import case_of, gate, speaker, standing
    from promote.wiring import open_wiring

    name, version = options.split_reference(reference)
    wiring = open_wiring(config, Silent(), registry=registry or options.split_base(reference))
    target = wiring.target(target_name)
    with wiring.world(target) as world:
        stored = world.registry.find(name, version)
        outcome = standing(stored, target, world)
        said = case_of(stored, target, world).decisions if target.review else ()
        gates = gate(stored, target, world)
        bundle = speaker(stored, target, world)
        passport = world.registry.read(bundle, passport_of(bundle))
    state, last = _state(outcome), said[-1] if said else Review()
    if isinstance(outcome, Approved) and not target.review:
        state = NOT_REQUIRED
    why = "" if isinstance(outcome, Approved) else outcome.reason
    if as_json:
        print_json(
            "review", 0, reference=stored.reference, state=state, by=last.by, reason=last.reason, why=why,
            decisions=plain(said), gates=plain(gates), passport=json.loads(passport),
        )  # fmt: skip
        return 0
    told = {f"{word.state}": f"by {_who(word)} at {word.at}: {word.reason or '-'}" for word in said[-1:]}
    more = {"others": f"{len(said) - 1} decisions before; --json lists them"} if said[1:] else {}
    closed = [f"{g.rule}: {g.has}, needs {g.needs}" for g in gates if not g.holds]
    more |= {"policy": "; ".join(closed) or f"{len(gates)} gates hold"} if gates else {}
    which = {} if bundle is stored else {"variants": _labels(stored, bundle)}
    shown = {"digest": stored.digest} | which | summary(passport) | told | more | ({"why": why} if why else {})
    print_facts(f"{name} v{stored.version} for {target_name}: {state}", shown)
    click.echo(stored.reference)
    return 0


def _labels(stored: "Stored | StoredIndex", bundle: "Stored") -> str:
    """The variants of an index, the one for the target first."""
    listed = getattr(stored, "variants", ())
    return ", ".join(one.kind.label for one in sorted(listed, key=lambda one: one.digest != bundle.digest))


def _state(outcome: "Outcome") -> str:
    """A state as MLflow's tag says it."""
    return {"NotApproved": PENDING, "Rejected": REJECTED}.get(type(outcome).__name__, APPROVED)


def _who(word: Review) -> str:
    """A name, and how far it is known to be true."""
    how = {"mlflow": "as MLflow's authentication says", "github": "as GitHub says", "claimed": "as that machine said"}
    known = how.get(word.how, "")
    if word.signer:
        known = f"signed by {word.signer}"
    elif word.signature:
        known += f", its signature shows nobody: {word.doubt}" if word.doubt else ", signed"
    return f"{word.by or NOT_KNOWN} ({known.removeprefix(', ')})" if known else word.by or NOT_KNOWN


def _decide(
    state: str,
    config: str | None,
    reference: str,
    target_name: str,
    registry: str,
    reason: str,
    key: str,
    as_json: bool,
) -> int:
    from promote.pipeline import review_model
    from promote.wiring import open_wiring

    name, version = options.split_reference(reference)
    wiring = open_wiring(config, Silent(), registry=registry or options.split_base(reference))
    target = wiring.target(target_name)
    with wiring.world(target) as world:
        who = wiring.person()
        decision = Review(state=state, by=who.name, how=who.how, reason=reason[:LONGEST_REASON])
        sign = wiring.signing(key) if key else None
        stored, review, outcome = review_model(name, version, target, decision, world, sign)
    reached = _state(outcome) if target.review else state
    why = "" if isinstance(outcome, Approved) else outcome.reason
    if as_json:
        print_json(
            "review", 0, reference=stored.reference, target=target_name, state=state, by=review.by, how=review.how,
            reason=reason, review=reached, why=why, signed=bool(review.signature),
        )  # fmt: skip
    else:
        say(f"{name} v{stored.version} is {state} for {target_name} by {_who(review)}: {reason}")
        if reached == APPROVED:
            say(f"\nnext: promote deploy {name}:v{stored.version} --target {target_name}")
        elif state == APPROVED:
            say(f"\n{reached}: {why}")
        click.echo(stored.reference)
    tell(
        wiring,
        state,
        name,
        target_name,
        by=review.by,
        version=stored.version,
        reference=stored.reference,
        reason=reason,
    )
    return 0


@command.command("approve")
@click.argument("reference")
@options.target
@options.registry
@click.option("--reason", required=True, help="Why; kept with the decision.")
@signing_key
@options.as_json
@click.pass_obj
def approve(
    config: str | None, reference: str, target_name: str, registry: str, reason: str, key: str, as_json: bool
) -> int:
    """Approve the digest that REFERENCE names now, for one target."""
    return _decide(APPROVED, config, reference, target_name, registry, reason, key, as_json)


@command.command("reject")
@click.argument("reference")
@options.target
@options.registry
@click.option("--reason", required=True, help="Why; kept with the decision.")
@signing_key
@options.as_json
@click.pass_obj
def reject(
    config: str | None, reference: str, target_name: str, registry: str, reason: str, key: str, as_json: bool
) -> int:
    """Reject the digest that REFERENCE names now, for one target."""
    return _decide(REJECTED, config, reference, target_name, registry, reason, key, as_json)
