"""The exporter on real models: what comes out, with what dynamic axes, and the same bytes twice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from promote.adapters.export.exporter import TorchExporter
from promote.adapters.export.sandbox import Limits
from promote.adapters.onnx_file import read_facts
from promote.adapters.tracking.runs import open_runs
from promote.core.golden import split
from promote.core.parity import DEFAULT_TOLERANCES, ParityFailed, ParityProven, Tolerance, compare
from promote.core.stages import ExportPlan, RunRef
from promote.errors import ExportError
from tests.fakes.factory import LABELS, log_run
from tests.fakes.registry import Steps

pytestmark = [pytest.mark.mlflow, pytest.mark.slow]
PLAN = ExportPlan(opset=18, ir_version=8, max_batch_size=6)
AS_IT_IS = ExportPlan(opset=None, ir_version=None, max_batch_size=6)


def find(uri, run, work, **more):
    work.mkdir(exist_ok=True)
    return open_runs(uri, work, allow_pickle=True, **more).find(RunRef(run), Steps())


def exported(candidate, plan, work):
    work.mkdir(exist_ok=True)
    return TorchExporter(work, read_facts, Limits(seconds=120)).export(candidate, plan, Steps())


@pytest.fixture(scope="module")
def ner(sqlite_uri, tmp_path_factory):
    run = log_run(sqlite_uri, {"ner": "transformers"}, texts={"labels.txt": "\n".join(LABELS) + "\n"})
    return find(sqlite_uri, run, tmp_path_factory.mktemp("ner"))


@pytest.fixture(scope="module")
def made(ner, tmp_path_factory):
    return exported(ner, PLAN, tmp_path_factory.mktemp("made"))


def test_the_plan_is_what_comes_out(made):
    export, _ = made
    assert export.facts.opsets.value[""] == 18
    assert export.facts.ir_version.value == 8
    assert export.labels == LABELS
    assert {"model.onnx", "labels.txt", "tokenizer/tokenizer.json"} <= set(export.files)
    onnx.checker.check_model(export.files["model.onnx"].path)


def test_batch_and_sequence_are_dynamic_and_were_tried_at_both_ends(made):
    export, outputs = made
    for tensor in (*export.facts.inputs.value, *export.facts.outputs.value):
        assert isinstance(tensor.shape[0], str)
        assert isinstance(tensor.shape[1], str)
    shapes = {case: answer["logits"].shape[:2] for case, answer in outputs.exported.items()}
    assert shapes["minimum"] == (1, 1)
    assert shapes["maximum"] == (6, 32)
    assert shapes["typical"] not in (shapes["minimum"], shapes["maximum"])
    assert "example" in shapes


def test_the_answers_are_the_source_models_and_travel_as_golden_samples(made):
    export, outputs = made
    assert isinstance(compare(outputs.source, outputs.exported, DEFAULT_TOLERANCES["fp32"]), ParityProven)
    golden = split(Path(export.samples.path).read_bytes())
    assert set(golden) == set(export.cases)
    for case, (_, answers) in golden.items():
        np.testing.assert_array_equal(answers["logits"], outputs.exported[case]["logits"])


def test_a_difference_beyond_the_tolerance_fails_and_says_where_and_by_how_much(made):
    _, outputs = made
    failed = compare(outputs.source, outputs.exported, Tolerance(0.0, 0.0))
    assert isinstance(failed, ParityFailed)
    assert "output 'logits' differs in" in failed.reasons[0]


def test_the_same_run_gives_the_same_bytes(ner, made, tmp_path):
    again, _ = exported(ner, PLAN, tmp_path)
    assert {path: blob.digest for path, blob in again.files.items()} == {p: b.digest for p, b in made[0].files.items()}
    assert again.samples.digest == made[0].samples.digest


def external_model(folder):
    """``y = x @ w`` with ``w`` in a data file of its own."""
    tensors = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["batch", d]) for n, d in (("x", 64), ("y", 8))]
    weights = numpy_helper.from_array(np.linspace(-1, 1, 512, dtype=np.float32).reshape(64, 8), "w")
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "m", tensors[:1], tensors[1:], [weights])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, folder / "model.onnx", save_as_external_data=True, location="weights/w.bin", size_threshold=0)


def test_an_onnx_model_passes_through_with_its_external_data(ner, tmp_path):
    from dataclasses import replace

    from tests.fakes.registry import on_disk

    root = tmp_path / "logged"
    (root / "weights").mkdir(parents=True)
    external_model(root)
    files = {path: on_disk(root / path) for path in ("model.onnx", "weights/w.bin")}
    model = replace(ner.model, flavour="onnx", root=str(root), files=files, entry="model.onnx", example="", labels=())
    export, outputs = exported(replace(ner, model=model), AS_IT_IS, tmp_path / "work")
    assert {path: blob.digest for path, blob in export.files.items()} == {p: b.digest for p, b in files.items()}
    assert export.facts.external.value[0].location == "weights/w.bin"
    assert outputs.exported["maximum"]["y"].shape == (6, 8)
    (root / "weights/w.bin").unlink()
    with pytest.raises(ExportError, match=r"weights/w\.bin"):
        exported(replace(ner, model=model), AS_IT_IS, tmp_path / "again")


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "kind"), [("fp16", TensorProto.FLOAT16), ("bf16", TensorProto.BFLOAT16)])
def test_a_lower_precision_is_the_same_model_within_its_own_tolerance(made, precision, kind):
    export, _ = made
    folder = Path(export.files["model.onnx"].path).parents[2]
    plan = replace(PLAN, precision=precision)
    lowered, outputs = TorchExporter(folder, read_facts, Limits(seconds=120)).lower(export, plan, Steps())
    proof = compare(outputs.source, outputs.exported, DEFAULT_TOLERANCES[precision])
    assert isinstance(proof, ParityProven)
    assert proof.worst.max_absolute > 0  # it is not the export once more
    path = lowered.files["model.onnx"].path
    onnx.checker.check_model(path, full_check=True)
    graph = onnx.load(path).graph
    kinds = {one.data_type for one in graph.initializer}
    assert kind in kinds
    assert ({TensorProto.FLOAT16, TensorProto.BFLOAT16} - {kind}).isdisjoint(kinds)
    assert (lowered.facts.inputs, lowered.facts.outputs) == (export.facts.inputs, export.facts.outputs)
    assert lowered.files.keys() == export.files.keys()
    assert lowered.facts.flaws.value == ()
    golden = split(Path(lowered.samples.path).read_bytes())
    assert golden.keys() == set(export.cases)
