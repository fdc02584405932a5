"""Rules for a reader: one, or all of them as the Markdown of ``docs/reference/rules.md``."""

from collections.abc import Iterable

from promote.core.names import printable
from promote.core.rules.case import Rule
from promote.core.rules.engine import RULES
from promote.errors import NotFound

_HEAD = """\
# Rules

What `promote check` asks, rule by rule: what holds when the rule passes, why it matters, who says so, and what to do.
Generated: `promote matrix explain --markdown > docs/reference/rules.md`. How far each was verified: [verified](../verified.md).

| rule | holds when it passes |
|---|---|
"""


def named(id: str) -> Rule:
    """The rule of that id.

    Raises:
        NotFound: there is none; the hint lists them.
    """
    for rule in RULES:
        if rule.id == id:
            return rule
    raise NotFound(f"no rule {printable(id, 60)!r}", hint=f"rules: {', '.join(rule.id for rule in RULES)}")


def page(rule: Rule) -> dict[str, str]:
    """What there is to say of a rule, as JSON values."""
    return {"id": rule.id, "title": rule.title, "why": rule.why, "source": rule.source, "remedy": rule.remedy}


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
