"""Whatever ends a deployment on the real Triton, the former version answers, and running it again finishes."""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import contextmanager

import numpy as np
import pytest
from onnx import TensorProto, helper

from promote.adapters.triton_server import TritonServer
from promote.errors import DeployFailed, Unavailable
from promote.pipeline import rollback, switching
from tests.fakes.bundle import BROKEN, X, Y, samples, times
from tests.fakes.world import DESK
from tests.parts.killing import deploy_and_die, real_world
from tests.parts.triton import new_name

pytestmark = [pytest.mark.e2e, pytest.mark.triton]

ONE = samples(1.0)["typical"][0]["x"]


def world_of(served, *weights, name=""):
    return real_world(name or new_name("times"), served.repository, served.triton.http, served.triton.grpc, *weights)


def alone(bench, version, weight):
    """Only this version is loaded, it answers rightly, the record and the folder say so."""
    for protocol in ("http", "grpc"):
        answer = bench.server.infer(bench.name, version, {"x": ONE}, protocol)["y"]
        np.testing.assert_array_equal(answer, ONE * np.float32(weight))
    assert set(bench.server.statistics(bench.name)) == {version}
    assert bench.store.current(bench.name).version == version


def fails_in_its_run():
    """A model that loads and fails with every input: it reshapes four values a row to five."""
    tensors = [helper.make_tensor_value_info(t.name, TensorProto.FLOAT, list(t.shape)) for t in (X, Y)]
    shape = helper.make_tensor("s", TensorProto.INT64, [2], [-1, 7])
    nodes = [
        helper.make_node("Reshape", ["x", "s"], ["h"]),
        helper.make_node("ReduceSum", ["h"], ["r"], keepdims=1),
        helper.make_node("Add", ["x", "r"], ["y"]),
    ]
    graph = helper.make_graph(nodes, "fails", tensors[:1], tensors[1:], [shape])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


@pytest.mark.parametrize(
    ("model", "told"),
    [
        (BROKEN, "version 2"),
        (times(9.0), "answers wrongly over http"),
    ],
    ids=["a model that no server loads", "a model that answers wrongly"],
)
def test_a_bad_version_leaves_the_former_one_answering(triton, model, told):
    bench = world_of(triton, 2.0)
    bench.deploy(1)
    bench.exporter._part.instead[3.0] = model
    bench.promote(3.0)
    with asking(bench) as asked, pytest.raises(DeployFailed, match=told) as caught:
        bench.deploy(2)
    assert caught.value.exit_code == 15
    alone(bench, 1, 2.0)
    assert not (triton.repository / bench.name / "2").exists()
    wrong = {value for value, _ in asked} - {2.0}
    assert wrong <= {9.0}, wrong  # who names no version gets the highest one as soon as it is ready
    bench.promote(4.0)
    assert bench.deploy(3).live.version == 3
    alone(bench, 3, 4.0)


def test_a_version_whose_warm_up_fails_leaves_the_former_one_or_is_told_to_have_killed_the_server(fresh_triton):
    """Triton 24.10 now and then crashes where a warm-up fails (seen: signal 11 in its own library): then that is told."""
    served = fresh_triton()
    bench = world_of(served, 2.0)
    bench.deploy(1)
    bench.exporter._part.instead[3.0] = fails_in_its_run()
    bench.promote(3.0)
    with pytest.raises((DeployFailed, Unavailable)) as caught:
        bench.deploy(2)
    assert bench.store.current(bench.name).version == 1
    if served.triton.process.poll() is None:
        assert "failed to run warmup sample" in caught.value.message
        alone(bench, 1, 2.0)
        assert not (served.repository / bench.name / "2").exists()
    else:
        assert served.triton.process.returncode == -signal.SIGSEGV
        assert "no Triton answers" in caught.value.message


