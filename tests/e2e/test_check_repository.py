"""A Triton model repository is checked as Triton would load it: the served versions, each with its configuration."""

import json

import pytest

from tests.e2e.project import Project
from tests.parts.config_cases import Folder, adds, onnx_folder, python_folder, tensor

pytestmark = pytest.mark.e2e
TARGET = ("--target", "local")


@pytest.fixture
def project(tmp_path):
    repository = tmp_path / "models"
    repository.mkdir()
    onnx_folder().write(repository, "good")
    onnx_folder(y=tensor("output", "z")).write(repository, "names")
    latest = "version_policy { latest { num_versions: 2 } }"
    onnx_folder(latest, files={f"{n}/model.onnx": adds() for n in (1, 2, 10)}).write(repository, "versions")
    python_folder().write(repository, "code")
    Folder("no_such_field: 1").write(repository, "torn")
    (tmp_path / "models/loose").mkdir()
    (tmp_path / "models/loose/net.onnx").write_bytes(adds())
    return Project(tmp_path, "sqlite:///none.db")


def test_every_served_version_has_a_line_and_other_files_follow(project):
    lines = project("check", "models", *TARGET, code=10).out.splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["unreadable", "models/torn"],
        ["undecided", "models/code/1/model.py"],
        ["compatible", "models/good/1/model.onnx"],
        ["incompatible", "models/names/1/model.onnx"],
        ["compatible", "models/versions/2/model.onnx"],
        ["compatible", "models/versions/10/model.onnx"],
        ["compatible", "models/loose/net.onnx"],
    ]
    assert "no field named" in lines[0]
    assert "config-tensors: output 'z'" in lines[3]


def test_jsonl_names_the_model_and_its_version(project):
    out = project("check", "models", *TARGET, "--jsonl", code=10).out
    rows = {row["path"]: row for row in map(json.loads, out.splitlines())}
    assert (rows["models/versions/10/model.onnx"]["model"], rows["models/versions/10/model.onnx"]["version"]) == (
        "versions",
        10,
    )
    assert "error" in rows["models/torn"]
    found = project("check", "models", *TARGET, "--json", code=10).json
    assert found["models"] == list(rows.values())


def test_a_models_own_directory_shows_all_findings(project):
    assert project("check", "models/good", *TARGET).out.startswith("compatible with local:")
    refused = project("check", "models/names", *TARGET, code=10).out
    assert "needs one of the model's" in refused
    assert "✓ model-files" in refused


def test_explain_shows_one_rule_and_keeps_the_verdict(project):
    out = project("check", "models/names", *TARGET, "--explain", "config-tensors", code=10).out
    assert out.splitlines()[0] == "incompatible with local; of config-tensors:"
    assert "✗ config-tensors  output 'z'" in out
    assert "\nconfig-tensors: Names, types and shapes" in out
    assert "model-files" not in out
    other = project("check", "models/names", *TARGET, "--explain", "plan-version", code=10).out
    assert "it does not apply to this model and target" in other
    found = project("check", "models/names/1/model.onnx", *TARGET, "--explain", "onnx-opset", "--json").json
    assert [finding["rule"] for finding in found["findings"]] == [found["rule"]["id"]] == ["onnx-opset"]
    lines = project("check", "models", *TARGET, "--explain", "model-files", code=10).out
    assert "compatible    models/good/1/model.onnx  model-files: model.onnx" in lines
    assert "\nmodel-files: Every served version" in lines


def test_a_rule_that_is_not_there_is_said_before_anything_is_judged(project):
    assert "no rule 'nope'" in project("check", "gone.onnx", *TARGET, "--explain", "nope", code=3).err
