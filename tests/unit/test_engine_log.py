"""What trtexec prints: each documented failure is told apart, with a remedy; what it says of itself is read."""

import pytest

from promote.core.engine_answers import read_bindings, read_outputs, require_bindings
from promote.core.engine_log import KINDS, diagnose, progress, read_device, read_options
from promote.core.tensors import DType, TensorSpec
from promote.errors import ExportError, IntegrityError, Unavailable
from tests.fakes.trtexec import AFTER, BEFORE, HELP

Y = TensorSpec("y", DType("FLOAT"), ("batch", 2))
N = TensorSpec("n", DType("INT64"), ("batch",))


@pytest.mark.parametrize(
    ("banner", "version"),
    [
        ("&&&& RUNNING TensorRT.trtexec [TensorRT v100600] [b26] # trtexec --help", "10.6.0.26"),
        ("&&&& RUNNING TensorRT.trtexec [TensorRT v110400] [b106] # trtexec", "11.4.0.106"),
        ("&&&& RUNNING TensorRT.trtexec [TensorRT v101601] # trtexec", "10.16.1"),
        ("&&&& RUNNING TensorRT.trtexec [TensorRT v8601] # trtexec", "8.6.1"),
        ("RUNNING something else [TensorRT v100600]", ""),
    ],
)
def test_the_version_is_read_off_the_banner(banner, version):
    assert read_device([banner]).tensorrt == version


def test_the_gpu_and_that_it_passed_are_read():
    lines = [
        "&&&& RUNNING TensorRT.trtexec [TensorRT v101000] [b31] # trtexec",
        "[11/07/2025-06:59:06] [I] Selected Device: NVIDIA GeForce RTX 3090",
        "[11/07/2025-06:59:06] [I] Compute Capability: 8.6",
    ]
    device = read_device(lines)
    assert (device.gpu, device.compute_capability, device.passed) == ("NVIDIA GeForce RTX 3090", "8.6", False)
    assert read_device([*lines, "&&&& PASSED TensorRT.trtexec [TensorRT v101000] [b31] # trtexec"]).passed
    assert not read_device([*lines, "&&&& FAILED TensorRT.trtexec [TensorRT v101000] [b31] # trtexec"]).passed


def test_options_are_those_that_the_help_lists():
    options = read_options(HELP.splitlines())
    assert {"--onnx", "--timingCacheFile", "--exportLayerInfo", "--help"} <= options
    assert "--fp16" not in options
    assert "--versionCompatible" in read_options(["  --vc, --versionCompatible   Mark it, or use --fp16"])
    assert read_options(["  -h, --help   Print this", "see --other"]) == {"--help"}


SAID = {
    "gpu": ("gpu", Unavailable), "no-device": ("gpu", Unavailable), "driver": ("driver", Unavailable),
    "forward": ("driver", Unavailable), "operator": ("operator", ExportError), "parser": ("parser", ExportError),
    "memory": ("memory", Unavailable), "implementation": ("implementation", ExportError), "new-gpu": ("new-gpu", Unavailable),
}  # fmt: skip


@pytest.mark.parametrize("fail", [*BEFORE, *AFTER])
def test_each_documented_failure_is_told_apart_and_has_a_remedy(fail):
    lines, code = (BEFORE | AFTER)[fail]
    kind, error = SAID[fail]
    trouble = diagnose(["&&&& RUNNING TensorRT.trtexec [TensorRT v100600] [b26] # x", *lines], code)
    assert trouble.kind == kind
    assert isinstance(trouble.error, error)
    assert trouble.message.startswith("no plan was built: ")
    assert trouble.error.hint == trouble.remedy


def test_the_operator_is_named_and_of_a_parser_error_the_node():
    assert "does not know an operator Fancy:" in diagnose(*AFTER["operator"]).message
    assert "cannot read the model Gather:" in diagnose(*AFTER["parser"]).message


