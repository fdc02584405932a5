"""A plan is built by the stand-in trtexec, read back and asked; every way it can fail or lie ends in a typed refusal."""

import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from promote.adapters.engine.building import answers, ask_builder, build
from promote.adapters.engine.running import Limits, run
from promote.adapters.engine.workshop import workshop
from promote.core.engine_place import Place
from promote.core.engine_recipe import Order, profiles
from promote.core.parity import ParityFailed, ParityProven, compare
from promote.core.passport import sha256
from promote.errors import ExportError, IntegrityError, Unavailable
from tests.fakes.bundle import TOLERANCE, X, Y, samples, times
from tests.parts.trtexec import install, install_docker, set_up, told

CASES = {case: inputs for case, (inputs, _) in samples(2.0).items()}
WANT = {case: outputs for case, (_, outputs) in samples(2.0).items()}
LIMITS = Limits(seconds=60)


@pytest.fixture
def tools(tmp_path):
    install(tmp_path / "tools")
    return tmp_path / "tools"


@pytest.fixture
def model(tmp_path):
    (tmp_path / "model.onnx").write_bytes(times(2.0))
    return {"model.onnx": str(tmp_path / "model.onnx")}


def order(**more):
    return Order(tensorrt="10.6.0.26", profiles=profiles([X], batch=8), **more)


def made(shop, model, wanted=None, **more):
    return build(shop, wanted or order(), model, ([X], [Y]), **more)


def opened(tools, tmp_path, limits=LIMITS, said=None, **place):
    given = {"program": str(tools / "trtexec")} | place
    return workshop(Place(**given), tmp_path / "shop", limits, (said if said is not None else []).append)


def test_a_plan_is_built_read_back_and_answers_as_the_model_does(tools, model, tmp_path):
    said = []
    with opened(tools, tmp_path, said=said) as shop:
        builder = ask_builder(shop)
        assert builder.tensorrt == "10.6.0.26"
        plan = made(shop, model, order(options=builder.options))
        got, seconds = answers(shop, plan, CASES, [Y], dynamic=True)
    assert (plan.tensorrt, plan.device.gpu, plan.device.compute_capability) == (
        "10.6.0.26",
        "NVIDIA H100 80GB HBM3",
        "9.0",
    )
    data = (tmp_path / "shop/out/model.plan").read_bytes()
    assert (plan.digest, plan.size) == (sha256(data), len(data))
    assert "--minShapes=x:1x4" in plan.words
    assert seconds > 0
    assert isinstance(compare(WANT, got, TOLERANCE), ParityProven)
    assert any("Engine built in" in line for line in said)
    log = (tmp_path / "shop/trtexec.log").read_text()
    assert "--saveEngine" in log
    assert "Engine built in" in log


def test_a_plan_of_another_model_or_with_nan_has_no_parity(tools, model, tmp_path):
    with opened(tools, tmp_path) as shop:
        plan = made(shop, model)
        set_up(tools, fail="drift")
        got, _ = answers(shop, plan, CASES, [Y], dynamic=True)
        assert isinstance(compare(WANT, got, TOLERANCE), ParityFailed)
        set_up(tools, fail="nan")
        with pytest.raises(IntegrityError, match="NaN or infinity"):
            answers(shop, plan, CASES, [Y], dynamic=True)


def test_a_plan_that_changes_while_it_answers_is_not_taken(tools, model, tmp_path):
    with opened(tools, tmp_path) as shop:
        plan = made(shop, model)
        set_up(tools, fail="swapped")
        with pytest.raises(IntegrityError, match="not the plan that was built"):
            answers(shop, plan, {"typical": CASES["typical"]}, [Y], dynamic=True)


def test_a_sample_beyond_the_profile_is_refused_by_the_plan_itself(tools, model, tmp_path):
    with opened(tools, tmp_path) as shop:
        plan = made(shop, model, Order(tensorrt="10.6.0.26", profiles=profiles([X], batch=1)))
        with pytest.raises(ExportError, match="setInputShape"):
            answers(shop, plan, {"wide": {"x": np.ones((2, 4), np.float32)}}, [Y], dynamic=True)


@pytest.mark.parametrize(
    ("fail", "error", "says"),
    [
        ("gpu", Unavailable, "no GPU was found"),
        ("no-device", Unavailable, "no GPU was found"),
        ("driver", Unavailable, "driver is too old"),
        ("forward", Unavailable, "driver is too old"),
        ("operator", ExportError, "operator Fancy"),
        ("parser", ExportError, "cannot read the model Gather"),
        ("memory", Unavailable, "too little free memory"),
        ("implementation", ExportError, "no kernel"),
        ("new-gpu", Unavailable, "knows no such GPU"),
        ("killed", Unavailable, "was killed"),
        ("no-plan", IntegrityError, "left no plan"),
        ("short-plan", IntegrityError, "no whole TensorRT plan"),
        ("other-version", IntegrityError, "header names TensorRT 11.9.9.9"),
        ("other-bindings", IntegrityError, "lacks 'y'"),
    ],
)
def test_every_failure_is_refused_by_its_own_name(tools, model, tmp_path, fail, error, says):
    set_up(tools, fail=fail)
    with opened(tools, tmp_path) as shop, pytest.raises(error, match=says) as refused:
        made(shop, model)
    assert refused.value.hint


