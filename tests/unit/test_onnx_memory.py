"""What a model's tensors take together: lifetimes by hand-made graphs, shapes with names, hostile files; and the formulas."""

import pickle
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from promote.adapters import onnx_memory
from promote.adapters.onnx_memory import memory_of
from promote.core.extents import Activations, constant, over, plus, read, times, work_out
from promote.core.facts import Fact, Later, ModelFacts
from promote.core.passport import plain
from promote.core.passport_facts import read_facts

FLOAT, LONG = TensorProto.FLOAT, TensorProto.INT64


def value(name, shape, kind=FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def peak(nodes, inputs, outputs, numbers=None, constants=(), declared=(), functions=()):
    graph = helper.make_graph(nodes, "g", inputs, outputs, initializer=list(constants), value_info=list(declared))
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], functions=list(functions))
    known, _ = memory_of(made)
    return max(work_out(one, numbers or {}) for one in known.peaks), known


def node(kind, given, made, **attributes):
    return helper.make_node(kind, given.split(), made.split(), **attributes)


def weight(name, *shape):
    return helper.make_tensor(name, FLOAT, shape, [0.0] * helper.np.prod(shape, dtype=int))


def numbers(name, *values):
    return helper.make_tensor(name, LONG, [len(values)], values)


def test_a_tensor_is_alive_from_its_maker_to_its_last_reader():
    """x is the caller's; a, b and c have other shapes, so nothing is shared: at c, a is gone."""
    w = [weight("w1", 10, 20), weight("w2", 20, 30), weight("w3", 30, 5)]
    nodes = [node("MatMul", "x w1", "a"), node("MatMul", "a w2", "b"), node("MatMul", "b w3", "c")]
    assert peak(nodes, [value("x", [4, 10])], [value("c", [4, 5])], constants=w)[0] == 4 * 4 * (10 + 20 + 30)


def test_the_batch_stays_a_name_until_it_is_asked():
    w = [weight("w1", 10, 20), weight("w2", 20, 5)]
    nodes = [node("MatMul", "x w1", "a"), node("MatMul", "a w2", "b")]
    for batch in (1, 7, 512):
        asked = peak(nodes, [value("x", ["batch", 10])], [value("b", ["batch", 5])], {"batch": batch}, w)
        assert asked[0] == 4 * batch * 35


@pytest.mark.parametrize(("kind", "tensors"), [("Relu", 1), ("Exp", 2)])
def test_relu_works_in_place_and_exp_does_not(kind, tensors):
    """Those of 80 floats; the answer of one comes when the first of two is gone."""
    nodes = [node("MatMul", "x w", "a"), node(kind, "a", "b"), node("ReduceMax", "b", "y", keepdims=0)]
    found = peak(nodes, [value("x", [4, 10])], [value("y", [])], constants=[weight("w", 10, 20)])
    assert found[0] == 4 * (40 + 80 * tensors) + (4 if tensors == 1 else 0)


def test_what_is_read_again_is_not_worked_on_in_place():
    nodes = [node("Exp", "x", "a"), node("Relu", "a", "b"), node("Sub", "a b", "y")]
    assert peak(nodes, [value("x", [100])], [value("y", [100])])[0] == 4 * 400


def test_views_take_nothing():
    nodes = [
        node("Exp", "x", "a"),
        node("Unsqueeze", "a axes", "b"),
        node("Squeeze", "b axes", "c"),
        node("ReduceMax", "c", "y"),
    ]
    found = peak(nodes, [value("x", [100])], [value("y", [1])], constants=[numbers("axes", 0)])
    assert found[0] == 4 * 201
    assert found[1].unsized == 0


def test_a_freed_tensor_stays_where_a_later_one_of_its_shape_takes_its_place():
    """a is free while b, of another shape, is alive; c takes its place, so it counts beside b."""
    w = [weight("w1", 10, 100), weight("w2", 100, 50), weight("w3", 50, 100), weight("w4", 100, 1)]
    nodes = [
        node("MatMul", "x w1", "a"),
        node("MatMul", "a w2", "b"),
        node("Exp", "b", "b2"),
        node("MatMul", "b2 w3", "c"),
        node("MatMul", "c w4", "y"),
    ]
    assert peak(nodes, [value("x", [1, 10])], [value("y", [1, 1])], constants=w)[0] == 4 * (10 + 100 + 50 + 50)


