"""The ``Server`` port: one suite for the fake and a real Triton."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from promote.core.model_config import parse_config
from promote.core.served_config import difference
from promote.errors import DeployFailed, InputError, Unavailable
from tests.contract.bench import READY_SECONDS, Bench, X, fake_bench, real_bench
from tests.fakes.bundle import BROKEN
from tests.fakes.triton import FakeServer
from tests.parts.triton import new_name

if TYPE_CHECKING:
    from promote.ports import Server


@pytest.fixture(params=["fake", pytest.param("triton", marks=pytest.mark.triton)])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Bench:
    if request.param == "fake":
        return fake_bench(tmp_path)
    return real_bench(request.getfixturevalue("triton"), tmp_path)


def test_require_tells_the_version(bench: Bench) -> None:
    assert bench.server.require().split(".")[0] == "2"


@pytest.mark.parametrize(
    "ask",
    [
        lambda s: s.require(),
        lambda s: s.load("m"),
        lambda s: s.unload("m"),
        lambda s: s.await_ready("m", 1, 5),
        lambda s: s.ready("m", 1),
        lambda s: s.infer("m", 1, {"x": X}, "http"),
        lambda s: s.infer("m", 1, {"x": X}, "grpc"),
        lambda s: s.statistics("m"),
    ],
)
def test_a_server_that_is_not_there_is_unavailable(bench: Bench, ask: Callable[[Server], object]) -> None:
    began = time.monotonic()
    with pytest.raises(Unavailable) as caught:
        ask(bench.absent)
    assert caught.value.hint
    assert time.monotonic() - began < 5


def test_load_makes_the_named_version_answer_over_both_protocols(bench: Bench) -> None:
    name = new_name()
    bench.place(name, 1)
    assert not bench.server.ready(name, 1)
    bench.up(name, 1)
    assert bench.server.ready(name, 1)
    assert not bench.server.ready(name, 2)
    bench.times(name, 1, 2.0, "http")
    bench.times(name, 1, 2.0, "grpc")


def test_two_versions_serve_side_by_side_and_then_one(bench: Bench) -> None:
    name = new_name()
    bench.place(name, 1, 2.0)
    bench.place(name, 2, 3.0)
    bench.up(name, 1)
    bench.up(name, 1, 2)
    bench.times(name, 1, 2.0)
    bench.times(name, 2, 3.0)
    bench.up(name, 2)
    assert not bench.server.ready(name, 1)
    bench.times(name, 2, 3.0)


def test_a_refused_version_leaves_the_former_one_serving(bench: Bench) -> None:
    name = new_name()
    bench.place(name, 1)
    bench.up(name, 1)
    bench.place(name, 2, model=BROKEN)
    bench.store.serve(name, (1, 2))
    with pytest.raises(DeployFailed, match=r"version 2: \S") as caught:
        bench.server.load(name)
    assert "\n" not in caught.value.message
    began = time.monotonic()
    with pytest.raises(DeployFailed, match="version 2"):
        bench.server.await_ready(name, 2, READY_SECONDS)
    assert time.monotonic() - began < 3
    bench.times(name, 1, 2.0)
    bench.up(name, 1)
    bench.times(name, 1, 2.0)


def test_a_refused_version_alone_in_the_policy_leaves_the_former_one_serving_too(bench: Bench) -> None:
    name = new_name()
    bench.place(name, 1)
    bench.up(name, 1)
    bench.place(name, 2, model=BROKEN)
    bench.store.serve(name, (2,))
    with pytest.raises(DeployFailed, match="version 2"):
        bench.server.load(name)
    bench.times(name, 1, 2.0)


def test_a_model_that_is_not_in_the_repository_is_refused(bench: Bench) -> None:
    with pytest.raises(DeployFailed):
        bench.server.load(new_name("none"))


def test_a_refusal_names_the_version_that_was_refused(bench: Bench) -> None:
    name = new_name()
    bench.place(name, 1)
    bench.up(name, 1)
    bench.place(name, 2, model=BROKEN)
    bench.store.serve(name, (1, 2))
    with pytest.raises(DeployFailed) as caught:
        bench.server.load(name)
    assert caught.value.versions == {2}


def test_loading_twice_is_loading_once(bench: Bench) -> None:
    name = new_name()
    bench.place(name, 1)
    bench.up(name, 1)
    bench.times(name, 1, 2.0)
    bench.up(name, 1)
    assert bench.server.statistics(name)[1]["requests"] == 1


def test_a_failure_of_another_version_is_not_taken_for_a_failure_of_the_one_awaited(bench: Bench) -> None:
    name = new_name()
    bench.place(name, 1, model=BROKEN)
    bench.place(name, 2, 3.0)
    bench.store.serve(name, (1, 2))
    with pytest.raises(DeployFailed, match="version 1"):
        bench.server.load(name)
    assert not bench.server.ready(name, 2)  # all new versions of one load come up, or none
    bench.up(name, 2)
    bench.times(name, 2, 3.0)
    bench.place(name, 3, 4.0)
    bench.up(name, 2, 3)
    bench.times(name, 3, 4.0)


def test_await_ready_gives_up_on_a_version_that_is_not_served(bench: Bench) -> None:
    name = new_name()
    bench.place(name, 1)
    bench.up(name, 1)
    began = time.monotonic()
    with pytest.raises(DeployFailed, match="version 7"):
        bench.server.await_ready(name, 7, READY_SECONDS)
    assert time.monotonic() - began < READY_SECONDS / 2


def test_unload_takes_all_versions_away_and_twice_is_once(bench: Bench) -> None:
    name = new_name()
    bench.place(name, 1)
    bench.up(name, 1)
    for _ in range(2):
        bench.server.unload(name)
        assert not bench.server.ready(name, 1)
    with pytest.raises(DeployFailed, match="version 1"):
        bench.server.infer(name, 1, {"x": X}, "grpc")
    bench.up(name, 1)
    bench.times(name, 1, 2.0)


@pytest.mark.parametrize("protocol", ["http", "grpc"])
@pytest.mark.parametrize(
    "inputs",
    [{}, {"z": X}, {"x": X, "z": X}, {"x": X[:, :2]}, {"x": X.astype(np.float64)}, {"x": X[0]}],
    ids=["none", "other", "more", "shape", "type", "rank"],
)
def test_a_request_that_does_not_fit_is_refused(bench: Bench, inputs: dict[str, np.ndarray], protocol: str) -> None:
    name = shared_model(bench)
    with pytest.raises(DeployFailed):
        bench.server.infer(name, 1, inputs, protocol)


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_a_version_that_is_not_loaded_refuses_requests(bench: Bench, protocol: str) -> None:
    name = shared_model(bench)
    with pytest.raises(DeployFailed):
        bench.server.infer(name, 2, {"x": X}, protocol)
    with pytest.raises(DeployFailed):
        bench.server.infer("none", 1, {"x": X}, protocol)


def test_another_protocol_is_bad_input(bench: Bench) -> None:
    with pytest.raises(InputError, match="carrier pigeon"):
        bench.server.infer(shared_model(bench), 1, {"x": X}, "carrier pigeon")


@pytest.mark.parametrize("name", ["../up", "a/b", "", "A", "a?b"])
def test_a_name_that_is_none_never_reaches_the_server(bench: Bench, name: str) -> None:
    for ask in (bench.server.load, bench.server.unload, bench.server.statistics):
        with pytest.raises(InputError):
            ask(name)


def test_statistics_count_requests_by_version(bench: Bench) -> None:
    name = new_name()
    bench.place(name, 1, 2.0)
    bench.place(name, 2, 3.0)
    assert bench.server.statistics(name) == {}
    bench.up(name, 1, 2)
    bench.times(name, 2, 3.0, "http")
    bench.times(name, 2, 3.0, "grpc")
    deadline = time.monotonic() + 5  # Triton counts after it has answered
    while (found := bench.server.statistics(name))[2]["requests"] < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    assert found[1] == {"requests": 0, "failures": 0, "mean_ms": 0}
    assert (found[2]["requests"], found[2]["failures"]) == (2, 0)
    assert 0 < found[2]["mean_ms"] < 10_000


def test_the_index_tells_what_is_ready_and_the_config_is_the_one_that_was_placed(bench: Bench) -> None:
    name = new_name()
    bench.place(name, 1, 2.0)
    bench.place(name, 2, 3.0)
    assert name not in {n for n, versions in bench.server.index().items() if "READY" in versions.values()}
    with pytest.raises(DeployFailed):
        bench.server.config(name)
    bench.up(name, 1, 2)
    assert bench.server.index()[name] == {1: "READY", 2: "READY"}
    placed = bench.store.inspect(name, 2).placed
    assert difference(parse_config(placed, "placed"), bench.server.config(name)) == ""
    changed = placed.replace(b"max_batch_size: 8", b"max_batch_size: 9")
    assert "max_batch_size 8, 9 was placed" in difference(parse_config(changed, "placed"), bench.server.config(name))
    bench.up(name, 2)
    for _ in range(100):  # the server answers before a version is gone
        if bench.server.index()[name].get(1) != "READY":
            break
        time.sleep(0.05)
    assert bench.server.index()[name].get(1) != "READY"


_shared: dict[int, str] = {}


def shared_model(bench: Bench) -> str:
    """A loaded model that tests only ask; a real load takes two seconds."""
    if isinstance(bench.server, FakeServer):
        bench.place("shared", 1)
        bench.up("shared", 1)
        return "shared"
    key = id(type(bench.server))
    if key not in _shared:
        _shared[key] = new_name("shared")
        bench.place(_shared[key], 1)
        bench.up(_shared[key], 1)
    return _shared[key]
