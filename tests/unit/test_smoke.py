"""What ``promote smoke`` says of a live version, on parts in memory: right, wrong, refused, not there."""

import numpy as np
import pytest

from promote.errors import DeployFailed, NotFound, Unavailable
from promote.pipeline import smoke
from tests.unit.test_pipeline import DESK, bench, fail

__all__ = ["bench"]  # the fixture


def test_every_golden_case_is_asked_over_both_protocols_and_nothing_is_changed(bench):
    bench.up(2.0, 3.0)
    before = bench.answers()
    said = smoke("times", DESK, bench)
    assert said.faults == ()
    assert [(r.protocol, r.case) for r in said.replays] == [
        ("http", "minimum"), ("http", "typical"), ("grpc", "minimum"), ("grpc", "typical"),
    ]  # fmt: skip
    assert (said.deployed.version, said.triton) == (2, "2.51.0")
    assert bench.answers() == before
    assert bench.log == []


def test_a_wrong_answer_is_told_and_the_other_cases_are_asked_all_the_same(bench):
    bench.up(2.0)
    bench.server.twists["times", 1] = lambda answer: {"y": answer["y"] + np.float32(answer["y"].shape[0] == 1)}
    said = smoke("times", DESK, bench)
    assert len(said.replays) == 4
    assert [fault.split(":")[0] for fault in said.faults] == ["http", "grpc"]
    assert "minimum: output 'y' differs in 4 of 4 values, by up to 1" in said.faults[0]


def test_a_refused_request_is_a_fault_and_no_replay(bench):
    bench.up(2.0)
    bench.server.infer = fail(DeployFailed("infer with times version 1: out of memory"))
    said = smoke("times", DESK, bench)
    assert said.replays == ()
    assert len(said.faults) == 4
    assert said.faults[0] == "http: minimum: infer with times version 1: out of memory"


def test_what_was_never_deployed_is_not_found(bench):
    with pytest.raises(NotFound, match="was never deployed to desk"):
        smoke("times", DESK, bench)


def test_a_server_that_lost_the_model_is_told_with_what_loads_it(bench):
    bench.up(2.0)
    bench.server.loaded.clear()
    with pytest.raises(Unavailable, match="does not have it ready") as caught:
        smoke("times", DESK, bench)
    assert caught.value.hint == "promote deploy times:v1 --target desk loads it again"


def test_a_server_that_is_down_is_unavailable(bench):
    bench.up(2.0)
    bench.server.down = True
    with pytest.raises(Unavailable, match="no Triton answers"):
        smoke("times", DESK, bench)


def test_a_text_is_read_by_the_text_side_of_the_live_version_and_by_no_other(bench):
    bench.up(2.0, 3.0)
    with pytest.raises(NotFound, match="times-text version 2, which would read a text, is not loaded"):
        smoke("times", DESK, bench, "Oslo")
    bench.server.loaded["times-text", 2] = {}
    answers = bench.server.infer

    def infer(name, version, inputs, protocol):
        if name != "times-text":
            return answers(name, version, inputs, protocol)
        assert (version, inputs["TEXT"].shape, inputs["TEXT"].item()) == (2, (1, 1), b"Oslo")
        return {"ENTITIES": np.array([[b'[{"label": "PORT"}]']], dtype=object)}

    bench.server.infer = infer
    assert smoke("times", DESK, bench, "Oslo").read == '[{"label": "PORT"}]'
    assert smoke("times", DESK, bench).read is None
