"""What a constructor refuses and its twin that it takes, by release; what ONNX Runtime did with each was measured."""

import dataclasses

import onnxruntime
import pytest
from onnx import TensorProto, helper

from promote.adapters.onnx_file import read_facts
from promote.adapters.onnx_nodes import node_uses
from promote.core.facts import NodeUse
from tests.unit.test_operators import model, said

X, FLOATS = (("x", TensorProto.FLOAT),), TensorProto.FLOAT
TREE = {
    "nodes_treeids": [0, 0, 0], "nodes_nodeids": [0, 1, 2], "nodes_featureids": [0, 0, 0], "nodes_values": [0.5, 0.0, 0.0],
    "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"], "nodes_truenodeids": [1, 0, 0], "nodes_falsenodeids": [2, 0, 0],
}  # fmt: skip
REGRESSOR = TREE | {
    "n_targets": 1, "target_treeids": [0, 0], "target_nodeids": [1, 2], "target_ids": [0, 0], "target_weights": [1.0, 2.0],
}  # fmt: skip
CLASSIFIER = TREE | {
    "classlabels_int64s": [0, 1], "class_treeids": [0, 0], "class_nodeids": [1, 2], "class_ids": [0, 0],
    "class_weights": [1.0, 2.0],
}  # fmt: skip
SVM = {"coefficients": [0.1], "rho": [0.1], "kernel_params": [0.1, 0.1, 3.0], "kernel_type": "RBF", "n_supports": 0}
WINDOW = {"kernel_shape": [3, 3], "strides": [1, 1], "dilations": [1, 1], "pads": [0, 0, 0, 0]}
POOL = {"kernel_shape": [3, 3], "strides": [1, 1], "pads": [0, 0, 0, 0]}
BITS = {"K": 32, "N": 4, "block_size": 32}
ONE, TWO, THREE = ("x",), ("x", "x"), ("x", "x", "x")


def outcome(operator, release, inputs=ONE, outputs=("y",), domain="", opset=17, kinds=None, **settings):
    """What is said of a model of this one node."""
    node = helper.make_node(
        operator, inputs, outputs, domain=domain, **{k: v for k, v in settings.items() if v is not None}
    )
    kinds = kinds or [FLOATS] * len(outputs)
    made = model([node], outputs=tuple(zip(outputs, kinds, strict=True)), opset=opset)
    if domain:
        made.opset_import.append(helper.make_opsetid(domain, 3 if domain == "ai.onnx.ml" else 1))
    (use,) = node_uses(made)[0]
    return said(use, release)


def ml(operator, release, **settings):
    classifies = operator.endswith("Classifier")
    outputs, kinds = (("y", "z"), [TensorProto.INT64, FLOATS]) if classifies else (("y",), None)
    return outcome(operator, release, outputs=outputs, kinds=kinds, domain="ai.onnx.ml", **settings)


@pytest.mark.parametrize(
    ("release", "taken"),
    [("1.16.3", {2, 3, 4, 8}), ("1.17.3", {4}), ("1.21.1", {4}), ("1.22.1", {4, 8}), ("1.23.2", {4, 8}),
     ("1.24.4", {2, 4, 8}), ("1.32.0", {2, 4, 8})],
)  # fmt: skip
def test_weights_of_few_bits_by_release(release, taken):
    assert {bits for bits in (2, 3, 4, 8) if few_bits(release, bits=bits) == "ok"} == taken


@pytest.mark.parametrize(("release", "words"), [("1.26.0", "ok"), ("1.27.0", "broken")])
def test_blocks_of_weights_by_release(release, words):
    assert few_bits(release, bits=4, block_size=48) == words
    assert few_bits(release, bits=4, block_size=64) == "ok"


def few_bits(release, **settings):
    node = helper.make_node("MatMulNBits", ["x", "b", "x"], ["y"], domain="com.microsoft", **(BITS | settings))
    made = model([node], inputs=(*X, ("b", TensorProto.UINT8)))
    made.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    (use,) = node_uses(made)[0]
    return said(use, release)[0]


