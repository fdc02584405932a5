"""``promote model MODEL:vN``: a bundle that is there already, promoted for a further target; its digest stays."""

from typing import TYPE_CHECKING

import click

from promote.cli.handing import Handing, state_of
from promote.cli.render import print_facts, print_json, print_refused, print_verdict, say
from promote.cli.telling import tell
from promote.core.passport import plain
from promote.core.review import PENDING
from promote.core.stages import Held
from promote.core.verdict import Compatible, judge

if TYPE_CHECKING:
    from promote.core.facts import Target
    from promote.pipeline import Further
    from promote.wiring import Wiring


def promote_bundle(
    wiring: "Wiring",
    target: "Target",
    name: str,
    reference: str,
    *,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    handing: Handing,
) -> int:
    """Judges the bundle for the target and attaches the verdict to it; the exit code."""
    from promote.adapters.settings import current_user
    from promote.pipeline import Chosen, choose, promote_further

    with wiring.world(target) as world:
        stored: Held = world.registry.find(name, reference)
        chosen = choose(stored, target, world)
        if not isinstance(chosen, Chosen):
            handing.give(digest=stored.digest, verdict=chosen.word)
            return print_refused("model", chosen, "nothing was attached", as_json=as_json, reference=stored.reference)
        subject = wiring.bundle_subject(
            name, chosen.bundle.digest
        )  # every byte is fetched and verified; a tag may move meanwhile
        with world.progress.stage("check", f"against {target.name}") as step:
            verdict = judge(stored, target.name, subject.findings(target, world.matrix))
            step.say(verdict.word)
        handing.verdict(verdict.word, verdict.target, verdict.findings, {"bundle": stored.reference})
        if not isinstance(verdict, Compatible):
            handing.give(digest=stored.digest, verdict=verdict.word)
            return print_refused("model", verdict, "nothing was attached", as_json=as_json, reference=stored.reference)
        further = None if dry_run else promote_further(verdict, target, world)
    if further and further.new:
        tell(
            wiring, "requested" if further.review == PENDING else "checked", name, target.name, by=current_user(),
            version=stored.version, reference=stored.reference, reason=f"{verdict.word}, review {further.review}",
        )  # fmt: skip
    handing.give(
        digest=stored.digest, reference=stored.reference, name=name, version=str(stored.version), verdict=verdict.word,
        **({"state": state_of(further.review)} if further else {}),
    )  # fmt: skip
    if as_json:
        review = further.review if further else ""
        evidence = further.evidence if further else ""
        print_json(
            "model", 0, reference=stored.reference, digest=stored.digest, name=name, version=stored.version,
            target=target.name, verdict=verdict.word, findings=plain(verdict.findings), review=review,
            evidence=evidence, dry_run=dry_run,
        )  # fmt: skip
        return 0
    if not quiet:
        _tell(verdict, further)
    click.echo(stored.reference)
    return 0


def say_next(name: str, version: int, target: str, review: str) -> None:
    """What to type now that a release is there for a target."""
    deploy = f"promote deploy {name}:v{version} --target {target}"
    if review == "pending":
        say(f"next: promote review approve {name}:v{version} --target {target} --reason '...'")
        say(f"then: {deploy}")
    else:
        say(f"next: {deploy}")


def _tell(verdict: Compatible[Held], further: "Further | None") -> None:
    stored = verdict.subject
    say()
    print_verdict(verdict.word, verdict.target, verdict.findings)
    say()
    title = f"{stored.name} v{stored.version} for {verdict.target}"
    if further is None:
        print_facts(f"{title} (dry run: nothing was attached or recorded)", {"digest": stored.digest})
        return
    there = "" if further.new else " (was there already)"
    print_facts(
        title, {"evidence": f"{further.evidence}{there}", "look at": f"promote inspect {stored.name}:v{stored.version}"}
    )
    say()
    say_next(stored.name, stored.version, verdict.target, further.review)
