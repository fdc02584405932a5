"""`promote plan` on runs of a real MLflow: the one choice for several targets, its twin that none serves, and nothing written."""

import pytest

from tests.e2e.project import Project
from tests.fakes.factory import log_run

pytestmark = [pytest.mark.e2e, pytest.mark.mlflow]

GPU = 'device = "gpu"\narch = "x86_64"\ngpu = "L4"\nmemory_gib = 24'


@pytest.fixture
def project(tmp_path, sqlite_uri):
    made = Project(tmp_path, sqlite_uri)
    made.write(
        old=f'{GPU}\ntriton = "24.12"\ndriver = "580.95"',
        new=f'{GPU}\ntriton = "26.04"\ndriver = "580.95"',
        late=f'{GPU}\ntriton = "26.04"\ndriver = "450.10"'.replace('"L4"', '"RTX 4090"'),
    )
    return made


@pytest.fixture(scope="module")
def run_id(sqlite_uri):
    return log_run(sqlite_uri, {"ner": "transformers"})


def test_one_choice_for_two_targets(project, run_id):
    before = project.tree()
    typed = project("plan", run_id, "--target", "old", "--target", "new", "--json")
    (variant,) = typed.json["variants"]
    assert (variant["plan"]["opset"], variant["targets"]) == (21, ["old", "new"])
    rejected = next(one for one in typed.json["tried"]["old"] if one["choice"]["opset"] == 22)
    assert rejected["broken"][0]["rule"] == "onnx-opset"
    assert rejected["broken"][0]["row"] == "onnxruntime 1.20.1"
    assert project.tree() == before


def test_a_target_that_no_choice_serves_is_told_and_the_other_planned(project, run_id):
    typed = project("plan", run_id, "--target", "late", "--target", "new", code=10)
    assert "incompatible with late" in typed.err
    assert "driver 450.10 on RTX 4090" in typed.err
    assert "for new: opset 22" in typed.err
    assert f"next: promote model {run_id} --target new --opset 22" in typed.err


def test_an_onnx_model_is_judged_as_it_was_logged(project, sqlite_uri):
    onnx = log_run(sqlite_uri, {"ner": "onnx"})
    typed = project("plan", onnx, "--target", "old", "--target", "new")
    assert "the ONNX model as it was logged" in typed.err
    assert "--opset" not in typed.err