def test_constants_are_weights_and_not_counted():
    nodes = [
        node("Constant", "", "c", value=weight("v", 1000)),
        node("Exp", "c", "d"),
        node("Add", "x d", "y"),
    ]
    assert peak(nodes, [value("x", [1000])], [value("y", [1000])])[0] == 4 * 2000


def test_a_reshape_follows_computed_shapes_and_needs_no_declaration():
    """Of [batch, sequence, 12] to [batch, sequence, 3, 4], by Shape, Gather, Unsqueeze and Concat as exporters write it."""
    nodes = [
        node("Shape", "x", "s"),
        node("Gather", "s zero", "b"),
        node("Gather", "s one", "n"),
        node("Concat", "b n heads", "to", axis=0),
        node("Exp", "x", "e"),
        node("Reshape", "e to", "r"),
        node("Transpose", "r", "t", perm=[0, 2, 1, 3]),
        node("MatMul", "t u", "m"),
        node("ReduceMax", "m", "y", keepdims=0),
    ]
    constants = [numbers("zero", 0), numbers("one", 1), numbers("heads", 3, -1), weight("u", 4, 10)]
    numbers_asked = {"batch": 2, "sequence": 5}
    found = peak(nodes, [value("x", ["batch", "sequence", 12])], [value("y", [])], numbers_asked, constants)
    assert found[1].unsized == 0
    assert 0 <= found[0] - 4 * (2 * 5) * (12 + 12 + 30) < 200  # and the shapes themselves


def test_convolutions_and_pools_shrink_their_axes():
    nodes = [node("Conv", "x w", "a", strides=[2, 2], pads=[1, 1, 1, 1]), node("MaxPool", "a", "b", kernel_shape=[2, 2],
             strides=[2, 2]), node("GlobalAveragePool", "b", "y")]  # fmt: skip
    found = peak(nodes, [value("x", ["n", 3, 8, 8])], [value("y", ["n", 6, 1, 1])], {"n": 2}, [weight("w", 6, 3, 3, 3)])
    assert found[0] == 4 * 2 * (3 * 64 + 6 * 16 + 6 * 4)


def test_the_larger_branch_counts_where_it_stands_and_reads_around_it():
    def branch(name, size):
        inner = [node("Expand", f"a n{size}", f"w{size}"), node("ReduceMax", f"w{size}", name, keepdims=0)]
        constants = [numbers(f"n{size}", size, 1)]
        return helper.make_graph(inner, name, [], [value(name, [])], initializer=constants)

    nodes = [
        node("Exp", "x", "a"),
        node("If", "c", "o", then_branch=branch("p", 50), else_branch=branch("q", 900)),
        node("Exp", "o", "y"),
    ]
    found = peak(nodes, [value("x", [1]), value("c", [], TensorProto.BOOL)], [value("y", [])])
    assert 4 * 900 < found[0] < 4 * 900 + 50


def test_what_is_not_known_is_counted_as_such():
    found = peak([node("NonZero", "x", "a"), node("Cast", "a", "y", to=FLOAT)], [value("x", [9])], [value("y", [1, "n"])],
                 {"n": 9})  # fmt: skip
    assert (found[1].tensors, found[1].unsized) == (3, 1)


def test_a_name_that_the_exporter_made_up_gives_way_to_what_follows():
    nodes = [node("Exp", "x", "a"), node("Exp", "a", "y")]
    made_up = [value("a", ["Exp_dim_0", 10])]
    found = peak(nodes, [value("x", ["batch", 10])], [value("y", ["y_dim_0", 10])], {"batch": 3}, declared=made_up)
    assert found[0] == 4 * 90


def test_of_more_nodes_than_any_network_has_nothing_is_told(monkeypatch):
    nodes = [node("Exp", "x", "a"), node("Exp", "a", "y")]
    made = helper.make_model(helper.make_graph(nodes, "g", [value("x", [1])], [value("y", [1])]))
    assert memory_of(made)[0].peaks
    monkeypatch.setattr(onnx_memory, "_MOST_NODES", 1)
    assert not memory_of(made)[0].peaks


