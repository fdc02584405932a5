"""What registry, MLflow and a host do not tell alike is found, its twin that agrees is not; either is rebuilt from the other."""

from dataclasses import replace

import pytest

from promote.core.chain import EVENTS_TYPE, annotations_of, content_of, key_of
from promote.core.config_again import config_again
from promote.core.events import Actor, Kind, event_of, write_line
from promote.core.layout import passport_of
from promote.core.manifest import config_blob
from promote.core.passport import sha256
from promote.core.referrers import entry_of, pack_referrer, read_index, with_entries
from promote.core.review import APPROVED, NotApproved, Review
from promote.errors import IntegrityError, Unavailable
from promote.pipeline import review_model, rollback
from promote.pipeline.auditing import audit, audit_host
from promote.pipeline.mending import bring_back, lost, mend, mend_host
from promote.pipeline.recalling import recall
from promote.pipeline.withdrawing import withdraw
from tests.fakes.registry import FakeRegistry
from tests.fakes.tracking import FakeLedger
from tests.fakes.world import DESK, GUARDED, fail, in_memory


@pytest.fixture
def bench():
    """Two versions that served, the second approved; all agree."""
    made = in_memory()
    made.up(2.0, 3.0)
    review_model("times", "v2", GUARDED, Review(state=APPROVED, by="bob", reason="fine"), made)
    return made


def found(bench, host=False):
    recalled = recall("times", bench.registry, bench.ledger)
    differences = [*audit(recalled, bench), *(audit_host(recalled, DESK, "ada@desk", bench.store) if host else ())]
    return [(difference.kind.value, difference.about) for difference in differences]


def repair(bench):
    mend(recall("times", bench.registry, bench.ledger), bench)


def story(bench):
    return [(row.event.version, row.event.kind.value) for row in recall("times", bench.registry, bench.ledger).rows()]


def lists(bench):
    return bench.registry._part.lists


def test_where_all_agree_nothing_is_found_and_repairing_changes_nothing(bench):
    assert found(bench, host=True) == []
    before = story(bench), dict(lists(bench))
    repair(bench)
    assert (story(bench), lists(bench)) == before


def test_mlflow_that_was_lost_is_rebuilt_from_the_registry(bench):
    before = story(bench)
    bench.ledger = FakeLedger()
    assert found(bench) == [("not-in-mlflow", "times v1"), ("not-in-mlflow", "times v2")]
    repair(bench)
    assert found(bench, host=True) == []
    assert story(bench) == before
    assert bench.ledger.versions("times") == (2, 1)
    assert bench.ledger.review("times", 2, "desk").by == "bob"
    assert bench.ledger.desired("desk")["times"].version == 2
    assert bench.promote(2.0).release.stored.version == 1  # the same promotion is the same version still


def test_a_registry_that_lost_its_lists_is_rebuilt_from_mlflow_and_an_approval_in_it_allows_nothing(bench):
    before = story(bench)
    lists(bench).clear()
    assert found(bench) == [("events", "times v1"), ("events", "times v2")]
    repair(bench)
    assert (found(bench), story(bench)) == ([], before)
    assert isinstance(bench.deploy(2, GUARDED), NotApproved)
    review_model("times", "v2", GUARDED, Review(state=APPROVED, by="bob"), bench)
    assert bench.deploy(2, GUARDED).live.version == 2


def test_bundles_do_not_come_from_mlflow_and_the_run_promoted_again_brings_the_same_back(bench):
    before = story(bench)
    bench.registry = FakeRegistry()
    assert found(bench) == [("not-in-registry", "times v1"), ("not-in-registry", "times v2")]
    repair(bench)
    assert len(found(bench)) == 2
    for weight in (2.0, 3.0):
        bench.promote(weight)
    assert {kind for kind, _ in found(bench)} == {"events"}
    repair(bench)
    assert (found(bench), story(bench)) == ([], before)


def bring(bench):
    return bring_back("times", bench.store, bench.registry, bench.progress)


def test_bundles_that_the_registry_lost_come_back_from_a_hosts_disk_with_all_that_mlflow_tells_of_them(bench):
    before = story(bench)
    digests = {v.digest for v in recall("times", bench.registry, bench.ledger).versions}
    bench.registry = FakeRegistry()
    assert found(bench) == [("not-in-registry", "times v1"), ("not-in-registry", "times v2")]
    assert lost("times", bench.store, bench.registry) != ()
    assert [(one.version, one.why) for one in bring(bench)] == [(1, ""), (2, "")]
    assert lost("times", bench.store, bench.registry) == bring(bench) == ()
    repair(bench)
    assert (found(bench, host=True), story(bench)) == ([], before)
    assert {bench.registry.find("times", f"v{n}").digest for n in (1, 2)} == digests
    assert bench.deploy(1).live.version == 1


def test_what_no_longer_is_what_was_placed_does_not_come_back_and_the_rest_does(bench):
    stored, data = bench.store.placed["times", 1]
    bench.store.placed["times", 1] = (stored, data | {"times/1/model.onnx": b"other bytes"})
    bench.registry = FakeRegistry()
    first, second = bring(bench)
    assert first.why == "times/1/model.onnx was changed"
    assert (second.version, second.why) == (2, "")
    assert bench.registry.tags("times") == ("v2",)
    del bench.store.placed["times", 1]
    (pruned,) = bring(bench)
    assert "is not in the model repository" in pruned.why


