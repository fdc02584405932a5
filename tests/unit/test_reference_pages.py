"""Pages of docs/reference that are made of the code are what the code makes of them now, and leave nothing out."""

import click
import pytest

from promote.cli.main import VERBS, promote
from promote.core.target_rows import TargetRow
from promote.errors import EXIT_CODES
from tools.reference_pages import REFERENCE, Page, pages

MADE = pages()


@pytest.mark.parametrize("page", list(Page))
def test_the_page_is_what_the_code_says(page):
    assert (REFERENCE / page).read_text(encoding="utf-8") == MADE[page], "make docs"


def leaves(command, name):
    """Every command with its full name, groups too."""
    yield name, command
    for verb, inner in getattr(command, "commands", {}).items():
        yield from leaves(inner, f"{name} {verb}")


@pytest.mark.parametrize("verb", VERBS)
def test_every_command_and_option_is_there(verb):
    page = MADE[Page.COMMANDS]
    for name, command in leaves(promote.get_command(click.Context(promote), verb), f"promote {verb}"):
        _, found, section = page.partition(f"# {name}\n")
        assert found, name
        section = section.partition("\n## ")[0].partition("\n### ")[0]
        options = {name for p in command.params if isinstance(p, click.Option) and not p.hidden for name in p.opts}
        assert {option for option in options if option not in section} == set(), name


def test_no_key_of_a_target_and_no_exit_code_is_left_out():
    for key in TargetRow.model_fields:
        assert f"| `{key}` | " in MADE[Page.SETTINGS].partition("## [targets.NAME]")[2]
    for code, meaning in EXIT_CODES.items():
        assert f"| {code} | {meaning} |" in MADE[Page.EXIT_CODES]


def test_a_page_says_nothing_of_the_machine_it_was_made_on():
    from pathlib import Path

    for text in MADE.values():
        assert str(Path.home()) not in text.replace("/root@", "")
        assert str(Path.cwd()) not in text
