"""What trtexec is told, and how it is run: words by version and precision, shapes by recorded axes, no shell anywhere."""

import shlex

import pytest

from promote.core.engine_place import Place, run_words, stop_words
from promote.core.engine_recipe import (
    Files,
    Lengths,
    Order,
    build_words,
    cache_name,
    precision_words,
    profiles,
    replay_words,
    shape_words,
)
from promote.core.tensors import DType, TensorSpec
from promote.errors import InputError

FILES = Files(onnx="/in/model.onnx", plan="/out/model.plan", layers="/out/layers.json")
IDS = TensorSpec("input_ids", DType("INT64"), ("batch", "sequence"))
FIXED = TensorSpec("x", DType("FLOAT"), (1, 3, 8, 8))
NAME = "promote-engine-0123456789abcdef"


@pytest.mark.parametrize(
    ("tensorrt", "source", "precision", "words"),
    [
        ("10.6.0.26", "fp32", "fp32", ["--noTF32"]),
        ("10.6.0.26", "fp32", "fp16", ["--fp16"]),
        ("10.6.0.26", "fp32", "bf16", ["--bf16"]),
        ("10.6.0.26", "fp16", "fp16", ["--stronglyTyped"]),
        ("8.6.1.6", "fp32", "fp16", ["--fp16"]),
        ("11.4.0.106", "fp32", "fp32", ["--stronglyTyped", "--noTF32"]),
        ("11.4.0.106", "fp16", "fp16", ["--stronglyTyped"]),
        ("11.4.0", "bf16", "bf16", ["--stronglyTyped"]),
    ],
)
def test_precision_is_a_flag_before_tensorrt_11_and_the_models_own_from_then_on(tensorrt, source, precision, words):
    assert precision_words(Order(tensorrt=tensorrt, source=source, precision=precision)) == words


def test_a_trtexec_that_lists_no_strongly_typed_is_not_told_of_it_where_that_is_its_way_anyhow():
    listed = frozenset({"--onnx"})
    assert precision_words(Order(tensorrt="11.5.0.1", source="fp16", precision="fp16", options=listed)) == []


@pytest.mark.parametrize(
    ("order", "says", "hint"),
    [
        (Order(tensorrt="11.4.0.106", precision="fp16"), "takes the precision from the model", "--variant fp16"),
        (Order(tensorrt="10.6.0.26", source="fp16", precision="fp32"), "not built from ONNX in fp16", "fp32"),
        (Order(tensorrt="10.6.0.26", precision="int8"), "precision 'int8'", ""),
        (Order(tensorrt="ten"), "expected a version", ""),
    ],
)
def test_what_cannot_be_built_is_refused_before_anything_runs(order, says, hint):
    with pytest.raises(InputError, match=says) as refused:
        build_words(order, FILES)
    assert hint in refused.value.hint


def test_axes_become_profiles_the_batch_as_served_and_others_as_long_as_the_target_allows():
    made = profiles([IDS, FIXED], batch=8, longest=512, usual={"sequence": 48})
    assert [(one.name, one.least, one.usual, one.most) for one in made] == [
        ("input_ids", (1, 1), (8, 48), (8, 512)),
        ("x", (1, 3, 8, 8), (1, 3, 8, 8), (1, 3, 8, 8)),
    ]
    words = build_words(Order(tensorrt="10.6.0.26", profiles=made), FILES)
    assert words[:2] == ["--onnx=/in/model.onnx", "--saveEngine=/out/model.plan"]
    assert words[2:4] == ["--skipInference", "--exportLayerInfo=/out/layers.json"]
    assert "--minShapes=input_ids:1x1,x:1x3x8x8" in words
    assert "--optShapes=input_ids:8x48,x:1x3x8x8" in words
    assert "--maxShapes=input_ids:8x512,x:1x3x8x8" in words


def test_an_axis_can_be_asked_for_and_one_without_a_batch_is_like_others():
    asked = {"sequence": Lengths(16, 128, 384), "batch": Lengths(1, 2, 4)}
    (made,) = profiles([IDS], batch=0, lengths=asked)
    assert (made.least, made.usual, made.most) == ((1, 16), (2, 128), (4, 384))


def test_a_model_without_dynamic_axes_needs_no_profile():
    assert profiles([FIXED], batch=8) == ()
    assert not [w for w in build_words(Order(tensorrt="10.6.0.26"), FILES) if "Shapes" in w]


@pytest.mark.parametrize(
    ("tensor", "more", "says"),
    [
        (IDS, {}, "'sequence' of which no longest is known"),
        (IDS, {"longest": 8, "lengths": {"height": Lengths(1, 1, 1)}}, "no input has an axis 'height'"),
        (TensorSpec("x", DType("FLOAT"), None), {}, "no rank"),
        (TensorSpec("x'--saveEngine=y", DType("FLOAT"), (1,)), {}, "trtexec cannot be told"),
        (TensorSpec("x*", DType("FLOAT"), (1,)), {}, "trtexec cannot be told"),
        (TensorSpec("x y", DType("FLOAT"), (1,)), {}, "trtexec cannot be told"),
    ],
)
def test_an_input_that_cannot_be_told_is_refused(tensor, more, says):
    with pytest.raises(InputError, match=says):
        profiles([tensor], batch=8, **more)


@pytest.mark.parametrize("lengths", [(0, 1, 1), (2, 1, 3), (1, 4, 3), (1, 1, 2**31)])
def test_lengths_are_in_order(lengths):
    with pytest.raises(InputError, match="expected 1 or more"):
        Lengths(*lengths)


