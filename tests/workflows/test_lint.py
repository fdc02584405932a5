"""The workflows, held against linters and against their own rules; each linter is seen to find something."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.workflows.player import ROOT, load

BIN = Path(sys.executable).parent
FILES = sorted([*(ROOT / ".github").rglob("*.yml"), ROOT / "action.yml"])
WORKFLOWS = [path for path in FILES if path.parent.name == "workflows"]
BAD = """\
on: pull_request_target
jobs:
  a:
    runs-on: ubuntu-24.04
    steps:
      - uses: actions/checkout@v4
      - run: echo ${{ github.event.pull_request.title }} ${{ needs.b.outputs.c }}
"""
# What each tag was when it was pinned; see docs/how-to/github-actions.md. A pin that is not here was not looked up.
PINS = {
    "actions/checkout": ("11bd71901bbe5b1630ceea73d27597364c9af683", "v4.2.2"),
    "actions/setup-python": ("a26af69be951a213d495a4c3e4e4022e16d87065", "v5.6.0"),
    "actions/upload-artifact": ("ea165f8d65b6e75b540449e92b4886f43607fa02", "v4.6.2"),
    "actions/download-artifact": ("d3f86a106a0bac45b974a628896c90dbdf5c8093", "v4.3.0"),
    "actions/attest-build-provenance": ("e8998f949152b193b063cb0ec769d69d929409be", "v2.4.0"),
    "pypa/gh-action-pypi-publish": ("ed0c53931b1dc9bd32cbe73a98c7f6766f8a527e", "v1.13.0"),
}
# job -> its rights beyond reading the repository
RIGHTS = {
    "push": {"packages": "write"}, "review": {"actions": "read"}, "release": {"packages": "write"},
    "deploy": {"packages": "read"},
}  # fmt: skip


def tool(name, *arguments):
    path = shutil.which(name, path=str(BIN))
    if path is None:
        pytest.skip(f"{name} is not installed: it is in the dev extra")
    return subprocess.run(
        [path, *map(str, arguments)], capture_output=True, text=True, check=False, cwd=ROOT,
        env={"PATH": str(BIN), "HOME": "/nonexistent"},
    )  # fmt: skip


def actions(*files):
    return tool("jactionlint", "--no-color", *files)


def zizmor(*files):
    return tool("zizmor", "--offline", "--no-progress", "--persona=auditor", "--no-config", *files)


@pytest.mark.parametrize("lint", [actions, zizmor])
def test_the_linters_find_nothing(lint):
    done = lint(*[path for path in FILES if path.name != "dependabot.yml" or lint is zizmor])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ignore" not in "".join(path.read_text() for path in FILES if path.name != "dependabot.yml")


def test_shellcheck_finds_nothing_in_what_the_workflows_call():
    done = tool("shellcheck", ".ci/asked", ".ci/approval", ".ci/run")
    assert done.returncode == 0, done.stdout


def test_the_linters_find_what_is_wrong(tmp_path):
    bad = tmp_path / ".github/workflows/bad.yml"
    bad.parent.mkdir(parents=True)
    bad.write_text(BAD)
    wrong = actions(bad)
    assert wrong.returncode == 1
    assert "needs" in wrong.stdout
    unsafe = zizmor(bad)
    assert unsafe.returncode not in (0, 1, 2), unsafe.stderr
    for audit in ("template-injection", "dangerous-triggers", "unpinned-uses", "excessive-permissions"):
        assert audit in unsafe.stdout
    script = tmp_path / "bad"
    script.write_text("#!/bin/bash\nrm $1\n")
    assert tool("shellcheck", script).returncode == 1


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_actions_are_pinned_to_the_commit_of_the_version_they_say(path):
    used = re.findall(r"uses: (.*)", path.read_text())
    for line in used:
        match = re.fullmatch(r"([\w-]+/[\w-]+)@([0-9a-f]{40}) # (v[\d.]+)", line)
        assert match, line
        assert PINS[match[1]] == (match[2], match[3])


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_no_right_is_given_to_all_jobs_and_no_script_holds_an_expression(path):
    workflow = load(path)
    assert workflow["permissions"] == {}
    assert "cancel-in-progress" in workflow["concurrency"]
    for name, job in workflow["jobs"].items():
        assert job["permissions"], name
        assert int(job["timeout-minutes"]) > 0
        assert not [step for step in job["steps"] if "${{" in step.get("run", "")]


def test_each_job_of_a_release_has_the_rights_it_needs_and_models_run_where_no_package_may_be_written():
    jobs = load(ROOT / ".github/workflows/promote.yml")["jobs"]
    rights = {name: {k: v for k, v in job["permissions"].items() if k != "contents"} for name, job in jobs.items()}
    assert rights == {name: RIGHTS.get(name, {}) for name in jobs}
    assert {job["permissions"]["contents"] for job in jobs.values()} == {"read"}
    for name in ("plan", "build"):
        assert "GITHUB_TOKEN" not in str(jobs[name])
    models = [name for name, job in jobs.items() if "promote model" in str(job["steps"])]
    assert models == ["build"]


def test_a_release_of_promote_itself_keeps_no_secret_and_publishes_what_was_attested():
    jobs = load(ROOT / ".github/workflows/release.yml")["jobs"]
    assert list(jobs) == ["build", "attest", "publish"]
    assert (jobs["attest"]["needs"], jobs["publish"]["needs"]) == ("build", "attest")
    text = (ROOT / ".github/workflows/release.yml").read_text()
    assert "secrets." not in text
    assert "cache" not in text.lower().replace("no cache", "")
    assert [name for name, job in jobs.items() if "run" in str([step.keys() for step in job["steps"]])] == ["build"]
    assert jobs["publish"]["permissions"] == {"id-token": "write"}


def test_another_repository_needs_ten_lines_and_names_inputs_that_exist():
    text = (ROOT / "docs/how-to/github-actions.md").read_text()
    block = re.search(r"<!-- ten lines -->\n```yaml\n(.*?)```", text, re.DOTALL)[1]
    assert len(block.splitlines()[1:]) == 10
    job = yaml.safe_load(block)["jobs"]["promote"]
    inputs = load(ROOT / "action.yml")["inputs"]
    given = job["steps"][0]["with"]
    assert set(given) <= set(inputs)
    assert set(given) == {name for name, told in inputs.items() if told.get("required") == "true"}
    assert job["permissions"] == {"packages": "write"}
    outputs = re.findall(r"^\| `(\w+)` \|", text, re.M)
    assert outputs == list(load(ROOT / "action.yml")["outputs"])
