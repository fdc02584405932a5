"""Files made to take for ever: each ends in facts or a typed refusal within ten seconds. And damaged real ones."""

import random
import time

import onnx
import pytest
from onnx import helper

from promote.adapters.onnx_file import read_facts
from promote.core.facts import ModelFacts
from promote.errors import IntegrityError, PromoteError
from tests.fakes.bundle import times
from tests.unit.test_onnx_file import WHOLE, made
from tests.unit.test_onnx_wire import GRAPH, RICH, number, part

X = part(11, part(1, b"x") + part(2, part(1, b"\x08\x01")))
SECONDS = 10


def node(op, inputs, outputs, *, domain=b"", attributes=b"", field=1):
    names = b"".join(part(1, name) for name in inputs) + b"".join(part(2, name) for name in outputs)
    return part(field, names + part(4, op) + (part(7, domain) if domain else b"") + attributes)


def whole_number(name, value):
    return part(5, part(1, name) + b"\x18" + number(value) + b"\xa0\x01\x02")


def function(name, inputs, outputs, body):
    names = b"".join(part(4, one) for one in inputs) + b"".join(part(5, one) for one in outputs)
    return part(25, part(1, name) + names + body + part(9, b"\x10\x11") + part(10, b"own"))


def call(name, inputs, outputs):
    return node(name, inputs, outputs, domain=b"own", field=7)


def model(graph, functions=b""):
    return GRAPH + part(7, X + graph) + functions


def value(number):
    return b"v%d" % number


def in_time(tmp_path, data):
    """Facts, or the words of the refusal."""
    path = tmp_path / "model.onnx"
    path.write_bytes(data)
    began = time.process_time()
    try:
        said = read_facts(str(path))
    except PromoteError as error:
        said = error.message
    assert time.process_time() - began < SECONDS
    return said


def every_combination_of_types():
    """Thirty functions, each calling the next with one input as float and as double: 2**30 calls, all different."""
    inputs, functions = [b"a%d" % n for n in range(30)], b""
    for n in range(30):
        body = b""
        for kind in (1, 11):
            body += node(b"Cast", [inputs[n]], [b"c%d" % kind], attributes=whole_number(b"to", kind), field=7)
            body += call(b"F%d" % (n + 1), [*inputs[:n], b"c%d" % kind, *inputs[n + 1 :]], [b"o%d" % kind])
        functions += function(b"F%d" % n, inputs, [b"o1"], body)
    last = function(b"F30", inputs, [b"o1"], node(b"Abs", [b"a0"], [b"o1"], field=7))
    return model(node(b"F0", [b"x"] * 30, [b"y"], domain=b"own"), functions + last)


def nodes(count):
    return model(b"".join(node(b"Add", [value(n)] * 2, [value(n + 1)]) for n in range(count)))


def different(count):
    return model(b"".join(node(b"Op%d" % n, [b"x"], [value(n)]) for n in range(count)))


def domains(count):
    return model(b"".join(node(b"Op", [b"x"], [value(n)], domain=b"d%d" % n) for n in range(count)))


def settings(count):
    made = (node(b"Softmax", [b"x"], [value(n)], attributes=whole_number(b"axis", n)) for n in range(count))
    return model(b"".join(made))


def tensors(count):
    return model((b"\x2a" + number(7) + b"\x08\x01\x10\x01" + part(8, b"t")) * count)


def data_files(count):
    made = (part(1, b"location") + part(2, b"f%d" % n) for n in range(count))
    return model(b"".join(part(5, b"\x08\x01\x10\x01" + part(13, entry) + b"\x70\x01") for entry in made))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (every_combination_of_types, "unfolds to more than 150,000 nodes"),
        (lambda: nodes(260_000), "unfolds to more than 150,000 nodes"),
        (lambda: different(30_000), "uses operators in more than 10,000 ways"),
        (lambda: domains(30_000), "uses operators in more than 10,000 ways"),
        (lambda: settings(30_000), "uses operators in more than 10,000 ways"),
        (lambda: tensors(510_000), "510,000 tensors"),
        (lambda: data_files(60_000), "more than 50,000 files"),
    ],
)
def test_more_of_anything_than_a_real_model_has_is_refused(tmp_path, data, words):
    said = in_time(tmp_path, data())
    assert isinstance(said, str)
    assert words in said


def test_a_hundred_thousand_functions_calling_each_other_leave_operators_unknown(tmp_path):
    chain = b"".join(
        function(b"F%d" % n, [b"a"], [b"b"], call(b"F%d" % (n + 1), [b"a"], [b"b"])) for n in range(100_000)
    )
    facts = in_time(tmp_path, model(node(b"F0", [b"x"], [b"y"], domain=b"own"), chain))
    assert isinstance(facts, ModelFacts)
    assert facts.nodes is None


