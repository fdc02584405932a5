"""What is read off a model file, and that no file, however damaged or hostile, ends in anything but facts or a refusal."""

import contextlib
import os
import subprocess
import sys
import time

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from promote.adapters.onnx_file import read_facts
from promote.core.facts import ModelFacts
from promote.core.tensors import BITS, TensorSpec
from promote.errors import InputError, IntegrityError, NotFound, PromoteError
from tests.fakes.bundle import times


def value(name, dtype=TensorProto.FLOAT, shape=("batch", 4)):
    return helper.make_tensor_value_info(name, dtype, None if shape is None else list(shape))


def made(nodes=None, inputs=None, outputs=None, tensors=(), opsets=(("", 17),), functions=(), **fields):
    """A model that copies ``x`` to ``y``, changed where asked."""
    nodes = nodes if nodes is not None else [helper.make_node("Identity", ["x"], ["y"])]
    graph = helper.make_graph(nodes, "g", inputs or [value("x")], outputs or [value("y")], list(tensors))
    imports = [helper.make_opsetid(domain, version) for domain, version in opsets]
    model = helper.make_model(graph, opset_imports=imports, functions=list(functions), ir_version=8)
    for field, content in fields.items():
        setattr(model, field, content)
    return model


@pytest.fixture
def read(tmp_path):
    """Writes a model and reads its facts."""

    def write_and_read(model) -> ModelFacts:
        data = model if isinstance(model, bytes) else model.SerializeToString()
        path = tmp_path / "model.onnx"
        path.write_bytes(data)
        return read_facts(str(path))

    return write_and_read


def outside(location, *, name="w", dims=(4,), dtype=TensorProto.FLOAT, **entries):
    """A tensor whose values lie in another file."""
    tensor = TensorProto(name=name, data_type=dtype, dims=dims, data_location=TensorProto.EXTERNAL)
    for key, text in {"location": location, **entries}.items():
        entry = tensor.external_data.add()
        entry.key, entry.value = key, str(text)
    return tensor


def test_onnx_comes_whole_after_its_parts_were_loaded_alone(tmp_path):
    onnx.save(made(), tmp_path / "model.onnx")
    script = """
import sys
from promote.adapters import onnx_file, onnx_package
nodes = onnx_file.read_facts(sys.argv[1]).nodes.value
assert nodes and not {"onnx", "numpy"} & sys.modules.keys(), "loaded whole"
from onnx import ModelProto, checker, compose, defs, load, shape_inference
assert ModelProto is onnx_package.messages().ModelProto
assert defs.SchemaError is onnx_package.operators().SchemaError
checker.check_model(load(sys.argv[1]))
assert shape_inference.infer_shapes(load(sys.argv[1])).graph.output[0].name == "y"
assert defs.get_schema("Gelu", 20).function_body is not None
"""
    command = [sys.executable, "-c", script, str(tmp_path / "model.onnx")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_bits_of_a_value_are_those_that_onnx_itself_counts():
    packed = {"INT4": 4, "UINT4": 4, "FLOAT4E2M1": 4, "INT2": 2, "UINT2": 2}  # numpy gives each a byte of its own
    for name, bits in BITS.items():
        held = helper.tensor_dtype_to_np_dtype(TensorProto.DataType.Value(name)).itemsize * 8
        assert bits == packed.get(name, held), name
    assert TensorProto.DataType.keys() - BITS.keys() == {"UNDEFINED", "STRING", "FLOAT6E2M3", "FLOAT6E3M2"}


def external(facts):
    return {file.location: (file.needed, file.size, bool(file.fault)) for file in facts.external.value}


def test_every_fact_is_measured_and_names_the_file(read):
    facts = read(made(producer_name="pytorch", producer_version="2.13.0", tensors=[_floats("w", 6)]))
    assert facts.format.value == "onnx"
    assert facts.ir_version.value == 8
    assert facts.opsets.value == {"": 17}
    assert facts.producer.value == "pytorch 2.13.0"
    assert facts.inputs.value == (TensorSpec("x", "FLOAT", ("batch", 4)),)
    assert facts.outputs.value == (TensorSpec("y", "FLOAT", ("batch", 4)),)
    assert facts.weights_bytes.value == 24
    assert facts.external.value == ()
    known = [getattr(facts, name) for name in ModelFacts.__dataclass_fields__]
    assert all(fact.measured and fact.source == "model.onnx" for fact in known if fact is not None)


def test_the_default_domain_has_two_names_and_the_higher_opset_counts(read):
    facts = read(made(opsets=(("ai.onnx", 21), ("", 17), ("ai.onnx.ml", 3))))
    assert facts.opsets.value == {"": 21, "ai.onnx.ml": 3}


def test_the_opset_of_a_function_counts_called_or_not_as_the_runtime_refuses_it_all_the_same(read, tmp_path):
    identity = helper.make_node("Identity", ["a"], ["b"])
    function = helper.make_function("own", "F", ["a"], ["b"], [identity], [helper.make_opsetid("", 99)])
    facts = read(made(opsets=(("", 17), ("own", 1)), functions=[function]))
    assert facts.opsets.value == {"": 99, "own": 1}
    onnxruntime = pytest.importorskip("onnxruntime")
    with pytest.raises(Exception, match=r"(?i)opset"):
        onnxruntime.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])


