"""Where operators run on a host with a GPU: by CUDA kernels, both ways, and what is left to the CPU on purpose."""

import dataclasses

import pytest
from onnx import TensorProto, helper

from promote.adapters.onnx_file import read_facts
from promote.core.facts import Fact, HostFacts, ModelFacts, NodeUse, Target
from promote.core.placement import TABLE, CudaTable, Place
from promote.core.rules.engine import check
from promote.core.serving import Template, build_config
from promote.errors import InputError
from promote.wiring.data import shipped
from tests.unit.test_operators import MATRIX as CPU_ONLY

MATRIX = dataclasses.replace(CPU_ONLY, cuda=CudaTable(shipped(TABLE).read_bytes()))
F, I64, TEXT = "tensor(float)", "tensor(int64)", "tensor(string)"
RELU = NodeUse("", "Relu", 14, (F,), (F,))
DET = NodeUse("", "Det", 11, (F,), (F,))
UNIQUE = NodeUse("", "Unique", 11, (I64,), (I64,))


def gpu(release="1.24.4", device="gpu"):
    facts = {"device": device, "onnxruntime": release}
    return Target(name="t", host=HostFacts(**{name: Fact(value, "test") for name, value in facts.items()}))


def said(*nodes, target=None, tally=None, matrix=MATRIX, **more):
    facts = ModelFacts(
        format=Fact("onnx", "test"), nodes=Fact(frozenset(nodes), "test"), tally=Fact(tally, "test") if tally else None
    )
    return [f for f in check(facts, target or gpu(), matrix, **more) if f.rule == "operators-placement"]


@pytest.mark.parametrize(
    ("node", "release", "outcome"),
    [
        (RELU, "1.24.4", "ok"),
        (DET, "1.24.4", "degraded"),
        (NodeUse("", "GridSample", 16, (F, F), (F,)), "1.16.3", "degraded"),
        (NodeUse("", "GridSample", 16, (F, F), (F,)), "1.24.4", "ok"),
        (NodeUse("", "RoiAlign", 16, (F, F, I64), (F,)), "1.24.4", "degraded"),
        (NodeUse("", "RoiAlign", 16, (F, F, I64), (F,)), "1.31.1", "ok"),
        (NodeUse("", "Reshape", 21, (F, I64), (F,)), "1.20.1", "degraded"),  # the newest kernel is for opset 19
        (NodeUse("", "Reshape", 19, (F, I64), (F,)), "1.20.1", "ok"),
        (NodeUse("", "Identity", 16, (TEXT,), (TEXT,)), "1.24.4", "degraded"),
        (NodeUse("", "Identity", 16, (F,), (F,)), "1.24.4", "ok"),
        (NodeUse("", "Det", 11, (None,), (None,)), "1.24.4", "degraded"),  # whatever the type
        (NodeUse("", "Identity", 16, (None,), (None,)), "1.24.4", "ok"),  # it depends, so nothing is said
    ],
)  # fmt: skip
def test_what_has_a_cuda_kernel_runs_on_the_gpu(node, release, outcome):
    found = said(node, target=gpu(release))
    assert [f.outcome.value for f in found] == [outcome]
    if outcome == "degraded":
        assert f"{node.name} of opset {node.version} for " in found[0].has
        assert found[0].remedy


def test_it_says_how_many_nodes_and_whose_list_it_is():
    found = said(DET, RELU, tally={":Det": (3, 0), ":Relu": (9, 0)})[0]
    assert found.has == "Det of opset 11 for tensor(float), 3 nodes"
    assert (found.row, found.confidence) == ("onnxruntime 1.24.4 of cuda_kernels.json.gz", "high")
    other = said(RELU, target=gpu("1.20.1"))[0]
    assert "onnxruntime-gpu 1.20.2" in other.source
    assert other.confidence == "medium"  # of another patch release


def test_shape_computations_are_left_to_the_cpu_on_purpose_and_not_reported():
    assert said(UNIQUE, tally={":Unique": (2, 2)})[0].outcome.value == "ok"
    assert said(UNIQUE, tally={":Unique": (2, 1)})[0].has.endswith("1 node")
    assert said(UNIQUE)[0].outcome.value == "degraded"
    assert said(DET, tally={":Det": (1, 1)})[0].outcome.value == "degraded"  # floats are no shapes