@pytest.mark.parametrize(
    ("lines", "code", "broken", "kind"),
    [
        (['docker: could not select device driver "" with capabilities: [[gpu]].'], 125, "", "container"),
        (["Error: unresolvable CDI devices nvidia.com/gpu=0"], 126, "", "container"),
        (["docker: Error response from daemon: No such image: triton:24.10"], 125, "", "image"),
        (["ssh: connect to host gpu1 port 22: Connection refused"], 255, "", "connection"),
        (["[E] Unknown option: --fp16"], 1, "", "option"),
        (["bash: line 1: trtexec: command not found"], 127, "", "missing"),
        ([], -9, "", "killed"),
        ([], 137, "", "killed"),
        ([], 124, "", "time"),
        (["[E] Error[2]: OutOfMemory"], -9, "time", "time"),
        ([], -9, "memory", "limit"),
        ([], -9, "output", "limit"),
        (["[11/24/2026-10:00:00] [E] something new"], 1, "", "unknown"),
        ([], 3, "", "unknown"),
    ],
)  # fmt: skip
def test_other_ends_have_a_word_and_a_remedy_too(lines, code, broken, kind):
    trouble = diagnose(lines, code, broken=broken)
    assert trouble.kind == kind
    assert trouble.kind in KINDS
    assert trouble.remedy


def test_a_warning_of_memory_in_a_build_that_fails_for_another_reason_is_not_the_reason_of_a_missing_driver():
    lines = ["Cuda failure: CUDA driver version is insufficient for CUDA runtime version", "out of memory"]
    assert diagnose(lines, 1).kind == "driver"


def test_what_it_prints_cannot_forge_a_line_of_ours():
    trouble = diagnose(["[E] bad \x1b[2J\u202e"], 1)
    assert "\x1b" not in trouble.message
    assert progress("[11/24/2026-10:00:00] [I] Engine built in 1.25 sec.") == "Engine built in 1.25 sec."
    assert progress("[I] [TRT] some detail") == ""
    assert progress("Engine built by nobody") == ""


ANSWER = (
    b'[\n  { "name" : "y"\n  , "dimensions" : "1x2"\n  , "values" : [ 0.5, -2 ]\n  }\n,  '
    b'{ "name" : "n"\n, "dimensions" : "1", "values" : [ 7 ] }\n]\n'
)


def test_answers_come_back_in_the_models_types():
    made = read_outputs(ANSWER, [Y, N])
    assert made["y"].tolist() == [[0.5, -2.0]]
    assert (made["y"].dtype, made["n"].dtype) == ("float32", "int64")


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"{", "no JSON"),
        (b"{}", "no list"),
        (b"[" * 100_000, "no JSON"),
        (ANSWER.replace(b"0.5", b"nan"), "NaN or infinity"),
        (ANSWER.replace(b"-2", b"-inf"), "NaN or infinity"),
        (ANSWER.replace(b"1x2", b"1x3"), "has 2 values, expected 1x3"),
        (ANSWER.replace(b"1x2", b"-1x2"), "no dimensions"),
        (ANSWER.replace(b"0.5", b'"a"'), "no number"),
        (ANSWER.replace(b'"n"', b'"y"'), "once each"),
        (ANSWER.replace(b'"n"', b'"other"'), "once each"),
        (b'[{"name": "y", "dimensions": "1", "values": [1]}]', "no output 'n'"),
        (ANSWER.replace(b"7", b"1e99"), "does not fit|no number"),
    ],
)
def test_answers_that_are_none_are_refused(data, says):
    with pytest.raises(IntegrityError, match=says):
        read_outputs(data, [Y, N])


def test_inputs_and_outputs_must_be_the_models():
    told = read_bindings(b'{"Layers": ["a"\n],\n"Bindings": ["x"\n,"y"\n]}')
    x = TensorSpec("x", DType("FLOAT"), (1,))
    require_bindings(told, [x], [Y])
    with pytest.raises(IntegrityError, match="lacks 'n'"):
        require_bindings(told, [x], [Y, N])
    with pytest.raises(IntegrityError, match="has 'y' more"):
        require_bindings(told, [x], [])
    with pytest.raises(IntegrityError, match="without Bindings"):
        read_bindings(b'{"Layers": []}')
