"""Weights are cut along tensors, by order, names and sizes: never by values."""

import numpy as np
import onnx
import onnx_ir
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from promote.adapters.export.weights import cut, move_out
from promote.adapters.onnx_file import read_facts

MIB = 2**20
TENSORS = st.lists(
    st.tuples(st.sampled_from(["body.a", "body.b.c", "head.w", "val_1"]), st.integers(0, 40 * MIB)), max_size=40
).map(lambda pairs: [(f"{name}.{n}", size) for n, (name, size) in enumerate(pairs)])


def test_a_small_model_stays_one_file():
    assert cut([("a", MIB), ("b", 6 * MIB)]) == []


@given(TENSORS)
def test_every_large_tensor_is_in_one_file_in_its_order_and_small_ones_in_none(tensors):
    files = cut(tensors)
    sizes = dict(tensors)
    outside = [name for name, size in tensors if size > 16 * 1024]
    assert [name for file in files for name in file] == (outside if files else [])
    assert all(len(file) == 1 or sum(sizes[n] for n in file) <= 4 * MIB for file in files)
    assert all(len({name.partition(".")[0] for name in file}) == 1 for file in files)


def test_a_head_shares_no_file_with_the_body():
    assert cut([("body.1", 9 * MIB), ("body.2", MIB), ("head.w", MIB)]) == [["body.1"], ["body.2"], ["head.w"]]


def test_a_module_around_all_others_does_not_hide_the_head():
    wrapped = [("net.body.1.w", 9 * MIB), ("net.body.2.w", MIB), ("net.body.3.w", MIB), ("net.head.w", MIB)]
    assert cut(wrapped) == [["net.body.1.w"], ["net.body.2.w", "net.body.3.w"], ["net.head.w"]]
    assert cut([(f"net.{n}", MIB) for n in range(8)]) == [[f"net.{n}" for n in ns] for ns in (range(4), range(4, 8))]


def build(seed):
    """Three matrices of 4 MiB, a head and a bias; the head by the seed."""
    body, head = np.random.default_rng(1), np.random.default_rng(seed)
    tensors = [numpy_helper.from_array(body.random((1024, 1024), "f4"), f"body.{n}") for n in range(3)]
    tensors += [numpy_helper.from_array(head.random((1024, 16), "f4"), "head.weight")]
    tensors += [numpy_helper.from_array(head.random(16, "f4"), "head.bias")]
    nodes = [helper.make_node("MatMul", [f"x{n}" if n else "x", f"body.{n}"], [f"x{n + 1}"]) for n in range(3)]
    nodes += [helper.make_node("Gemm", ["x3", "head.weight", "head.bias"], ["y"])]
    ends = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 1024]),
            helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 16])]  # fmt: skip
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def write(folder, seed):
    folder.mkdir()
    proto = build(seed)
    model = onnx_ir.from_proto(proto)
    move_out(model, folder)
    onnx_ir.save(model, folder / "model.onnx")
    return proto, {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_only_the_head_is_new_and_the_model_answers_as_before(tmp_path):
    proto, first = write(tmp_path / "first", 2)
    assert sorted(first) == ["model.onnx", *(f"weights/000{n}.data" for n in range(1, 5))]
    assert write(tmp_path / "again", 2)[1] == first
    new = {path for path, data in write(tmp_path / "tuned", 3)[1].items() if first[path] != data}
    assert new == {"model.onnx", "weights/0004.data"}
    assert len(first["model.onnx"]) < 4096
    facts = read_facts(str(tmp_path / "first/model.onnx"))
    assert facts.flaws.value == ()
    assert [(f.location, f.fault, f.size == f.needed) for f in facts.external.value] == [
        (f"weights/000{n}.data", "", True) for n in range(1, 5)
    ]
    x = {"x": np.ones((2, 1024), "f4")}
    whole = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, x)
    cut_up = onnxruntime.InferenceSession(tmp_path / "first/model.onnx", providers=["CPUExecutionProvider"]).run(
        None, x
    )
    assert np.array_equal(whole[0], cut_up[0])


def test_each_tensor_begins_on_a_page_and_the_files_hold_nothing_else(tmp_path):
    names = [f"body.{n}" for n in range(100)]
    tensors = [onnx_ir.tensor(np.full((100, 300), n, "f4"), name=name) for n, name in enumerate(names)]  # 120,000 bytes
    values = [onnx_ir.Value(name=name, const_value=tensor) for name, tensor in zip(names, tensors, strict=True)]
    graph = onnx_ir.Graph((), (), nodes=(), initializers=values, opset_imports={"": 17})
    model = onnx_ir.Model(graph, ir_version=8)
    move_out(model, tmp_path)
    told = [{e.key: e.value for e in t.external_data} for t in onnx_ir.to_proto(model).graph.initializer]
    assert len({entry["location"] for entry in told}) == 3
    assert all(int(entry["offset"]) % 4096 == 0 for entry in told)
    files = {location: (tmp_path / location).read_bytes() for location in {entry["location"] for entry in told}}
    for n, entry in enumerate(told):
        start, length = int(entry["offset"]), int(entry["length"])
        assert files[entry["location"]][start : start + length] == np.full(30_000, n, "f4").tobytes()
    assert all(len(data) <= 4 * MIB + 100 * 4096 for data in files.values())


def test_a_disk_that_refuses_is_told_as_it_is(tmp_path):
    (tmp_path / "weights").write_text("in the way")
    with pytest.raises(FileExistsError):
        move_out(onnx_ir.from_proto(build(2)), tmp_path)


def test_the_file_is_whole_onnx(tmp_path):
    write(tmp_path / "first", 2)
    onnx.checker.check_model(str(tmp_path / "first/model.onnx"))
