"""What may be in a bundle: names and fields that could run code or reach elsewhere are refused, data passes."""

import pytest
from google.protobuf import text_format
from hypothesis import given, settings
from hypothesis import strategies as st
from tritonclient.grpc.model_config_pb2 import ModelConfig

from promote.core.bundle_files import check_files, check_head, read_config
from promote.core.serving import config_text
from promote.errors import InputError, IntegrityError
from tests.fakes.bundle import contents

NEEDED = ["ner/config.pbtxt", "ner/3/model.onnx"]
ACCELERATED = b"optimization { execution_accelerators { gpu_execution_accelerator { %s } } }"
PLAIN = b'name: "ner"\nbackend: "onnxruntime"\n'


@pytest.mark.parametrize(
    "path",
    [
        "model.onnx.data",
        "onnx__MatMul_1234",
        "encoder.layer.0.weight",
        "labels.txt",
        "tokenizer/tokenizer.json",
        "tokenizer/vocab.txt",
        "promote/passport.json",
        "promote/golden.safetensors",
        "README.md",
        "resolution.bin",
        "so/weights",
    ],
)
def test_data_passes(path: str) -> None:
    check_files("ner", 3, [*NEEDED, f"ner/3/{path}"])


@pytest.mark.parametrize(
    "path",
    [
        "ner/3/libtriton_onnxruntime.so",
        "ner/3/libcudart.so.12",
        "ner/3/libx.so.1.2.3",
        "ner/3/BATCHSTRATEGY.SO",
        "ner/3/model.py",
        "ner/3/deep/in/model.pyc",
        "ner/3/model.plan",
        "ner/3/model.engine",
        "ner/3/model.pkl",
        "ner/3/tokenizer/x.pickle",
        "ner/3/run.sh",
        "ner/3/x.dll",
        "ner/3/config.pbtxt",
    ],
)
def test_code_is_refused_by_its_name(path: str) -> None:
    with pytest.raises(IntegrityError, match="code, not data"):
        check_files("ner", 3, [*NEEDED, path])


@pytest.mark.parametrize(
    "path",
    [
        "ner/4/model.onnx",
        "ner/batchstrategy.so",
        "ner/labels.txt",
        "ner/configs/gpu.pbtxt",
        "other/3/model.onnx",
        "ner/30/model.onnx",
        "ner/3",
        "model.onnx",
        "ner/../ner/3/x",
        "ner/3/../../x",
        "/ner/3/x",
        "ner/3//x",
        "ner/3/.",
        "ner/3/a\x00b",
        "ner/3/MODEL.onnx",
        "ner/3/model.onnx",
        "ner/3/model.onnx/part",
        "ner/3/~root",
        "",
    ],
)
def test_a_file_outside_the_version_or_with_two_readings_is_refused(path: str) -> None:
    with pytest.raises(IntegrityError):
        check_files("ner", 3, [*NEEDED, path])


@pytest.mark.parametrize("missing", NEEDED)
def test_a_bundle_without_its_config_or_model_is_none(missing: str) -> None:
    with pytest.raises(IntegrityError, match=f"has no {missing}"):
        check_files("ner", 3, [path for path in NEEDED if path != missing])


def test_version_0_and_too_many_files_are_refused() -> None:
    with pytest.raises(IntegrityError, match="version 0"):
        check_files("ner", 0, ["ner/config.pbtxt", "ner/0/model.onnx"])
    with pytest.raises(IntegrityError, match="10,001 files"):
        check_files("ner", 3, NEEDED + [f"ner/3/w{n}" for n in range(9_999)])


def test_a_name_that_is_none_is_bad_input() -> None:
    with pytest.raises(InputError):
        check_files("../ner", 3, NEEDED)


@given(st.text(max_size=30))
def test_whatever_passes_lies_within_the_version(tail: str) -> None:
    path = f"ner/3/{tail}"
    try:
        check_files("ner", 3, [*NEEDED, path])
    except IntegrityError:
        return
    assert ".." not in path.split("/")
    assert not path.lower().endswith((".so", ".py", ".plan", "/"))


def test_native_code_is_refused_under_any_name() -> None:
    check_head("ner/3/model.onnx", b"\x08\x08\x12\x07pytorch")
    check_head("ner/3/empty", b"")
    with pytest.raises(IntegrityError, match="native code"):
        check_head("ner/3/weights", b"\x7fELF\x02\x01")


