"""What was withdrawn is deployed nowhere any more, and where it still serves is named."""

import threading
import time
from dataclasses import replace

import pytest

from promote.core.review import APPROVED, Rejected, Review
from promote.errors import AuthError, NotFound, Unavailable
from promote.pipeline import Withdrawn, review_model, rollback, waiting
from promote.pipeline.withdrawing import withdraw
from tests.fakes.world import DESK, GUARDED, fail, in_memory


@pytest.fixture
def bench():
    made = in_memory()
    made.up(2.0, 3.0)
    return made


def bad(bench, version="v2", reason="drops ships"):
    return withdraw("times", version, bench.actor, reason, bench)


def test_it_is_deployed_to_no_target_whoever_agreed_and_its_twin_is(bench):
    bench.promote(4.0)
    for version in ("v1", "v3"):
        review_model("times", version, GUARDED, Review(state=APPROVED, by="bob"), bench)
    bad(bench, "v3")
    for target in (DESK, GUARDED):
        answer = bench.deploy(3, target)
        assert isinstance(answer, Rejected)
        assert answer.reason == "times v3 was withdrawn by ada@desk: drops ships"
    assert bench.deploy(1, GUARDED).live.version == 1
    assert bench.ledger.review("times", 3, "desk").state == "rejected"


def test_where_it_serves_is_named_and_goes_on_serving(bench):
    came = bad(bench)
    assert [(one.event.target, one.event.version) for one in came.serves] == [("desk", 2)]
    assert bench.answers() == {2: 3.0}
    assert bad(bench, "v1").serves == ()


def test_the_first_reason_stays(bench):
    bad(bench)
    again = bad(bench, reason="also slow")
    assert again.event.reason == "drops ships"
    assert bench.ledger.versions_of["times"][2].withdrawn == ("ada@desk", "drops ships")


def test_it_waits_for_nobody_and_a_newest_approved_version_is_another(bench):
    bench.promote(4.0, target=GUARDED)
    review_model("times", "v3", GUARDED, Review(state=APPROVED, by="bob"), bench)
    bad(bench, "v3")
    (waits,) = waiting((GUARDED,), bench)
    assert (waits.version, waits.state) == (3, "rejected")


def test_a_rollback_goes_to_nothing_withdrawn_and_what_served_serves_on(bench):
    bad(bench, "v1")
    refused = rollback("times", DESK, "ada@desk", bench)
    assert refused == Withdrawn("times v1 was withdrawn by ada@desk: drops ships", ())
    assert bench.answers() == {2: 3.0}
    assert [line.version for line in bench.store.history("times")] == [1, 2]
    bench.promote(4.0)
    bench.deploy(3)
    assert rollback("times", DESK, "ada@desk", bench).live.version == 2  # the twin: that one was not withdrawn
    assert rollback("times", DESK, "ada@desk", bench, 1).others == (3,)


def test_a_rollback_to_what_was_withdrawn_is_for_who_says_so_and_warns(bench):
    bad(bench, "v1")
    bench.log.clear()
    back = rollback("times", DESK, "ada@desk", bench, withdrawn=True)
    assert back.live.version == 1
    assert not [asked for asked in bench.log if asked.startswith("registry.")]
    assert back.warnings == ("times v1 was withdrawn by ada@desk: drops ships",)
    assert rollback("times", DESK, "ada@desk", bench).warnings == ()


@pytest.mark.parametrize("error", [Unavailable("it does not answer"), AuthError("no"), NotFound("not there")])
def test_a_rollback_goes_on_where_the_registry_does_not_tell(bench, error):
    bad(bench, "v1")
    bench.registry._part.find = fail(error)
    assert rollback("times", DESK, "ada@desk", bench).live.version == 1
    assert f"the registry does not tell: {error.message}" in bench.progress.told


def test_a_rollback_waits_for_a_silent_registry_only_so_long(bench, monkeypatch):
    bad(bench, "v1")
    monkeypatch.setattr("promote.pipeline.retracting.PATIENCE", 0.2)
    asked = threading.Event()
    bench.registry._part.find = lambda *_: asked.wait(30)
    began = time.monotonic()
    assert rollback("times", DESK, "ada@desk", bench).live.version == 1
    assert time.monotonic() - began < 10
    asked.set()


def test_nothing_is_withdrawn_where_the_registry_does_not_take_it(bench):
    bench.registry._part.attach = fail(AuthError("you may not write here"))
    with pytest.raises(AuthError):
        bad(bench)
    assert bench.ledger.versions_of["times"][2].withdrawn is None
    with pytest.raises(NotFound):
        bad(bench, "v9")


def test_where_mlflow_is_away_it_is_withdrawn_and_that_is_said(bench):
    away = replace(bench, ledger=Away())
    came = bad(away)
    assert any("MLflow does not show it" in warning for warning in came.warnings)
    assert [one.event.version for one in came.serves] == [2]
    assert isinstance(bench.deploy(2), Rejected)


class Away:
    def __getattr__(self, name):
        return fail(Unavailable("it does not answer"))
