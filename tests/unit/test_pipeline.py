"""The story on parts in memory: what is touched in which order, and what is left standing whatever fails."""

import json
import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from promote.core.chain import chain_of, key_of, read_referrers
from promote.core.decisions import decisions_of
from promote.core.evidence import TARGET, VERDICT, VERDICT_TYPE
from promote.core.facts import Fact, ModelFacts, NodeUse
from promote.core.gates import GateFailed
from promote.core.parity import ParityFailed
from promote.core.policy import Policy, Terms
from promote.core.review import APPROVED, REJECTED, Approved, NotApproved, Rejected, Review
from promote.core.stages import Deployed, Promotion
from promote.core.verdict import Finding, Incompatible, Outcome, Undecided, judge
from promote.errors import DeployFailed, InputError, IntegrityError, NotFound, Unavailable
from promote.pipeline import (
    Prepared,
    deploy,
    promote_further,
    review_model,
    rollback,
    status,
    waiting,
)
from promote.pipeline.dating import now
from promote.pipeline.noting import catch_up
from tests.fakes.bundle import times
from tests.fakes.world import DESK, FACTS, GUARDED, candidate, fact, fail, in_memory
from tests.unit.test_matrix import MATRIX
from tests.unit.test_operators import MATRIX as WITH_KERNELS

KERNELS = WITH_KERNELS.kernels


# What it takes to write an event down.
KEPT = ["registry.find", "registry.referrers", "ledger.events", "registry.attach", "ledger.keep_events"]


def kinds(bench, version="v1"):
    """The kinds of events that lie with a bundle, in order; MLflow has the same."""
    stored = bench.registry.resolve("times", version)
    told = read_referrers(bench.registry.referrers(stored), stored)
    chain = chain_of(told.lines, ("times", stored.version, stored.digest))
    assert (told.faults, chain.faults) == ((), ())
    assert {key_of(line): line.text for line in chain.lines} == bench.ledger.events("times", stored.version)
    return [line.event.kind.value for line in chain.lines]


@pytest.fixture
def bench():
    return in_memory()


# promote model


def test_a_run_is_found_exported_proven_and_only_then_reserved_pushed_and_recorded(bench):
    promotion = bench.promote()
    assert isinstance(promotion, Promotion)
    assert bench.log == [
        "runs.find",
        "exporter.export",
        "ledger.next_version",
        "ledger.reserve",
        "registry.push",
        "ledger.begin",
        "ledger.desired",
        "ledger.record",
        *KEPT,
    ]
    assert [line.split(":")[0] for line in bench.progress.told if ": " in line][:7] == [
        "find", "plan", "export", "parity", "check", "push", "record",
    ]  # fmt: skip
    stored = promotion.release.stored
    assert (stored.name, stored.version, promotion.review) == ("times", 1, "not required")
    assert bench.registry.manifests.keys() == {("times", "v1"), ("times", stored.digest)}
    assert bench.ledger.versions_of["times"][1].digest == stored.digest
    assert bench.ledger.versions_of["times"][1].report["passport.json"] == promotion.release.bundle.passport


def test_promoting_twice_is_resuming_and_another_run_is_the_next_version(bench):
    first, again, other = bench.promote(2.0), bench.promote(2.0), bench.promote(3.0)
    assert again.release.stored.reference == first.release.stored.reference
    assert again.release.sent == 0
    assert other.release.stored.version == 2


def test_a_promotion_cut_off_before_the_push_takes_its_version_up_again(bench):
    bench.registry._part.push = fail(Unavailable("registry is down"))
    with pytest.raises(Unavailable):
        bench.promote(2.0)
    del bench.registry._part.push
    assert bench.promote(3.0).release.stored.version == 2
    assert bench.promote(2.0).release.stored.version == 1


def test_a_target_changed_in_the_settings_is_another_version_as_a_tag_never_moves(bench):
    assert bench.promote(2.0).release.stored.version == 1
    assert bench.promote(2.0, replace(DESK, max_batch_size=3)).release.stored.version == 2
    assert bench.promote(2.0).release.stored.version == 1


def test_a_dry_run_answers_with_the_very_bundle_and_writes_nothing(bench):
    prepared = bench.promote(dry_run=True)
    assert isinstance(prepared, Prepared)
    assert bench.untouched()
    assert prepared.bundle.files == bench.promote().release.bundle.files


def test_an_export_that_answers_otherwise_is_refused_and_nothing_is_written(bench):
    bench.exporter._part.off = 0.5
    refusal = bench.promote()
    assert isinstance(refusal, ParityFailed)
    assert "differs in" in refusal.reasons[0]
    assert bench.untouched()


def test_what_the_run_declares_is_judged_before_minutes_of_export(bench):
    hopeless = candidate("run-2", 2.0, facts=ModelFacts(opsets=Fact({"": 26}, "MLmodel")))
    bench.runs.candidates["run-2"] = hopeless
    refusal = bench.promote(2.0)
    assert isinstance(refusal, Incompatible)
    assert refusal.findings[0].rule == "onnx-opset"
    assert bench.log == ["runs.find"]
    assert bench.untouched()


