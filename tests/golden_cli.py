"""Golden files of the command line: exit code, stdout and stderr of one command, together, under ``tests/golden/cli``."""

import re
from pathlib import Path

import pytest

from promote.cli.main import run

FOLDER = Path(__file__).parent / "golden/cli"


class Golden:
    """Runs a command and holds what it printed against the file of that name; ``--update-golden`` renews it."""

    def __init__(self, request: pytest.FixtureRequest, folder: Path) -> None:
        self._request, self._folder = request, folder

    def __call__(self, name: str, *arguments: str, **hidden: str) -> int:
        """The exit code. ``hidden``: what to print instead of values that differ from run to run."""
        captured = self._request.getfixturevalue("capsys")
        captured.readouterr()
        code = run(list(arguments))
        said = captured.readouterr()
        text = f"$ promote {' '.join(arguments)}\nexit {code}\n--- stdout\n{said.out}--- stderr\n{said.err}"
        for shown, value in (hidden | {"FOLDER": str(self._folder)}).items():
            text = text.replace(value, shown)
        text = re.sub(r"(\(|failed after )\d+\.\d s", r"\1SECONDS", text)
        path = FOLDER / f"{name}.txt"
        if self._request.config.getoption("--update-golden"):
            path.write_text(text, encoding="utf-8")
        assert text == path.read_text(encoding="utf-8")
        return code
