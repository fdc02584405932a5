"""``promote policy``: what must hold before a release may serve on a target, and whether it does."""

import click

from promote.cli import options
from promote.cli.progress import Silent
from promote.cli.render import CODES, print_json, print_table, say
from promote.core.gates import Gate
from promote.core.passport import plain
from promote.core.review import Approved


@click.group()
def command() -> None:
    """Say whether promotion_policy.yaml lets a release serve on a target, and why."""


@command.command("check")
@click.argument("reference")
@options.target
@options.registry
@options.as_json
@click.pass_obj
def check(config: str | None, reference: str, target_name: str, registry: str, as_json: bool) -> int:
    """Hold REFERENCE (MODEL:vN or MODEL@sha256:...) against the policy of a target; nothing is written."""
    from promote.pipeline import gate, standing
    from promote.wiring import open_wiring

    name, version = options.split_reference(reference)
    wiring = open_wiring(config, Silent(), registry=registry or options.split_base(reference))
    target = wiring.target(target_name)
    with wiring.world(target) as world:
        stored = world.registry.find(name, version)
        outcome = standing(stored, target, world)
        gates, policy = gate(stored, target, world), world.policy
    agreed = isinstance(outcome, Approved)
    has = "not required" if not target.review else "given" if isinstance(outcome, Approved) else outcome.reason
    asked = f"{policy.terms.approvals} for this digest" if target.review else "none"
    rows = (*gates, Gate("approvals", agreed, has, asked))
    word = "compatible" if isinstance(outcome, Approved) else outcome.word
    code = CODES[word] if all(g.holds for g in gates) else CODES["gate failed"]
    if as_json:
        print_json(
            "policy", code, reference=stored.reference, target=target_name, policy=policy.file,
            policy_digest=policy.digest, gates=plain(rows),
        )  # fmt: skip
        return code
    say(f"{policy.file or 'no promotion_policy.yaml: what holds without one'} {policy.digest[:19]}".rstrip())
    print_table(
        ("", "rule", "has", "needs"), [("✓" if row.holds else "✗", row.rule, row.has, row.needs) for row in rows]
    )
    return code
