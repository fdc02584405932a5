"""Every rule about config.pbtxt and the model's folder against the real Triton: what it refuses, and the twin it loads.

docs/verified-config.md says which of these NVIDIA's core decided and which examples/local_triton.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from promote.cli.progress import Silent
from promote.core.facts import Fact, HostFacts, Target
from promote.core.verdict import Outcome
from promote.wiring import open_wiring
from tests.parts.config_cases import (
    CORRID,
    PASS_ON,
    START,
    STEPS,
    Folder,
    Pair,
    adds,
    config,
    control,
    ensemble,
    parameter,
    sample,
    sequence,
    step,
    tensor,
    warm,
)
from tests.parts.config_cases import onnx_folder as onnx
from tests.parts.config_cases import python_folder as python
from tests.parts.triton import Served, new_name
from tests.unit.test_matrix import MATRIX

pytestmark = pytest.mark.triton
grpcclient = pytest.importorskip("tritonclient.grpc")
from tritonclient.utils import InferenceServerException  # noqa: E402

CPU = Target(
    name="t",
    host=HostFacts(device=Fact("cpu", "test"), triton=Fact("24.10", "test"), memory_bytes=Fact(2**33, "test")),
)
END = "kind: CONTROL_SEQUENCE_END int32_false_true: [ 0, 1 ]"
MODEL = adds()
WIRING = open_wiring(None, Silent())


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
FROM_FILE = sample(data='input_data_file: "d"')
WARM = python(warm(sample()))


def warmed(size: int) -> Folder:
    """A model warmed up from a file of that size."""
    return Folder(python(warm(FROM_FILE)).text, {"1/model.py": PASS_ON, "warmup/d": bytes(size)})


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
        "format",
        "unable to find backend library",
        onnx(backend='backend: "nosuch"'),
        onnx(backend=""),
        outcome=Outcome.UNKNOWN,  # another server may have that backend
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
    "warm-up, variable dims": Pair(
        "config-warmup", "all variable-size dimensions", python(warm(sample(dims="-1"))), WARM
    ),
    "warm-up, no data": Pair("config-warmup", "to have input_data_type set", python(warm(sample(data=""))), WARM),
    "warm-up, another input": Pair(
        "config-warmup",
        "missing required input(s) ['x']",
        python(warm(sample("z"))),
        python(warm(sample(), sample("z"))),
    ),
    "warm-up, type": Pair("config-warmup", "data-type is 'INT64'", python(warm(sample(kind="TYPE_INT64"))), WARM),
    "warm-up, dims": Pair("config-warmup", "unexpected shape", python(warm(sample(dims="5"))), WARM),
    "warm-up, rank": Pair("config-warmup", "unexpected shape", python(warm(sample(dims="2, 2"))), WARM),
    "warm-up, batch": Pair(
        "config-warmup",
        "max allowed is 0",
        python(warm(sample(), batch="batch_size: 2"), batch=0),
        python(warm(sample()), batch=0),
    ),
    "warm-up, no file": Pair("config-warmup", "failed to open text file", python(warm(FROM_FILE)), warmed(16)),
    "warm-up, short file": Pair("config-warmup", "warmup setting expects 16 bytes", warmed(15), warmed(99)),
    "parameter": Pair(
        "config-parameters",
        "Incorrect value for FORCE_CPU_ONLY_INPUT_TENSORS",
        python(parameter("FORCE_CPU_ONLY_INPUT_TENSORS", "maybe")),
        python(parameter("FORCE_CPU_ONLY_INPUT_TENSORS", "no")),
    ),
    "packed environment": Pair(
        "config-parameters",
        "Failed to get the canonical path",
        python(parameter("EXECUTION_ENV_PATH", "$$TRITON_MODEL_DIRECTORY/env.tar.gz")),
        python(),
    ),
    "no name": Pair("config-name", "", Folder('name: "other"\n' + config()), Folder('name: ""\n' + config())),
    "inputs left out": Pair(
        "config-complete", "expects 0 inputs", onnx(x=""), onnx(), by="backend", outcome=Outcome.DEGRADED
    ),
}


# Without it a Python backend is asked to complete every config, in a process of its own: 1.3 s a load.
AS_IT_IS = ["--disable-auto-complete-config"]


@pytest.fixture(scope="module")
def running(fresh_triton: Callable[..., Served]) -> list[Served]:
    return [fresh_triton(options=AS_IT_IS)]


@pytest.fixture
def server(running: list[Served], fresh_triton: Callable[..., Served]) -> Served:
    """The module's server, or one after it: Triton 24.10 now and then crashes a moment after a warm-up failed (signal 11)."""
    if running[0].triton.process.poll() is not None:
        running[0] = fresh_triton(repository=running[0].repository, options=AS_IT_IS)
    return running[0]


