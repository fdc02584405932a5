"""``promote check FOLDER``: a line for each model below, the models of Triton repositories first, each with its verdict.

A model that cannot be read is told and stops none of the others. Not here: one file, run or bundle (``check``).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from promote.cli.check_lines import ANY_FILE, Lines
from promote.cli.render import CODES, print_explained, print_json, print_json_line, print_verdict
from promote.core.facts import Target
from promote.core.names import printable
from promote.core.passport import plain
from promote.core.rules.case import Rule
from promote.core.rules.engine import Series
from promote.core.rules.pages import page
from promote.core.verdict import Finding, Outcome, judge
from promote.errors import NotFound, PromoteError

if TYPE_CHECKING:
    from promote.wiring import Subject, Wiring

Form = Literal["text", "lines", "object"]


@dataclass
class Told:
    """What was said so far, and how.

    Args:
        form: text, a JSON object a line, or one object at the end.
        rule: only this rule's findings are shown.
    """

    form: Form
    rule: Rule | None
    codes: set[int] = field(default_factory=set)
    rows: list[dict[str, Any]] = field(default_factory=list)

    @property
    def code(self) -> int:
        """The exit code: that of the worst."""
        return next((code for code in (10, 6, 3, 2, 11) if code in self.codes), 0)

    def verdict(self, path: str, word: str, findings: Sequence[Finding], **more: Any) -> None:
        """One model's verdict; ``findings`` are worst first."""
        self.codes.add(CODES[word])
        shown = [finding for finding in findings if self.rule is None or finding.rule == self.rule.id]
        worst = shown[0] if shown and (self.rule or shown[0].outcome is not Outcome.OK) else None
        why = f"{worst.rule}: {worst.has}" if worst else ""
        self._tell(word, path, why, lambda: {"findings": plain(shown)} | more)

    def error(self, path: str, error: PromoteError) -> None:
        """One that could not be read."""
        self.codes.add(error.exit_code)
        self._tell("unreadable", path, error.message, lambda: {"error": error.message})

    def _tell(self, word: str, path: str, why: str, more: Any) -> None:
        if self.form == "text":
            click.echo(f"{word:<12}  {printable(path, 200)}" + (f"  {printable(why, 200)}" if why else ""))
            return
        row = {"path": path, "verdict": word} | more()
        if self.form == "lines":
            print_json_line(row)
        else:
            self.rows.append(row)


def check_folder(wiring: "Wiring", target: Target, folder: str, rule: Rule | None, form: Form, stale: bool) -> int:
    """Judges all that lies in a folder; the exit code is that of the worst.

    Raises:
        NotFound: nothing to judge.
    """
    tree = wiring.tree(folder)
    if not (tree.models or tree.files):
        raise NotFound(
            f"{printable(folder)} holds no .onnx, .plan or .engine file and no model of Triton",
            hint="name a model file, its folder, or a model repository",
        )
    told = Told(form, rule)
    gpu, whole = wiring.matrix.complete(target).host.compute_capability, tree.models != (Path(folder).as_posix(),)
    subjects, faults = wiring.model_subjects(tree.models, whole=whole, capability=gpu.value if gpu else "")
    for path, error in faults:
        told.error(path, error)
    if len(subjects) == 1 and not (tree.files or faults) and form == "text":
        return _alone(wiring, target, subjects[0], rule)
    for given in subjects:
        verdict = given.judge(target, wiring.matrix)
        given.settle(verdict.word)
        told.verdict(given.label, verdict.word, verdict.findings, model=given.name, version=given.version)
    _check_files(wiring, target, tree.files, told)
    if form == "object":
        explained = {"rule": page(rule)} if rule else {}
        print_json("check", told.code, target=target.name, matrix_stale=stale, models=told.rows, **explained)
    elif form == "text" and rule is not None:
        click.echo()
        print_explained("", "", (), rule)
    return told.code


def _alone(wiring: "Wiring", target: Target, given: "Subject", rule: Rule | None) -> int:
    """The one model there is, with all findings."""
    verdict = given.judge(target, wiring.matrix)
    if rule is not None:
        found = tuple(finding for finding in verdict.findings if finding.rule == rule.id)
        print_explained(verdict.word, target.name, found, rule)
    else:
        print_verdict(verdict.word, target.name, verdict.findings, err=False)
    return CODES[verdict.word]


def _check_files(wiring: "Wiring", target: Target, paths: Sequence[str], told: Told) -> None:
    """Model files outside of repositories, in order, each told as soon as it is judged."""
    series, lines = Series(target, wiring.matrix), Lines(target.name)
    quick = told.form == "lines" and told.rule is None
    for path in paths:
        try:
            findings = series.check(wiring.read_facts(path, ANY_FILE if quick else ""))
        except PromoteError as error:
            told.error(path, error)
            continue
        if quick:
            word, line = lines.verdict(path, findings)
            told.codes.add(CODES[word])
            click.echo(line)
        else:
            verdict = judge(path, target.name, findings)
            told.verdict(path, verdict.word, verdict.findings)