def test_an_opset_the_target_does_not_take_is_refused_before_the_export(bench):
    bench.runs.candidates["run-2"] = candidate("run-2", 2.0, flavour="transformers")
    assert isinstance(bench.promote(2.0, opset=22), Incompatible)
    assert bench.log == ["runs.find"]


@pytest.mark.parametrize(
    ("changes", "kind"),
    [({"opsets": fact({"": 26})}, Incompatible), ({"ir_version": None}, Undecided), ({"external": None}, Undecided)],
)
def test_what_the_exported_file_says_is_judged_again_and_unknown_no_longer_passes(bench, changes, kind):
    bench.exporter._part.facts = replace(FACTS, **changes)
    assert isinstance(bench.promote(), kind)
    assert "ledger.reserve" not in bench.log
    assert bench.untouched()


def test_a_name_that_cannot_be_served_is_refused_before_the_export(bench):
    with pytest.raises(InputError, match="model name"):
        bench.promote(name="../etc")
    assert bench.log == ["runs.find"]


def test_a_name_asked_for_is_the_name_served(bench):
    assert bench.promote(name="thrice").release.stored.name == "thrice"


def test_the_report_compares_with_what_serves_there_and_says_why_where_it_cannot(bench):
    bench.promote(2.0)
    assert b"nothing else serves on desk" in bench.ledger.versions_of["times"][1].report["report.html"]
    bench.deploy(1)
    bench.promote(3.0)
    second = bench.ledger.versions_of["times"][2].report
    assert b"Version 1 serves." in second["report.html"]
    assert b"Against version 1, which serves on desk now:" in second["description.md"]
    assert b"#/experiments/9/runs/" in second["description.md"]
    bench.registry.manifests.pop(("times", bench.ledger.versions_of["times"][1].digest))
    bench.promote(4.0)
    third = bench.ledger.versions_of["times"][3].report["report.html"]
    assert b"what serves on desk is not compared: no times:sha256" in third


def test_the_promotions_run_knows_how_long_each_stage_took(bench):
    bench.promote()
    (run,) = bench.ledger.runs.values()
    assert {name for name in run.metrics if name.startswith("seconds/")} == {
        f"seconds/{stage}" for stage in ("find", "plan", "export", "parity", "check", "push")
    }
    assert all(taken >= 0 for name, taken in run.metrics.items())


# promote model MODEL:vN


def further(bench, target=GUARDED, version="v1", findings=()):
    verdict = judge(bench.registry.resolve("times", version), target.name, findings)
    return promote_further(verdict, target, bench)


HARBOUR = replace(GUARDED, name="harbour")


def test_a_further_target_gets_evidence_on_the_same_digest_and_waits_for_its_review(bench):
    stored = bench.promote().release.stored
    bench.log.clear()
    promoted = further(bench, HARBOUR)
    assert bench.log == [
        "registry.resolve", "ledger.review", "registry.referrers", "registry.attach", *KEPT,
        "registry.read", "registry.read", "ledger.desired", "ledger.further", "ledger.judged", "ledger.decide",
    ]  # fmt: skip
    assert (promoted.new, promoted.review, promoted.verdict.subject) == (True, "pending", stored)
    assert bench.ledger.versions_of["times"][1].verdicts == {"harbour": "compatible"}
    assert bench.registry.resolve("times", "v1") == stored
    (referrer,) = bench.registry.referrers(stored, VERDICT_TYPE)
    assert (referrer.digest, referrer.artifact_type) == (promoted.evidence, VERDICT_TYPE)
    assert {k: v for k, v in referrer.annotations.items() if k in (TARGET, VERDICT)} == {
        TARGET: "harbour", VERDICT: "compatible",
    }  # fmt: skip
    assert referrer.created.endswith("Z")
    evidence = json.loads(bench.registry.blobs[referrer.annotations["io.promote.evidence"]])
    assert (evidence["bundle"], evidence["verdict"]) == (stored.digest, "compatible")
    assert evidence["target"]["name"] == "harbour"
    assert isinstance(bench.deploy(1, HARBOUR), NotApproved)
    assert kinds(bench) == ["built", "checked", "pushed", "checked", "requested", "refused"]


def test_a_further_target_has_a_run_to_compare_and_a_report_against_what_serves_there(bench):
    bench.promote(2.0)
    stored = bench.promote(3.0).release.stored
    bench.deploy(1, DESK)
    bench.ledger.aliases["times", "harbour"] = 1
    subject = replace(stored)
    verdict = judge(subject, "harbour", (Finding(rule="drift", outcome=Outcome.DEGRADED, has="<b>older</b>"),))
    promote_further(verdict, HARBOUR, bench)
    (run,) = [told for told in bench.ledger.runs.values() if told.params["target"] == "harbour"]
    (first,) = [t for t in bench.ledger.runs.values() if t.params["target"] == "desk" and t.params["version"] == "2"]
    assert run.params["verdict"] == "degraded"
    same = ("model", "version", "digest", "source_run", "format", "precision")
    assert {name: run.params.get(name) for name in same} == {name: first.params.get(name) for name in same}
    assert run.metrics["bytes/size"] == first.metrics["bytes/size"]
    assert run.metrics["parity/max_abs"] == first.metrics["parity/max_abs"]
    page = bench.ledger.versions_of["times"][2].report["report-harbour.html"].decode()
    for words in ("times v2 for harbour", "Version 1 serves.", "&lt;b&gt;older&lt;/b&gt;", '<section id="load">'):
        assert words in page


