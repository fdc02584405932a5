"""README.md: every command in it is typed again, and prints what the README says it prints.

What differs from run to run (digests, times, numbers, paths) is put aside on both sides. ``--update-golden`` writes what
is printed now into the README.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.project import PROMOTE, clean
from tests.e2e.typed_pages import BLOCK, plain

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
EXITS = {"onnxruntime=1.16.3": 10, "--target calypso": 11}

pytestmark = [pytest.mark.e2e, pytest.mark.mlflow, pytest.mark.triton, pytest.mark.slow]


def train(folder, *options):
    command = [sys.executable, ROOT / "examples/ner_baseline/train.py", *options]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=clean(), check=True)
    return done.stdout.split()[-1]


@pytest.fixture(scope="module")
def shell(tmp_path_factory, fresh_triton, request):
    """Types a line as a user would: a folder, two runs, a server on the target's ports."""
    served = fresh_triton()
    folder = tmp_path_factory.mktemp("readme")
    (folder / "models").symlink_to(served.repository)
    # A whole training for what the README shows; a short one to see that it still prints the same lines.
    short = [] if request.config.getoption("--update-golden") else ["--epochs", "1", "--sentences", "300"]
    runs = {"RUN_ID": train(folder, *short), "NEXT_RUN_ID": train(folder, "--seed", "8", *short)}
    ports = {
        "PROMOTE_TARGETS__LOCAL__HTTP": served.triton.http,
        "PROMOTE_TARGETS__LOCAL__GRPC": served.triton.grpc,
        "PROMOTE_TARGETS__LOCAL__MODEL_REPOSITORY": str(served.repository),
    }
    path = {"PATH": f"{PROMOTE.parent}:{clean()['PATH']}"}

    def type_line(line):
        done = subprocess.run(
            ["bash", "-c", f"{line} 2>&1"], cwd=folder, capture_output=True, text=True, env=clean(runs | ports | path),
            check=False,
        )  # fmt: skip
        expected = next((code for words, code in EXITS.items() if words in line), 0)
        assert done.returncode == expected, f"{line}\n{done.stdout}"
        text = done.stdout.replace(str(served.repository), "models").replace(str(folder), "/home/ada/ner")
        text = text.replace(served.triton.http, "127.0.0.1:8000")
        for name, run in runs.items():
            text = text.replace(run, "3f0c1d2e4b5a69788796a5b4c3d2e1f0" if name == "RUN_ID" else "7c" * 16)
        return re.sub(r"\b\w+@[\w.-]+(?= )", "ada@dgx", text)

    return type_line


def test_the_readme_prints_what_it_says(shell, request):
    text = README.read_text()
    told, new = [], text
    for block in BLOCK.findall(text):
        commands = [line for line in block.splitlines() if line.startswith("$ ")]
        printed = "".join(f"{command}\n{shell(command[2:])}" for command in commands)
        told.append((block, printed))
        new = new.replace(block, printed)
    if request.config.getoption("--update-golden"):
        README.write_text(new)
        return
    assert len(told) >= 4
    for block, printed in told:
        assert plain(printed) == plain(block)
