"""The rule about operators: kernels, signatures, functions and settings, both ways; and the walk that finds the uses."""

import dataclasses

import pytest
from onnx import TensorProto, helper

from promote.adapters.onnx_nodes import node_uses
from promote.core.facts import Fact, ModelFacts, NodeUse
from promote.core.kernels import KernelTable
from promote.core.matrix import bare_runtime
from promote.core.rules.engine import check
from promote.errors import InputError
from promote.wiring import shipped
from tests.unit.test_matrix import MATRIX as BARE

MATRIX = dataclasses.replace(BARE, kernels=KernelTable(shipped("operator_kernels.json.gz").read_bytes()))
F, H, D, I64, B16 = "tensor(float)", "tensor(float16)", "tensor(double)", "tensor(int64)", "tensor(bfloat16)"


def said(node, release="1.24.4"):
    facts = ModelFacts(format=Fact("onnx", "test"), nodes=Fact(frozenset({node}), "test"))
    target = bare_runtime(MATRIX, f"onnxruntime={release}")
    found = [f for f in check(facts, target, MATRIX) if f.rule == "operators"]
    return found[0].outcome.value if found else None, found[0].has if found else ""


@pytest.mark.parametrize(
    ("node", "release", "outcome", "told"),
    [
        (NodeUse("", "Relu", 14, (F,), (F,)), "1.24.4", "ok", ""),
        (NodeUse("", "Relu", 14, (H,), (H,)), "1.24.4", "ok", ""),  # computed in float32 with casts
        (NodeUse("", "Less", 13, (B16, B16), ("tensor(bool)",)), "1.24.4", "broken", "no implementation for"),
        (NodeUse("", "Relu", 14, (None,), (None,)), "1.24.4", "ok", ""),
        (NodeUse("", "NoSuchThing", 14, (F,), (F,)), "1.24.4", "broken", "has no such operator"),
        (NodeUse("", "Relu", 14, ("tensor(string)",), ("tensor(string)",)), "1.24.4", "broken", "does not take"),
        (NodeUse("", "Add", 14, (F, D), (F,)), "1.24.4", "broken", "for one type variable"),
        (NodeUse("", "Add", 14, (F,), (F,)), "1.24.4", "broken", "1 inputs and 1 outputs"),
        (NodeUse("", "Relu", 14, (F,), (F,), (("slope", 1),)), "1.24.4", "broken", "attribute 'slope'"),
        (NodeUse("", "Cast", 19, (F,), (F,)), "1.24.4", "broken", "attribute 'to' is missing"),
        (NodeUse("", "RoiAlign", 22, (F, F, I64), (F,)), "1.24.4", "broken", "no implementation for"),
        (NodeUse("", "RoiAlign", 16, (F, F, I64), (F,)), "1.24.4", "ok", ""),  # an open kernel serves its own version
        (NodeUse("", "Upsample", 10, (F, F), (F,)), "1.24.4", "broken", "deprecated since opset 10"),
        (NodeUse("", "GRU", 22, (F, F, F), (F,), (("hidden_size", 4), ("layout", 1))), "1.24.4", "broken", "layout 1"),
        (NodeUse("", "GRU", 22, (F, F, F), (F,), (("hidden_size", 4), ("layout", 0))), "1.24.4", "ok", ""),
        (NodeUse("", "DFT", 17, (F,), (F,), (("inverse", 1), ("onesided", 1))), "1.24.4", "broken", "onesided and inverse"),
        (NodeUse("", "DFT", 17, (F,), (F,), (("inverse", 1), ("onesided", 1))), "1.25.1", "ok", ""),
        (NodeUse("com.microsoft", "Gelu", 1, (F,), (F,)), "1.24.4", "ok", ""),
        (NodeUse("com.microsoft", "GeluOfTomorrow", 1, (F,), (F,)), "1.24.4", "broken", "has no such operator"),
    ],
)  # fmt: skip
def test_what_a_release_says_of_a_node(node, release, outcome, told):
    words, has = said(node, release)
    assert words == outcome
    assert told in has


