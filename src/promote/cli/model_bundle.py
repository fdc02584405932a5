"""``promote model MODEL:vN``: a bundle that is there already, promoted for a further target; its digest stays."""

from typing import TYPE_CHECKING

import click

from promote.cli.handing import Handing, state_of
from promote.cli.render import CODES, print_facts, print_json, print_verdict, say
from promote.core.passport import plain
from promote.core.stages import Stored
from promote.core.verdict import Compatible, Incompatible, Undecided

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
    from promote.pipeline import judge_further, promote_further

    with wiring.world(target) as world:
        stored = world.registry.resolve(name, reference)
        subject = wiring.bundle_subject(
            name, stored.digest
        )  # every byte is fetched and verified; a tag may move meanwhile
        with world.progress.stage("check", f"against {target.name}") as step:
            verdict = judge_further(stored, subject.findings(target, world.matrix), target)
            step.say(verdict.word)
        handing.verdict(verdict.word, verdict.target, verdict.findings, {"bundle": stored.reference})
        if not isinstance(verdict, Compatible):
            handing.give(digest=stored.digest, verdict=verdict.word)
            return _refused(verdict, stored, as_json)
        further = None if dry_run else promote_further(verdict, target, world)
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


def _tell(verdict: Compatible[Stored], further: "Further | None") -> None:
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
        title, {"evidence": f"{further.evidence}{there}", "look at": f"promote show {stored.name}:v{stored.version}"}
    )
    say()
    say_next(stored.name, stored.version, verdict.target, further.review)


def _refused(outcome: Incompatible | Undecided, stored: Stored, as_json: bool) -> int:
    code = CODES[outcome.word]
    if as_json:
        print_json(
            "model", code, reference=stored.reference, verdict=outcome.word, target=outcome.target,
            findings=plain(outcome.findings),
        )  # fmt: skip
    else:
        say()
        print_verdict(outcome.word, outcome.target, outcome.findings)
        say("\nnothing was attached")
    return code