def test_the_same_verdict_again_attaches_nothing_and_another_one_does(bench):
    bench.promote()
    first, again = further(bench, HARBOUR), further(bench, HARBOUR)
    assert (again.new, again.evidence) == (False, first.evidence)
    costs = Finding(rule="drift", outcome=Outcome.DEGRADED, has="older")
    other = further(bench, HARBOUR, findings=(costs,))
    assert other.new
    assert other.verdict.word == "degraded"
    stored = bench.registry.resolve("times", "v1")
    assert {r.annotations[VERDICT] for r in bench.registry.referrers(stored, VERDICT_TYPE)} == {
        "compatible",
        "degraded",
    }


def test_a_decision_about_the_digest_is_kept_and_one_about_another_is_not(bench):
    stored = bench.promote().release.stored
    review_model("times", "v1", HARBOUR, Review(state=APPROVED, by="ada", reason="good"), bench)
    assert further(bench, HARBOUR).review == APPROVED
    assert bench.ledger.review("times", 1, "harbour").digest == stored.digest
    bench.ledger.decide("times", 1, "harbour", Review(state=APPROVED, digest="sha256:" + "0" * 64))
    assert further(bench, HARBOUR).review == "pending"


def test_a_target_without_reviews_is_not_asked_for_one(bench):
    bench.promote()
    bench.log.clear()
    assert further(bench, replace(DESK, name="bench")).review == "not required"
    assert "ledger.decide" not in bench.log


def test_a_version_that_mlflow_does_not_know_gets_no_evidence(bench):
    stored = bench.promote().release.stored
    bench.ledger.versions_of.clear()
    with pytest.raises(NotFound):
        further(bench, HARBOUR)
    assert bench.registry.referrers(stored, VERDICT_TYPE) == ()


def test_a_broken_finding_makes_no_compatible_bundle():
    broken = Finding(rule="onnx-opset", outcome=Outcome.BROKEN, has="opset 26")
    assert isinstance(judge(None, HARBOUR.name, (broken,)), Incompatible)


# review


def test_a_decision_is_about_the_digest_that_the_tag_names_now(bench):
    digest = bench.promote().release.stored.digest
    stored, review, outcome = review_model(
        "times", "v1", GUARDED, Review(state=APPROVED, by="ada", reason="good"), bench
    )
    assert stored.digest == review.digest == digest
    assert isinstance(outcome, Approved)
    shown = bench.ledger.review("times", 1, "desk")
    assert (shown.state, shown.digest, shown.by, shown.reason) == (APPROVED, digest, "ada", "good")
    assert decisions_of(bench.registry.referrers(stored), stored, "desk") == (("desk", review),)
    assert kinds(bench) == ["built", "checked", "pushed", "approved"]
    assert (review.by, review.reason, review.verdict) == ("ada", "good", "compatible")


@pytest.mark.parametrize(
    ("review", "kind"),
    [
        (None, NotApproved),
        (Review(state=REJECTED, by="ada", reason="drops ships"), Rejected),
        (Review(state=APPROVED, digest="sha256:" + "0" * 64), NotApproved),
    ],
)
def test_what_nobody_approved_never_reaches_the_target(bench, review, kind):
    bench.promote(target=GUARDED)
    if review is not None:
        bench.ledger.decide("times", 1, "desk", review)
    assert isinstance(bench.deploy(1, GUARDED), kind)
    assert bench.server.asked == []
    assert bench.store.placed == {}


def test_an_approved_digest_is_deployed(bench):
    bench.promote(target=GUARDED)
    review_model("times", "v1", GUARDED, Review(state=APPROVED, by="ada"), bench)
    assert bench.deploy(1, GUARDED).live.version == 1


def test_what_is_asked_for_in_mlflow_is_an_approval_only_by_policy(bench):
    bench.promote(target=GUARDED)
    bench.ledger.decide("times", 1, "desk", Review(state=APPROVED))  # as a person sets one tag in the UI
    refused = bench.deploy(1, GUARDED)
    assert "asked for in MLflow by somebody who is not known" in refused.reason
    stored = bench.registry.resolve("times", "v1")
    assert kinds(bench) == ["built", "checked", "pushed", "requested", "refused"]
    bench.policy = Policy(Terms(requests=True), "promotion_policy.yaml", "sha256:" + "5" * 64)
    assert bench.deploy(1, GUARDED).live.version == 1
    ((_, kept),) = decisions_of(bench.registry.referrers(stored), stored, "desk")
    assert (kept.by, kept.how, kept.policy) == ("not known", "requested", bench.policy.digest)
    assert kinds(bench) == ["built", "checked", "pushed", "requested", "refused", "approved", "deployed"]
    assert bench.ledger.review("times", 1, "desk").by == "not known"


