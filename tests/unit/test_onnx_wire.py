"""A large ONNX file read without its weights says the same as the whole file, and no damage ends in a crash."""

import contextlib
import os
import random
import subprocess
import sys
import time

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from promote.adapters import onnx_file, onnx_wire
from promote.adapters.onnx_file import read_facts
from promote.adapters.onnx_wire import skim
from promote.errors import IntegrityError, PromoteError
from tests.unit.test_onnx_file import made, outside, value


def number(value):
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def part(field, data):
    """A length-delimited field, written by hand."""
    return number(field << 3 | 2) + number(len(data)) + data


def numbers(name, count, dtype=TensorProto.FLOAT):
    return helper.make_tensor(name, dtype, [count], np.zeros(count, np.float32))


def rich(count=2000):
    """A model with values in every place that may hold them."""
    raw = TensorProto(name="raw", data_type=TensorProto.FLOAT16, dims=[count], raw_data=bytes(2 * count))
    texts = helper.make_tensor("texts", TensorProto.STRING, [count], [b"abc"] * count)
    inner = helper.make_graph(
        [helper.make_node("Add", ["x", "deep"], ["z"])], "t", [], [value("z")], [numbers("deep", count)]
    )
    nodes = [
        helper.make_node("Constant", [], ["k"], value=numbers("k", count), doc_string="d" * count),
        helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=inner),
        helper.make_node(
            "Odd", ["x"], ["o"], domain="own", floats=[1.0] * 40_000, ints=[300] * 40_000, words=["w"] * 9
        ),
        helper.make_node("Call", ["x"], ["p"], domain="own"),
    ]
    body = [helper.make_node("Constant", [], ["b"], value=numbers("f", count)), helper.make_node("Abs", ["a"], ["q"])]
    function = helper.make_function("own", "Call", ["a"], ["q"], body, [helper.make_opsetid("", 17)])
    model = made(nodes, tensors=[raw, texts, outside("w.bin", name="far")], functions=[function])
    sparse = model.graph.sparse_initializer.add()
    sparse.values.CopyFrom(numbers("s", count))
    sparse.indices.CopyFrom(helper.make_tensor("", TensorProto.INT64, [count], range(count)))
    model.metadata_props.add(key="a", value="b")
    return model


@pytest.fixture
def both(tmp_path, monkeypatch):
    """Facts of the bytes, the whole file parsed and the file skimmed; a refusal is told by its class."""
    path = tmp_path / "model.onnx"

    def read(data, *, whole):
        path.write_bytes(data)
        monkeypatch.setattr(onnx_file, "_LARGE", 2**31 if whole else 0)
        try:
            return read_facts(str(path))
        except PromoteError as error:
            return type(error)

    return lambda data: (read(data, whole=True), read(data, whole=False))


@pytest.fixture(params=["from the first byte on", "long messages only"])
def look(request, monkeypatch):
    if request.param.startswith("from"):
        monkeypatch.setattr(onnx_wire, "_WHOLE", 0)


def test_a_skimmed_file_says_what_the_whole_one_says(both, look):
    data = rich().SerializeToString()
    whole, skimmed = both(data)
    assert skimmed == whole
    assert whole.weights_bytes.value > 6 * 2000 * 4


def skimmed(path):
    handle = os.open(path, os.O_RDONLY)
    try:
        return skim(handle, os.fstat(handle).st_size, "model.onnx")
    finally:
        os.close(handle)


def test_values_words_for_readers_and_long_lists_are_left_out_and_short_values_kept(tmp_path, look):
    path = tmp_path / "model.onnx"
    data = made([helper.make_node("Add", ["x", "s"], ["y"])], tensors=[numbers("s", 3)]).SerializeToString()
    path.write_bytes(data)
    assert skimmed(path) == data
    path.write_bytes(rich(100_000).SerializeToString())
    kept = skimmed(path)
    assert len(kept) < 2000
    model = onnx.ModelProto.FromString(kept)
    assert model.metadata_props[0].key == "a"
    assert [t.name for t in model.graph.initializer] == ["raw", "texts", "far"]
    assert model.graph.initializer[1].segment.end == 300_000


