"""A tensor holds just the values its shape and type ask for; what ONNX Runtime said of each was measured (1.16.3 to 1.32.0)."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from promote.adapters.onnx_file import read_facts
from promote.core.matrix import bare_runtime
from promote.core.rules.engine import check
from tests.unit.test_matrix import MATRIX


def tensor(dtype=TensorProto.FLOAT, dims=(2, 2), **values):
    made = TensorProto(name="w", data_type=dtype, dims=dims)
    for field, value in values.items():
        setattr(made, field, value) if field == "raw_data" else getattr(made, field).extend(value)
    return made


def outside(dims=(2, 2), more=(), **entries):
    made = tensor(dims=dims)
    made.data_location = TensorProto.EXTERNAL
    for key, value in [*{"location": "w.bin", **entries}.items(), *more]:
        made.external_data.add(key=key, value=value)
    return made


def flaws(folder, weight, *, read=True, constant=False):
    ends = [helper.make_tensor_value_info(name, weight.data_type, None) for name in "xy"]
    nodes = [helper.make_node("Add", ["x", "w"], ["y"]) if read else helper.make_node("Identity", ["x"], ["y"])]
    if constant:
        nodes.insert(0, helper.make_node("Constant", [], ["w"], value=weight))
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], [] if constant else [weight])
    path = folder / "model.onnx"
    (folder / "w.bin").write_bytes(bytes(64))
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return read_facts(str(path)).flaws.value


WHOLE = {
    "raw": tensor(raw_data=bytes(16)),
    "floats": tensor(float_data=[0] * 4),
    "halves": tensor(TensorProto.FLOAT16, int32_data=[0] * 4),
    "texts": tensor(TensorProto.STRING, string_data=[b"a"] * 4),
    "four bits": tensor(TensorProto.INT4, dims=(3,), raw_data=bytes(2)),
    "raw and floats": tensor(raw_data=bytes(16), float_data=[0] * 4),
    "a scalar": tensor(dims=(), float_data=[1]),
    "nothing": tensor(dims=(0,)),
    "outside": outside(offset="0", length="16"),
    "outside without a length": outside(),
    "outside with a check sum": outside(offset="0", length="16", checksum="00"),
}
WRONG = {
    "raw, short": (tensor(raw_data=bytes(12)), "holds 12 bytes, its shape and type ask for 16"),
    "raw, long": (tensor(raw_data=bytes(20)), "holds 20 bytes"),
    "raw, empty": (tensor(raw_data=b""), "holds 0 bytes"),
    "floats, short": (tensor(float_data=[0] * 3), "holds 3 values, its shape asks for 4"),
    "floats, long": (tensor(float_data=[0] * 5), "holds 5 values"),
    "halves where floats belong": (tensor(TensorProto.FLOAT16, float_data=[0] * 4), "holds 0 values"),
    "floats where doubles belong": (tensor(double_data=[0] * 4), "holds 0 values"),
    "whole numbers, short": (tensor(TensorProto.INT64, int64_data=[0] * 3), "holds 3 values"),
    "outside, short": (outside(offset="0", length="12"), "lies in 12 bytes of external data"),
    "outside, long": (outside(offset="0", length="20"), "lies in 20 bytes of external data"),
    "outside, a foreign key": (outside(offset="0", length="16", color="red"), "with the key 'color'"),
    "outside, an empty offset": (outside(offset=""), "with an empty offset"),
    "outside, an empty check sum": (outside(offset="0", length="16", checksum=""), "with an empty checksum"),
}


@pytest.mark.parametrize("weight", WHOLE.values(), ids=WHOLE)
def test_what_the_shape_asks_for_is_no_flaw(tmp_path, weight):
    assert flaws(tmp_path, weight) == ()


@pytest.mark.parametrize(("weight", "told"), WRONG.values(), ids=WRONG)
def test_more_or_less_is_a_flaw(tmp_path, weight, told):
    (flaw,) = flaws(tmp_path, weight)
    assert flaw.startswith("the tensor 'w' ")
    assert told in flaw


def test_a_constant_counts_and_a_tensor_that_nothing_reads_does_not(tmp_path):
    assert flaws(tmp_path, tensor(raw_data=bytes(12)), constant=True)
    assert flaws(tmp_path, tensor(raw_data=bytes(12)), read=False) == ()


@pytest.mark.parametrize(
    ("extra", "told"), [(0, ()), (-4, ("holds 1,199,996 bytes",)), (4, ("holds 1,200,004 bytes",))]
)
def test_a_large_file_tells_it_without_its_weights(tmp_path, extra, told):
    found = flaws(tmp_path, tensor(dims=(300_000,), raw_data=bytes(1_200_000 + extra)))
    assert len(found) == len(told)
    assert all(word in flaw for word, flaw in zip(told, found, strict=True))


def test_numbers_of_a_large_file_that_are_not_raw_are_not_counted(tmp_path):
    assert flaws(tmp_path, tensor(dims=(300_000,), float_data=np.zeros(300_000, "f4"))) == ()


@pytest.mark.parametrize(
    ("more", "refused"),
    [
        ((), set()),
        ((("prepacked_1", "k|0;16;0"),), {"1.16.3", "1.20.1"}),
        ((("location", "w.bin"),), {"1.30.0", "1.32.0"}),
        ((("offset", "0"),), set()),
    ],
    ids=["plain", "packed before", "two locations", "two offsets"],
)
def test_entries_that_only_some_releases_take(tmp_path, more, refused):
    flaws(tmp_path, outside(offset="0", length="16", more=more))
    facts = read_facts(str(tmp_path / "model.onnx"))
    said = {
        release: next(
            f for f in check(facts, bare_runtime(MATRIX, f"onnxruntime={release}"), MATRIX) if f.rule == "external-data"
        )
        for release in ("1.16.3", "1.20.1", "1.21.1", "1.29.0", "1.30.0", "1.32.0")
    }
    assert facts.flaws.value == ()
    assert {release for release, finding in said.items() if finding.outcome.value == "broken"} == refused