@pytest.mark.parametrize(
    ("wrong", "twin", "release", "told"),
    [
        # convolutions and pools
        (("Conv", {"strides": [1, 1, 1]}), ("Conv", {}), "1.24.4", "of different rank"),
        (("Conv", {"pads": [0] * 5}), ("Conv", {}), "1.24.4", "of different rank"),
        (("Conv", {"kernel_shape": [3]}), ("Conv", {}), "1.24.4", "of different rank"),
        (("Conv", {"auto_pad": "x", "pads": None}), ("Conv", {"auto_pad": "", "pads": None}), "1.24.4", "auto_pad 'x'"),
        (("Conv", {"auto_pad": "VALID"}), ("Conv", {"auto_pad": "NOTSET"}), "1.24.4", "together with pads"),
        (("Conv", {"strides": [0, 1]}), ("Conv", {"dilations": [0, 1]}), "1.24.4", "strides [0, 1]"),
        (("Conv", {"dilations": [0, 1]}), ("Conv", {}), "1.26.0", "dilations [0, 1]"),
        (("ConvTranspose", {"pads": [0] * 5}), ("ConvTranspose", {"strides": [1] * 3}), "1.27.0", "odd number"),
        (("ConvTranspose", {"strides": [1] * 3}), ("ConvTranspose", {}), "1.28.0", "of different rank"),
        (("MaxPool", {"strides": [1] * 3}), ("MaxPool", {"strides": None}), "1.24.4", "of different rank"),
        (("MaxPool", {"kernel_shape": [0, 3]}), ("MaxPool", {}), "1.24.4", "not above 0"),
        (("AveragePool", {"pads": [3] * 4}), ("AveragePool", {"pads": [2] * 4}), "1.24.4", "not smaller than kernel_shape"),
    ],
)  # fmt: skip
def test_windows(wrong, twin, release, told):
    def asked(operator, settings):
        base = POOL if operator.endswith("Pool") else WINDOW
        return outcome(operator, release, ONE if base is POOL else TWO, **(base | settings))

    words, has = asked(*wrong)
    assert words == "broken"
    assert told in has
    assert asked(*twin)[0] == "ok"


@pytest.mark.parametrize("operator", [("FusedConv", "com.microsoft"), ("Conv", "com.microsoft.nchwc")])
def test_activations_inside_a_convolution(operator):
    def asked(release, **settings):
        return outcome(operator[0], release, TWO, domain=operator[1], **settings)[0]

    assert asked("1.29.0", activation="HardSwish") == "broken"
    assert asked("1.30.0", activation="HardSwish") == "ok"
    assert asked("1.24.4", activation="Relu") == "ok"
    assert asked("1.32.0", activation="Gelu") == "broken"
    assert asked("1.24.4", activation="Clip") == "broken"
    assert asked("1.24.4", activation="Clip", activation_params=[0.0, 6.0]) == "ok"


@pytest.mark.parametrize(
    ("operator", "wrong", "twin", "release"),
    [
        *[("TreeEnsembleRegressor", REGRESSOR | {name: [*REGRESSOR[name], REGRESSOR[name][0]]}, REGRESSOR, "1.24.4")
          for name in REGRESSOR if name != "n_targets"],
        *[("TreeEnsembleClassifier", CLASSIFIER | {name: None}, CLASSIFIER, release)
          for name in CLASSIFIER for release in ("1.20.1", "1.25.1") if name != "classlabels_int64s"],
        ("TreeEnsembleClassifier", CLASSIFIER | {"nodes_values": [0.5]}, CLASSIFIER | {"nodes_values": [0.5] * 4}, "1.24.4"),
        ("TreeEnsembleClassifier", CLASSIFIER | {"nodes_values": [0.5] * 4}, CLASSIFIER, "1.25.1"),
        ("TreeEnsembleClassifier", CLASSIFIER | {"class_weights": [1.0]}, CLASSIFIER | {"class_weights": [1.0] * 3}, "1.24.4"),
        ("TreeEnsembleRegressor", REGRESSOR | {"n_targets": 0}, REGRESSOR | {"post_transform": "x"}, "1.22.1"),
        ("TreeEnsembleRegressor", REGRESSOR | {"post_transform": "x"}, REGRESSOR | {"post_transform": "PROBIT"}, "1.23.2"),
        ("TreeEnsembleRegressor", REGRESSOR | {"base_values": [1.0, 2.0]}, REGRESSOR | {"base_values": [1.0]}, "1.27.0"),
        ("Scaler", {"scale": [1.0]}, {"scale": [1.0], "offset": [0.0]}, "1.24.4"),
        ("Scaler", {"scale": [1.0], "offset": [0.0] * 2}, {"scale": [1.0] * 2, "offset": [0.0] * 2}, "1.24.4"),
        ("Normalizer", {"norm": "max"}, {"norm": "MAX"}, "1.24.4"),
        ("Imputer", {}, {"imputed_value_floats": [0.0]}, "1.24.4"),
        ("OneHotEncoder", {}, {"cats_int64s": [1]}, "1.24.4"),
        ("FeatureVectorizer", {}, {"inputdimensions": [3]}, "1.24.4"),
        ("LinearRegressor", {}, {"coefficients": [1.0]}, "1.24.4"),
        ("SVMRegressor", SVM | {"rho": None}, SVM, "1.24.4"),
        ("SVMRegressor", SVM | {"kernel_type": "x"}, SVM | {"kernel_type": "POLY"}, "1.23.2"),
        ("LinearClassifier", {"coefficients": [1.0] * 2, "intercepts": [0.0] * 2},
         {"coefficients": [1.0] * 2, "intercepts": [0.0] * 2, "classlabels_ints": [0, 1]}, "1.28.0"),
    ],
)  # fmt: skip
def test_classical_models(operator, wrong, twin, release):
    assert ml(operator, release, **wrong)[0] == "broken"
    assert ml(operator, release, **twin)[0] == "ok"


