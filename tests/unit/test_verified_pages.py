"""The pages about rules are true: every rule has its row, the generated page is fresh, pairs are counted right."""

import re
from collections import Counter
from pathlib import Path

from promote.core.rules.engine import RULES
from promote.core.rules.pages import markdown
from tests.contract.test_config_rules import ENSEMBLES, PAIRS
from tests.unit.test_matrix import MATRIX

DOCS = Path(__file__).resolve().parents[2] / "docs"
IDS = {rule.id for rule in RULES}
EVERY = [*PAIRS.values(), *ENSEMBLES.values()]


def test_the_rules_page_is_what_the_rules_say():
    assert (DOCS / "reference/rules.md").read_text() == markdown(RULES), (
        "promote matrix explain --markdown > docs/reference/rules.md"
    )


def test_every_rule_says_how_far_it_was_verified():
    rows = re.findall(
        r"^\| `([a-z-]+)` \| (real|measured|published|promote's own) \|", (DOCS / "verified.md").read_text(), re.M
    )
    assert Counter(rule for rule, _ in rows) == Counter(IDS)
    by_core = {pair.rule for pair in EVERY if pair.by == "core"}
    assert {rule for rule, level in rows if level == "real"} <= by_core | {"config-complete"}


def test_the_pairs_are_counted_right():
    page = (DOCS / "verified-config.md").read_text()
    counts = Counter(pair.by for pair in EVERY)
    assert f"{len(EVERY)} pairs, and" in page
    assert f"(`core`): {counts['core']} pairs" in page
    assert f"(`backend`): {counts['backend']} pairs" in page
    named = set(re.findall(r"^\| `([a-z-]+)` \| ", page.partition("## Checks of Triton")[0], re.M))
    assert named == {pair.rule for pair in EVERY if pair.by == "core"}


def test_every_check_of_triton_is_cited_by_a_rule_or_said_to_have_none():
    source = "".join(path.read_text() for path in (DOCS.parent / "src/promote/core/rules").glob("*.py"))
    page = (DOCS / "verified-config.md").read_text()
    without = set(re.findall(r"^\| `([a-z_]+)` \| ", page.partition("## Checks of Triton without a rule")[2], re.M))
    for row in MATRIX.tables.triton_checks:
        assert (f'"{row.id}"' in source) != (row.id in without), row.id