def said_of(folder: Path, *around: Path) -> dict[Outcome, set[str]]:
    """The rules that promote's verdict names, by what they say; ``around``: the models that an ensemble is made of."""
    subjects, faults = WIRING.model_subjects([str(path) for path in (*around, folder)])
    assert not faults
    said: dict[Outcome, set[str]] = {outcome: set() for outcome in Outcome}
    for subject in subjects:
        verdict = subject.judge(CPU, MATRIX)
        subject.settle(verdict.word)
        for finding in verdict.findings if subject.name == folder.name else ():
            said[finding.outcome].add(finding.rule)
    return said


def lives(server: Served) -> bool:
    """Whether it goes on, after the moment that a crash takes."""
    time.sleep(0.5)
    return server.triton.process.poll() is None


@pytest.mark.parametrize("case", PAIRS)
def test_promote_and_the_real_triton_agree_on_what_is_refused_and_what_loads(
    server: Served, running: list[Served], fresh_triton: Callable[..., Served], case: str
) -> None:
    pair, good = PAIRS[case], new_name()
    for _ in range(3 if case.startswith("warm-up") else 1):
        client, bad = grpcclient.InferenceServerClient(server.triton.grpc), new_name()
        refused = pair.refused.write(server.repository, bad)
        before = len(server.triton.log.read_text(errors="replace"))
        with pytest.raises(InferenceServerException) as error:
            client.load_model(bad)
        if not case.startswith("warm-up") or lives(server):
            break
        server = running[0] = fresh_triton(repository=server.repository, options=AS_IT_IS)
    assert client.is_server_live(), "refused, not crashed"
    assert pair.message in str(error.value) + server.triton.log.read_text(errors="replace")[before:]
    loads = pair.loads.write(server.repository, good)
    client.load_model(good)
    client.unload_model(good)
    assert pair.rule in said_of(refused)[pair.outcome]
    assert said_of(loads)[Outcome.BROKEN] == set()
    assert pair.outcome is Outcome.BROKEN or pair.rule not in said_of(loads)[pair.outcome]


WHOLE = ensemble(step())
ENSEMBLES = {
    "no step": Pair("config-ensemble", "must specify 'step'", ensemble(), WHOLE),
    "no model name": Pair("config-ensemble", "must specify 'model_name'", ensemble(step("")), WHOLE),
    "no input map": Pair("config-ensemble", "must specify 'input_map'", ensemble(step(takes="")), WHOLE),
    "no output map": Pair("config-ensemble", "must specify 'output_map'", ensemble(step(gives="")), WHOLE),
    "input that no step takes": Pair("config-ensemble", "is not used", ensemble(step(takes="x: q")), WHOLE),
    "output that no step makes": Pair("config-ensemble", "is not used", ensemble(step(gives="y: q")), WHOLE),
    "a tensor for nobody": Pair(
        "config-ensemble",
        "is unused",
        ensemble(step(gives="y: t"), step()),
        ensemble(step(gives="y: t"), step(takes="x: t")),
    ),
    "made twice": Pair("config-ensemble", "only once", ensemble(step(), step()), WHOLE),
    "a backend": Pair(
        "config-ensemble",
        "empty backend type",
        ensemble(step(), backend='platform: "ensemble" backend: "python"'),
        WHOLE,
    ),
    "platform of another": Pair(
        "config-ensemble", "whose platform is not ensemble", ensemble(step(), backend='backend: "python"'), WHOLE
    ),
    "platform alone": Pair(
        "config-ensemble",
        "ensemble scheduling must be set",
        Folder(config(backend='platform: "ensemble"', group=""), {"1/": ""}),
        WHOLE,
    ),
    "instance group": Pair(
        "config-ensemble",
        "instance group should not be specified",
        ensemble(step(), group=GROUP.format("kind: KIND_CPU")),
        WHOLE,
    ),
    "no such model": Pair("ensemble-models", "not available or ambiguous", ensemble(step("nosuch")), WHOLE),
    "made of itself": Pair("ensemble-models", "circular dependency", ensemble(step("{name}")), WHOLE),
    "no such version": Pair(
        "ensemble-models",
        "required version 7",
        ensemble(step(version="model_version: 7")),
        ensemble(step(version="model_version: 1")),
    ),
    "version left out": Pair("ensemble-models", "required version 0", ensemble(step(version="")), WHOLE),
    "batch": Pair(
        "ensemble-models", "maximum batch size", ensemble(step("step-of-4")), ensemble(step("step-of-4"), batch=4)
    ),
    "tensor type": Pair("ensemble-models", "inconsistent data type", ensemble(step(), x=x(kind="TYPE_INT64")), WHOLE),
    "tensor dims": Pair(
        "ensemble-models", "inconsistent shape", ensemble(step(), x=x(dims="5")), ensemble(step(), x=x(dims="-1"))
    ),
    "batch axis of its own": Pair(
        "ensemble-models", "inconsistent shape", ensemble(step("step-alone"), batch=0), ensemble(step("step-alone"))
    ),
    "no such input": Pair("ensemble-models", "non-existing input", ensemble(step(takes="q: x")), WHOLE),
    "no such output": Pair("ensemble-models", "non-existing output", ensemble(step(gives="q: y")), WHOLE),
}


