"""``promote check``: the verdict on a file, without running or shipping anything. Imports neither MLflow nor torch."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from promote.cli import options
from promote.cli.options import split_base
from promote.cli.progress import Silent
from promote.cli.render import CODES, print_explained, print_json, print_json_line, print_verdict, say_if_stale
from promote.core.passport import plain
from promote.core.rules.pages import named, page

if TYPE_CHECKING:
    from promote.wiring import Subject, Wiring

_RUN = re.compile(r"[0-9a-f]{32}")


@click.command()
@click.argument("subject")
@click.option("--target", "target_name", metavar="NAME", default="", help="As in `promote targets`.")
@click.option("--runtime", metavar="NAME=VERSION", default="", help="A bare runtime instead, e.g. onnxruntime=1.20.1.")
@click.option("--explain", "rule_id", metavar="RULE", default="", help="This rule's findings alone, and its page.")
@options.registry
@options.as_json
@click.option("--jsonl", "as_lines", is_flag=True, help="One JSON object a line: path, verdict, findings.")
@click.pass_obj
def command(
    config: str | None, subject: str, target_name: str, runtime: str, rule_id: str, registry: str, as_json: bool,
    as_lines: bool,
) -> int:  # fmt: skip
    """Say whether SUBJECT will load on a target, and by which facts.

    SUBJECT is a model file, a Triton model repository or one model's directory in it, any folder with such things below,
    an MLflow run id, or a bundle (MODEL:vN, MODEL@sha256:...). Nothing is run or shipped. Exit code 0 compatible or
    degraded, 10 incompatible, 11 undecided; of a folder that of the worst. --explain changes what is shown, never the
    verdict.
    """
    from promote.cli.check_folder import check_folder
    from promote.wiring import open_wiring

    if bool(target_name) == bool(runtime):
        raise click.UsageError("give either --target or --runtime", click.get_current_context())
    rule = named(rule_id) if rule_id else None
    folder = Path(subject).is_dir()
    wiring = open_wiring(config, Silent(), registry=registry or ("" if Path(subject).exists() else split_base(subject)))
    target = wiring.target(target_name) if target_name else wiring.runtime(runtime)
    stale = say_if_stale(wiring.matrix)
    if folder:
        return check_folder(
            wiring, target, subject, rule, "lines" if as_lines else "object" if as_json else "text", stale
        )
    given = _read(wiring, subject)
    verdict = given.judge(target, wiring.matrix)
    code, findings = CODES[verdict.word], verdict.findings
    if rule is not None:
        findings = tuple(finding for finding in findings if finding.rule == rule.id)
    said = {"path": given.label, "verdict": verdict.word, "findings": plain(findings)}
    if as_lines:
        print_json_line(said)
    elif as_json:
        explained = {"rule": page(rule)} if rule else {}
        print_json("check", code, target=target.name, matrix_stale=stale, **said, **explained)
    elif rule is not None:
        print_explained(verdict.word, target.name, findings, rule)
    else:
        print_verdict(verdict.word, target.name, findings, err=False)
    return code


def _read(wiring: "Wiring", subject: str) -> "Subject":
    """A file where there is one of that name, else a run, else a bundle."""
    from promote.wiring import Subject

    if Path(subject).exists() or not (_RUN.fullmatch(subject) or options.names_bundle(subject)):
        return Subject(subject, wiring.read_facts(subject))
    if _RUN.fullmatch(subject):
        return wiring.run_subject(subject)
    return wiring.bundle_subject(*options.split_reference(subject))