def test_operators_of_subgraphs_and_functions_count_and_calls_of_own_functions_do_not(read):
    inner = helper.make_graph([helper.make_node("Gelu", ["x"], ["z"], domain="com.microsoft")], "t", [], [value("z")])
    branch = helper.make_graph(
        [helper.make_node("If", ["c"], ["z"], then_branch=inner, else_branch=inner)], "e", [], [value("z")]
    )
    function = helper.make_function(
        "own.ops", "Twice", ["a"], ["b"], [helper.make_node("Odd", ["a"], ["b"], domain="their.ops")],
        [helper.make_opsetid("their.ops", 1)],
    )  # fmt: skip
    nodes = [
        helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch),
        helper.make_node("Twice", ["x"], ["q"], domain="own.ops"),
    ]
    facts = read(made(nodes, functions=[function]))
    assert facts.domains.value == {"", "com.microsoft", "their.ops"}


def test_weights_in_subgraphs_constants_and_sparse_tensors_count(read):
    inner = helper.make_graph([], "t", [], [value("z")], [_floats("inner", 10)])
    constant = helper.make_node("Constant", [], ["k"], value=_floats("k", 5))
    branch = helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=inner)
    model = made([constant, branch])
    sparse = model.graph.sparse_initializer.add()
    sparse.values.CopyFrom(_floats("s", 2))
    sparse.indices.CopyFrom(helper.make_tensor("", TensorProto.INT64, [2], [0, 1]))
    sparse.dims.append(9)
    facts = read(model)
    assert facts.weights_bytes.value == 4 * (10 + 10 + 5 + 2) + 8 * 2
    assert facts.dtypes.value == {"FLOAT", "INT64"}


@pytest.mark.parametrize(
    ("dtype", "count", "size"),
    [
        (TensorProto.FLOAT, 3, 12),
        (TensorProto.DOUBLE, 3, 24),
        (TensorProto.FLOAT16, 3, 6),
        (TensorProto.BFLOAT16, 3, 6),
        (TensorProto.FLOAT8E4M3FN, 3, 3),
        (TensorProto.INT4, 3, 2),
        (TensorProto.COMPLEX128, 1, 16),
        (TensorProto.BOOL, 3, 3),
    ],
)
def test_bytes_of_weights_follow_from_type_and_shape(read, dtype, count, size):
    tensor = TensorProto(name="w", data_type=dtype, dims=[count])
    facts = read(made(tensors=[tensor]))
    assert facts.weights_bytes.value == size
    assert facts.dtypes.value == {"FLOAT", TensorProto.DataType.Name(dtype)}


def test_strings_count_as_they_lie_there(read):
    facts = read(made(tensors=[helper.make_tensor("s", TensorProto.STRING, [2], [b"ab", b"cde"])]))
    assert facts.weights_bytes.value == 5


def test_a_type_from_the_future_is_named_by_its_number(read):
    model = made()
    model.graph.input[0].type.tensor_type.elem_type = 99
    facts = read(model)
    assert facts.inputs.value[0].dtype == "TYPE_99"


@pytest.mark.parametrize(
    ("sizes", "precision"),
    [
        ({}, "fp32"),
        ({TensorProto.FLOAT16: 100, TensorProto.FLOAT: 10}, "fp16"),
        ({TensorProto.FLOAT16: 10, TensorProto.FLOAT: 100}, "fp32"),
        ({TensorProto.INT64: 1000, TensorProto.BFLOAT16: 1}, "bf16"),
    ],
)
def test_the_precision_is_that_of_most_weights(read, sizes, precision):
    tensors = [TensorProto(name=str(dtype), data_type=dtype, dims=[count]) for dtype, count in sizes.items()]
    assert read(made(tensors=tensors)).precision.value == precision


def test_an_initializer_listed_as_an_input_is_no_input(read):
    facts = read(made(inputs=[value("x"), value("w", shape=(6,))], tensors=[_floats("w", 6)]))
    assert [spec.name for spec in facts.inputs.value] == ["x"]


def test_unnamed_and_negative_axes_get_a_name_of_their_own(read):
    model = made(inputs=[value("x", shape=("batch", None, 4))])
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = -1
    assert read(model).inputs.value[0].shape == ("batch", "x_1", "x_2")


