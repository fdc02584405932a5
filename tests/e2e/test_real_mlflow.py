"""Promotions over MLflow as it is run for real: two of one model at once on PostgreSQL, and a run whose words are hostile."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.project import PROMOTE, Project, clean
from tests.fakes.factory import log_run

pytestmark = [pytest.mark.e2e, pytest.mark.mlflow, pytest.mark.slow]

CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
HOSTILE = (
    "../../etc/passwd", "</td></table><img src=x onerror=alert(1)>", "[go](javascript:alert(1))", "| a | b |", "`x`",
    "\u202egnp.exe\u2066", "\x1b[31mred\x1b]0;title\x07", "a\nb: c\r\n::error::x", "**bold** # head ~~no~~ @all", "x" * 6000,
)  # fmt: skip


@pytest.fixture
def project(tmp_path: Path, request: pytest.FixtureRequest) -> Project:
    made = Project(tmp_path, request.getfixturevalue(request.param))
    made.write(local='model_repository = "models"')
    return made


def client_of(project: Project) -> Any:
    import mlflow

    return mlflow.MlflowClient(project.uri, project.uri)


@pytest.mark.parametrize("project", ["postgres_server"], indirect=True)
def test_two_promotions_of_one_model_at_once_are_two_versions_and_nothing_is_lost(project: Project) -> None:
    runs = [log_run(project.uri, {"ner": kind}) for kind in ("onnx", "transformers")]
    command = ["--target", "local", "--name", "at-once", "--quiet"]
    started = [
        subprocess.Popen(
            [PROMOTE, "model", run, *command], cwd=project.folder, env=clean(), text=True, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for run in runs
    ]  # fmt: skip
    said = [process.communicate(timeout=250) for process in started]
    codes = [process.returncode for process in started]
    assert codes == [0, 0], said
    references = [out.removesuffix("\n") for out, _ in said]  # and nothing else: MLflow's client would print there too
    versions = client_of(project).search_model_versions("name = 'at-once'")
    assert {int(v.version) for v in versions} == {1, 2}
    assert {v.tags["promote.state"] for v in versions} == {"recorded"}
    assert {v.tags["promote.reference"] for v in versions} == set(references)
    assert {v.run_id for v in versions} == set(runs)
    for reference in references:
        project("verify", reference)


def hostile_run(project: Project) -> str:
    """A run of a real model, whose every word is somebody's bad intention."""
    client = client_of(project)
    run = log_run(project.uri, {"ner": "onnx"})
    client.update_run(run, name=HOSTILE[1] + HOSTILE[5])
    for number, text in enumerate(HOSTILE):
        client.log_param(run, f"param-{number}", text)
        client.set_tag(run, f"tag-{number}", text)
    client.set_tag(run, "mlflow.note.content", HOSTILE[1])
    client.set_tag(run, "mlflow.user", HOSTILE[5] + HOSTILE[2])
    for number in range(300):
        client.log_param(run, f"huge-{number}", "y" * 6000)
    return run


@pytest.mark.parametrize("project", ["sqlite_uri"], indirect=True)
def test_a_hostile_run_is_promoted_and_its_words_stay_words(project: Project) -> None:
    run = hostile_run(project)
    made = project("model", run, "--target", "local", "--name", "hostile", "--summary", "summary.md")
    summary = (project.folder / "summary.md").read_text()
    version = client_of(project).get_model_version("hostile", "1")
    report = (project.folder / ".promote/reports/hostile-v1.html").read_text()
    promotion = client_of(project).get_run(version.tags["promote.run"])
    shown = project("inspect", made.last)
    texts = {
        "terminal": made.err, "inspect": shown.out + shown.err, "summary": summary, "description": version.description,
        "report": report, "note": promotion.data.tags["mlflow.note.content"],
        **{f"tag {key}": value for key, value in version.tags.items()},
        **{f"param {key}": value for key, value in promotion.data.params.items()},
    }  # fmt: skip
    for where, text in texts.items():
        assert not CONTROL.search(text.replace("\n", "")), where
        assert len(text) < 400_000, where
    for where in ("summary", "description", "note", "report"):
        assert "<img" not in texts[where].replace(r"\<img", ""), where
    for where in ("summary", "description", "note"):  # Markdown; the report is HTML
        assert not re.search(r"(?<!\\)\]\(javascript", texts[where]), where
    assert "::error::" not in re.findall(r"^.{0,9}", summary, re.M)
    assert not (project.folder.parent / "etc").exists()
    client_of(project).delete_registered_model("hostile")


@pytest.mark.parametrize("project", ["sqlite_uri"], indirect=True)
def test_a_hostile_name_is_refused_and_nothing_is_written(project: Project) -> None:
    run = log_run(project.uri, {"ner": "onnx"})
    for name in ("../up", "a/b", "A", "a b", "<b>", "\u202eren", "x" * 65, "a..b"):
        said = project("model", run, "--target", "local", "--name", name, code=2).err
        assert "is not allowed" in said
        assert not CONTROL.search(said.replace("\n", ""))
    assert not (project.folder / "bundles").exists()
    known = {model.name for model in client_of(project).search_registered_models()}
    assert not [name for name in known if name != "hostile"]