def test_two_people_agree_where_the_policy_wants_two(bench):
    bench.policy = Policy(Terms(approvals=2))
    bench.promote(target=GUARDED)
    for by, state in (("ada", "pending"), ("bob", APPROVED)):
        review_model("times", "v1", GUARDED, Review(state=APPROVED, by=by), bench)
        assert bench.ledger.review("times", 1, "desk").state == state
    assert bench.deploy(1, GUARDED).live.version == 1


def test_what_was_agreed_to_on_another_host_or_verdict_is_not_deployed(bench):
    bench.promote(target=GUARDED)
    review_model("times", "v1", GUARDED, Review(state=APPROVED, by="ada"), bench)
    now_is, bench.now = bench.now, replace(DESK, host=replace(DESK.host, triton=Fact("24.10", "test")))
    assert "triton 24.12, now 24.10" in bench.deploy(1, GUARDED).reason
    assert bench.store.placed == {}
    bench.now = now_is
    bench.policy = Policy(Terms(), digest="sha256:" + "7" * 64)  # another policy alone voids nothing
    assert bench.deploy(1, GUARDED).live.version == 1


def test_who_made_a_release_does_not_approve_it_where_the_policy_forbids(bench):
    bench.policy = Policy(Terms(self_approval=False))
    bench.promote(target=GUARDED)
    bench.ledger.versions_of["times"][1].authors = frozenset({"ada@desk"})
    review_model("times", "v1", GUARDED, Review(state=APPROVED, by="github:ada"), bench)
    assert "release's own author" in bench.deploy(1, GUARDED).reason
    review_model("times", "v1", GUARDED, Review(state=APPROVED, by="bob"), bench)
    assert bench.deploy(1, GUARDED).live.version == 1


def test_a_gate_of_the_policy_that_does_not_hold_lets_nothing_reach_the_target(bench):
    bench.up(2.0)
    bench.promote(3.0)
    for terms in (Terms(evidence=("verdict",)), Terms(metrics={"f1": {"min": 0.9}})):
        bench.policy = Policy(terms)
        refused = bench.deploy(2)
        assert isinstance(refused, GateFailed)
        assert any(name in refused.reason for name in ("evidence verdict: not attached", "metrics.f1 min: not logged"))
        assert bench.store.current("times").version == 1
    bench.policy = Policy(Terms(parity={"max_absolute": 1}, max_age_days={"matrix": 36500}))
    assert bench.deploy(2).live.version == 2


def test_a_metric_is_held_against_the_version_that_serves(bench):
    bench.policy = Policy(Terms(metrics={"f1": {"max_drop": 0.01}}))
    for at, f1 in ((2.0, 0.95), (3.0, 0.93), (4.0, 0.94)):
        made = candidate(f"run-{at:g}", at)
        bench.runs.candidates[f"run-{at:g}"] = replace(made, run=replace(made.run, metrics={"f1": f1}))
        bench.promote(at)
    assert bench.deploy(1).live.version == 1
    assert "metrics.f1 max_drop: 0.93 after 0.95 of v1 that serves" in bench.deploy(2).reason
    assert bench.deploy(3).live.version == 3
    assert bench.deploy(2).live.version == 2  # no more than 0.01 below the version that serves now


def test_what_waits_is_newer_than_what_serves_and_says_why(bench):
    for weight in (2.0, 3.0, 4.0):
        bench.promote(weight, target=GUARDED)
    review_model("times", "v2", GUARDED, Review(state=APPROVED, by="ada"), bench)
    bench.deploy(2, GUARDED)
    (waits,) = waiting((GUARDED,), bench)
    assert (waits.name, waits.version, waits.target, waits.state) == ("times", 3, "desk", "not approved")
    assert waits.reason == "times v3 waits for a review for desk"
    review_model("times", "v3", GUARDED, Review(state=REJECTED, by="eve", reason="drops ships"), bench)
    assert [row.reason for row in waiting((GUARDED,), bench)] == ["eve rejected times v3 for desk: drops ships"]
    review_model("times", "v3", GUARDED, Review(state=APPROVED, by="eve"), bench)
    assert list(waiting((GUARDED,), bench)) == []


def test_a_decision_that_cannot_be_kept_is_not_shown(bench):
    bench.promote(target=GUARDED)
    bench.registry._part.attach = fail(Unavailable("the registry is down"))
    with pytest.raises(Unavailable):
        review_model("times", "v1", GUARDED, Review(state=APPROVED, by="ada"), bench)
    assert bench.ledger.review("times", 1, "desk") == Review()


