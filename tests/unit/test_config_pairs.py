"""promote's half of the pairs that tests/contract holds against the real Triton, and what that server cannot show."""

import pytest

from promote.core.verdict import Outcome
from tests.contract.test_config_rules import ENSEMBLES, MODEL, PAIRS, WIRING, said_of
from tests.parts.config_cases import (
    PASS_ON,
    STEPS,
    Folder,
    ensemble,
    onnx_folder,
    parameter,
    python_folder,
    sample,
    step,
    warm,
)
from tests.unit.test_matrix import MATRIX
from tests.unit.test_rules import on

CASES = PAIRS | ENSEMBLES


@pytest.mark.parametrize("case", CASES)
def test_a_pair_is_told_apart(tmp_path, case):
    pair = CASES[case]
    around = [folder.write(tmp_path, name) for name, folder in STEPS.items()] if case in ENSEMBLES else []
    assert pair.rule in said_of(pair.refused.write(tmp_path, "bad"), *around)[pair.outcome]
    said = said_of(pair.loads.write(tmp_path, "good"), *around)
    assert pair.rule not in said[pair.outcome]
    assert said[Outcome.BROKEN] == set()


TABLE = [
    ("config-warmup", python_folder(warm(sample(), batch="")), Outcome.DEGRADED),
    ("config-warmup", python_folder(warm(sample(data='input_data_file: "../../x"'))), Outcome.UNKNOWN),
    ("config-warmup", python_folder(warm(sample(), batch="batch_size: 8")), Outcome.OK),
    ("config-parameters", onnx_folder(parameter("intra_op_thread_count", "many")), Outcome.BROKEN),
    ("config-parameters", onnx_folder(parameter("intra_op_thread_count", "4")), Outcome.OK),
    ("config-parameters", onnx_folder(parameter("execution_mode", "2")), Outcome.BROKEN),
    ("config-parameters", onnx_folder(parameter("execution_mode", "1")), Outcome.OK),
    ("config-parameters", python_folder(parameter("EXECUTION_ENV_PATH", "/opt/env.tar.gz")), Outcome.UNKNOWN),
    ("config-complete", onnx_folder(x="", y=""), Outcome.DEGRADED),
    ("ensemble-models", ensemble(step("code")), Outcome.UNKNOWN),
    ("ensemble-models", ensemble(step("silent")), Outcome.UNKNOWN),
    ("model-files", Folder("", {"1/other.bin": b""}), Outcome.BROKEN),
]


@pytest.mark.parametrize(("rule", "folder", "outcome"), TABLE)
def test_what_a_rule_says(tmp_path, rule, folder, outcome):
    around = [python_folder().write(tmp_path, "code"), onnx_folder(x="", y="").write(tmp_path, "silent")]
    assert rule in said_of(folder.write(tmp_path, "m"), *around)[outcome]


def test_a_packed_environment_that_is_there_is_taken(tmp_path):
    text = python_folder(parameter("EXECUTION_ENV_PATH", "$$TRITON_MODEL_DIRECTORY/env.tar.gz")).text
    there = Folder(text, {"1/model.py": PASS_ON, "env.tar.gz": b""}).write(tmp_path, "m")
    assert "config-parameters" in said_of(there)[Outcome.OK]


def test_a_model_without_a_configuration_is_told_by_its_files(tmp_path):
    (tmp_path / "m/1").mkdir(parents=True)
    (tmp_path / "m/1/model.onnx").write_bytes(MODEL)
    said = said_of(tmp_path / "m")
    assert said[Outcome.DEGRADED] == {"config-complete"}
    assert said[Outcome.BROKEN] | said[Outcome.UNKNOWN] == set()


PLANS = 'backend: "tensorrt"\ncc_model_filenames {{ key: "{}" value: "ada.plan" }}\n'


@pytest.mark.parametrize(
    ("capability", "files", "outcomes"),
    [
        ("8.9", ("1/ada.plan",), ["ok"]),
        ("8.9", ("1/model.plan",), ["broken"]),
        ("9.0", ("1/model.plan",), ["ok"]),
        ("9.0", ("1/ada.plan",), ["broken"]),
        (None, ("1/ada.plan", "1/model.plan"), ["unknown"]),
    ],
)
def test_a_plan_for_the_targets_compute_capability_counts_alone(tmp_path, capability, files, outcomes):
    plan = b"ftrt" + bytes(20) + bytes([10, 16, 1, 11]) + bytes(100)
    folder = Folder(PLANS.format("8.9"), dict.fromkeys(files, plan)).write(tmp_path, "m")
    target = on(gpu=None, compute_capability=capability)
    (subject,), _ = WIRING.model_subjects([str(folder)], capability=capability or "")
    findings = subject.judge(target, MATRIX).findings
    assert [finding.outcome.value for finding in findings if finding.rule == "model-files"] == outcomes
    assert (subject.facts.tensorrt is not None) == (outcomes != ["broken"])
