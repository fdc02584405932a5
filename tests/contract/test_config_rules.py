"""Every rule about config.pbtxt and the model's folder against the real Triton: what it refuses, and the twin it loads.

docs/verified-config.md says which of these NVIDIA's core decided and which examples/local_triton.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from promote.adapters.onnx_file import read_facts
from promote.adapters.repository_file import read_model
from promote.core.facts import Fact, HostFacts, ModelFacts, Target
from promote.core.model_config import parse_config
from promote.core.rules.engine import check
from promote.core.verdict import Outcome
from tests.parts.config_cases import CORRID, START, Folder, Pair, adds, config, control, sequence, tensor
from tests.parts.config_cases import onnx_folder as onnx
from tests.parts.config_cases import python_folder as python
from tests.parts.triton import Served, new_name
from tests.unit.test_matrix import MATRIX

pytestmark = pytest.mark.triton
grpcclient = pytest.importorskip("tritonclient.grpc")
from tritonclient.utils import InferenceServerException  # noqa: E402

CPU = Target(name="t", host=HostFacts(device=Fact("cpu", "test"), triton=Fact("24.10", "test")))
END = "kind: CONTROL_SEQUENCE_END int32_false_true: [ 0, 1 ]"
MODEL = adds()


def x(**more: str) -> str:
    return tensor("input", "x", **more)


def y(**more: str) -> str:
    return tensor("output", "y", **more)


def queue(text: str) -> Folder:
    return onnx(f"dynamic_batching {{ {text} }}")


def batch(kind: str, text: str) -> Folder:
    return python(f"batch_{kind} [ {{ {text} }} ]")


COUNT = 'kind: BATCH_ELEMENT_COUNT target_name: "B" '
SCATTER = "kind: BATCH_SCATTER_WITH_INPUT_SHAPE source_input: "
GROUP = "instance_group [ {{ {} }} ]\n"
LABELS = 'label_filename: "{}"'
SEQ_OK, QUEUE_OK, OK = python(sequence(control("S", START))), queue("preferred_batch_size: [ 8 ]"), onnx()
LABELLED = onnx(y=y(more=LABELS.format("labels.txt")), files={"1/model.onnx": MODEL, "labels.txt": "a\n"})
PRIORITY = "priority_levels: 2 default_priority_level: 2 "
PAIRS = {
    "name": Pair("config-name", "", Folder('name: "other"\n' + config()), OK),
    "pair": Pair(
        "config-name",
        "unexpected 'platform' and 'backend' pair",
        onnx(backend='backend: "onnxruntime" platform: "tensorrt_plan"'),
        onnx(backend='backend: "onnxruntime" platform: "onnxruntime_onnx"'),
    ),
    "platform": Pair(
        "config-name",
        "unexpected platform",
        onnx(backend='platform: "no"'),
        onnx(backend='platform: "onnxruntime_onnx"'),
    ),
    "no backend": Pair(
        "config-name", "unable to find backend library", onnx(backend='backend: "nosuch"'), onnx(backend="")
    ),
    "max batch": Pair("config-batching", "must be non-negative", onnx(batch=-1), onnx(batch=1)),
    "preferred 0": Pair("config-batching", "must be positive", queue("preferred_batch_size: [ 0 ]"), QUEUE_OK),
    "preferred 9": Pair("config-batching", "must be <= max batch", queue("preferred_batch_size: [ 9 ]"), QUEUE_OK),
    "fixed batch axis": Pair(
        "config-batching", "first dimension must be -1", onnx(files={"1/model.onnx": adds((1, 4))}), OK, by="backend"
    ),
    "input name": Pair("config-tensors", "unexpected inference input", onnx(x=tensor("input", "a")), OK, by="backend"),
    "output name": Pair(
        "config-tensors", "unexpected inference output", onnx(y=tensor("output", "b")), OK, by="backend"
    ),
    "input count": Pair("config-tensors", "expects 2 inputs", onnx(x=x() + tensor("input", "z")), OK, by="backend"),
    "type": Pair("config-tensors", "expects datatype TYPE_INT64", onnx(x=x(kind="TYPE_INT64")), OK, by="backend"),
    "rank": Pair("config-tensors", "dimensions", onnx(x=x(dims="4, 4")), OK, by="backend"),
    "open input dim": Pair("config-tensors", "dimensions", onnx(x=x(dims="-1")), OK, by="backend"),
    "fixed output dim": Pair(
        "config-tensors",
        "dimensions",
        onnx(x=x(), y=y(), files={"1/model.onnx": adds(("n", "m"))}),
        onnx(x=x(), y=y(dims="-1"), files={"1/model.onnx": adds(("n", "m"))}),
        by="backend",
    ),
    "optional input": Pair(
        "config-tensors",
        "expects 0 inputs",
        onnx(x=x(more="optional: true")),
        onnx(x=x(more="optional: false")),
        by="backend",
    ),
    "reshape to the model": Pair(
        "config-tensors",
        "dimensions",
        onnx(x=x(dims="2, 2", more="reshape { shape: [ 2, 2 ] }")),
        onnx(x=x(dims="2, 2", more="reshape { shape: [ 4 ] }")),
        by="backend",
    ),
    "dims 0": Pair("config-shapes", "dimension must be integer >= 1", onnx(x=x(dims="0")), OK),
    "no dims": Pair("config-shapes", "must specify 'dims'", onnx(x=x(dims="")), OK),
    "no type": Pair("config-shapes", "must specify 'data_type'", onnx(x=x(kind="TYPE_INVALID")), OK),
    "no tensor name": Pair("config-shapes", "must specify 'name'", onnx(x=tensor("input", "")), OK),
    "reshape size": Pair(
        "config-shapes",
        "has different size for dims and reshape",
        onnx(x=x(more="reshape { shape: [ 3 ] }")),
        onnx(x=x(more="reshape { shape: [ 4 ] }")),
    ),
    "reshape chunks": Pair(
        "config-shapes",
        "has different size for dims and reshape",
        python(x=x(dims="-1, 2", more="reshape { shape: [ -1, 3 ] }")),
        python(x=x(dims="-1, 2, 2", more="reshape { shape: [ -1, 4 ] }")),
    ),
    "reshape open dims": Pair(
        "config-shapes",
        "different number of variable-size",
        python(x=x(dims="-1, -1", more="reshape { shape: [ -1 ] }")),
        python(x=x(dims="-1", more="reshape { shape: [ -1 ] }")),
    ),
    "empty reshape": Pair(
        "config-shapes",
        "cannot have empty reshape",
        python(batch=0, x=x(dims="1", more="reshape { }")),
        python(x=x(dims="1", more="reshape { }")),
    ),
    "layout": Pair(
        "config-shapes",
        "require 3 dims",
        python(x=x(more="format: FORMAT_NHWC")),
        python(x=x(dims="2, 2, 3", more="format: FORMAT_NHWC")),
    ),
    "shape tensor": Pair(
        "config-shapes", "only supported for TensorRT", python(x=x(more="is_shape_tensor: true")), python()
    ),
    "non-linear": Pair(
        "config-shapes",
        "Non-linear IO format",
        python(x=x(dims="1, 2, 3", more="is_non_linear_format_io: true")),
        python(x=x(dims="1, 2, 3")),
    ),
    "priority": Pair("config-queue", "default priority level", queue("priority_levels: 2"), queue(PRIORITY)),
    "priority policy": Pair(
        "config-queue",
        "priority queue policy",
        queue(PRIORITY + "priority_queue_policy { key: 3 value { max_queue_size: 1 } }"),
        queue(PRIORITY + "priority_queue_policy { key: 2 value { max_queue_size: 1 } }"),
    ),
    "order": Pair(
        "config-queue", "Only one priority level", queue("preserve_ordering: true " + PRIORITY), queue(PRIORITY)
    ),
    "delay": Pair(
        "config-queue",
        "can not have DELAY",
        queue("preserve_ordering: true default_queue_policy { timeout_action: DELAY default_timeout_microseconds: 5 }"),
        queue("preserve_ordering: true default_queue_policy { timeout_action: DELAY }"),
    ),
    "start twice": Pair(
        "config-sequence", "specifies multiple", python(sequence(control("A", START) + control("B", START))), SEQ_OK
    ),
    "control tensor twice": Pair(
        "config-sequence",
        "is specified for multiple control kinds",
        python(sequence(control("A", START) + control("A", END))),
        python(sequence(control("A", START) + control("B", END))),
    ),
    "three values": Pair(
        "config-sequence",
        "exactly 2 entries",
        python(sequence(control("A", "kind: CONTROL_SEQUENCE_START int32_false_true: [ 0, 1, 2 ]"))),
        SEQ_OK,
    ),
    "no values": Pair(
        "config-sequence", "must specify either", python(sequence(control("A", "kind: CONTROL_SEQUENCE_START"))), SEQ_OK
    ),
    "correlation type": Pair(
        "config-sequence",
        "unexpected data type for control",
        python(sequence(control("C", CORRID.format("TYPE_FP32")))),
        python(sequence(control("C", CORRID.format("TYPE_UINT64")))),
    ),
    "oldest": Pair(
        "config-sequence",
        "preferred batch size must be <=",
        python(sequence("", "oldest { max_candidate_sequences: 4 preferred_batch_size: [ 9 ] }")),
        python(sequence("", "oldest { max_candidate_sequences: 4 preferred_batch_size: [ 8 ] }")),
    ),
    "slots": Pair(
        "config-sequence",
        "minimum slot utilization",
        python(sequence("", "direct { minimum_slot_utilization: 2 }")),
        python(sequence("", "direct { minimum_slot_utilization: 1 }")),
    ),
    "cache of sequences": Pair(
        "config-cache",
        "Response Cache",
        python(sequence("") + "response_cache { enable: true }"),
        python("response_cache { enable: true }"),
    ),
    "cache, decoupled": Pair(
        "config-cache",
        "Response Cache",
        python("model_transaction_policy { decoupled: true } response_cache { enable: true }"),
        python("model_transaction_policy { decoupled: true }"),
    ),
    "gpu": Pair("config-instances", "no GPUs are available", onnx(group=GROUP.format("kind: KIND_GPU")), OK),
    "cpu with gpus": Pair(
        "config-instances", "KIND_CPU but specifies", onnx(group=GROUP.format("kind: KIND_CPU gpus: [ 0 ]")), OK
    ),
    "model with gpus": Pair(
        "config-instances",
        "KIND_MODEL but specifies",
        onnx(group=GROUP.format("kind: KIND_MODEL gpus: [ 0 ]")),
        onnx(group=GROUP.format("kind: KIND_MODEL")),
    ),
    "auto with gpus": Pair(
        "config-instances",
        "KIND_CPU but specifies",
        onnx(group=GROUP.format("gpus: [ 0 ]")),
        onnx(group=GROUP.format("")),
    ),
    "profile": Pair("config-instances", "profile", onnx(group=GROUP.format('kind: KIND_CPU profile: [ "0" ]')), OK),
    "batch input source": Pair(
        "config-batch-tensors",
        "unknown source input",
        batch("input", COUNT + 'data_type: TYPE_FP32 source_input: "z"'),
        batch("input", COUNT + 'data_type: TYPE_FP32 source_input: "x"'),
    ),
    "batch input type": Pair(
        "config-batch-tensors",
        "must be TYPE_INT32 or TYPE_FP32",
        batch("input", COUNT + 'data_type: TYPE_INT64 source_input: "x"'),
        batch("input", COUNT + 'data_type: TYPE_INT32 source_input: "x"'),
    ),
    "batch output": Pair(
        "config-batch-tensors",
        "unknown target output",
        batch("output", SCATTER + '"x" target_name: "z"'),
        batch("output", SCATTER + '"x" target_name: "y"'),
    ),
    "no version": Pair(
        "model-versions",
        "at least one version",
        onnx(files={"01/model.onnx": MODEL}),
        onnx(files={"0/model.onnx": MODEL}),
    ),
    "a version by name": Pair("model-versions", "at least one version", onnx(files={"one/model.onnx": MODEL}), OK),
    "version policy": Pair(
        "model-versions",
        "at least one version",
        onnx("version_policy { specific { versions: [ 7 ] } }"),
        onnx("version_policy { specific { versions: [ 1, 7 ] } }"),
    ),
    "latest 0": Pair(
        "model-versions",
        "at least one version",
        onnx("version_policy { latest { num_versions: 0 } }"),
        onnx("version_policy { latest { num_versions: 1 } }"),
    ),
    "file": Pair(
        "model-files",
        "unable to find",
        onnx(files={"1/net.onnx": MODEL}),
        onnx('default_model_filename: "net.onnx"', files={"1/net.onnx": MODEL}),
        by="backend",
    ),
    "newest version is empty": Pair(
        "model-files",
        "unable to find",
        onnx(files={"1/model.onnx": MODEL, "2/": ""}),
        onnx("version_policy { specific { versions: [ 1 ] } }", files={"1/model.onnx": MODEL, "2/": ""}),
        by="backend",
    ),
    "labels": Pair("label-files", "failed to open text file", onnx(y=y(more=LABELS.format("labels.txt"))), LABELLED),
}


@pytest.fixture(scope="module")
def server(fresh_triton: Callable[..., Served]) -> Served:
    # With it a Python backend is asked to complete every config, in a process of its own: 1.3 s a load.
    return fresh_triton(options=["--disable-auto-complete-config"])


def broken_by(folder_path: str) -> set[str]:
    """The rules that promote's verdict names."""
    folder = read_model(folder_path)
    made = parse_config(folder.config or b"", "config.pbtxt")
    onnx_files = sorted(f for f in folder.files if f.endswith(".onnx"))
    facts = read_facts(f"{folder_path}/{onnx_files[0]}") if onnx_files else ModelFacts(format=Fact("python", "test"))
    found = check(facts, CPU, MATRIX, config=made, name=folder.name, folder=folder)
    return {f.rule for f in found if f.outcome is Outcome.BROKEN}


