"""The runbook holds to the code: its table of exit codes, its anchors, and the commands it tells people to type."""

import re
from pathlib import Path

import click
import pytest

from promote.cli.main import VERBS, promote
from promote.errors import EXIT_CODES

TEXT = (Path(__file__).resolve().parents[2] / "docs/runbook.md").read_text(encoding="utf-8")


def test_the_table_of_exit_codes_is_that_of_the_code():
    rows = re.findall(r"^\| (\d+) \| (.+?) \|$", TEXT, re.M)
    assert {int(code): meaning for code, meaning in rows} == EXIT_CODES
    assert len(rows) == len(EXIT_CODES)


def test_every_code_in_a_heading_is_in_the_table():
    codes = [int(code) for code in re.findall(r"^## .*\((\d+)\)$", TEXT, re.M)]
    assert codes
    assert set(codes) <= set(EXIT_CODES)


@pytest.mark.parametrize("line", sorted(set(re.findall(r"(?:`|\$ )promote ([^`\n]+)", TEXT))))
def test_what_it_says_to_type_is_a_verb_and_its_options_exist(line):
    verb, *rest = line.split()
    assert verb in VERBS
    command = promote.get_command(click.Context(promote), verb)
    commands = [command, *(command.commands.values() if isinstance(command, click.Group) else ())]
    options = {option for c in commands for parameter in c.params for option in parameter.opts}
    assert {word for word in rest if word.startswith("--")} <= options
