"""What stands on a version's page in MLflow, in Markdown. Pure.

Everything in it comes from outside: a cell is one line in which no mark of Markdown or HTML means anything.
"""

import re

from promote.core.comparison import Compared, change
from promote.core.names import printable
from promote.core.parity import ParityProven
from promote.core.passport_summary import first_metrics, summary
from promote.core.promotion_run import PromotionRun, training_page
from promote.core.stages import Release

_MOST_ROWS = 20
_HEAD = "| target | verdict |\n|---|---|"


def description(release: Release, run: PromotionRun | None, new: Compared | None) -> str:
    """The page.

    Args:
        release: what was pushed.
        run: of its promotion.
        new: beside the version that serves now.
    """
    bundle = release.bundle
    source = bundle.verdict.subject.export.candidate.run
    facts = {name: escaped(value) for name, value in summary(bundle.passport).items() if name != "verdict"}
    facts["run"] = f"[{facts['run']}]({training_page(source)})"
    report = f"`report.html` of [this promotion]({run.path})" if run else "`report.html` of the promotion's run"
    return "\n".join(
        [
            f"**{bundle.verdict.word}** with **{bundle.target.name}**, as promote checked it.",
            "",
            _HEAD,
            _cells(escaped(bundle.target.name), escaped(bundle.verdict.word)),
            "",
            *(f"- **{name}**: {value}" for name, value in facts.items()),
            f"- **bundle**: `{release.stored.reference}`",
            f"- **report**: {report}",
            "",
            *(_against(new, bundle.version, bundle.target.name) if new else ()),
            *_parity(bundle.verdict.subject.parity),
            "",
            *_commands(release),
            "",
        ]
    )


def with_verdict(text: str, target: str, word: str, run_id: str = "") -> str:
    """The page with a row for a further target, or with that target's row as it is now; ``run_id`` is of its promotion."""
    shown = f"[{escaped(word)}](#/runs/{run_id})" if re.fullmatch(r"\w{1,64}", run_id, re.ASCII) else escaped(word)
    row, known = (
        _cells(escaped(target), shown),
        re.compile(rf"^\| {re.escape(escaped(target))}&ensp; \| .*$", re.MULTILINE),
    )
    if known.search(text):
        return known.sub(lambda _: row, text, count=1)
    return text.replace(_HEAD, f"{_HEAD}\n{row}", 1)


def escaped(text: str) -> str:
    """One line that Markdown shows as it is."""
    return re.sub(r"([\\`*_\[\]<>|#~])", r"\\\1", printable(text, 400))


def _cells(*told: str) -> str:
    """A row; MLflow draws tables without any room between columns, so each cell brings its own."""
    return "| " + " | ".join(f"{text}&ensp;" for text in told) + " |"


def _commands(release: Release) -> list[str]:
    bundle = release.bundle
    model, target = f"{bundle.name}:v{bundle.version}", bundle.target.name
    review = [
        f"- approve: `promote review approve {model} --target {target} --reason '...'`",
        f"- reject: `promote review reject {model} --target {target} --reason '...'`",
        f"- or set the tag `promote.review.{target}` to `approved`: a request, which counts where the policy takes it",
    ]
    return [
        *(review if bundle.target.review else []),
        f"- deploy: `promote deploy {model} --target {target}`",
        f"- roll back: `promote rollback {bundle.name} --target {target}`",
    ]


def _against(new: Compared, version: int, target: str) -> list[str]:
    """What changed in what a reviewer asks for first; all of it is in the report."""
    both = {name: (then, now) for name, then, now in new.metrics}
    rows = [
        _cells(escaped(name), _number(both[name][0]), _number(both[name][1]), change(*both[name]))
        for name in first_metrics(list(both), 12)
    ]
    differ = new.difference
    changed = ", ".join(f"{escaped(file.path)} ({file.word})" for file in differ.files[:6])
    more = f" and {len(differ.files) - 6} more" if len(differ.files) > 6 else ""
    return [
        f"Against version {new.version}, which serves on {target} now:",
        "",
        f"| | v{new.version} | v{version} | change |",
        "|---|---|---|---|",
        *rows,
        _cells("largest parity difference", f"{new.parity[0]:.2g}", f"{new.parity[1]:.2g}", change(*new.parity)),
        "",
        f"- **files that differ**: {changed}{more}",
        f"- **bytes**: {differ.to_send:,} are new, {differ.shared:,} are the same",
        f"- **config.pbtxt**: {len(differ.config)} fields differ",
        "",
    ]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _parity(parity: ParityProven) -> list[str]:
    """A table of the largest differences, the worst first; what is left out is counted."""
    ranked = sorted(parity.differences, key=lambda d: -d.max_absolute)
    rows = [
        _cells(
            escaped(d.case), escaped(d.output), *(f"{v:.2g}" for v in (d.max_absolute, d.mean_absolute, d.max_relative))
        )
        for d in ranked[:_MOST_ROWS]
    ]
    more = [f"| and {len(ranked) - _MOST_ROWS} more | | | | |"] if len(ranked) > _MOST_ROWS else []
    head = "| case | output | largest difference | mean | largest as a share of the value |"
    return [head, "|---|---|---|---|---|", *rows, *more]