@pytest.mark.parametrize(
    ("settings", "release", "outcome"),
    [
        ({"is_case_sensitive": 1}, "1.17.3", "broken"),
        ({"is_case_sensitive": 1}, "1.24.4", "ok"),
        ({"is_case_sensitive": 1, "case_change_action": "UPPER"}, "1.24.4", "ok"),
        ({"is_case_sensitive": 1, "case_change_action": "UPPER"}, "1.28.0", "broken"),
        ({}, "1.24.4", "broken"),
        ({"locale": "C"}, "1.24.4", "ok"),
    ],
)
def test_a_locale_that_containers_do_not_have(settings, release, outcome):
    text = "tensor(string)"
    assert (
        said(NodeUse("", "StringNormalizer", 10, (text,), (text,), tuple(sorted(settings.items()))), release)[0]
        == outcome
    )


def test_a_function_counts_by_what_it_expands_to_where_it_has_no_kernel():
    inner = NodeUse("", "Relu", 14, (F,), (F,))
    assert said(NodeUse("", "Mish", 18, (D,), (D,), (), (inner,)))[0] == "ok"
    bad = NodeUse("", "Less", 13, (B16, B16), ("tensor(bool)",))
    words, has = said(NodeUse("", "Mish", 18, (D,), (D,), (), (inner, bad)))
    assert words == "broken"
    assert "expands to Less" in has


def test_a_release_that_the_table_does_not_have_is_not_judged():
    assert said(NodeUse("", "NoSuchThing", 14), "1.99.0")[0] is None


def test_a_damaged_table_is_bad_input():
    with pytest.raises(InputError, match="damaged"):
        KernelTable(b"no gzip").release("1.24.4")


def graph(nodes, inputs, outputs, **more):
    values = [[helper.make_tensor_value_info(n, t, None) for n, t in part] for part in (inputs, outputs)]
    return helper.make_graph(nodes, "g", *values, **more)


def model(nodes, inputs=(("x", TensorProto.FLOAT),), outputs=(("y", TensorProto.FLOAT),), opset=17, **more):
    return helper.make_model(
        graph(nodes, inputs, outputs), opset_imports=[helper.make_opsetid("", opset)], ir_version=8, **more
    )


def uses(made):
    return {(u.name, u.inputs, u.outputs) for u in node_uses(made)[0]}


def test_types_follow_signatures_attributes_and_subgraphs():
    then, other = (
        graph([helper.make_node("Cast", ["h"], [f"o{n}"], to=TensorProto.DOUBLE)], (), ((f"o{n}", TensorProto.DOUBLE),))
        for n in (1, 2)
    )
    made = model(
        [
            helper.make_node("Cast", ["x"], ["h"], to=TensorProto.FLOAT16),
            helper.make_node("Shape", ["h"], ["s"]),
            helper.make_node(
                "ConstantOfShape", ["s"], ["z"], value=helper.make_tensor("v", TensorProto.BOOL, [1], [1])
            ),
            helper.make_node("ReduceMax", ["h"], ["m"], keepdims=0),
            helper.make_node("If", ["z"], ["y"], then_branch=then, else_branch=other),
        ],
        outputs=(("y", TensorProto.DOUBLE),),
    )
    assert uses(made) == {
        ("Cast", (F,), (H,)),
        ("Shape", (H,), (I64,)),
        ("ConstantOfShape", (I64,), ("tensor(bool)",)),
        ("ReduceMax", (H,), (H,)),
        ("If", ("tensor(bool)",), (D,)),
        ("Cast", (H,), (D,)),
    }


def test_a_models_own_function_is_unfolded_with_the_types_of_its_call():
    body = [helper.make_node("Mul", ["a", "a"], ["b"]), helper.make_node("Relu", ["b"], ["c"])]
    square = helper.make_function("my", "Square", ["a"], ["c"], body, [helper.make_opsetid("", 17)])
    made = model([helper.make_node("Square", ["x"], ["y"], domain="my")], functions=[square])
    made.opset_import.append(helper.make_opsetid("my", 1))
    assert uses(made) == {("Mul", (F, F), (F,)), ("Relu", (F,), (F,))}


def chain(length):
    """Functions that each call the next one twice; the last is a Relu."""
    own = [helper.make_opsetid("", 17), helper.make_opsetid("my", 1)]
    functions = []
    for n in range(length):
        calls = [helper.make_node(f"F{n + 1}", [a], [b], domain="my") for a, b in (("a", "b"), ("b", "c"))]
        body = calls if n < length - 1 else [helper.make_node("Relu", ["a"], ["c"])]
        functions.append(helper.make_function("my", f"F{n}", ["a"], ["c"], body, own))
    return model([helper.make_node("F0", ["x"], ["y"], domain="my")], functions=functions)