def test_without_an_answer_about_the_review_nothing_is_deployed(bench):
    bench.promote(target=GUARDED)
    bench.ledger._part.review = fail(Unavailable("MLflow is down"))
    with pytest.raises(Unavailable):
        bench.deploy(1, GUARDED)
    assert bench.store.placed == {}


# deploy


def test_a_first_deployment_loads_replays_over_both_protocols_and_is_committed(bench):
    bench.promote()
    deployment = bench.deploy(1)
    assert (deployment.live.version, deployment.live.by, deployment.former) == (1, "ada@desk", None)
    assert [(r.protocol, r.case) for r in deployment.replays] == [
        ("http", "minimum"), ("http", "typical"), ("grpc", "minimum"), ("grpc", "typical"),
    ]  # fmt: skip
    assert bench.answers() == {1: 2.0}
    assert bench.store.current("times").digest == deployment.live.digest
    assert bench.ledger.versions_of["times"][1].serves["desk"] == f"live {deployment.live.digest}"


def test_the_former_version_serves_until_the_new_one_has_answered(bench):
    bench.up(2.0)
    bench.promote(3.0)
    served: list[dict[int, float]] = []
    bench.server.twists[("times", 2)] = lambda answer: served.append(sorted(bench.server.loaded)) or answer
    deployment = bench.deploy(2)
    assert served
    assert all(("times", 1) in loaded for loaded in served)
    assert bench.answers() == {2: 3.0}
    assert (deployment.former.version, deployment.live.version) == (1, 2)
    assert bench.store.policy["times"] == (2,)
    assert ("times", 1) in bench.store.placed
    serves = {
        number: version.serves["desk"].split()[0] for number, version in bench.ledger.versions_of["times"].items()
    }
    assert serves == {1: "kept", 2: "live"}


def test_deploying_what_is_live_already_proves_it_again_and_changes_nothing(bench):
    bench.up(2.0)
    before = list(bench.store.record)
    assert bench.deploy(1).replays
    assert bench.store.record == before
    assert bench.answers() == {1: 2.0}


def standing(bench, *, version=1, weight=2.0):
    """Asserts that this version alone serves and is what the record says, and that nobody holds the lock."""
    assert bench.answers() == {version: weight}
    assert bench.store.policy["times"] == (version,)
    assert bench.store.current("times").version == version
    assert bench.store.locked == set()


def test_a_version_the_server_refuses_leaves_the_former_serving_and_the_reason_is_told(bench):
    bench.up(2.0)
    bench.promote(3.0)
    bench.server.refuses[("times", 2)] = "Unsupported model IR version: 99"
    with pytest.raises(DeployFailed, match="Unsupported model IR version: 99"):
        bench.deploy(2)
    standing(bench)
    assert ("times", 2) not in bench.store.placed
    assert "desk" not in bench.ledger.versions_of["times"][2].serves


def test_a_version_that_never_becomes_ready_leaves_the_former_serving(bench):
    bench.up(2.0)
    bench.promote(3.0)
    bench.server.hangs.add(("times", 2))
    with pytest.raises(DeployFailed, match="version 2 did not become ready"):
        bench.deploy(2)
    standing(bench)


def test_a_wrong_answer_leaves_the_former_serving(bench):
    bench.up(2.0)
    bench.promote(3.0)
    bench.server.twists[("times", 2)] = lambda answer: {"y": answer["y"] + np.float32(0.5)}
    with pytest.raises(DeployFailed, match=r"times version 2 answers wrongly over http: .*differs in") as caught:
        bench.deploy(2)
    assert caught.value.hint
    standing(bench)


@pytest.mark.parametrize("gone", [lambda answer: {}, lambda answer: {"y": answer["y"], "z": answer["y"]}])
def test_a_missing_or_an_extra_output_is_a_wrong_answer(bench, gone):
    bench.up(2.0)
    bench.promote(3.0)
    bench.server.twists[("times", 2)] = gone
    with pytest.raises(DeployFailed, match="answers wrongly"):
        bench.deploy(2)
    standing(bench)


def test_a_record_that_cannot_be_written_leaves_the_former_serving(bench):
    bench.up(2.0)
    bench.promote(3.0)
    bench.store.commit = fail(Unavailable("disk full"))
    with pytest.raises(Unavailable, match="disk full"):
        bench.deploy(2)
    standing(bench)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("a fault of promote itself")])
def test_an_interrupt_during_the_load_leaves_the_former_serving_and_goes_on(bench, error):
    bench.up(2.0)
    bench.promote(3.0)

    def trouble(versions):
        if 2 in versions:
            raise error

    bench.server.trouble = trouble
    with pytest.raises(type(error)):
        bench.deploy(2)
    standing(bench)


def test_a_first_deployment_that_fails_leaves_nothing_behind(bench):
    bench.promote()
    bench.server.refuses[("times", 1)] = "no kernel"
    with pytest.raises(DeployFailed, match="no kernel"):
        bench.deploy(1)
    assert bench.answers() == {}
    assert bench.store.placed == {}
    assert bench.store.policy == {}
    assert bench.store.current("times") is None