def test_the_config_that_promote_writes_is_read_back_the_same() -> None:
    text = contents("ner", 3, warmup=True)["ner/config.pbtxt"]
    assert config_text(read_config(text, "ner")) == text
    assert read_config(PLAIN, "ner").backend == "onnxruntime"


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b'backend: "python"', "backend 'python'"),
        (b'backend: "tensorrt_plan"', "backend 'tensorrt_plan'"),
        (b'backend: ""', "backend ''"),
        (b'platform: "tensorrt_plan"', "backend"),
        (b'runtime: "libevil.so"', "field runtime"),
        (b'name: "other"', "of model 'other'"),
        (b'default_model_filename: "../../other/1/model.onnx"', "default_model_filename"),
        (b'model_repository_agents { agents { name: "checksum" } }', "field model_repository_agents"),
        (b'ensemble_scheduling { step { model_name: "x" } }', "field ensemble_scheduling"),
        (b"sequence_batching { }", "field sequence_batching"),
        (b'cc_model_filenames { key: "8.0" value: "x" }', "field cc_model_filenames"),
        (b'metric_tags { key: "a" value: "b" }', "field metric_tags"),
        (b'model_operations { op_library_filename: "libevil.so" }', "field model_operations"),
        (b"model_transaction_policy { decoupled: true }", "field model_transaction_policy"),
        (b"response_cache { enable: true }", "field response_cache"),
        (b"optimization { cuda { graphs: true } }", "field optimization.cuda"),
        (ACCELERATED % b'name: "openvino"', "other than one tensorrt"),
        (ACCELERATED % b'name: "tensorrt" } gpu_execution_accelerator { name: "tensorrt"', "other than one tensorrt"),
        (b'optimization { execution_accelerators { cpu_execution_accelerator { name: "openvino" } } }', "other than"),
        (ACCELERATED % b'name: "tensorrt" parameters { key: "trt_engine_cache_path" value: "/etc" }', "cache_path"),
        (ACCELERATED % b'name: "tensorrt" parameters { key: "trt_extra_plugin_lib_paths" value: "x" }', "plugin"),
        (
            ACCELERATED % b'name: "tensorrt" parameters { key: "precision_mode" value: "INT8" }',
            "'precision_mode' 'INT8'",
        ),
        (ACCELERATED % b'name: "tensorrt" parameters { key: "max_workspace_size_bytes" value: "1;x" }', "workspace"),
        (b'parameters { key: "model_path" value { string_value: "x" } }', "parameter 'model_path' names a file"),
        (b'parameters { key: "EXECUTION_ENV_PATH" value { string_value: "x" } }', "names a file"),
        (b'parameters { key: "custom_op_library_filename" value { string_value: "x" } }', "names a file"),
        (b'parameters { key: "harmless" value { string_value: "/etc/passwd" } }', "names a file"),
        (b'parameters { key: "harmless" value { string_value: "..\\\\x" } }', "names a file"),
        (b'output { name: "y" data_type: TYPE_FP32 dims: 1 label_filename: "../labels.txt" }', "label file"),
        (b'output { name: "y" data_type: TYPE_FP32 dims: 1 label_filename: "/etc/passwd" }', "label file"),
        (b'output { name: "y" data_type: TYPE_FP32 dims: 1 label_filename: "3/labels.txt\\n" }', "label file"),
        (b'output { name: "y" data_type: TYPE_FP32 dims: 1 label_filename: "3/labels.txt.so" }', "label file"),
        (
            b'model_warmup { name: "w" batch_size: 1 inputs { key: "x" value { data_type: TYPE_FP32 dims: 1 '
            b'input_data_file: "../../../etc/shadow" } } }',
            "warm-up reads the file",
        ),
        (b"instance_group { count: 65 }", "instance groups"),
        (b'instance_group { host_policy: "x" }', "instance groups"),
        (b"instance_group { secondary_devices { device_id: 1 } }", "instance groups"),
        (b"instance_group { }\n" * 65, "instance groups"),
    ],
)
def test_a_config_that_could_run_code_or_name_a_file_is_refused(line: bytes, why: str) -> None:
    key = line.split(b":")[0]
    kept = b"".join(row for row in PLAIN.splitlines(keepends=True) if not row.startswith(key))
    with pytest.raises(IntegrityError) as refused:
        read_config(kept + line, "ner")
    assert why in refused.value.message
    assert refused.value.hint


@pytest.mark.parametrize(
    "line",
    [
        b'output { name: "y" data_type: TYPE_FP32 dims: 1 label_filename: "3/labels.txt" }',
        b'parameters { key: "intra_op_thread_count" value { string_value: "2" } }',
        b"optimization { graph { level: 1 } }",
        ACCELERATED % b'name: "tensorrt" parameters { key: "precision_mode" value: "FP16" }',
        b"instance_group { count: 2 kind: KIND_CPU }",
        b"dynamic_batching { max_queue_delay_microseconds: 100 }",
        b"version_policy { specific { versions: 3 } }",
    ],
)
def test_a_setting_that_is_data_passes(line: bytes) -> None:
    assert read_config(PLAIN + line, "ner").name == "ner"


@pytest.mark.parametrize(
    "text",
    [b"\xff\xfe", b"name", b'name: "ner" nonsense: 1', b"x" * (1024 * 1024 + 1), b'name: "ner" name: "other"'],
    ids=["no text", "no value", "unknown field", "huge", "twice"],
)
def test_what_is_no_config_is_refused(text: bytes) -> None:
    with pytest.raises(IntegrityError):
        read_config(text, "ner")


@settings(deadline=None)
@given(st.text(max_size=12), st.text(max_size=12))
def test_no_text_of_a_parameter_gets_a_path_through(key: str, value: str) -> None:
    message = ModelConfig(name="ner", backend="onnxruntime")
    message.parameters[key].string_value = value
    try:
        read = read_config(text_format.MessageToString(message).encode(), "ner")
    except IntegrityError:
        return
    assert "/" not in read.parameters[key].string_value