def test_no_rank_a_scalar_and_what_is_no_tensor_are_told_apart(read):
    sequence = helper.make_tensor_sequence_value_info("s", TensorProto.FLOAT, None)
    facts = read(made(inputs=[value("r", shape=None), value("n", shape=()), sequence]))
    assert [(spec.dtype, spec.shape) for spec in facts.inputs.value] == [
        ("FLOAT", None),
        ("FLOAT", ()),
        ("SEQUENCE", None),
    ]


def test_external_data_is_measured_up_to_the_last_byte_the_model_reads(read, tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "w.bin").write_bytes(bytes(40))
    tensors = [
        outside("sub/w.bin", name="a", offset=0, length=16),
        outside("sub/w.bin", name="b", offset=16),
        outside("sub/w.bin", name="again", offset=0),
        outside("gone.bin", name="c", dims=[8]),
    ]
    assert external(read(made(tensors=tensors))) == {"sub/w.bin": (32, 40, False), "gone.bin": (32, None, False)}


def test_a_short_data_file_is_seen_as_short(read, tmp_path):
    (tmp_path / "w.bin").write_bytes(bytes(15))
    assert external(read(made(tensors=[outside("w.bin")]))) == {"w.bin": (16, 15, False)}


@pytest.mark.parametrize("location", ["../w.bin", "/etc/passwd", "a/../../w.bin", "", ".", "C:\\w", "w\x00", "a//b"])
def test_data_outside_the_folder_is_a_fault_and_never_looked_at(read, location):
    found = external(read(made(tensors=[outside(location)])))
    assert found == {location: (16, None, True)}


def test_data_behind_a_link_or_in_no_plain_file_is_a_fault(read, tmp_path):
    (tmp_path / "real.bin").write_bytes(bytes(16))
    (tmp_path / "link.bin").symlink_to("real.bin")
    (tmp_path / "folder").mkdir()
    (tmp_path / "through").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    names = ("link.bin", "folder", "through/real.bin", "pipe")
    facts = read(made(tensors=[outside(name, name=name) for name in names]))
    assert external(facts) == dict.fromkeys(names, (16, None, True))


def test_external_data_in_a_subgraph_and_in_an_attribute_counts(read):
    inner = helper.make_graph([], "t", [], [value("z")], [outside("inner.bin")])
    constant = helper.make_node("Constant", [], ["k"])
    attribute = constant.attribute.add()
    attribute.name, attribute.type = "value", onnx.AttributeProto.TENSOR
    attribute.t.CopyFrom(outside("attribute.bin"))
    facts = read(made([constant, helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=inner)]))
    assert external(facts).keys() == {"inner.bin", "attribute.bin"}


def test_external_data_in_a_functions_default_attribute_counts(read):
    function = helper.make_function("own", "F", ["a"], ["b"], [helper.make_node("Identity", ["a"], ["b"])], [])
    attribute = function.attribute_proto.add()
    attribute.name, attribute.type = "k", onnx.AttributeProto.TENSOR
    attribute.t.CopyFrom(outside("function.bin"))
    assert external(read(made(functions=[function]))).keys() == {"function.bin"}


@pytest.mark.parametrize("number", ["-1", "1e3", "0x10", " 1", "١", "9" * 30])
@pytest.mark.parametrize("key", ["offset", "length"])
def test_an_offset_or_length_that_is_no_number_is_refused(read, key, number):
    with pytest.raises(IntegrityError, match=f"external data has the {key}"):
        read(made(tensors=[outside("w.bin", **{key: number})]))


def test_a_negative_extent_is_refused_and_an_enormous_one_only_counted(read):
    with pytest.raises(IntegrityError, match=r"tensor 'w' has the shape \[-1\]"):
        read(made(tensors=[TensorProto(name="w", data_type=1, dims=[-1])]))
    facts = read(made(tensors=[TensorProto(name="w", data_type=1, dims=[2**62, 2**62])]))
    assert facts.weights_bytes.value == 2**126