def test_a_function_called_twice_by_each_of_its_callers_is_unfolded_once(tmp_path):
    twice = (call(b"F%d" % (n + 1), [b"a"], [b"b"]) * 2 for n in range(38))
    functions = b"".join(function(b"F%d" % n, [b"a"], [b"b"], body) for n, body in enumerate(twice))
    last = function(b"F38", [b"a"], [b"b"], node(b"Abs", [b"a"], [b"b"], field=7))
    facts = in_time(tmp_path, model(node(b"F0", [b"x"], [b"y"], domain=b"own"), functions + last))
    assert [use.name for use in facts.nodes.value] == ["Abs"]


def test_subgraphs_do_not_copy_what_is_known_outside(tmp_path):
    branch = part(5, part(1, b"then_branch") + part(6, node(b"Abs", [b"v7"], [b"q"]) + part(12, part(1, b"q"))))
    outside = b"".join(node(b"Add", [b"x", b"x"], [value(n)]) for n in range(30_000))
    inside = b"".join(node(b"If", [b"x"], [b"w%d" % n], attributes=branch) for n in range(30_000))
    facts = in_time(tmp_path, model(outside + inside))
    assert {(use.name, use.outputs) for use in facts.nodes.value} == {
        ("Add", ("tensor(float)",)), ("Abs", ("tensor(float)",)), ("If", ("tensor(float)",))}  # fmt: skip


@pytest.mark.parametrize("operator", [b"SequenceConstruct", b"Optional"])
def test_sequences_of_sequences_make_no_types_of_any_length(tmp_path, operator):
    chain = b"".join(node(operator, [value(n)], [value(n + 1)]) for n in range(50_000))
    facts = in_time(tmp_path, model(node(operator, [b"x"], [value(0)]) + chain))
    assert max(len(told or "") for use in facts.nodes.value for told in use.outputs) <= 200


def test_names_of_a_megabyte_are_read(tmp_path):
    long = b"n" * 1_000_000
    facts = in_time(tmp_path, model(b"".join(node(long, [long], [long], domain=b"d") for _ in range(20))))
    assert [len(use.name) for use in facts.nodes.value] == [1_000_000]


def test_a_shape_of_too_many_extents_is_refused_and_not_multiplied(tmp_path):
    extents = (b"\x08" + number(2**62)) * 200_000
    assert "has the shape" in in_time(tmp_path, model(part(5, extents + b"\x10\x01" + part(8, b"t"))))


def scan():
    """A model of onnx's own kind with a subgraph in a subgraph, and a call of its own function in it."""
    inner = helper.make_graph(
        [helper.make_node("Twice", ["x"], ["z"], domain="own")], "t", [], [helper.make_tensor_value_info("z", 1, None)]
    )
    outer = helper.make_graph(
        [helper.make_node("If", ["c"], ["z"], then_branch=inner, else_branch=inner)],
        "e", [], [helper.make_tensor_value_info("z", 1, None)],
    )  # fmt: skip
    twice = helper.make_function(
        "own", "Twice", ["a"], ["b"], [helper.make_node("Add", ["a", "a"], ["b"])], [helper.make_opsetid("", 17)]
    )
    nodes = [
        helper.make_node("If", ["c"], ["y"], then_branch=outer, else_branch=outer),
        helper.make_node("LayerNormalization", ["x", "x"], ["n"], axis=-1),
        helper.make_node("SequenceConstruct", ["x", "x"], ["s"]),
    ]
    return made(nodes, functions=[twice], opsets=(("", 17), ("own", 1))).SerializeToString()


@pytest.mark.parametrize("data", [times(2.0), WHOLE, RICH, scan()], ids=["linear", "branches", "everything", "nested"])
def test_a_damaged_model_ends_in_facts_or_a_typed_refusal(tmp_path, data):
    random_ = random.Random(11)
    for _ in range(500):
        damaged = bytearray(data)
        for _ in range(random_.choice((1, 1, 2, 8))):
            place = random_.randrange(len(damaged))
            kind = random_.randrange(4)
            if kind == 0:
                damaged[place] ^= 1 << random_.randrange(8)
            elif kind == 1:
                damaged[place] = random_.choice((0, 1, 0x7F, 0x80, 0xFF))
            elif kind == 2:
                del damaged[place:]
            else:  # a piece of it again, in another place
                piece = damaged[place : place + random_.randrange(1, 40)]
                at = random_.randrange(len(damaged))
                damaged[at:at] = piece
            damaged = damaged or bytearray(b"\0")
        in_time(tmp_path, bytes(damaged))


def test_the_same_models_undamaged_are_read(tmp_path):
    for data in (times(2.0), WHOLE, RICH, scan()):
        assert onnx.ModelProto.FromString(data).ir_version
        assert isinstance(in_time(tmp_path, data), ModelFacts)
    with pytest.raises(IntegrityError):
        read_facts(str(_write(tmp_path, b"\x08")))


def _write(folder, data):
    path = folder / "broken.onnx"
    path.write_bytes(data)
    return path