@contextmanager
def asking(bench, version=""):
    """A client that asks all the time; what it got: the weight of each answer, and each error."""
    import tritonclient.grpc as client

    got, over = [], threading.Event()

    def run():
        server = client.InferenceServerClient(bench.server._grpc)
        given = client.InferInput("x", list(ONE.shape), "FP32")
        given.set_data_from_numpy(ONE)
        while not over.is_set():
            try:
                answer = server.infer(bench.name, [given], model_version=version).as_numpy("y")
                got.append((round(float(answer[0, 1] / ONE[0, 1]), 3), ""))
            except client.InferenceServerException as error:
                got.append((0.0, str(error)))
                time.sleep(0.01)
        server.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield got
    finally:
        over.set()
        thread.join()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_at_each_step_the_former_version_answers_and_running_again_finishes(triton):
    for at in range(1, 200):
        bench = world_of(triton, 2.0, 3.0)
        bench.deploy(1)
        where = (bench.name, triton.repository, triton.triton.http, triton.triton.grpc, 2.0, 3.0)
        with asking(bench) as asked, asking(bench, "1") as former:
            code, step = deploy_and_die(at, 2, *where)
        recorded = bench.store.current(bench.name).version
        if not step:
            assert code == 0
            alone(bench, 2, 3.0)
            break
        assert code == -signal.SIGKILL, step
        assert {error for _, error in asked} == {""}, step
        assert {weight for weight, _ in asked} <= {2.0, 3.0}, step
        answers = bench.server.statistics(bench.name).keys()
        assert recorded in answers, step
        if recorded == 1:
            assert {error for _, error in former} == {""}, step
        placed = triton.repository / bench.name / "2"
        assert not placed.exists() or bench.store.golden(bench.name, 2), step
        assert bench.deploy(2).live.version == 2, step
        alone(bench, 2, 3.0)
        bench.server.unload(bench.name)
    assert at > 12


def test_a_server_that_hangs_in_a_load_is_told_and_the_former_version_answers_when_it_wakes(triton, monkeypatch):
    monkeypatch.setattr(switching, "READY_SECONDS", 1.0)
    bench = world_of(triton, 2.0, 3.0)
    bench.deploy(1)
    bench.server = TritonServer(triton.triton.http, triton.triton.grpc, timeout=1.0, patience=1.0)
    load, process = bench.server.load, triton.triton.process.pid

    def hang(name):
        os.kill(process, signal.SIGSTOP)
        load(name)

    monkeypatch.setattr(bench.server, "load", hang)
    try:
        with pytest.raises((DeployFailed, Unavailable)) as caught:
            bench.deploy(2)
    finally:
        os.kill(process, signal.SIGCONT)
    assert "putting back" in caught.value.message
    monkeypatch.undo()
    assert bench.store.current(bench.name).version == 1
    bench.server.await_ready(bench.name, 1, 30.0)
    np.testing.assert_array_equal(bench.server.infer(bench.name, 1, {"x": ONE}, "grpc")["y"], ONE * 2)
    assert bench.deploy(2).live.version == 2
    alone(bench, 2, 3.0)


def test_a_server_that_dies_in_a_load_is_told_and_running_again_finishes(fresh_triton):
    served = fresh_triton()
    bench = world_of(served, 2.0, 3.0)
    bench.deploy(1)
    load = bench.server.load

    def die(name):
        served.triton.process.kill()
        served.triton.process.wait()
        load(name)

    bench.server.load = die
    with pytest.raises((DeployFailed, Unavailable), match="no Triton answers"):
        bench.deploy(2)
    assert bench.store.current(bench.name).version == 1
    assert not list(served.repository.parent.glob(".promote-*/staging/*"))
    again = fresh_triton(repository=served.repository)  # as its host restarts it: nothing is loaded
    bench.server = TritonServer(again.triton.http, again.triton.grpc)
    assert bench.deploy(2).live.version == 2
    alone(bench, 2, 3.0)


@pytest.mark.slow
def test_a_client_that_asks_all_the_time_sees_no_error_and_no_wrong_answer(triton):
    bench = world_of(triton, 2.0, 3.0)
    bench.deploy(1)
    with asking(bench) as first, asking(bench) as second:
        for _ in range(5):
            bench.deploy(2)
            rollback(bench.name, DESK, "tests", bench)
    for asked in (first, second):
        assert len(asked) > 100
        assert {error for _, error in asked} == {""}
        assert {weight for weight, _ in asked} <= {2.0, 3.0}
    assert 3.0 in {weight for weight, _ in first}