def test_an_older_version_that_fails_now_keeps_its_place_for_a_rollback(bench):
    bench.up(2.0, 3.0)
    bench.server.refuses[("times", 1)] = "no kernel"
    with pytest.raises(DeployFailed) as caught:
        bench.deploy(1)
    assert caught.value.message == "load times: version 1: no kernel"
    standing(bench, version=2, weight=3.0)
    assert ("times", 1) in bench.store.placed


def test_a_kept_version_that_cannot_live_with_the_new_configuration_is_left_out(bench):
    bench.up(2.0)
    bench.promote(3.0)

    def trouble(versions):
        if versions == (1, 2):
            raise DeployFailed("version 1 expects other inputs")

    bench.server.trouble = trouble
    assert bench.deploy(2).former.version == 1
    standing(bench, version=2, weight=3.0)


def test_a_version_that_is_refused_itself_is_not_loaded_a_second_time(bench):
    bench.up(2.0)
    bench.promote(3.0)
    bench.server.refuses[("times", 2)] = "failed to run warmup sample 'zeros'"
    tried = []
    bench.server.trouble = tried.append
    with pytest.raises(DeployFailed, match="warmup"):
        bench.deploy(2)
    assert tried == [(1, 2), (1,)]
    standing(bench)


def test_a_former_version_whose_files_are_gone_does_not_keep_a_new_one_from_serving(bench):
    bench.up(2.0)
    bench.promote(3.0)
    del bench.store.placed[("times", 1)]
    assert bench.deploy(2).former.version == 1
    standing(bench, version=2, weight=3.0)


def test_when_putting_back_fails_too_both_reasons_are_told(bench):
    bench.up(2.0)
    bench.promote(3.0)

    def trouble(versions):
        if versions == (1,):
            bench.server.down = True
        elif 2 in versions:
            raise DeployFailed("no kernel for Mul")

    bench.server.trouble = trouble
    with pytest.raises(DeployFailed) as caught:
        bench.deploy(2)
    assert caught.value.message == (
        "times version 2 failed: no kernel for Mul; putting back times version 1 failed too: no Triton answers"
    )
    assert "promote status" in caught.value.hint
    assert bench.store.current("times").version == 1


def test_a_server_that_does_not_answer_is_told_before_anything_is_fetched(bench):
    bench.promote()
    bench.server.down = True
    with pytest.raises(Unavailable):
        bench.deploy(1)
    assert "registry.fetch" not in bench.log
    assert bench.store.placed == {}


def test_other_bytes_in_the_registry_never_reach_the_server(bench):
    bench.up(2.0)
    stored = bench.promote(3.0).release.stored
    blob = stored.files["times/2/model.onnx"]
    bench.registry.blobs[blob.digest] = times(4.0)
    with pytest.raises(IntegrityError):
        bench.deploy(2)
    standing(bench)


def test_two_deployments_of_one_model_at_once_are_refused(bench):
    bench.promote()
    with bench.store.lock("times"), pytest.raises(Unavailable, match="another"):
        bench.deploy(1)


def test_a_deployment_stands_even_when_mlflow_cannot_be_told(bench):
    bench.promote()
    bench.ledger._part.deployed = fail(Unavailable("MLflow does not answer"))
    deployment = bench.deploy(1)
    assert deployment.live.version == 1
    standing(bench)
    (warning,) = deployment.warnings
    assert warning.startswith("MLflow was not told: MLflow does not answer; ")


def test_an_mlflow_that_never_answers_is_left_after_a_while_and_the_switch_does_not_wait_for_it(bench, monkeypatch):
    bench.up(2.0, 3.0)
    answers, asked = threading.Event(), threading.Event()
    deployed = bench.ledger._part.deployed

    def slow(*args, **more):
        asked.set()
        assert bench.answers() == {1: 2.0}  # the former version serves before MLflow is asked anything
        assert answers.wait(30)
        return deployed(*args, **more)

    bench.ledger._part.deployed = slow
    monkeypatch.setattr("promote.pipeline.returning.ROLLBACK_PATIENCE", 0.2)
    began = time.monotonic()
    back = rollback("times", DESK, "ada", bench)
    assert time.monotonic() - began < 10
    assert asked.is_set()
    assert back.live.version == 1
    (warning,) = back.warnings
    assert warning.startswith("MLflow was not told: no answer within 0.2 s; the next promote deploy, rollback or sync")
    assert [untold.version for untold in bench.store.untold("times")] == [1]
    answers.set()
    bench.ledger._part.deployed = deployed
    assert catch_up(DESK, bench) in (("times",), ())  # or the thread that was left alone was faster
    assert serves(bench) == {1: "live", 2: "kept"}