def test_functions_that_call_each_other_twice_end_soon():
    assert node_uses(chain(36))[0] == frozenset({NodeUse("", "Relu", 17, (F,), (F,))})


def test_what_nests_too_deeply_has_operators_that_are_not_known():
    assert node_uses(chain(50))[0] is None


H1 = (H,)


@pytest.mark.parametrize(
    ("node", "release", "outcome", "told"),
    [
        (NodeUse("", "Relu", 14, (F, ""), (F,)), "1.24.4", "broken", "2 inputs"),
        (NodeUse("", "Clip", 13, (F, "", F), (F,)), "1.24.4", "ok", ""),
        (NodeUse("", "Add", 14, ("", F), (F,)), "1.24.4", "broken", "no A"),
        (NodeUse("", "Max", 13, ("", F), (F,)), "1.24.4", "broken", "no data_0"),
        (NodeUse("", "Softmax", 13, (F,), (F,), (("axis", "x"),)), "1.24.4", "broken", "another type"),
        (NodeUse("", "Softmax", 13, (F,), (F,), (("axis", 1),)), "1.24.4", "ok", ""),
        (NodeUse("", "GRU", 14, (F, F, F), (F,), (("hidden_size", 0),)), "1.24.4", "broken", "hidden_size"),
        (NodeUse("", "Resize", 19, (F,), (F,)), "1.24.4", "broken", "neither sizes nor scales"),
        (NodeUse("", "Resize", 19, (F, "", F), (F,)), "1.24.4", "ok", ""),
        (NodeUse("", "Split", 18, (F,), (F, F)), "1.24.4", "broken", "num_outputs"),
        (NodeUse("", "Split", 18, (F,), (F, F), (("num_outputs", 2),)), "1.24.4", "ok", ""),
        (NodeUse("", "Split", 13, (F,), (F, F)), "1.24.4", "ok", ""),
    ],
)
def test_what_a_signature_and_a_constructor_ask_for(node, release, outcome, told):
    words, has = said(node, release)
    assert words == outcome
    assert told in has


@pytest.mark.parametrize(("release", "outcome"), [("1.16.3", "broken"), ("1.17.3", "ok"), ("1.30.0", "ok")])
def test_a_softmax_in_float16_unfolds_as_its_release_does_it(release, outcome):
    (node,) = node_uses(halves(helper.make_node("Softmax", ["x"], ["y"]), opset=18))[0]
    assert said(node, release)[0] == outcome


@pytest.mark.parametrize(("opset", "outcome"), [(24, "ok"), (25, "broken")])
def test_a_definition_counts_only_where_the_operators_in_it_have_not_changed(opset, outcome):
    (node,) = node_uses(model([helper.make_node("Swish", ["x"], ["y"])], opset=opset))[0]
    assert said(node, "1.32.0")[0] == outcome


def halves(*nodes, opset=17):
    half = TensorProto.FLOAT16
    return model(list(nodes), inputs=(("x", half),), outputs=(("y", half),), opset=opset)


@pytest.mark.parametrize(
    ("made", "release", "outcome"),
    [
        (["Sin", "Cast", "Sin"], "1.24.4", "broken"),
        (["Sin", "Cast", "Sin"], "1.31.1", "ok"),
        (["Sin", "Cast"], "1.24.4", "ok"),
        (["Cast", "Sin"], "1.24.4", "ok"),
    ],
)
def test_a_cast_from_float16_to_float16_between_nodes_that_have_no_kernel_for_it(made, release, outcome):
    names = ["x", *"abc"[: len(made) - 1], "y"]
    nodes = [
        helper.make_node(name, [names[n]], [names[n + 1]], **({"to": TensorProto.FLOAT16} if name == "Cast" else {}))
        for n, name in enumerate(made)
    ]
    words = [said(use, release)[0] for use in node_uses(halves(*nodes))[0]]
    assert ("broken" in words) == (outcome == "broken")