def test_a_function_without_a_kernel_is_expanded_and_what_it_expands_to_is_placed():
    block = NodeUse("my", "Block", 1, (F,), (F,), (), (RELU,))
    assert "expanded: Block" in said(block)[0].has
    assert said(block)[0].outcome.value == "ok"
    found = said(dataclasses.replace(block, body=(RELU, DET)))[0]
    assert "Det of opset 11, which Block expands to" in found.has
    assert found.outcome.value == "degraded"


def test_a_function_that_the_cpu_implements_is_not_expanded():
    celu = NodeUse("", "Celu", 12, (F,), (F,), (), (RELU,))
    kernels = MATRIX.cuda.release("1.24.4")
    assert kernels.place(celu, MATRIX.kernels.release("1.24.4")) is Place.CPU


def test_it_is_asked_of_models_on_a_gpu_only():
    assert said(DET, target=gpu(device="cpu")) == []
    made = build_config(Template(), gpu(), "m", 1, (), ())
    assert said(DET, config=made)[0].outcome.value == "degraded"
    made.instance_group[0].kind = made.instance_group[0].KIND_CPU
    assert said(DET, config=made) == []
    assert said(DET, matrix=CPU_ONLY) == []


def test_a_release_that_the_table_does_not_have_is_not_judged():
    assert said(DET, target=gpu("1.32.0")) == []
    assert said(DET, target=gpu("1.99.0")) == []


def test_a_damaged_table_is_bad_input():
    with pytest.raises(InputError, match="damaged"):
        CudaTable(b"no gzip").release("1.24.4")


def test_of_a_file_nodes_that_follow_from_shapes_alone_are_told_from_others(tmp_path):
    """Mod of a shape is the CPU's business; Mod of ids that were asked about is not."""
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Gather", ["s", "zero"], ["n"]),
        helper.make_node("Mod", ["n", "two"], ["m"]),
        helper.make_node("Mod", ["x", "two"], ["y"]),
        helper.make_node("ConstantOfShape", ["s"], ["z"]),
        helper.make_node("Relu", ["z"], ["w"]),
        helper.make_node("Constant", [], ["c"], value_int=3),
        helper.make_node("Add", ["c", "two"], ["d"]),
    ]
    values = [helper.make_tensor_value_info(n, TensorProto.INT64, ["batch"]) for n in ("x", "y")]
    constants = [helper.make_tensor(n, TensorProto.INT64, [1], [v]) for n, v in (("zero", 0), ("two", 2))]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:], initializer=constants)
    path = tmp_path / "m.onnx"
    path.write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]).SerializeToString())
    assert read_facts(str(path)).tally.value == {
        ":Shape": (1, 1),
        ":Gather": (1, 1),
        ":Mod": (2, 1),
        ":ConstantOfShape": (1, 0),  # CUDA's kernel takes the shape from the CPU and fills on the GPU
        ":Relu": (1, 0),
        ":Constant": (1, 1),
        ":Add": (1, 1),  # folded
    }


BF16 = "tensor(bfloat16)"


@pytest.mark.parametrize(
    ("node", "device", "outcome"),
    [
        (NodeUse("", "MatMul", 13, (BF16, BF16), (BF16,)), "gpu", "ok"),
        (NodeUse("", "MatMul", 13, (BF16, BF16), (BF16,)), "cpu", "broken"),  # no CPU kernel, and none to fall back to
        (NodeUse("", "Det", 11, (BF16,), (BF16,)), "gpu", "broken"),  # nobody has one
        (DET, "gpu", "ok"),  # left to the CPU, which has it
    ],
)
def test_a_gpu_loads_what_only_its_own_provider_implements(node, device, outcome):
    facts = ModelFacts(format=Fact("onnx", "test"), nodes=Fact(frozenset([node]), "test"))
    assert [f.outcome.value for f in check(facts, gpu(device=device), MATRIX) if f.rule == "operators"] == [outcome]


def test_a_model_that_is_kept_to_the_cpu_gets_no_kernel_of_the_gpu():
    node = NodeUse("", "MatMul", 13, (BF16, BF16), (BF16,))
    facts = ModelFacts(format=Fact("onnx", "test"), nodes=Fact(frozenset([node]), "test"))
    made = build_config(Template(), gpu(), "m", 1, (), ())
    for kind, outcome in (("KIND_GPU", "ok"), ("KIND_CPU", "broken")):
        made.instance_group[0].kind = getattr(made.instance_group[0], kind)
        found = [f for f in check(facts, gpu(), MATRIX, config=made) if f.rule == "operators"]
        assert [f.outcome.value for f in found] == [outcome]
