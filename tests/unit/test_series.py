"""Judging many models as a series says of each what judging it alone says, and writes the same line."""

import json

import pytest
from onnx import TensorProto, helper

from promote.adapters.onnx_file import read_facts
from promote.cli.check_lines import ANY_FILE, Lines
from promote.cli.progress import Silent
from promote.core.matrix import bare_runtime
from promote.core.passport import plain
from promote.core.rules.engine import Series, check
from promote.core.verdict import judge
from promote.wiring import open_wiring
from tests.unit.test_onnx_file import made, outside, value

MODELS = [
    made(),
    made(opsets=(("", 99),)),
    made(opsets=(("", 17), ("ai.onnx.ml", 3))),
    made(ir_version=99),
    made([helper.make_node("Odd", ["x"], ["y"], domain="own")]),
    made([helper.make_node("Relu", ["x"], ["y"])], inputs=[value("x", TensorProto.STRING)]),
    made(tensors=[outside("gone.bin")]),
    made(inputs=[value("x", TensorProto.BFLOAT16)]),
    made(producer_name="another"),
]


@pytest.fixture(scope="module")
def matrix():
    return open_wiring(None, Silent()).matrix


@pytest.fixture(params=["onnxruntime=1.20.1", "calypso"])
def target(request, matrix):
    return bare_runtime(matrix, request.param) if "=" in request.param else matrix.target(request.param)


def test_a_series_says_what_each_alone_is_told(tmp_path, matrix, target):
    series, lines = Series(target, matrix), Lines(target.name)
    for number, model in enumerate([*MODELS, *reversed(MODELS)]):
        path = tmp_path / f'model "{number}".onnx'
        path.write_bytes(model.SerializeToString())
        alone = check(read_facts(str(path)), target, matrix)
        facts = read_facts(str(path))
        assert series.check(facts) == alone
        verdict = judge("", target.name, alone)
        word, line = Lines(target.name).verdict(str(path), alone)
        assert (word, json.loads(line)) == (
            verdict.word,
            {"path": str(path), "verdict": verdict.word, "findings": plain(verdict.findings)},
        )
        assert lines.verdict(str(path), alone) == (word, line)


def test_files_of_any_name_share_what_is_said_and_each_is_called_by_its_own(tmp_path, matrix, target):
    from promote.adapters.model_file import read_facts as read

    series, lines, found = Series(target, matrix), Lines(target.name), []
    for name in ("one.onnx", "two.onnx"):
        (tmp_path / name).write_bytes(MODELS[0].SerializeToString())
        found.append(series.check(read(str(tmp_path / name), ANY_FILE)))
        _, line = lines.verdict(str(tmp_path / name), found[-1])
        alone = judge("", target.name, check(read_facts(str(tmp_path / name)), target, matrix))
        assert json.loads(line)["findings"] == plain(alone.findings)
    assert found[0] is found[1]