RICH = rich(300).SerializeToString()
HOSTILE = settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@given(st.lists(st.integers(0, len(RICH) * 8 - 1), min_size=1, max_size=4), st.booleans())
@HOSTILE
def test_with_flipped_bits_the_skimmed_file_never_says_something_else(both, flips, cut):
    data = bytearray(RICH)
    for bit in flips:
        data[bit // 8] ^= 1 << bit % 8
    whole, skimmed = both(bytes(data[: flips[0] // 8] if cut else data))
    # What lies inside of values and words for readers is not looked at; where protobuf has a fault, so has the rest.
    assert skimmed == whole or IntegrityError in (whole, skimmed)


def test_a_file_cut_anywhere_ends_in_facts_or_a_refusal(both, look):
    random_ = random.Random(3)
    for size in [*range(1, 60), *(random_.randrange(len(RICH)) for _ in range(300))]:
        whole, skimmed = both(RICH[:size])
        assert skimmed == whole


GRAPH = b"\x08\x08" + part(8, b"\x10\x11")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (GRAPH + b"\x3a\xff\xff\xff\xff\x07", "behind its message or the file"),
        (GRAPH + b"\x3a" + b"\xff" * 9 + b"\x01", "behind its message or the file"),
        (GRAPH + part(7, b"\x0a\x7f" + bytes(40)), "behind its message or the file"),
        (GRAPH + b"\x3b\x3c", "no field begins"),
        (GRAPH + b"\x00\x01", "no field begins"),
        (GRAPH + b"\xff" * 40, "does not end"),
        (GRAPH + b"\x08" + b"\x80" * 11, "does not end"),
        (GRAPH + b"\x3a\x80", "truncated"),
    ],
)
def test_lengths_wire_types_groups_and_endless_numbers_are_refused(both, monkeypatch, tmp_path, data, words):
    monkeypatch.setattr(onnx_wire, "_WHOLE", 0)
    assert both(data) == (IntegrityError, IntegrityError)
    with pytest.raises(IntegrityError, match=words):
        skimmed(tmp_path / "model.onnx")


def refused_soon(path, words, seconds=10):
    began = time.process_time()
    with pytest.raises(IntegrityError, match=words):
        read_facts(str(path))
    assert time.process_time() - began < seconds


def test_more_parts_than_any_graph_has_are_refused_before_protobuf_makes_them(tmp_path):
    path = tmp_path / "many.onnx"
    path.write_bytes(GRAPH + part(7, b"\x0a\x00" * 20_000_000))
    refused_soon(path, "more than 3,000,000 parts")


def test_ten_thousand_graphs_one_in_another_are_refused(tmp_path):
    graph = bytes(2_000_000)
    graph = part(10, graph)
    for _ in range(10_000):
        graph = part(1, part(5, part(6, graph)))
    (tmp_path / "deep.onnx").write_bytes(GRAPH + part(7, graph))
    refused_soon(tmp_path / "deep.onnx", "deeper than 100")


def test_the_facts_of_a_file_of_half_a_gigabyte_take_no_memory_of_that_size(tmp_path):
    path = tmp_path / "large.onnx"
    size = 500_000_000
    shape = number(1 << 3) + number(size // 4) + b"\x10\x01" + part(8, b"w")
    tensor_size = len(shape) + 1 + len(number(size)) + size
    head = shape + b"\x4a" + number(size)
    graph = part(1, part(1, b"x") + part(2, b"y") + part(4, b"Abs"))
    graph_size = len(graph) + 1 + len(number(tensor_size)) + tensor_size
    with path.open("wb") as file:
        file.write(GRAPH + b"\x3a" + number(graph_size) + graph + b"\x2a" + number(tensor_size) + head)
        file.truncate(file.tell() + size)  # the values: a hole that takes no room on disk
    began = time.process_time()
    facts = read_facts(str(path))
    assert facts.weights_bytes.value == size
    assert time.process_time() - began < 1
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 1)
    with contextlib.suppress(PromoteError):
        pytest.fail(f"{read_facts(str(path))}")


MEASURE = """
import resource, sys
import onnx
from promote.adapters.onnx_file import read_facts
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
facts = read_facts(sys.argv[1])
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(facts.weights_bytes.value, sum(file.needed for file in facts.external.value), (after - before) // 1024)
"""


def test_ten_gigabytes_beside_the_model_cost_no_more_memory_than_its_graph(tmp_path):
    size, files = 10 * 2**30, 16
    each = size // files
    tensors = [outside(f"w{n}.bin", name=f"w{n}", dims=(each // 4,), offset=0, length=each) for n in range(files)]
    onnx.save(made(tensors=tensors), tmp_path / "model.onnx")
    for n in range(files):
        with (tmp_path / f"w{n}.bin").open("wb") as file:
            file.truncate(each)  # a hole that takes no room on disk
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(tmp_path / "model.onnx")], check=True, text=True, stdout=subprocess.PIPE
    )
    weights, needed, grown_mib = map(int, done.stdout.split())
    assert weights == needed == size
    assert grown_mib < 16
