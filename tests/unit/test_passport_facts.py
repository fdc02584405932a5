"""Facts of real models, and of any model, come back from a passport as they were; hostile passports are refused in a line."""

import dataclasses
import json
from pathlib import Path

import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from promote.adapters.onnx_file import read_facts as read_file
from promote.core.facts import ExternalFile, Fact, ModelFacts, NodeUse
from promote.core.passport import canonical, plain
from promote.core.passport_facts import read_facts
from promote.core.passport_reading import FactReader, read_passport
from promote.core.tensors import TensorSpec
from promote.errors import IntegrityError

MODELS = sorted((Path(onnx.__file__).parent / "backend/test/data").rglob("*.onnx"))
INT64 = st.integers(-(2**63), 2**63 - 1)
WORD = st.text(st.characters(codec="utf-8"), max_size=12)
TYPE = st.none() | WORD


def uses(body):
    return st.builds(
        NodeUse, WORD, WORD, INT64, st.lists(TYPE, max_size=3).map(tuple), st.lists(TYPE, max_size=2).map(tuple),
        st.lists(st.tuples(WORD, st.none() | INT64 | WORD), max_size=3).map(tuple), body,
    )  # fmt: skip


USE = uses(st.just(())) | uses(st.lists(uses(st.just(())), max_size=2).map(tuple))
SIZE = st.integers(0, 2**63 - 1)
SPEC = st.builds(TensorSpec, WORD, WORD, st.none() | st.lists(st.integers(1, 2**63 - 1) | WORD, max_size=3).map(tuple))
VALUES = {
    "ir_version": INT64,
    "opsets": st.dictionaries(WORD, INT64, max_size=3),
    "inputs": st.lists(SPEC, max_size=2).map(tuple),
    "dtypes": st.frozensets(WORD, max_size=3),
    "weights_bytes": SIZE,
    "external": st.lists(st.builds(ExternalFile, WORD, SIZE, st.none() | SIZE, WORD), max_size=2).map(tuple),
    "nodes": st.frozensets(USE, max_size=4),
    "version_compatible": st.booleans(),
    "producer": WORD,
}


def fact(value):
    plainly = st.builds(Fact, value, WORD, st.booleans())
    return plainly | st.builds(Fact, value, WORD, st.booleans(), plainly)


FACTS = st.builds(ModelFacts, **{name: st.none() | fact(value) for name, value in VALUES.items()})


def passport(facts, **more):
    said = {"schema": "promote.passport/1", "name": "ner", "version": 1, "target": {"name": "calypso"},
            "facts": facts, "lineage": {"params": {"nodes": "4"}}, "verdict": "compatible"}  # fmt: skip
    return canonical(said | more)


def through(facts):
    """Through bytes and back, as what-if reads them; and as a reader of plain JSON does."""
    read = read_passport(passport(plain(facts)), "it")
    assert read_facts(json.loads(canonical(plain(facts))), "it") == facts
    return FactReader().read(read.facts, "it")[0]


@pytest.mark.skipif(not MODELS, reason="this onnx comes without its test models")
@pytest.mark.parametrize("path", MODELS[::3], ids=lambda path: path.parent.name)
def test_facts_of_real_models_come_back(path):
    facts = read_file(str(path))
    assert through(facts) == facts


def test_a_negative_attribute_comes_back(tmp_path):
    """What made a passport of nearly every model 'damaged' before: `axis=-1`."""
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 2])
    node = helper.make_node("Softmax", ["x"], ["y"], axis=-1)
    graph = helper.make_graph([node], "g", [value], [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 2])])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), tmp_path / "m.onnx")
    facts = read_file(str(tmp_path / "m.onnx"))
    assert ("axis", -1) in next(iter(facts.nodes.value)).attributes
    assert through(facts) == facts


@given(FACTS)
@settings(max_examples=200, deadline=None)
def test_any_facts_come_back(facts):
    assert through(facts) == facts


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("weights_bytes", -1, "a size below zero"),
        ("external", [{"location": "w", "needed": 1, "size": -4, "fault": ""}], "a size below zero"),
        ("ir_version", 2**63, "out of bounds"),
        ("ir_version", True, "expected int"),
        ("nodes", [{"domain": "", "name": "A", "version": 1, "attributes": [["axis", -(2**64)]]}], "out of bounds"),
        ("nodes", [{"domain": "", "name": "A", "version": 1, "attributes": [["axis", 1, 2]]}], "expected 2 items"),
        ("nodes", [{"domain": "", "name": "A", "version": 1, "other": 1}], "unknown key 'other'"),
        ("nodes", [{"domain": "", "version": 1}], "no name"),
        ("nodes", 7, "expected list"),
    ],
)
def test_what_no_model_can_say_is_damage(name, value, told):
    given = read_passport(passport({name: {"value": value, "source": "model.onnx", "measured": True}}), "it").facts
    with pytest.raises(IntegrityError, match=f"it: the passport's fact {name}: .*{told}"):
        FactReader().read(given, "it")


NODES = {"value": [{"domain": "", "name": "Add", "version": 14}], "source": "m", "measured": True}


