"""docs/how-to and the hand-off: every console block is typed again and prints what the page says; the others are counted.

A block with the fence ``console`` is typed here, on parts of this machine. Commands with the fence ``text`` are shown and not
typed (they want a host, an account or a network, or nobody wrote their setting yet): ``UNTYPED`` counts them, a page each.
``--update-golden`` writes what is printed now into the pages.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.e2e.project import PROMOTE, Project, clean
from tests.e2e.typed_pages import ASKS, BLOCK, SHOWN, commands, plain, typed
from tests.fakes.factory import log_run

DOCS = Path(__file__).resolve().parents[2] / "docs"
# In this order, in one folder: a rollback leaves a version withdrawn.
TYPED = (
    "how-to/bundles",
    "how-to/air-gap",
    "how-to/add-a-target",
    "how-to/upgrade-a-driver",  # tells what calypso is, of which the hand-off is
    "handoff",
    "how-to/roll-back",
    "how-to/signed-approvals",  # leaves a policy
)
UNTYPED = {
    "handoff": 1,
    "how-to/add-a-target": 1,
    "how-to/air-gap": 1,
    "how-to/build-engine": 1,
    "how-to/check-a-repository": 1,
    "how-to/history": 1,
    "how-to/mirrors": 1,
    "how-to/plan": 2,
    "how-to/probe": 2,
    "how-to/registry": 4,
    "how-to/review": 1,
    "how-to/upgrade-a-driver": 1,
    "how-to/variants": 2,
}
HERE = 'device = "cpu"\nonnxruntime = "installed"\ntriton = "24.10"\n'

pytestmark = [pytest.mark.e2e, pytest.mark.mlflow, pytest.mark.triton, pytest.mark.registry, pytest.mark.slow]


@pytest.fixture(scope="module")
def shell(tmp_path_factory, sqlite_uri, fresh_triton, registry):
    """Types a line in the folder of somebody who serves two approved versions of ``ner`` on ``prod``."""
    served, folder = fresh_triton(), tmp_path_factory.mktemp("how-to")
    project = Project(folder, sqlite_uri)
    where = f'http = "{served.triton.http}"\ngrpc = "{served.triton.grpc}"\nmodel_repository = "{served.repository}"\n'
    project.write(prod=HERE + where)
    for version in (1, 2):
        project("model", log_run(sqlite_uri, {"ner": "onnx"}), "--target", "prod", "--name", "ner")
        project("review", "approve", f"ner:v{version}", "--target", "prod", "--reason", "answers as it was trained")
        project("deploy", f"ner:v{version}", "--target", "prod")
    env, last = {"PATH": f"{PROMOTE.parent}:{clean()['PATH']}", "RUN_ID": log_run(sqlite_uri, {"ner": "onnx"})}, 0
    seen = {
        str(served.repository): "models",
        str(folder): "/home/ada/ner",
        str(Path(sqlite_uri.removeprefix("sqlite:///")).parent): "/home/ada",
        served.triton.http: "127.0.0.1:8000",
        registry.host: "127.0.0.1:5000",
    }

    def type_line(line):
        nonlocal last
        done = subprocess.run(
            ["bash", "-c", f"exec 2>&1\n(exit {last})\n{line.replace('127.0.0.1:5000', registry.host)}"], cwd=folder,
            capture_output=True, text=True, env=clean(env), check=False,
        )  # fmt: skip
        last, text = done.returncode, done.stdout
        for real, told in seen.items():
            text = text.replace(real, told)
        return last, re.sub(r"\b\w+@(?!sha256)[\w.-]+(?=[ :\n])", "ada@dgx", text)

    return type_line


def print_again(block, shell):
    """The block as it is printed now; a command that does not end with 0 is followed by one that asks for the code."""
    told, all_commands = "", commands(block)
    for command, following in zip(all_commands, [*all_commands[1:], ""], strict=True):
        code, text = shell(typed(command))
        assert code == 0 or typed(following) == ASKS, f"{command}\n{text}"
        told += f"{command}\n{text}"
    return told


@pytest.mark.parametrize("name", TYPED)
def test_the_page_prints_what_it_says(shell, request, name):
    page = DOCS / f"{name}.md"
    text = page.read_text(encoding="utf-8")
    blocks = BLOCK.findall(text)
    assert blocks
    again = [print_again(block, shell) for block in blocks]
    if request.config.getoption("--update-golden"):
        for block, told in zip(blocks, again, strict=True):
            text = text.replace(block, told)
        page.write_text(text, encoding="utf-8")
        return
    for block, told in zip(blocks, again, strict=True):
        assert plain(told) == plain(block)


def test_what_is_only_shown_is_counted_and_nothing_else_has_the_fence_of_what_is_typed():
    pages = {path.relative_to(DOCS).with_suffix("").as_posix(): path.read_text() for path in DOCS.rglob("*.md")}
    assert {name for name, text in pages.items() if BLOCK.search(text)} == set(TYPED)
    assert {name: len(found) for name, text in pages.items() if (found := SHOWN.findall(text))} == UNTYPED