def test_what_is_no_file_is_not_found(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name, word in (("gone.onnx", "not there"), ("", "a folder"), ("pipe", "not there"), ("a\x00b", "not there")):
        with pytest.raises(NotFound, match=word):
            read_facts(str(tmp_path) + "/" + name)


def test_an_empty_file_is_bad_input(read):
    with pytest.raises(InputError, match="is empty"):
        read(b"")


@pytest.mark.parametrize(
    "data", [b"\x00", b"GIF89a" * 10, b"\x80\x04\x95" + bytes(50), b"PK\x03\x04" + bytes(30), b"{}", b"\xff" * 99]
)
def test_another_kind_of_file_is_no_onnx_model(read, data):
    with pytest.raises(IntegrityError, match="is no ONNX model"):
        read(data)


@pytest.mark.parametrize("gone", ["graph", "ir_version"])
def test_a_model_without_graph_or_ir_version_is_none(read, gone):
    model = made()
    model.ClearField(gone)
    with pytest.raises(IntegrityError, match="no graph, IR version or opset"):
        read(model)


def test_a_file_larger_than_onnx_allows_is_refused_unread(tmp_path):
    path = tmp_path / "huge.onnx"
    with path.open("wb") as handle:
        handle.write(b"\x08\x08")
        handle.truncate(2**31)
    began = time.monotonic()
    with pytest.raises(IntegrityError, match="2,147,483,648 bytes") as caught:
        read_facts(str(path))
    assert time.monotonic() - began < 1
    assert "external data" in caught.value.hint


@pytest.mark.parametrize(
    "model",
    [
        made(producer_name="QQQQ"),
        made(inputs=[value("QQQQ")]),
        made(inputs=[value("x", shape=("QQQQ", 4))]),
        made([helper.make_node("Identity", ["x"], ["y"], domain="QQQQ")]),
        made(tensors=[TensorProto(name="QQQQ", data_type=1, dims=[-1])]),
        made(tensors=[outside("QQQQ")]),
        made(tensors=[outside("w.bin", QQQQ="1")]),
    ],
)
def test_a_name_that_is_no_utf8_is_refused(read, model):
    with pytest.raises(IntegrityError, match="no UTF-8"):
        read(model.SerializeToString().replace(b"QQQQ", b"\xff\xfe\xfd\xfc"))


def _field(number, data):
    """A length-delimited protobuf field, written by hand: the library refuses to write what is nested so deeply."""
    size, head = len(data), bytearray([number << 3 | 2])
    while size > 127:
        head.append(size & 127 | 128)
        size >>= 7
    return bytes(head) + bytes([size]) + data


def test_ten_thousand_subgraphs_one_in_another_are_refused_at_once(read):
    graph = b""
    for _ in range(10_000):
        graph = _field(1, _field(5, _field(6, graph)))  # graph.node.attribute.g
    data = b"\x08\x08" + _field(7, graph) + _field(8, b"\x10\x11")
    began = time.process_time()
    with pytest.raises(IntegrityError, match="is no ONNX model"):
        read(data)
    assert time.process_time() - began < 5


def test_ten_thousand_subgraphs_side_by_side_are_walked(read):
    nodes = [_field(1, _field(5, _field(6, b"") * 2)) for _ in range(10_000)]
    data = b"\x08\x08" + _field(7, b"".join(nodes)) + _field(8, b"\x10\x11")
    began = time.process_time()
    assert read(data).domains.value == {""}
    assert time.process_time() - began < 5


WHOLE = made(
    nodes=[
        helper.make_node("Constant", [], ["k"], value=helper.make_tensor("k", TensorProto.INT64, [2], [1, 2])),
        helper.make_node(
            "If", ["c"], ["y"],
            then_branch=helper.make_graph([], "t", [], [value("z")], [outside("w.bin", offset=4, length=16)]),
            else_branch=helper.make_graph([], "e", [], [value("z")]),
        ),
    ],
    tensors=[helper.make_tensor("w", TensorProto.FLOAT, [2, 2], [1, 2, 3, 4])],
    functions=[helper.make_function("own", "F", ["a"], ["b"], [helper.make_node("Abs", ["a"], ["b"])], [])],
    producer_name="tests",
).SerializeToString()  # fmt: skip
HOSTILE = settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def facts_or_refusal(path, data):
    path.write_bytes(data)
    with contextlib.suppress(PromoteError):
        assert isinstance(read_facts(str(path)), ModelFacts)


@given(st.binary(max_size=300))
@HOSTILE
def test_random_bytes_end_in_facts_or_a_refusal(tmp_path, data):
    facts_or_refusal(tmp_path / "model.onnx", data)


@given(st.lists(st.tuples(st.integers(0, len(WHOLE) * 8 - 1)), min_size=1, max_size=6))
@HOSTILE
def test_a_model_with_flipped_bits_ends_in_facts_or_a_refusal(tmp_path, flips):
    data = bytearray(WHOLE)
    for (bit,) in flips:
        data[bit // 8] ^= 1 << bit % 8
    facts_or_refusal(tmp_path / "model.onnx", bytes(data))


def test_every_single_flipped_bit_of_a_model_ends_in_facts_or_a_refusal(tmp_path):
    for bit in range(len(WHOLE) * 8):
        data = bytearray(WHOLE)
        data[bit // 8] ^= 1 << bit % 8
        facts_or_refusal(tmp_path / "model.onnx", bytes(data))


def test_a_model_cut_anywhere_ends_in_facts_or_a_refusal(tmp_path):
    whole = times(2.0)
    for size in range(1, len(whole)):
        facts_or_refusal(tmp_path / "model.onnx", whole[:size])


def _floats(name, count):
    return helper.make_tensor(name, TensorProto.FLOAT, [count], np.zeros(count, np.float32))