def test_what_an_older_passport_does_not_count_is_not_judged():
    attributes = (("n_targets", 1), ("nodes_treeids", None), ("target_ids", None))
    node = NodeUse("ai.onnx.ml", "TreeEnsembleRegressor", 3, ("tensor(float)",), ("tensor(float)",), attributes)
    assert said(node)[0] == "ok"
    assert said(dataclasses.replace(node, lengths=(("nodes_treeids", 9), ("target_ids", 9))))[0] == "broken"


@pytest.mark.parametrize(("labels", "words"), [((), "broken"), ((("classlabels_int64s", 2),), "ok")])
def test_a_map_has_its_labels(labels, words):
    made = ("seq(map(int64,tensor(float)))",)
    assert said(NodeUse("ai.onnx.ml", "ZipMap", 1, ("tensor(float)",), made, lengths=labels))[0] == words


@pytest.mark.parametrize(
    ("operator", "wrong", "twin", "more"),
    [
        ("Transpose", {"perm": [0, 0, 1]}, {"perm": [2, 0, 1]}, {}),
        ("Transpose", {"perm": [0, 1, 3]}, {"perm": [0, 1]}, {}),
        ("Cast", {"to": 0}, {"to": 1}, {}),
        ("Cast", {"to": 10, "saturate": 0}, {"to": 10, "saturate": 1}, {"opset": 19, "kinds": [TensorProto.FLOAT16]}),
        ("Cast", {"to": 10, "saturate": 0}, {"to": 17, "saturate": 0}, {"opset": 19, "kinds": [0]}),
        ("Resize", {"mode": "x"}, {"mode": "cubic"}, {"inputs": THREE}),
        ("GRU", {"direction": "FORWARD"}, {"direction": "forward"}, {"inputs": THREE, "hidden_size": 4}),
        ("Mod", {"fmod": 2}, {"fmod": 1}, {"inputs": TWO}),
        ("LRN", {"size": 2}, {"size": 3}, {}),
        ("LpNormalization", {"p": 3}, {"p": 1}, {}),
        ("Softmax", {"axis": [1]}, {"axis": 1}, {}),  # a list where a number is asked
    ],
)
def test_other_settings(operator, wrong, twin, more):
    assert outcome(operator, "1.24.4", **wrong, **more)[0] == "broken"
    assert outcome(operator, "1.24.4", **twin, **more)[0] == "ok"


@pytest.mark.parametrize(("release", "words"), [("1.26.0", "broken"), ("1.27.0", "ok")])
def test_a_locale_is_made_from_1_27_on_only_where_something_is_compared_or_changed(release, words):
    text = TensorProto.STRING
    for settings, expected in (({}, words), ({"stopwords": ["a"]}, "broken"), ({"case_change_action": "x"}, "broken")):
        node = helper.make_node("StringNormalizer", ["x"], ["y"], **settings)
        (use,) = node_uses(model([node], inputs=(("x", text),), outputs=(("y", text),)))[0]
        assert said(use, release)[0] == expected


@pytest.mark.parametrize("name", ["LayerNormalization", "SimplifiedLayerNormalization"])
def test_an_operator_that_takes_any_attribute(name):
    assert outcome(name, "1.24.4", TWO, foo=1)[0] == "ok"
    assert outcome(name, "1.24.4", TWO, axis="x")[0] == "broken"
    assert outcome("Softmax", "1.24.4", foo=1)[0] == "broken"


def without_import(operator, domain, **settings):
    made = model([helper.make_node(operator, ["x"], ["y"], domain=domain, **settings)])
    (use,) = node_uses(made)[0]
    return said(use)[0]


def test_a_domain_of_the_runtime_need_not_be_imported():
    assert without_import("Gelu", "com.microsoft") == "ok"
    assert without_import("Scaler", "ai.onnx.ml", scale=[1.0], offset=[0.0]) == "ok"
    assert without_import("NoSuchThing", "com.microsoft") == "broken"
    assert without_import("Relu", "my") == "broken"


def test_an_import_of_opset_0_and_none_at_all():
    made = model([helper.make_node("Relu", ["x"], ["y"])], opset=0)
    (use,), flaws = node_uses(made)
    assert (said(use)[0], flaws) == ("broken", ())
    del made.opset_import[:]
    assert node_uses(made)[1] == ("the model imports no opset",)