RELU, ABS = (helper.make_node("Relu", ["h"], ["y"]), helper.make_node("Abs", ["x"], ["h"]))
HELD = helper.make_tensor("h", TensorProto.FLOAT, [1], [1.0])


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (model([ABS, RELU]), ""),
        (model([RELU, ABS]), ""),  # the model's own graph need not be sorted
        (model([RELU]), "nothing makes 'h'"),
        (model([helper.make_node("Add", ["x", "y"], ["y"])]), "in a circle"),
        (model([ABS, ABS, RELU]), "'h' is made twice"),
        (model([helper.make_node("Abs", ["x"], ["h"], name="n"), helper.make_node("Relu", ["h"], ["y"], name="n")]),
         "two nodes are named 'n'"),
        (model([ABS, RELU], inputs=(("x", 1), ("x", 1))), "two inputs are named 'x'"),
        (model([ABS, RELU], outputs=(("y", 1), ("z", 1))), "nothing makes the output 'z'"),
        (model([ABS, RELU], outputs=(("y", 11),)), "Relu makes tensor(float), and 'y' is declared tensor(double)"),
        (model([helper.make_node("Constant", [], ["y"])]), "a Constant has no value"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_graph_itself(made, told):
    _, flaws = node_uses(made)
    assert flaws == () if not told else told in flaws[0]


@pytest.mark.parametrize(
    ("shape", "kind", "told"), [([1], 1, ""), ([2], 1, "another shape"), ([1], 11, "is float, declared double")]
)
def test_an_input_that_has_a_default_is_declared_as_it_is(shape, kind, told):
    made = model([RELU])
    made.graph.initializer.append(HELD)
    made.graph.input.append(helper.make_tensor_value_info("h", kind, shape))
    flaws = [flaw for flaw in node_uses(made)[1] if "initializer" in flaw]
    assert bool(flaws) == bool(told)
    assert told in "".join(flaws)


def branches(inner, count=1):
    then, other = (graph([inner[n]], (), ((inner[n].output[0], 1),)) for n in (0, 1))
    outputs = ["y", "z"][:count]
    made = model([helper.make_node("If", ["b"], outputs, then_branch=then, else_branch=other)])
    made.graph.input.append(helper.make_tensor_value_info("b", TensorProto.BOOL, []))
    return made


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (branches([helper.make_node("Abs", ["x"], ["t"]), helper.make_node("Neg", ["x"], ["t"])]), ""),
        (branches([helper.make_node("Abs", ["q"], ["t"]), helper.make_node("Neg", ["x"], ["e"])]), "nothing makes 'q'"),
        (branches([helper.make_node("Abs", ["x"], ["t"]), helper.make_node("Neg", ["x"], ["e"])], 2), "has 2 outputs"),
    ],
)
def test_what_is_wrong_with_a_subgraph(made, told):
    flaws = node_uses(made)[1]
    assert flaws == () if not told else told in flaws[0]


def found(facts, release):
    target = bare_runtime(MATRIX, f"onnxruntime={release}")
    return [f for f in check(facts, target, MATRIX) if f.rule in ("operators", "onnx-graph")]


@pytest.mark.parametrize(
    ("domain", "opset", "broken"),
    [
        ("com.microsoft", 1, False),
        ("com.microsoft", 2, True),
        ("ai.onnx.training", 2, True),
        ("foo", 99, False),
    ],
)
def test_an_opset_of_the_runtimes_own_domains_that_it_does_not_have(domain, opset, broken):
    facts = ModelFacts(format=Fact("onnx", "t"), nodes=Fact(frozenset(), "t"), opsets=Fact({domain: opset}, "t"))
    assert any(f.outcome.value == "broken" for f in found(facts, "1.24.4")) == broken


@pytest.mark.parametrize(
    ("dtype", "release", "broken"),
    [("FLOAT4E2M1", "1.22.1", True), ("FLOAT4E2M1", "1.24.4", False), ("FLOAT", "1.16.3", False)],
)
def test_an_element_type_that_the_release_does_not_have(dtype, release, broken):
    facts = ModelFacts(format=Fact("onnx", "t"), nodes=Fact(frozenset(), "t"), dtypes=Fact(frozenset({dtype}), "t"))
    assert any(f.outcome.value == "broken" for f in found(facts, release)) == broken


def test_flaws_of_a_graph_are_findings():
    facts = ModelFacts(format=Fact("onnx", "t"), nodes=Fact(frozenset(), "t"), flaws=Fact(("a circle",), "t"))
    assert [f.outcome.value for f in found(facts, "1.24.4") if f.rule == "onnx-graph"] == ["broken"]