@pytest.mark.parametrize("case", PAIRS)
def test_promote_and_the_real_triton_agree_on_what_is_refused_and_what_loads(server: Served, case: str) -> None:
    pair, client = PAIRS[case], grpcclient.InferenceServerClient(server.triton.grpc)
    bad, good = new_name(), new_name()
    refused = pair.refused.write(server.repository, bad)
    before = len(server.triton.log.read_text(errors="replace"))
    with pytest.raises(InferenceServerException) as error:
        client.load_model(bad)
    assert client.is_server_live(), "refused, not crashed"
    assert pair.message in str(error.value) + server.triton.log.read_text(errors="replace")[before:]
    loads = pair.loads.write(server.repository, good)
    client.load_model(good)
    client.unload_model(good)
    assert pair.rule in broken_by(str(refused))
    assert broken_by(str(loads)) == set()


def test_a_folder_where_labels_should_be_ends_the_real_server_and_promote_refuses_it(
    fresh_triton: Callable[..., Served],
) -> None:
    mine, name = fresh_triton(options=["--disable-auto-complete-config"]), new_name()
    folder = onnx(y=y(more=LABELS.format("1"))).write(mine.repository, name)
    with pytest.raises(InferenceServerException):
        grpcclient.InferenceServerClient(mine.triton.grpc).load_model(name)
    assert mine.triton.process.wait(timeout=10) != 0
    assert broken_by(str(folder)) == {"label-files"}