def test_compatibility_cache_and_scratch_are_told_only_where_asked_for():
    files = Files(onnx="/in/m.onnx", plan="/out/m.plan", layers="/out/l.json", cache="/out/timing.cache")
    order = Order(tensorrt="10.10.0.31", level="same_compute_capability", version_compatible=True, workspace_mib=2048)
    words = build_words(order, files)
    assert words[-5:] == [
        "--hardwareCompatibilityLevel=sameComputeCapability", "--versionCompatible", "--excludeLeanRuntime",
        "--memPoolSize=workspace:2048M", "--timingCacheFile=/out/timing.cache",
    ]  # fmt: skip
    assert "--hardwareCompatibilityLevel=ampere+" in build_words(
        Order(tensorrt="10.6.0.26", level="ampere_plus"), FILES
    )
    plain = " ".join(build_words(Order(tensorrt="10.6.0.26"), FILES))
    assert not any(word in plain for word in ("Compat", "memPool", "timingCache"))


def test_an_option_that_this_trtexec_does_not_list_is_refused_by_name():
    listed = frozenset({"--onnx", "--saveEngine", "--skipInference", "--exportLayerInfo", "--noTF32"})
    assert build_words(Order(tensorrt="10.6.0.26", options=listed), FILES)
    with pytest.raises(InputError, match="has no option --excludeLeanRuntime"):
        build_words(Order(tensorrt="10.6.0.26", version_compatible=True, options=listed), FILES)


def test_names_with_colons_are_quoted_and_scalars_have_no_extents():
    assert shape_words({"x:0": (1, 4), "s": ()}) == "'x:0':1x4,s:scalar"
    words = replay_words("/out/m.plan", {"x:0": (1, 4)}, {"x:0": "/in/a.bin"}, "/out/0.json")
    assert words[:3] == ["--loadEngine=/out/m.plan", "--loadInputs='x:0':/in/a.bin", "--exportOutput=/out/0.json"]
    assert words[-1] == "--shapes='x:0':1x4"
    assert not any(w.startswith("--shapes") for w in replay_words("p", {}, {"x": "a"}, "o"))


def test_timings_are_kept_by_build_gpu_and_precision():
    order = Order(tensorrt="10.6.0.26", precision="fp16")
    assert cache_name(order, "NVIDIA H100 80GB HBM3 9.0") == "10.6.0.26-nvidia-h100-80gb-hbm3-9.0-fp16.cache"
    assert cache_name(order, "") == ""
    assert cache_name(order, "../../etc") == "10.6.0.26-etc-fp16.cache"
    orders = (order, Order(tensorrt="10.6.0.27", precision="fp16"), Order(tensorrt="10.6.0.26"))
    others = {cache_name(one, gpu) for one in orders for gpu in ("A 8.0", "B 8.0")}
    assert len(others) == 6


def test_a_container_has_no_network_reads_its_input_only_and_is_ended_by_name():
    place = Place(way="docker", image="nvcr.io/nvidia/tritonserver@sha256:" + "a" * 64, program="/usr/src/tensorrt/bin/trtexec",
                  user="1001:1002", gpu=1, memory_gib=32)  # fmt: skip
    words = run_words(place, "/work/b", ["--help"], NAME)
    assert words[:4] == ["docker", "run", "--rm", f"--name={NAME}"]
    for word in (
        "--network=none", "--pull=never", "--gpus=device=1", "--user=1001:1002", "--cap-drop=ALL",
        "--security-opt=no-new-privileges", "--memory=34359738368b",
        "--mount=type=bind,src=/work/b/in,dst=/in,readonly", "--mount=type=bind,src=/work/b/out,dst=/out",
    ):  # fmt: skip
        assert word in words
    assert words[-3:] == [place.image, "/usr/src/tensorrt/bin/trtexec", "--help"]
    assert stop_words(place, NAME) == ["docker", "kill", NAME]
    assert place.seen("/work/b", "in") == "/in"


def test_podman_names_gpus_by_cdi_and_keeps_the_user():
    words = run_words(Place(way="podman", image="triton:24.10"), "/work/b", [], NAME)
    assert {"--device=nvidia.com/gpu=0", "--userns=keep-id"} <= set(words)


def test_over_ssh_the_words_are_one_and_quoted_and_end_by_themselves():
    place = Place(ssh="me@gpu1", seconds=60)
    words = run_words(place, "/tmp/promote-engine.x", ["--loadInputs='x:0':/a;$(id)"], NAME)
    assert words[0] == "ssh"
    assert words[-3:-1] == ["--", "me@gpu1"]
    assert shlex.split(words[-1])[:3] == ["timeout", "--kill-after=10", "60"]
    assert shlex.split(words[-1])[-1] == "--loadInputs='x:0':/a;$(id)"
    assert stop_words(place, NAME) == []
    assert place.seen("/tmp/b", "out") == "/tmp/b/out"


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"way": "qemu"}, "no way to run"),
        ({"way": "docker"}, "needs an image"),
        ({"image": "triton:1"}, "runs in no image"),
        ({"way": "docker", "image": "--privileged"}, "no image reference"),
        ({"way": "docker", "image": "a b"}, "no image reference"),
        ({"program": "-x"}, "no path of trtexec"),
        ({"program": "trtexec; id"}, "no path of trtexec"),
        ({"user": "root"}, "make no sense"),
        ({"ssh": "-oProxyCommand=id"}, "expected host"),
    ],
)
def test_a_place_that_is_none_is_refused(fields, says):
    with pytest.raises(InputError, match=says):
        Place(**fields)


@pytest.mark.parametrize("folder", ["relative", "/a,readonly=false", "/a b", "/a/../b", "/a:b"])
def test_a_folder_that_would_cut_a_mount_is_refused(folder):
    with pytest.raises(InputError, match="cannot be a folder to build in"):
        run_words(Place(way="docker", image="t:1"), folder, [], NAME)