@pytest.fixture(scope="module")
def steps(running: list[Served]) -> list[Path]:
    return [folder.write(running[0].repository, name) for name, folder in STEPS.items()]


@pytest.mark.parametrize("case", ENSEMBLES)
def test_promote_and_the_real_triton_agree_on_ensembles(server: Served, steps: list[Path], case: str) -> None:
    pair, client = ENSEMBLES[case], grpcclient.InferenceServerClient(server.triton.grpc)
    bad, good = new_name("e"), new_name("e")
    refused = pair.refused.write(server.repository, bad)
    before = len(server.triton.log.read_text(errors="replace"))
    with pytest.raises(InferenceServerException) as error:
        client.load_model(bad)
    assert client.is_server_live(), "refused, not crashed"
    assert pair.message in str(error.value) + server.triton.log.read_text(errors="replace")[before:]
    loads = pair.loads.write(server.repository, good)
    client.load_model(good)
    client.unload_model(good)
    assert pair.rule in said_of(refused, *steps)[Outcome.BROKEN]
    said = said_of(loads, *steps)
    assert said[Outcome.BROKEN] | said[Outcome.UNKNOWN] == set()


def test_an_ensemble_is_as_good_as_its_models(server: Served) -> None:
    client, broken, name = grpcclient.InferenceServerClient(server.triton.grpc), new_name("b"), new_name("e")
    model = onnx(y=tensor("output", "z")).write(server.repository, broken)
    made = ensemble(step(broken, gives="z: y")).write(server.repository, name)
    with pytest.raises(InferenceServerException):
        client.load_model(name)
    assert said_of(made, model)[Outcome.BROKEN] == {"ensemble-models"}
    assert said_of(made)[Outcome.BROKEN] == {"ensemble-models"}, "without its model neither"


def test_a_server_completes_a_configuration_unless_it_is_told_not_to(
    server: Served, fresh_triton: Callable[..., Served]
) -> None:
    name, completing = new_name(), fresh_triton()
    bare = server.repository / name / "1"
    bare.mkdir(parents=True)
    (bare / "model.py").write_text(PASS_ON)
    with pytest.raises(InferenceServerException):
        grpcclient.InferenceServerClient(server.triton.grpc).load_model(name)
    shutil.copytree(bare.parent, completing.repository / name)
    grpcclient.InferenceServerClient(completing.triton.grpc).load_model(name)
    assert said_of(bare.parent)[Outcome.DEGRADED] == {"config-complete"}


@pytest.mark.slow
def test_a_python_model_without_its_file_is_never_ready(fresh_triton: Callable[..., Served]) -> None:
    mine, name = fresh_triton(options=["--disable-auto-complete-config"]), new_name()
    folder = Folder(python().text, {"1/other.py": PASS_ON}).write(mine.repository, name)
    client = grpcclient.InferenceServerClient(mine.triton.grpc)
    with pytest.raises(InferenceServerException, match="Deadline Exceeded"):  # it waits for 300 s, and then for ever
        client.load_model(name, client_timeout=8)
    mine.triton.stop(grace_s=1)
    assert said_of(folder)[Outcome.BROKEN] == {"model-files"}
    named = Folder(python('default_model_filename: "other.py"').text, {"1/other.py": PASS_ON})
    other = fresh_triton(options=["--disable-auto-complete-config"])
    loads = named.write(other.repository, name)
    grpcclient.InferenceServerClient(other.triton.grpc).load_model(name)
    assert said_of(loads)[Outcome.BROKEN] == set()


ENDING = {
    "a folder where labels should be": ("label-files", onnx(y=y(more=LABELS.format("1")))),
    "a folder where a warm-up file should be": (
        "config-warmup",
        Folder(python(warm(FROM_FILE)).text, {"1/model.py": PASS_ON, "warmup/d/": ""}),
    ),
}


@pytest.mark.parametrize("case", ENDING)
def test_what_ends_the_real_server_is_refused_by_promote(fresh_triton: Callable[..., Served], case: str) -> None:
    rule, folder = ENDING[case]
    mine, name = fresh_triton(options=["--disable-auto-complete-config"]), new_name()
    written = folder.write(mine.repository, name)
    with pytest.raises(InferenceServerException):
        grpcclient.InferenceServerClient(mine.triton.grpc).load_model(name)
    assert mine.triton.process.wait(timeout=10) != 0
    assert said_of(written)[Outcome.BROKEN] == {rule}


def test_a_warm_up_batch_above_the_maximum_is_refused_or_ends_the_real_server(
    fresh_triton: Callable[..., Served],
) -> None:
    mine, name = fresh_triton(options=["--disable-auto-complete-config"]), new_name()
    folder = python(warm(sample(), batch="batch_size: 9")).write(mine.repository, name)
    with pytest.raises(InferenceServerException):  # the same server does now the one and now the other
        grpcclient.InferenceServerClient(mine.triton.grpc).load_model(name)
    assert said_of(folder)[Outcome.BROKEN] == {"config-warmup"}
