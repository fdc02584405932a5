"""``promote check``: the verdict on a file, without running or shipping anything. Imports neither MLflow nor torch."""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from promote.cli import options
from promote.cli.options import split_base
from promote.cli.progress import Silent
from promote.cli.render import CODES, print_json, print_verdict
from promote.core.facts import Target
from promote.core.names import printable
from promote.core.passport import plain
from promote.core.rules.engine import check
from promote.core.verdict import Outcome, Verdict, judge
from promote.errors import NotFound, PromoteError

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
@click.option("--jsonl", "as_lines", is_flag=True, help="One JSON object a line: path, verdict, findings.")
@click.pass_obj
def command(
    config: str | None, subject: str, target_name: str, runtime: str, registry: str, as_json: bool, as_lines: bool
) -> int:
    """Say whether SUBJECT will load on a target, and by which facts.

    SUBJECT is a model file, a folder of them, an MLflow run id, or a bundle (MODEL:vN, MODEL@sha256:...). Nothing is run
    or shipped. Exit code 0 compatible or degraded, 10 incompatible, 11 undecided; of a folder that of the worst.
    """
    from promote.wiring import open_wiring

    if bool(target_name) == bool(runtime):
        raise click.UsageError("give either --target or --runtime", click.get_current_context())
    folder = Path(subject).is_dir()
    wiring = open_wiring(config, Silent(), registry=registry or ("" if Path(subject).exists() else split_base(subject)))
    target = wiring.target(target_name) if target_name else wiring.runtime(runtime)
    if folder:
        return _check_folder(wiring, target, Path(subject), as_lines or as_json)
    given = _read(wiring, subject)
    verdict = _judge(wiring, target, given)
    code = CODES[verdict.word]
    if as_lines:
        _tell(given.label, verdict.word, "", {"findings": plain(verdict.findings)}, True)
    elif as_json:
        print_json(
            "check", code, path=given.label, target=target.name, verdict=verdict.word, findings=plain(verdict.findings)
        )
    else:
        print_verdict(verdict.word, target.name, verdict.findings, err=False)
    return code


def _judge(wiring: "Wiring", target: Target, given: "Subject") -> Verdict[str]:
    findings = check(given.facts, target, wiring.matrix, config=given.config, name=given.name, version=given.version)
    return judge(given.label, target.name, findings, before_export=given.before_export)


def _check_folder(wiring: "Wiring", target: Target, folder: Path, as_lines: bool) -> int:
    """Every ``.onnx`` file below, in order; a file that cannot be read is told and does not stop the others."""
    from promote.wiring import Subject

    codes = set()
    paths = sorted(str(path) for path in folder.rglob("*.onnx") if path.is_file())
    if not paths:
        raise NotFound(f"{printable(str(folder))} holds no .onnx file", hint="name a model file, or its folder")
    for path in paths:
        try:
            verdict = _judge(wiring, target, Subject(path, wiring.read_facts(path)))
        except PromoteError as error:
            codes.add(error.exit_code)
            _tell(path, "unreadable", error.message, {"error": error.message}, as_lines)
            continue
        codes.add(CODES[verdict.word])
        worst = verdict.findings[0]
        why = "" if worst.outcome is Outcome.OK else f"{worst.rule}: {worst.has}"
        _tell(path, verdict.word, why, {"findings": plain(verdict.findings)} if as_lines else {}, as_lines)
    return next((code for code in (10, 6, 3, 2, 11) if code in codes), 0)


def _tell(path: str, word: str, why: str, data: dict[str, object], as_lines: bool) -> None:
    if as_lines:
        click.echo(json.dumps({"path": path, "verdict": word} | data, ensure_ascii=False))
    else:
        click.echo(f"{word:<12}  {printable(path, 200)}" + (f"  {printable(why, 200)}" if why else ""))


def _read(wiring: "Wiring", subject: str) -> "Subject":
    """A file where there is one of that name, else a run, else a bundle."""
    from promote.wiring import Subject

    if Path(subject).exists() or not (_RUN.fullmatch(subject) or _BUNDLE.fullmatch(subject)):
        return Subject(subject, wiring.read_facts(subject))
    if _RUN.fullmatch(subject):
        return wiring.run_subject(subject)
    return wiring.bundle_subject(*options.split_reference(subject))
