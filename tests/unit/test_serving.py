"""config.pbtxt is a message: hostile names stay names, and the settings arrive."""

import pytest
from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.grpc.model_config_pb2 import ModelConfig

from promote.core.bundle_files import read_config
from promote.core.facts import Fact, HostFacts, ModelFacts, Target
from promote.core.rules.builds import tensorrt_precision
from promote.core.rules.case import Case
from promote.core.serving import Template, batches, build_config, config_text, parse_template
from promote.core.tensors import DType, TensorSpec
from promote.errors import InputError
from promote.wiring import shipped
from tests.unit.test_matrix import MATRIX

IDS = TensorSpec("input_ids", DType("INT64"), ("batch", "sequence"))
LOGITS = TensorSpec("logits", DType("FLOAT"), ("batch", "sequence", 17))
SCALAR = TensorSpec("scale", DType("FLOAT"), ())


def target(device="cpu", batch=8):
    return Target(name="t", host=HostFacts(device=Fact(device, "declared")), max_batch_size=batch)


def shipped_template():
    return parse_template((shipped("model_repo_templates") / "onnxruntime/template.yaml").read_text(), "template.yaml")


def test_the_shipped_template_becomes_a_batching_config():
    config = build_config(shipped_template(), target(), "ner", 3, (IDS,), (LOGITS,), "3/labels.txt")
    assert config.backend == "onnxruntime"
    assert config.max_batch_size == 8
    assert list(config.version_policy.specific.versions) == [3]
    assert list(config.input[0].dims) == [-1]
    assert list(config.output[0].dims) == [-1, 17]
    assert config.output[0].label_filename == "3/labels.txt"
    assert config.instance_group[0].kind == config.instance_group[0].KIND_CPU
    assert list(config.dynamic_batching.preferred_batch_size) == [4, 8]
    assert config.model_warmup[0].inputs["input_ids"].zero_data
    assert list(config.model_warmup[0].inputs["input_ids"].dims) == [16]


def test_a_gpu_target_says_so_explicitly():
    config = build_config(Template(), target("gpu"), "ner", 1, (IDS,), (LOGITS,))
    assert config.instance_group[0].kind == config.instance_group[0].KIND_GPU


def test_a_fixed_first_axis_means_no_batching():
    fixed = TensorSpec("x", DType("FLOAT"), (1, 3, 224, 224))
    config = build_config(shipped_template(), target(), "resnet", 1, (fixed,), (fixed,))
    assert not batches((fixed,), (fixed,))
    assert config.max_batch_size == 0
    assert not config.HasField("dynamic_batching")
    assert list(config.input[0].dims) == [1, 3, 224, 224]
    assert config.model_warmup[0].batch_size == 1, "Triton skips a sample of none"


def test_a_scalar_gets_one_dimension_and_a_reshape():
    config = build_config(Template(), target(), "m", 1, (SCALAR,), (SCALAR,))
    assert list(config.input[0].dims) == [1]
    assert config.input[0].HasField("reshape")


def test_a_type_that_triton_cannot_carry_is_refused():
    with pytest.raises(InputError, match="COMPLEX64"):
        build_config(Template(), target(), "m", 1, (TensorSpec("x", DType("COMPLEX64"), ("b",)),), (LOGITS,))


@given(st.text(min_size=1).filter(lambda s: s.encode("utf-8", "ignore").decode() == s))
def test_a_hostile_tensor_name_stays_a_name(name):
    config = build_config(Template(), target(), "m", 1, (TensorSpec(name, DType("FLOAT"), ("b", 2)),), (LOGITS,))
    parsed = text_format.Parse(config_text(config).decode(), ModelConfig())
    assert parsed.input[0].name == name
    assert len(parsed.instance_group) == 1
    assert parsed == config


def test_the_same_message_gives_the_same_bytes():
    template = Template(parameters={"b": "1", "a": "2", "intra_op_thread_count": "4"})
    texts = {config_text(build_config(template, target(), "m", 1, (IDS, SCALAR), (LOGITS,))) for _ in range(20)}
    assert len(texts) == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("backend: python", "backend"),
        ("instance_group: {count: 100000}", "instance_group.count"),
        ("nonsense: 1", "nonsense"),
        ("a: [", "is not YAML"),
        ("!!python/object/apply:os.system [id]", "is not YAML"),
    ],
)
def test_a_wrong_template_names_the_field(text, words):
    with pytest.raises(InputError) as refused:
        parse_template(text, "mine.yaml")
    assert "mine.yaml" in refused.value.message
    assert words in refused.value.message


WITH_TENSORRT = "tensorrt: {precision_mode: FP16, max_workspace_size_bytes: 4294967296}"


def test_tensorrt_is_asked_for_on_a_gpu_and_left_out_elsewhere():
    template = parse_template(WITH_TENSORRT, "template.yaml")
    config = build_config(template, target("gpu"), "ner", 1, (IDS,), (LOGITS,))
    [provider] = config.optimization.execution_accelerators.gpu_execution_accelerator
    assert provider.name == "tensorrt"
    assert dict(provider.parameters) == {
        "precision_mode": "FP16", "max_workspace_size_bytes": "4294967296", "trt_min_subgraph_size": "1",
    }  # fmt: skip
    read_config(config_text(config), "ner")  # which a deployment reads again
    assert not build_config(template, target("cpu"), "ner", 1, (IDS,), (LOGITS,)).HasField("optimization")
    assert not build_config(shipped_template(), target("gpu"), "ner", 1, (IDS,), (LOGITS,)).HasField("optimization")


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("tensorrt: {precision_mode: INT8}", "tensorrt.precision_mode"),
        ("tensorrt: {max_workspace_size_bytes: 5}", "tensorrt.max_workspace_size_bytes"),
        ("tensorrt: {trt_engine_cache_path: /tmp}", "tensorrt.trt_engine_cache_path"),
        ("tensorrt: yes", "tensorrt"),
    ],
)
def test_tensorrt_settings_that_make_no_sense_are_named(text, where):
    with pytest.raises(InputError, match=f"template.yaml: {where}: "):
        parse_template(text, "template.yaml")


def test_the_rules_judge_the_precision_that_the_template_asks_for():
    config = build_config(parse_template(WITH_TENSORRT, "t"), target("gpu"), "ner", 1, (IDS,), (LOGITS,))
    outcomes = []
    for version in ("10.5.0.18", "11.1.0.106"):
        host = HostFacts(device=Fact("gpu", "declared"), tensorrt=Fact(version, "declared"))
        case = Case(ModelFacts(format=Fact("onnx", "m")), Target(name="t", host=host), MATRIX, config=config)
        outcomes += [finding.outcome.value for finding in tensorrt_precision(case)]
    assert outcomes == ["ok", "degraded"]
