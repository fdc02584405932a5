"""How a page's console blocks are read and compared: what differs by chance is put aside, what matters is not."""

import pytest

from tests.e2e.typed_pages import commands, plain, typed

BLOCK = "$ cat >> x <<'END'\n> [a]\n> END\n$ promote pull ner:v1 there\nfind     run 1 (0.1 s)\n"


def test_a_command_goes_on_over_lines():
    first, second = commands(BLOCK)
    assert typed(first) == "cat >> x <<'END'\n[a]\nEND"
    assert typed(second) == "promote pull ner:v1 there"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("find     run (0.1 s)\n", "find     ... 100 of 100 bytes (100 %)\nfind     run (3.1 s)\n"),
        ("ner@sha256:ab12\n", "ner@sha256:cd34\n"),
        ("at 2026-11-24T17:05:32Z\n", "at 2026-11-25T01:00:00.123Z\n"),
        (f"run {'a1' * 16}\n", f"run {'0f' * 16}\n"),
    ],
)
def test_what_differs_by_chance_is_put_aside(one, other):
    assert plain(one) == plain(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("compatible\n", "incompatible\n"), ("ner is live\n", "ner is live\nerror: no\n"), ("find     run\n", "\n")],
)
def test_what_matters_is_not(one, other):
    assert plain(one) != plain(other)