@pytest.mark.parametrize("moved", [3, None], ids=["moved by somebody", "as it was"])
def test_what_mlflow_missed_of_another_model_does_not_move_an_alias_that_somebody_moved_since(bench, moved):
    bench.up(2.0, 3.0, 4.0)
    rollback("times", DESK, "ada", bench)  # 2 is live and desired
    deployed, bench.ledger._part.deployed = bench.ledger._part.deployed, fail(Unavailable("MLflow does not answer"))
    rollback("times", DESK, "ada", bench, version=1)
    bench.ledger._part.deployed = deployed
    if moved:
        bench.ledger.aliases["times", "desk"] = moved
    bench.promote(5.0, name="others")
    deploy("others", "v1", DESK, "ada@desk", bench)
    assert serves(bench)[1] == "live"
    assert bench.ledger.aliases["times", "desk"] == (moved or 1)


def serves(bench):
    versions = bench.ledger.versions_of["times"].items()
    return {number: version.serves["desk"].split()[0] for number, version in versions if "desk" in version.serves}


def test_what_mlflow_missed_is_told_by_the_next_command_that_reaches_it(bench):
    bench.up(2.0, 3.0, 4.0)
    deployed, bench.ledger._part.deployed = bench.ledger._part.deployed, fail(Unavailable("MLflow does not answer"))
    assert rollback("times", DESK, "ada", bench).warnings
    assert rollback("times", DESK, "ada", bench, version=1).warnings
    assert serves(bench) == {1: "kept", 2: "kept", 3: "live"}
    bench.ledger._part.deployed = deployed
    assert catch_up(DESK, bench) == ("times",)
    assert serves(bench) == {1: "live", 2: "kept", 3: "kept"}
    assert bench.ledger.aliases["times", "desk"] == 1
    assert catch_up(DESK, bench) == ()


def test_a_deployment_tells_what_mlflow_missed_of_another_model(bench):
    bench.up(2.0)
    bench.store.heard.clear()
    bench.ledger.versions_of["times"][1].serves.clear()
    bench.promote(3.0, name="others")
    deploy("others", "v1", DESK, "ada@desk", bench)
    assert serves(bench) == {1: "live"}


def test_the_host_is_measured_and_judged_anew_before_anything_is_placed(bench):
    bench.promote()
    small = Fact(1, "metrics of Triton at desk:8000", measured=True)
    bench.now = replace(DESK, host=replace(DESK.host, memory_bytes=small))
    bench.log.clear()
    refused = bench.deploy(1)
    assert isinstance(refused, Incompatible)
    assert [f.rule for f in refused.findings if f.outcome.value == "broken"] == ["memory-fit"]
    judged = ["registry.find", "registry.referrers", "registry.fetch", "examine"]
    assert bench.log == [*judged, "registry.find", *KEPT]  # and why it was refused
    assert not bench.store.placed
    assert not any(words[0] == "load" for words in bench.server.asked)
    bench.now = DESK
    assert bench.deploy(1).live.version == 1


def test_a_former_version_that_does_not_retire_is_told_and_the_new_one_serves(bench):
    bench.up(2.0)
    bench.promote(3.0)

    def trouble(versions):
        if versions == (2,):
            raise DeployFailed("load times: out of memory")

    bench.server.trouble = trouble
    deployment = bench.deploy(2)
    assert deployment.warnings == ("version 1 is still loaded beside version 2: load times: out of memory",)
    assert bench.store.current("times").version == 2
    assert bench.answers() == {1: 2.0, 2: 3.0}


def test_the_record_names_the_new_version_before_the_former_one_retires(bench):
    bench.up(2.0)
    bench.promote(3.0)
    said = []
    bench.server.trouble = lambda versions: said.append((versions, bench.store.current("times").version))
    bench.deploy(2)
    assert said == [((1, 2), 1), ((2,), 2)]


def test_as_many_versions_stay_on_disk_as_the_target_says(bench):
    keeps_one = replace(DESK, keep=1)
    bench.up(2.0, 3.0, 4.0, target=keeps_one)
    assert sorted(version for _, version in bench.store.placed) == [2, 3]
    with pytest.raises(NotFound):
        rollback("times", keeps_one, "ada", bench, version=1)
    standing(bench, version=3, weight=4.0)
    assert bench.deploy(1, keeps_one).live.version == 1  # from the registry


def test_versions_that_cannot_be_removed_are_told(bench):
    bench.up(2.0)
    bench.promote(3.0)
    bench.store.prune = fail(Unavailable("disk full"))
    assert bench.deploy(2).warnings == ("old versions are still on disk: disk full",)


def test_a_model_alone_is_its_newest_approved_version(bench):
    for weight in (2.0, 3.0, 4.0):
        bench.promote(weight, target=GUARDED)
    assert isinstance(deploy("times", "", GUARDED, "ada", bench), NotApproved)
    review_model("times", "v2", GUARDED, Review(state=APPROVED, by="ada"), bench)
    review_model("times", "v3", GUARDED, Review(state=REJECTED, by="ada"), bench)
    assert deploy("times", "", GUARDED, "ada", bench).live.version == 2
    assert deploy("times", "", DESK, "ada", bench).live.version == 3  # no review asked for


