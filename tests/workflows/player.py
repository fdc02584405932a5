"""Plays a workflow's jobs on this machine, in order: every ``run:`` really runs in bash, as a runner would run it.

What is imitated: the files and variables of the runner (GITHUB_OUTPUT, GITHUB_ENV, GITHUB_STEP_SUMMARY, ...), four actions
(``ACTIONS``) and the skipping of jobs and steps. An action, an expression or a key of a step that is not known is refused.
A job has a folder, a HOME and a RUNNER_TEMP of its own: nothing goes from one to another but outputs and artifacts.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.workflows.expressions import Unknown, fill, holds, shown, value_of

ROOT = Path(__file__).resolve().parents[2]
_STEP = {"name", "id", "if", "env", "run", "uses", "with", "shell"}
_SHELL = ["bash", "--noprofile", "--norc", "-eo", "pipefail"]  # what GitHub runs for `shell: bash`


def load(path: Path) -> dict[str, Any]:
    """The file, ``on`` being a key as GitHub reads it and not YAML's yes."""

    class Loader(yaml.SafeLoader):
        pass

    Loader.yaml_implicit_resolvers = {
        first: [(tag, regexp) for tag, regexp in found if tag != "tag:yaml.org,2002:bool"]
        for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    data: dict[str, Any] = yaml.load(path.read_text(), Loader)
    return data


@dataclass(frozen=True)
class Runner:
    """What a run is given.

    Args:
        folder: where its jobs lie.
        event: ``inputs`` or ``event``, of the contexts of those names.
        vars: of the repository.
        secrets: likewise; ``GITHUB_TOKEN`` is one.
        github: the context of that name, and what GITHUB_* variables say.
    """

    folder: Path
    event: Mapping[str, Any]
    vars: Mapping[str, str]
    secrets: Mapping[str, str]
    github: Mapping[str, str]
    artifacts: dict[str, Path] = field(default_factory=dict)


@dataclass
class Played:
    """A job that ended.

    Args:
        result: ``success``, ``failure`` or ``skipped``.
        outputs: of the job.
        log: what its steps printed.
        summary: what they appended to the job's summary.
        ran: the scripts that ran, by name or text.
        environment: whose rules it waited for.
    """

    result: str
    outputs: dict[str, str] = field(default_factory=dict)
    log: str = ""
    summary: str = ""
    ran: list[str] = field(default_factory=list)
    environment: str = ""


def play(workflow: Mapping[str, Any], runner: Runner) -> dict[str, Played]:
    """Every job, in the order their ``needs`` ask for."""
    done: dict[str, Played] = {}
    jobs = dict(workflow["jobs"])
    while jobs:
        name = next(n for n, job in jobs.items() if set(_needs(job)) <= set(done))
        done[name] = _job(name, jobs.pop(name), workflow, runner, done)
    return done


def _needs(job: Mapping[str, Any]) -> Sequence[str]:
    needs = job.get("needs", [])
    return [needs] if isinstance(needs, str) else needs


def _job(
    name: str, job: Mapping[str, Any], workflow: Mapping[str, Any], runner: Runner, done: Mapping[str, Played]
) -> Played:
    before = _before(job, workflow["jobs"])
    context = _context(runner) | {
        "needs": {n: {"result": done[n].result, "outputs": done[n].outputs} for n in _needs(job)},
        "success": lambda: all(done[n].result == "success" for n in before),
        "failure": lambda: any(done[n].result == "failure" for n in before),
    }
    if not holds(str(job.get("if", "${{ success() }}")), context):
        return Played("skipped")
    assert fill(str(job["runs-on"]), context)
    assert "permissions" in job, f"{name} has all the rights of the repository's default"
    played = Played("success", environment=fill(str(job.get("environment", "")), context))
    here = runner.folder / name
    here.mkdir()
    env = {key: fill(str(value), context) for key, value in workflow.get("env", {}).items()}
    steps = Steps(runner, here, here / "checkout", env, context, played)
    for step in job["steps"]:
        steps.take(step)
    played.result = "failure" if steps.failed else "success"
    told = context | {"steps": steps.outputs}
    played.outputs = {key: fill(str(text), told) for key, text in job.get("outputs", {}).items()}
    return played


def _before(job: Mapping[str, Any], jobs: Mapping[str, Any]) -> set[str]:
    """Jobs whose failure or skipping skips this one: GitHub looks at all that it waits for, not only the nearest."""
    found: set[str] = set()
    for name in _needs(job):
        found |= {name} | _before(jobs[name], jobs)
    return found


def _context(runner: Runner) -> dict[str, Any]:
    event = runner.event.get("event", {})
    return {
        "inputs": runner.event.get("inputs", {}), "github": dict(runner.github) | {"event": event}, "vars": runner.vars,
        "secrets": runner.secrets, "cancelled": lambda: False, "always": lambda: True,
    }  # fmt: skip


class Steps:
    """The steps of one job or composite action, one after the other."""

    def __init__(
        self, runner: Runner, here: Path, checkout: Path, env: Mapping[str, str], context: Mapping[str, Any],
        played: Played, action: Path | None = None,
    ) -> None:  # fmt: skip
        self.outputs: dict[str, dict[str, Any]] = {}
        self.failed = False
        self._runner, self._here, self._checkout, self._played, self._action = runner, here, checkout, played, action
        self._env = dict(env)
        checkout.mkdir(exist_ok=True)
        status = {"success": lambda: not self.failed, "failure": lambda: self.failed}
        self._context = dict(context) | {"steps": self.outputs} | status

    def take(self, step: Mapping[str, Any]) -> None:
        """One step; a failed one skips those that do not ask for it."""
        assert set(step) <= _STEP, f"{set(step) - _STEP} of a step is not played"
        if not holds(str(step.get("if", "${{ success() }}")), self._context):
            return
        env = {key: fill(str(value), self._context) for key, value in step.get("env", {}).items()}
        if "run" in step:
            told = self._run(step, env)
        else:
            name = step["uses"].partition("@")[0]
            given = {key: fill(str(value), self._context) for key, value in step.get("with", {}).items()}
            told = ACTIONS[name](self, given)
        if "id" in step:
            self.outputs[step["id"]] = {"outputs": told}

    def _run(self, step: Mapping[str, Any], env: Mapping[str, str]) -> dict[str, str]:
        script = step["run"]
        assert "${{" not in script, f"an expression inside a script: {script}"
        files = {name: self._here / f"{name}-{len(self._played.ran)}" for name in ("OUTPUT", "ENV", "STEP_SUMMARY")}
        for path in files.values():
            path.touch()
        named = {f"GITHUB_{name}": str(path) for name, path in files.items()}
        action = {"GITHUB_ACTION_PATH": str(self._action)} if self._action else {}
        file = self._here / "step.sh"
        file.write_text(script)
        done = subprocess.run(
            [*_SHELL, str(file)], cwd=self._checkout, env=self._machine() | self._env | env | named | action,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=280, check=False,
        )  # fmt: skip
        self._played.ran.append(step.get("name", script))
        self._played.log += done.stdout
        self._played.summary += files["STEP_SUMMARY"].read_text()
        self._env |= assigned(files["ENV"].read_text())
        self.failed = self.failed or done.returncode != 0
        return assigned(files["OUTPUT"].read_text())

    def _machine(self) -> dict[str, str]:
        """A runner's own variables, and nothing of this process but where programs are."""
        for folder in ("home", "temp"):
            (self._here / folder).mkdir(exist_ok=True)
        github = {f"GITHUB_{key.upper()}": value for key, value in self._runner.github.items() if key != "token"}
        return github | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(self._here / "home"), "CI": "true",
            "RUNNER_TEMP": str(self._here / "temp"), "GITHUB_WORKSPACE": str(self._checkout), "GITHUB_ACTIONS": "true",
            "PYTHONPATH": str(ROOT / "src"), "MLFLOW_DISABLE_TELEMETRY": "true", "HF_HUB_OFFLINE": "1",
        }  # fmt: skip

    def check_out(self, given: Mapping[str, str]) -> dict[str, str]:
        """What git tracks, and an environment that is set up already."""
        assert given == {"persist-credentials": "false"}
        copy_repository(self._checkout)
        return {}

    def set_up_python(self, given: Mapping[str, str]) -> dict[str, str]:
        """This one is there."""
        assert re.fullmatch(r"3\.\d+", given["python-version"])
        return {}

    def upload(self, given: Mapping[str, str]) -> dict[str, str]:
        """upload-artifact v4 leaves out what is hidden, and a name is taken once."""
        source = self._checkout / given["path"]
        files = [p for p in source.rglob("*") if p.is_file() and not _hidden(p.relative_to(source))]
        if not files:
            assert given["if-no-files-found"] == "error"
            self.failed = True
            return {}
        assert given["name"] not in self._runner.artifacts
        goal = self._runner.folder / "artifacts" / str(len(self._runner.artifacts))
        for path in files:
            (goal / path.relative_to(source)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, goal / path.relative_to(source))
        self._runner.artifacts[given["name"]] = goal
        return {}

    def download(self, given: Mapping[str, str]) -> dict[str, str]:
        """What was uploaded under that name."""
        shutil.copytree(self._runner.artifacts[given["name"]], self._checkout / given["path"])
        return {}


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def copy_repository(goal: Path) -> None:
    """The files that git tracks or would, as they are now."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (goal / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, goal / name)
    # `make .venv/.ready` finds what it would make: this process's own environment, which the same lock filled.
    (goal / ".venv").mkdir()
    (goal / ".venv/bin").symlink_to(Path(sys.executable).parent)
    (goal / ".venv/.ready").touch()


ACTIONS = {
    "actions/checkout": Steps.check_out,
    "actions/setup-python": Steps.set_up_python,
    "actions/upload-artifact": Steps.upload,
    "actions/download-artifact": Steps.download,
}


def assigned(text: str) -> dict[str, str]:
    """``name=value`` lines, and ``name<<END`` blocks, as a runner reads them."""
    found, lines = {}, iter(text.splitlines())
    for line in lines:
        if match := re.fullmatch(r"([^=<]+)<<(.+)", line):
            block = []
            for inner in lines:
                if inner == match[2]:
                    break
                block.append(inner)
            found[match[1]] = "\n".join(block)
        elif line:
            name, equals, value = line.partition("=")
            assert equals, f"no assignment: {line!r}"
            found[name] = value
    return found


def play_action(action: Mapping[str, Any], given: Mapping[str, str], runner: Runner, checkout: Path) -> Played:
    """A composite action as the one step of a job in another repository; ``outputs`` are the action's."""
    context = _context(runner) | {"success": lambda: True, "failure": lambda: False}
    wanted = action["inputs"]
    if unknown := set(given) - set(wanted):
        raise Unknown(f"inputs {unknown}")
    inputs = {name: given.get(name, fill(str(told.get("default", "")), context)) for name, told in wanted.items()}
    assert all(inputs[name] for name, told in wanted.items() if told.get("required") == "true"), inputs
    here = runner.folder / "job"
    here.mkdir()
    path = here / "action"
    path.mkdir()
    copy_repository(path)
    played = Played("success")
    steps = Steps(runner, here, checkout, {}, context | {"inputs": inputs}, played, action=path)
    for step in action["runs"]["steps"]:
        assert "uses" in step or step["shell"] == "bash"
        steps.take(step)
    played.result = "failure" if steps.failed else "success"
    told = context | {"steps": steps.outputs}
    played.outputs = {name: fill(str(output["value"]), told) for name, output in action["outputs"].items()}
    return played


def outputs_of(workflow: Mapping[str, Any], done: Mapping[str, Played]) -> dict[str, str]:
    """What the workflow gives to the one that called it."""
    context = {"jobs": {name: {"outputs": played.outputs} for name, played in done.items()}}
    return {
        name: shown(value_of(output["value"].removeprefix("${{").removesuffix("}}"), context))
        for name, output in workflow["on"]["workflow_call"]["outputs"].items()
    }
