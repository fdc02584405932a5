"""A folder of models is checked file by file; one that cannot be read stops none of the others."""

import json

import pytest
from onnx import TensorProto, helper

from tests.e2e.project import Project

pytestmark = pytest.mark.e2e


def write(path, opset, operator="Relu"):
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["b", 2]) for n in "xy"]
    graph = helper.make_graph([helper.make_node(operator, ["x"], ["y"])], "g", values[:1], values[1:])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8).SerializeToString()
    )


@pytest.fixture
def project(tmp_path):
    write(tmp_path / "models/good/model.onnx", 17)
    write(tmp_path / "models/new/model.onnx", 28)
    write(tmp_path / "models/odd/model.onnx", 17, "NoSuchThing")
    (tmp_path / "models/torn.onnx").write_bytes(b"\x08\x08torn")
    return Project(tmp_path, "sqlite:///none.db")


def test_every_model_has_a_line_and_the_worst_decides_the_exit_code(project):
    lines = project("check", "models", "--runtime", "onnxruntime=1.24.4", code=10).out.splitlines()
    assert [line.split()[0] for line in lines] == ["compatible", "incompatible", "incompatible", "unreadable"]
    assert "onnx-opset: opset 28" in lines[1]
    assert "operators: NoSuchThing of opset 17: this release has no such operator" in lines[2]


def test_jsonl_is_one_object_a_line(project):
    out = project("check", "models", "--runtime", "onnxruntime=1.24.4", "--jsonl", code=10).out
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row["path"] for row in rows] == sorted(row["path"] for row in rows)
    assert {row["verdict"] for row in rows} == {"compatible", "incompatible", "unreadable"}
    assert all("findings" in row or "error" in row for row in rows)
    one = project("check", "models/good/model.onnx", "--runtime", "onnxruntime=1.24.4", "--jsonl").out
    assert json.loads(one)["verdict"] == "compatible"


def test_plans_are_checked_too_and_json_is_one_object(project):
    (project.folder / "models/yolo.engine").write_bytes(b"ftrt" + bytes(20) + bytes([10, 16, 1, 11]) + bytes(100))
    found = project("check", "models", "--runtime", "onnxruntime=1.24.4", "--json", code=10).json
    assert (found["command"], found["target"], found["exit"]["code"]) == ("check", "onnxruntime 1.24.4", 10)
    assert len(found["models"]) == 5
    (plan,) = [row for row in found["models"] if row["path"] == "models/yolo.engine"]
    assert (plan["verdict"], plan["findings"][0]["rule"]) == ("incompatible", "format")


def test_a_folder_without_models_is_not_found(project):
    (project.folder / "empty").mkdir()
    assert (
        "holds no .onnx, .plan or .engine file and no model of Triton"
        in project("check", "empty", "--runtime", "onnxruntime=1.24.4", code=3).err
    )


ANSWERS = [
    ("models/good/model.onnx", ("--runtime", "onnxruntime=1.24.4"), "compatible", 0),
    ("models/good/model.onnx", ("--runtime", "onnxruntime=9.1.0"), "undecided", 11),
    ("models/new/model.onnx", ("--runtime", "onnxruntime=1.24.4"), "incompatible", 10),
    ("models/good/model.onnx", ("--target", "bare"), "undecided", 11),
]


@pytest.mark.parametrize(("path", "on", "word", "code"), ANSWERS)
def test_the_exit_code_the_object_and_the_line_say_the_same(project, path, on, word, code):
    project.write(bare='device = "gpu"\ntriton = "26.04"')
    told = project("check", path, *on, "--json", code=code).json
    (line,) = [json.loads(line) for line in project("check", path, *on, "--jsonl", code=code).out.splitlines()]
    assert (told["verdict"], told["exit"]["code"], told["schema"]) == (word, code, "promote.cli/1")
    assert line == {key: told[key] for key in ("path", "verdict", "findings")}
    assert line["path"] == path
    assert all(found["remedy"] for found in told["findings"] if found["outcome"] != "ok")
    assert project("check", path, *on, code=code).out.startswith(f"{word} with ")