def test_both_records_lost_are_rebuilt_from_a_host(bench):
    bench.registry, bench.ledger = FakeRegistry(), FakeLedger()
    bring(bench)
    repair(bench)
    mend_host("times", DESK, bench.store, bench)
    assert found(bench, host=True) == []
    assert bench.ledger.versions("times") == (2, 1)
    assert [kind for _, kind in story(bench)] == ["deployed", "deployed"]


def test_a_config_that_is_not_the_manifests_is_refused():
    made = in_memory()
    stored = made.promote(2.0).release.stored
    passport = made.registry.read(stored, passport_of(stored))
    assert sha256(config_again(stored, passport)) == config_blob(stored).digest
    with pytest.raises(IntegrityError, match="cannot be made again"):
        config_again(replace(stored, annotations={}), passport)
    with pytest.raises(IntegrityError, match="tells no plan"):
        config_again(stored, b"[]")


def test_what_a_host_alone_knows_is_found_and_written(bench):
    class Away:
        def __getattr__(self, name):
            return fail(Unavailable("it does not answer"))

    rollback("times", DESK, "ada@desk", replace(bench, registry=Away(), ledger=Away()))
    assert found(bench, host=True) == [("untold", "times v1")]
    mend_host("times", DESK, bench.store, bench)
    assert found(bench, host=True) == []
    assert (1, "rolled-back") in story(bench)


def forged(bench, kind, **more):
    """A line that follows nothing of what is there, as somebody with the right to write could attach it."""
    stored = bench.registry.resolve("times", "v1")
    event = event_of(stored, kind, Actor("eve@desk", "claimed"), "2026-11-24T10:00:00.000000Z", target="desk", **more)
    return stored, write_line(replace(event, noted="2026-11-24T10:00:00.000000Z"))


def test_a_deployment_that_never_was_is_found_by_the_hosts_record(bench):
    stored, line = forged(bench, Kind.DEPLOYED, more={"place": "desk"})
    bench.registry.attach(stored, EVENTS_TYPE, content_of([line]), annotations_of([line]))
    repair(bench)
    assert ("unknown-to-host", "times v1") in found(bench, host=True)


def test_an_event_put_into_the_list_alone_is_found(bench):
    stored, line = forged(bench, Kind.APPROVED)
    manifest = pack_referrer(stored, EVENTS_TYPE, content_of([line]), annotations_of([line])).manifest
    at = ("times", stored.digest)
    lists(bench)[at] = with_entries(lists(bench)[at], [entry_of(manifest)], "the list").data
    assert ("broken", "times v1") in found(bench)


def test_an_event_that_was_removed_everywhere_leaves_a_gap_that_nobody_mends(bench):
    at = ("times", bench.registry.resolve("times", "v2").digest)
    entries = read_index(lists(bench)[at], "the list")
    lists(bench)[at] = with_entries(None, entries[1:], "the list").data
    events = bench.ledger.versions_of["times"][2].events
    for key in sorted(events)[:3]:  # built, checked, pushed: one referrer
        del events[key]
    assert ("broken", "times v2") in found(bench)
    repair(bench)
    assert ("broken", "times v2") in found(bench)


def test_a_tag_that_was_changed_is_found(bench):
    events = bench.ledger.versions_of["times"][2].events
    key = next(key for key, text in events.items() if '"kind":"approved"' in text)
    events[key] = events[key].replace("approved", "rejected")
    assert ("broken", "times v2") in found(bench)


def test_a_decision_in_somebodys_name_that_no_event_tells_is_found(bench):
    digest = bench.registry.resolve("times", "v1").digest
    bench.ledger.decide("times", 1, "desk", Review(state=APPROVED, digest=digest, by="ada"))
    assert found(bench) == [("no-witness", "times v1")]
    bench.ledger.decide("times", 1, "desk", Review(state=APPROVED))  # a tag set by hand is a request, and names nobody
    assert found(bench) == []


def test_a_withdrawal_that_mlflow_does_not_show_is_shown_again_and_one_without_an_event_is_told(bench):
    withdraw("times", "v2", bench.actor, "drops ships", bench)
    bench.ledger.versions_of["times"][2].withdrawn = None
    assert found(bench) == [("not-shown", "times v2")]
    repair(bench)
    assert found(bench) == []
    bench.ledger.withdraw("times", 1, "eve", "no reason")
    assert found(bench) == [("no-witness", "times v1")]


def test_two_digests_for_one_version_are_told_and_left(bench):
    bench.ledger.versions_of["times"][1].digest = "sha256:" + "0" * 64
    assert ("two-digests", "times v1") in found(bench)
    repair(bench)
    assert ("two-digests", "times v1") in found(bench)


def test_two_written_at_once_are_a_note_and_no_difference(bench):
    stored, line = forged(bench, Kind.REJECTED)
    bench.registry.attach(stored, EVENTS_TYPE, content_of([line]), annotations_of([line]))
    bench.ledger.keep_events("times", 1, {key_of(line): line.text})
    (fork,) = audit(recall("times", bench.registry, bench.ledger), bench)
    assert (fork.kind.value, fork.counts) == ("fork", False)
