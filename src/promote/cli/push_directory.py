"""``promote push DIR REF``: one model of a Triton repository becomes a bundle, judged as ``promote check`` judges it."""

import click

from promote.cli.handing import Handing
from promote.cli.progress import choose
from promote.cli.render import print_facts, print_json, print_refused, print_verdict, say
from promote.cli.telling import tell


def push_directory(
    config: str | None, path: str, to: str, target_name: str, *, outputs: str, as_json: bool, quiet: bool
) -> int:
    """Reads, judges and pushes; the exit code."""
    from promote.adapters.settings import current_user
    from promote.core.cargo import same_goal
    from promote.core.directory import pack_directory
    from promote.core.passport import plain
    from promote.core.verdict import Compatible, judge
    from promote.wiring import open_wiring
    from promote.wiring.places import goal, under

    wiring = open_wiring(config, choose(quiet or as_json), registry=under(to).base)
    target = wiring.target(target_name)
    there, wanted = goal(wiring, to)
    found = wiring.directory(path)
    with wiring.progress.stage("check", f"against {target.name}") as step:
        subject = wiring.directory_subject(found, target)
        verdict = judge(subject.facts, target.name, subject.findings(target, wiring.matrix))
        step.say(verdict.word)
    if not isinstance(verdict, Compatible):
        return print_refused("push", verdict, "nothing was sent", as_json=as_json, name=found.name)
    cargo = pack_directory(found, verdict, target, wiring.matrix.digest)
    same_goal(cargo, wanted)
    with wiring.progress.stage("push", f"{found.name} v{found.version}") as step:
        landed = there.take(cargo, step)
        step.say(f"{landed.sent:,} bytes sent, {landed.skipped:,} there already")
    Handing(outputs=outputs).give(
        digest=cargo.root.digest, reference=landed.reference, name=found.name, version=str(found.version),
        verdict=verdict.word,
    )  # fmt: skip
    tell(
        wiring, "pushed", found.name, target_name, by=current_user(), version=found.version, reference=landed.reference,
        reason="from a directory",
    )  # fmt: skip
    if as_json:
        print_json(
            "push", 0, reference=landed.reference, digest=cargo.root.digest, name=found.name, version=found.version,
            target=target.name, origin="directory", samples=found.samples, verdict=verdict.word,
            findings=plain(verdict.findings), bytes={"sent": landed.sent, "skipped": landed.skipped},
        )  # fmt: skip
        return 0
    if not quiet:
        say()
        print_verdict(verdict.word, verdict.target, verdict.findings)
        say()
        lack = "none: promote deploy refuses it, as nothing could be asked of what was loaded"
        told = {
            "from": found.path,
            "parity": "not proven: no run is known; a policy lets it serve by directories: true",
            "samples": "in it, replayed when it is deployed" if found.samples else lack,
        }
        print_facts(f"{found.name} v{found.version}, from a directory", told)
        if found.samples:
            say(f"\nnext: promote deploy {landed.reference.rpartition('@')[0]}:v{found.version} --target {target.name}")
    click.echo(landed.reference)
    return 0