# roll back


def test_a_rollback_serves_the_former_version_without_a_registry(bench):
    bench.up(2.0, 3.0)
    bench.registry.manifests.clear()
    back = rollback("times", DESK, "bob@desk", bench)
    assert (back.live.version, back.live.by, back.former.version) == (1, "bob@desk", 2)
    assert len(back.replays) == 4
    standing(bench)
    assert [line.version for line in bench.store.history("times")] == [1, 2, 1]
    asked = {one for one in bench.log if not one.startswith("ledger.")}
    assert asked == {"registry.find"}  # whether it was withdrawn, which an empty registry does not tell


def test_a_rollback_of_a_rollback_goes_forward_again(bench):
    bench.up(2.0, 3.0)
    rollback("times", DESK, "ada", bench)
    assert rollback("times", DESK, "ada", bench).live.version == 2


def test_a_rollback_to_a_named_version(bench):
    bench.up(2.0, 3.0, 4.0)
    assert rollback("times", DESK, "ada", bench, version=1).live.version == 1
    standing(bench)


@pytest.mark.parametrize(
    ("weights", "version", "told", "hint"),
    [
        ((), None, "times was never deployed to desk", "promote status"),
        ((2.0,), None, "an earlier version of times never served on desk", "go back to: none"),
        ((2.0, 3.0), 7, "v7 of times never served on desk", "go back to: v1"),
        ((2.0, 3.0), 2, "v2 of times never served on desk", "go back to: v1"),
    ],
)
def test_nothing_to_go_back_to_is_not_found(bench, weights, version, told, hint):
    bench.up(*weights)
    with pytest.raises(NotFound) as caught:
        rollback("times", DESK, "ada", bench, version=version)
    assert caught.value.message == told
    assert hint in caught.value.hint


def test_a_rollback_that_fails_leaves_the_live_version_serving(bench):
    bench.up(2.0, 3.0)
    bench.server.twists[("times", 1)] = lambda answer: {"y": -answer["y"]}
    with pytest.raises(DeployFailed, match="version 1 answers wrongly"):
        rollback("times", DESK, "ada", bench)
    standing(bench, version=2, weight=3.0)
    assert ("times", 1) in bench.store.placed


# status


def test_status_tells_what_the_record_and_what_the_server_say(bench):
    bench.up(2.0, 3.0)
    bench.store.record.append(
        Deployed(name="gone", version=4, digest="d", repository="r", since="2026-01-01T00:00:00Z", by="", state="live")
    )
    told = status(DESK, bench)
    assert (told.triton, told.others, told.unknown) == ("2.51.0", (), "")
    gone, live = told.models
    assert (gone.deployed.name, gone.ready, gone.statistics) == ("gone", False, {})
    assert (live.deployed.version, live.ready) == (2, True)
    assert live.statistics["requests"] == 4  # the golden replays


def test_status_of_a_server_that_does_not_answer_is_unavailable(bench):
    bench.server.down = True
    with pytest.raises(Unavailable):
        status(DESK, bench)


def test_times_are_utc_to_the_second():
    assert now()[10] == "T"
    assert now().endswith("Z")


@pytest.mark.parametrize(
    ("use", "remedy"),
    [
        # ONNX Runtime 1.24.4 implements LpNormalization of opset 1, and no longer of 22.
        ("LpNormalization", "promote model run-2 --target desk --opset 21: the rules accept these operators there"),
        ("NoSuchThing", "no other opset helps: choose a target of a newer ONNX Runtime"),
    ],
)
def test_an_export_that_its_operators_break_is_refused_with_the_choice_that_the_rules_accept(bench, use, remedy):
    bench.matrix = replace(MATRIX, kernels=KERNELS)
    desk = replace(DESK, host=replace(DESK.host, triton=fact("26.04")))
    bench.runs.candidates["run-2"] = candidate("run-2", 2.0, flavour="transformers")
    nodes = frozenset({NodeUse("", use, 22, ("tensor(float)",), ("tensor(float)",))})
    bench.exporter._part.facts = replace(FACTS, opsets=fact({"": 22}), nodes=fact(nodes))
    refused = bench.promote(2.0, target=desk)
    assert isinstance(refused, Incompatible)
    assert [f.remedy for f in refused.findings if f.rule == "operators"] == [remedy]
    assert bench.untouched()


def test_the_choice_that_a_refused_export_names_is_taken_when_it_is_asked_for(bench):
    bench.matrix = replace(MATRIX, kernels=KERNELS)
    desk = replace(DESK, host=replace(DESK.host, triton=fact("26.04")))
    bench.runs.candidates["run-2"] = candidate("run-2", 2.0, flavour="transformers")
    nodes = frozenset({NodeUse("", "LpNormalization", 21, ("tensor(float)",), ("tensor(float)",))})
    bench.exporter._part.facts = replace(FACTS, opsets=fact({"": 21}), nodes=fact(nodes))
    assert isinstance(bench.promote(2.0, target=desk, opset=21), Promotion)