@pytest.mark.parametrize(
    ("kind", "shape", "told"), [(1, [2], False), (TensorProto.FLOAT16, [2], True), (1, [1, 2], True)]
)
def test_two_initializers_of_one_name(kind, shape, told):
    made = model([helper.make_node("Add", ["x", "w"], ["y"])])
    made.graph.initializer.extend(
        [helper.make_tensor("w", k, s, [1.0, 2.0]) for k, s in ((FLOATS, [2]), (kind, shape))]
    )
    assert any("two initializers named 'w'" in flaw for flaw in node_uses(made)[1]) == told


def test_a_constant_of_any_domain_is_read_as_one():
    value = helper.make_tensor("v", FLOATS, [1], [1.0])

    def made(**settings):
        constant = helper.make_node("Constant", [], ["k"], domain="my", **settings)
        return node_uses(model([constant, helper.make_node("Add", ["x", "k"], ["y"])]))

    uses, flaws = made(value=value)
    assert {said(use)[0] for use in uses} == {"ok"}
    assert not flaws
    assert made()[1] == ("a Constant has no value",)
    assert "broken" in {said(use)[0] for use in made(value_int=3)[0]}  # Add of float and int64


@pytest.mark.parametrize(("declared", "words"), [(TensorProto.FLOAT, "ok"), (TensorProto.INT64, "broken")])
def test_an_output_has_the_type_that_an_input_gives_it(declared, words):
    node = helper.make_node("SkipSimplifiedLayerNormalization", THREE, ["y"], domain="com.microsoft")
    (use,) = node_uses(model([node], outputs=(("y", declared),)))[0]
    assert said(use)[0] == words


def test_an_attribute_of_a_function_has_no_value_before_the_call():
    node = helper.make_node("GRU", THREE, ["y"])
    node.attribute.add(name="hidden_size", ref_attr_name="size", type=2)
    (use,) = node_uses(model([node]))[0]
    assert said(use)[0] == "ok"


@pytest.mark.parametrize(
    ("domain", "imported", "refused"),
    [("my", False, True), ("my", True, False), ("ai.onnx.ml", True, True), ("com.microsoft", False, False)],
)
def test_a_constant_of_another_domain_in_an_inner_graph(domain, imported, refused):
    value = helper.make_tensor("v", FLOATS, [1], [1.0])
    inner = [
        helper.make_graph([helper.make_node("Constant", [], [name], domain=domain, value=value)], name, [],
                          [helper.make_tensor_value_info(name, FLOATS, None)])
        for name in ("then", "other")
    ]  # fmt: skip
    node = helper.make_node("If", ["x"], ["y"], then_branch=inner[0], else_branch=inner[1])
    made = model([node], inputs=(("x", TensorProto.BOOL),))
    if imported:
        made.opset_import.append(helper.make_opsetid(domain, 1))
    uses = node_uses(made)[0]
    for release, expected in (("1.17.3", False), ("1.18.1", refused), ("1.32.0", refused)):
        assert ("broken" in {said(use, release)[0] for use in uses}) == expected


def forest(trees):
    """A regressor of that many stumps, as sklearn-onnx and the converters of gradient boosting write it."""
    ids, nodes = [n for n in range(trees) for _ in range(3)], [0, 1, 2] * trees
    lists = {
        "nodes_treeids": ids, "nodes_nodeids": nodes, "nodes_featureids": [0, 0, 0] * trees,
        "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"] * trees, "nodes_values": [0.5, 0.0, 0.0] * trees,
        "nodes_truenodeids": [1, 0, 0] * trees, "nodes_falsenodeids": [2, 0, 0] * trees,
        "target_treeids": [n for n in range(trees) for _ in range(2)], "target_nodeids": [1, 2] * trees,
        "target_ids": [0, 0] * trees, "target_weights": [0.1, 0.2] * trees,
    }  # fmt: skip
    node = helper.make_node("TreeEnsembleRegressor", ["x"], ["y"], domain="ai.onnx.ml", n_targets=1, **lists)
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 1]) for name in ("x", "y")]
    graph = helper.make_graph([node], "forest", values[:1], values[1:])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()


@pytest.mark.parametrize("trees", [10, 30_000])
def test_a_large_ensemble_whose_lists_are_left_out_is_no_ensemble_without_lists(trees, tmp_path):
    path = tmp_path / "forest.onnx"
    path.write_bytes(forest(trees))
    assert (path.stat().st_size > 1_048_576) == (trees == 30_000)
    onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (use,) = read_facts(str(path)).nodes.value
    assert bool(use.lengths) == (trees == 10)
    assert said(use, "1.24.4")[0] == "ok"
