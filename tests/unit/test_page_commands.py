"""What the how-to pages and the hand-off tell people to type exists: each verb, and each of its options."""

import re
import shlex
from pathlib import Path

import click
import pytest

from promote.cli.main import VERBS, promote

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = [*sorted(DOCS.glob("how-to/*.md")), DOCS / "handoff.md", DOCS / "concepts.md"]
TYPED = re.compile(r"(?:`|\$ |^ {4}(?:\$ )?)promote ([a-z][^`\n]*)", re.MULTILINE)


def told():
    found = {(page.name, line.strip()) for page in PAGES for line in TYPED.findall(page.read_text(encoding="utf-8"))}
    return sorted((page, line) for page, line in found if line.split()[0] in VERBS or "-" in line)


@pytest.mark.parametrize(("page", "line"), told())
def test_it_is_a_verb_and_its_options_exist(page, line):
    words = shlex.split(re.split(r" (?:#|\||&&|>) ?", line)[0], posix=False)
    command = promote.get_command(click.Context(promote), words[0])
    assert command is not None, words[0]
    if isinstance(command, click.Group):
        commands = [command, *command.commands.values()]
        if len(words) > 1 and words[1] in command.commands:
            commands = [command.commands[words[1]]]
    else:
        commands = [command]
    options = {option for one in commands for parameter in one.params for option in parameter.opts}
    assert {word.partition("=")[0] for word in words[1:] if re.match(r"--[a-z]", word)} - {"--help"} <= options


def test_enough_lines_were_found():
    assert len(told()) > 60