def test_a_build_that_hangs_is_ended_with_all_that_it_started(tools, model, tmp_path):
    set_up(tools, fail="hang")
    with opened(tools, tmp_path, replace(LIMITS, seconds=3)) as shop:
        with pytest.raises(Unavailable, match="longer than allowed") as refused:
            made(shop, model)
    assert "--seconds" in refused.value.hint
    child = int((tools / "child").read_text())
    until = time.monotonic() + 5
    while _alive(child) and time.monotonic() < until:
        time.sleep(0.05)
    assert not _alive(child)


def _alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize(
    ("fail", "limits"),
    [("chatty", replace(LIMITS, printed_bytes=200_000)), ("greedy", replace(LIMITS, memory_bytes=200 * 2**20))],
)
def test_what_prints_or_takes_too_much_is_ended(tools, model, tmp_path, fail, limits):
    set_up(tools, fail=fail)
    with opened(tools, tmp_path, limits) as shop, pytest.raises(Unavailable, match=r"more (memory )?than allowed"):
        made(shop, model)


def test_a_program_that_is_none_is_told(model, tmp_path):
    with opened(tmp_path, tmp_path, program=str(tmp_path / "nowhere")) as shop:
        with pytest.raises(Unavailable, match="there is no trtexec") as refused:
            ask_builder(shop)
    assert "--trtexec" in refused.value.hint
    with workshop(Place(program="/bin/echo"), tmp_path / "other", LIMITS, print) as shop:
        with pytest.raises(IntegrityError, match="does not answer --help as trtexec does"):
            ask_builder(shop)


def test_timings_are_kept_for_the_next_build_of_the_same_kind_only(tools, model, tmp_path):
    caches = tmp_path / "caches"
    for number, (precision, cached) in enumerate((("fp32", False), ("fp32", True), ("fp16", False))):
        with workshop(Place(program=str(tools / "trtexec")), tmp_path / f"shop{number}", LIMITS, print) as shop:
            plan = made(shop, model, order(precision=precision), caches=caches, gpu="H100 9.0")
        assert plan.cached is cached
    kept = {path.name: path.read_bytes() for path in caches.iterdir()}
    assert kept == {"10.6.0.26-h100-9.0-fp32.cache": b"timing" * 2, "10.6.0.26-h100-9.0-fp16.cache": b"timing"}
    with workshop(Place(program=str(tools / "trtexec")), tmp_path / "bare", LIMITS, print) as shop:
        assert not any("timingCache" in word for word in made(shop, model, caches=caches).words)


def test_fp16_is_a_flag_of_tensorrt_10_that_11_does_not_know(tools, model, tmp_path):
    with opened(tools, tmp_path) as shop:
        plan = made(shop, model, order(precision="fp16"))
        got, _ = answers(shop, plan, CASES, [Y], dynamic=True)
    assert isinstance(compare(WANT, got, TOLERANCE), ParityProven)
    set_up(tools, tensorrt="11.4.0.106")
    with workshop(Place(program=str(tools / "trtexec")), tmp_path / "new", LIMITS, print) as shop:
        assert "--fp16" not in ask_builder(shop).options
        with pytest.raises(ExportError, match="does not know an option"):
            made(shop, model, order(precision="fp16"))  # as if nobody had asked which TensorRT it is


def test_in_a_container_the_model_is_read_only_and_the_container_is_ended_when_time_is_up(
    tools, model, tmp_path, monkeypatch
):
    install_docker(tools)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    place = {"way": "docker", "image": "triton:24.10", "program": "/usr/src/tensorrt/bin/trtexec"}
    with opened(tools, tmp_path, **place) as shop:
        plan = made(shop, model)
        got, _ = answers(shop, plan, CASES, [Y], dynamic=True)
    assert isinstance(compare(WANT, got, TOLERANCE), ParityProven)
    words = told(tools)[0]
    assert f"--user={os.getuid()}:{os.getgid()}" in words
    assert f"--mount=type=bind,src={tmp_path}/shop/in,dst=/in,readonly" in words
    assert "--onnx=/in/model.onnx" in words
    set_up(tools, fail="hang")
    with workshop(Place(**place), tmp_path / "late", replace(LIMITS, seconds=3), print) as shop:
        with pytest.raises(Unavailable, match="longer than allowed"):
            made(shop, model)
    started, ended = told(tools)[-2:]
    assert ended == ["kill", next(w for w in started if w.startswith("--name=")).removeprefix("--name=")]


def test_a_child_gets_nothing_of_the_environment_that_holds_a_secret(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "hunter2")
    monkeypatch.setenv("DOCKER_HOST", "unix:///run/docker.sock")
    done = run(["env"], LIMITS, lambda _: None, tmp_path / "log")
    assert not any("hunter2" in line for line in done.lines)
    assert "DOCKER_HOST=unix:///run/docker.sock" in done.lines


def test_a_plan_that_is_a_link_is_not_followed(tools, model, tmp_path):
    with opened(tools, tmp_path) as shop:
        (tmp_path / "shop/out/model.plan").symlink_to("/etc/passwd")
        with pytest.raises(IntegrityError, match="no plain file"):
            shop.take("model.plan", 100)