def test_facts_are_cut_out_and_equal_ones_have_one_key():
    one, other = (read_passport(passport({"nodes": NODES}, name=name), "it") for name in ("a", "b"))
    assert one.facts in passport({"nodes": NODES})
    assert one.key == other.key
    assert read_passport(passport({"nodes": NODES | {"source": "n"}}), "it").key != one.key


def test_facts_like_those_of_the_passport_before_are_told_by_comparing():
    before = read_passport(passport({"nodes": NODES}, name="a"), "it")
    same = read_passport(passport({"nodes": NODES}, name="b"), "it", before)
    assert same == dataclasses.replace(before, name="b")
    assert same.facts is before.facts


@pytest.mark.parametrize(
    "facts",
    [{"nodes": NODES, "opsets": {"value": {}, "source": "m", "measured": True}}, {"nodes": {**NODES, "source": "n"}}],
)
@pytest.mark.parametrize("other", [{"nodes": NODES}, {}, "nodes"])
def test_a_passport_reads_the_same_whatever_was_read_before(facts, other):
    for first, second in ((facts, other), (other, facts)):
        data = passport(second)
        for damaged in (data, data.replace(b"\n }", b"\n }\n }", 1), data[:-3], json.dumps(json.loads(data)).encode()):
            try:
                before = read_passport(passport(first), "it")
            except IntegrityError:
                continue
            assert told(damaged, before) == told(damaged, None)


def told(data, before):
    try:
        return read_passport(data, "it", before)
    except IntegrityError as error:
        return error.message


@pytest.mark.parametrize(
    "data",
    [
        json.dumps(json.loads(passport({"nodes": NODES}))).encode(),  # on one line
        passport({"nodes": NODES}).replace(b'\n "facts"', b'\n"facts"'),
        passport({"nodes": NODES}).replace(b"\n }", b"\n}"),
        passport({"nodes": NODES}, declared={"nodes": NODES | {"source": "declared"}}),  # another one before it
        passport({"nodes": NODES}, facts2={"nodes": NODES}),
    ],
)
def test_a_passport_written_otherwise_is_read_as_json_says(data):
    facts = FactReader().read(read_passport(data, "it").facts, "it")[0]
    assert facts.nodes == Fact(frozenset({NodeUse("", "Add", 14)}), "m", measured=True)


@pytest.mark.parametrize(
    "data",
    [
        passport({"nodes": NODES}).replace(b'"Add"', b'"Add'),
        passport({"nodes": NODES}).replace(b'   "value": [', b'   "value": ]'),
        passport({"nodes": NODES})[:-3],
        b'{"x": "\n "facts": {\n }',
        passport("nodes"),
        passport([]),
        b"",
    ],
)
def test_a_damaged_one_is_refused(data):
    with pytest.raises(IntegrityError):
        FactReader().read(read_passport(data, "it").facts, "it")


@given(st.lists(FACTS, min_size=1, max_size=4), st.sampled_from([None, 0, 1, 2, 3]))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_facts_that_models_share_are_read_once_and_are_the_same_however_they_are_written(models, indent):
    reader, numbers = FactReader(), []
    for model in models:
        text = read_passport(passport(plain(model)), "it").facts
        numbers.append(reader.read(text, "it"))
        assert numbers[-1] == reader.read(json.dumps(json.loads(text), indent=indent).encode(), "it")
        assert numbers[-1][0] == model
    for one, ones in numbers:
        for other, others in numbers:
            assert {n for n in ones if ones[n] == others[n]} == {
                n for n in ones if getattr(one, n) == getattr(other, n)
            }


@pytest.mark.parametrize(
    "text",
    [
        b'{\n  "ir_version": {"value": 7, "source": "m", "measured": true},\n  "ir_version": @\n }',  # the last one counts
        b'{\n  "other": {\n  "a": 1,\n  "b": 2},\n  "ir_version": @\n }',
        b'{\n  "other": 1, "ir_version": @\n }',
        b'{\n  "ir_version": @,\n  "other": [1,\n  "b"]\n }',
    ],
)
def test_facts_are_cut_apart_only_where_json_says_the_same(text):
    fact = b'{"value": 8, "source": "m", "measured": true}'
    assert FactReader().read(text.replace(b"@", fact), "it")[0] == ModelFacts(ir_version=Fact(8, "m", measured=True))
    for damaged in (text.replace(b"@", b"}, {"), text.replace(b"@", fact + b",")):
        with pytest.raises(IntegrityError):
            FactReader().read(damaged, "it")


def test_different_long_facts_without_end_take_no_memory_without_end():
    reader = FactReader()
    for number in range(1200):
        nodes = {**NODES, "value": [{"domain": "", "name": f"Op{number}", "version": 14}]}
        read = read_passport(passport({"nodes": nodes}), "it")
        assert reader.read(read.facts, "it")[0].nodes.value == {NodeUse("", f"Op{number}", 14)}
    assert len(reader._long) <= 514


def test_every_fact_is_one_that_a_passport_can_hold():
    assert {field.name for field in dataclasses.fields(ModelFacts)} >= set(VALUES)