def test_of_more_names_than_any_network_has_nothing_is_told_and_soon():
    many = 20_000
    nodes = [node("Exp", "x", f"a{n}") for n in range(many)]
    nodes.append(helper.make_node("Sum", [f"a{n}" for n in range(many)], ["y"]))
    declared = [value(f"a{n}", [f"n{n}", f"m{n}"]) for n in range(many)]
    graph = helper.make_graph(nodes, "g", [value("x", None)], [value("y", [1])], value_info=declared)
    began = time.process_time()
    assert not memory_of(helper.make_model(graph))[0].peaks
    assert time.process_time() - began < 10


def test_what_is_slight_beside_a_peak_makes_no_peak_of_its_own():
    """The mask of one byte a token, alive at another time than the tensor of 400: one formula for both."""
    nodes = [
        node("Cast", "x", "m", to=TensorProto.BOOL),
        node("Cast", "m", "f", to=FLOAT),
        node("MatMul", "f w", "a"),
        node("ReduceMax", "a", "y", keepdims=0),
    ]
    found = peak(nodes, [value("x", ["n", 1])], [value("y", [])], {"n": 1000}, [weight("w", 1, 100)])
    assert len(found[1].peaks) == 1
    assert 4 * 1000 * 102 <= found[0] < 4 * 1000 * 103


@pytest.mark.parametrize(
    "shape", [["a+b"] * 15, ["(" * 60], [f"n{n}" for n in range(16)], ["9**9**9**9"], ["x" * 500], [0], [-5]]
)
def test_hostile_extents_are_not_known(shape):
    graph = helper.make_graph([node("Exp", "x", "y")], "g", [value("x", shape)], [value("y", [1])])
    known, _ = memory_of(helper.make_model(graph))
    assert known.unsized or all(work_out(one, {"a": 1}) is None for one in known.peaks)


def test_a_huge_extent_is_a_bounded_number():
    assert 2**58 <= peak([node("Exp", "x", "y")], [value("x", [2**40] * 3)], [value("y", [1])])[0] < 2**63


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("batch", 3),
        ("2*batch + 4", 10),
        ("batch*sequence", 15),
        ("(sequence - 1)//2 + 1", 3),
        ("Max(1, batch)", 3),
        ("Min(512, sequence)", 5),
        ("floor(sequence)", 5),
        ("past + batch", None),
        ("batch.real", None),
        ("__import__('os')", None),
        ("1/0", None),
        ("batch//0", None),
    ],
)
def test_axes_are_read_and_worked_out(text, said):
    assert work_out(read(text), {"batch": 3, "sequence": 5}) == said


extents = st.lists(st.tuples(st.integers(1, 9), st.sampled_from([(), ("a",), ("b",), ("a", "b")])), max_size=3).map(
    lambda terms: tuple(sorted({names: (factor, names) for factor, names in terms}.values()))
)


@given(extents, extents, st.integers(0, 9), st.integers(0, 9))
def test_sums_and_products_hold_for_every_number(one, other, a, b):
    names = {"a": a, "b": b}
    left, right = work_out(one, names), work_out(other, names)
    assert work_out(plus(one, other), names) == left + right
    assert work_out(times(one, other), names) == left * right
    quotient = over(one, other) if a and b else None
    if quotient is not None:
        assert work_out(quotient, names) * right == left


def test_it_comes_back_from_a_passport():
    known = Activations(peaks=(((4, ("batch",)), (8, ("batch", "sequence"))), constant(5)), tensors=7, unsized=1)
    facts = ModelFacts(
        activations=Fact(known, "m.onnx", measured=True), tally=Fact({":Mod": (2, 1)}, "m.onnx", measured=True)
    )
    assert read_facts(plain(facts), "test") == facts


def test_a_fact_of_later_is_asked_once_and_is_like_any_other():
    asked = []
    fact = Later(lambda: asked.append(1) or 7, "m.onnx")
    assert asked == []
    assert fact == Fact(7, "m.onnx", measured=True)
    assert Fact(7, "m.onnx", measured=True) == fact
    assert fact != Fact(8, "m.onnx", measured=True)
    assert hash(fact) == hash(Fact(7, "m.onnx", measured=True))
    assert pickle.loads(pickle.dumps(fact)) == fact
    assert asked == [1]
