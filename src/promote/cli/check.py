"""``promote check``: the verdict on a file, without running or shipping anything. Imports neither MLflow nor torch."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from promote.cli import options
from promote.cli.options import split_base
from promote.cli.progress import Silent
from promote.cli.render import CODES, print_json, print_verdict

if TYPE_CHECKING:
    from promote.wiring import Subject, Wiring

_RUN = re.compile(r"[0-9a-f]{32}")
_BUNDLE = re.compile(r".*(@sha256:[0-9a-f]{64}|[^/]:v[1-9][0-9]*)")


@click.command()
@click.argument("subject")
@click.option("--target", "target_name", metavar="NAME", default="", help="As in `promote targets`.")
@click.option("--runtime", metavar="NAME=VERSION", default="", help="A bare runtime instead, e.g. onnxruntime=1.20.1.")
@options.registry
@options.as_json
@click.pass_obj
def command(config: str | None, subject: str, target_name: str, runtime: str, registry: str, as_json: bool) -> int:
    """Say whether SUBJECT will load on a target, and by which facts.

    SUBJECT is a model file, an MLflow run id, or a bundle (MODEL:vN, MODEL@sha256:...). Nothing is run or shipped.
    Exit code 0 compatible or degraded, 10 incompatible, 11 undecided.
    """
    from promote.core.passport import plain
    from promote.core.rules.engine import check
    from promote.core.verdict import judge
    from promote.wiring import open_wiring

    if bool(target_name) == bool(runtime):
        raise click.UsageError("give either --target or --runtime", click.get_current_context())
    wiring = open_wiring(config, Silent(), registry=registry or ("" if Path(subject).exists() else split_base(subject)))
    target = wiring.target(target_name) if target_name else wiring.runtime(runtime)
    given = _read(wiring, subject)
    findings = check(given.facts, target, wiring.matrix, config=given.config, name=given.name, version=given.version)
    verdict = judge(given.label, target.name, findings, before_export=given.before_export)
    code = CODES[verdict.word]
    if as_json:
        print_json(
            "check", code, path=given.label, target=target.name, verdict=verdict.word, findings=plain(verdict.findings)
        )
    else:
        print_verdict(verdict.word, target.name, verdict.findings, err=False)
    return code


def _read(wiring: "Wiring", subject: str) -> "Subject":
    """A file where there is one of that name, else a run, else a bundle."""
    from promote.wiring import Subject

    if Path(subject).exists() or not (_RUN.fullmatch(subject) or _BUNDLE.fullmatch(subject)):
        return Subject(subject, wiring.read_facts(subject))
    if _RUN.fullmatch(subject):
        return wiring.run_subject(subject)
    return wiring.bundle_subject(*options.split_reference(subject))
