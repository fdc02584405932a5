"""Rules for a reader: one, or all of them as the Markdown of ``docs/reference/rules.md``."""

from collections.abc import Iterable

from promote.core.rules.case import Rule

_HEAD = """\
# Rules

What `promote check` asks, rule by rule: what holds when the rule passes, why it matters, who says so, and what to do.
Generated: `promote matrix explain --markdown > docs/reference/rules.md`. How far each was verified: [verified](../verified.md).

| rule | holds when it passes |
|---|---|
"""


def markdown(rules: Iterable[Rule]) -> str:
    """All rules on one page: a table, then a section each."""
    listed = tuple(rules)
    rows = "".join(f"| [`{rule.id}`](#{rule.id}) | {_cell(rule.title)} |\n" for rule in listed)
    return _HEAD + rows + "".join(_section(rule) for rule in listed)


def _section(rule: Rule) -> str:
    remedy = (
        f"- **Remedy**: {_cell(rule.remedy)}\n"
        if rule.remedy
        else "- **Remedy**: the finding says which fact is missing\n"
    )
    return f"\n## {rule.id}\n\n{rule.title}.\n\n{rule.why}\n\n- **Source**: {_cell(rule.source)}\n{remedy}"


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
