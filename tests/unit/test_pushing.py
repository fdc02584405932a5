"""A bundle brought to another registry: only what MLflow recorded, and what a review said of it."""

from dataclasses import replace

import pytest

from promote.core.chain import read_referrers
from promote.core.decisions import decisions_of
from promote.core.policy import Policy, Terms
from promote.core.review import APPROVED, NOT_KNOWN, REJECTED, REQUESTED, Approved, NotApproved, Rejected, Review
from promote.errors import IntegrityError, NotFound
from promote.pipeline import push_bundle, review_model, standing
from tests.fakes.registry import FakeRegistry
from tests.fakes.store import FakeStore
from tests.fakes.world import DESK, GUARDED, TroubledServer, bench_of


@pytest.fixture
def bench():
    store = FakeStore()
    return bench_of(store, TroubledServer(store))


def pushed(bench, tmp_path, target=DESK, source=None):
    """Promotes into ``source``, then pushes from there to a registry that is empty."""
    source = source or bench.registry
    stored = bench.promote(target=target).release.stored
    bench.log.clear()
    goal = replace(bench, registry=FakeRegistry())
    return stored, goal, lambda: push_bundle(stored, source, target, str(tmp_path), goal)


def test_the_digest_stays_and_mlflow_names_the_new_place(bench, tmp_path):
    stored, goal, push = pushed(bench, tmp_path)
    came = push()
    assert came.state == APPROVED  # the target asks for no review
    assert came.received.stored.digest == goal.registry.resolve(stored.name, "v1").digest == stored.digest
    assert goal.registry.blobs.keys() >= {blob.digest for blob in stored.files.values()}
    assert bench.log == [
        "ledger.recorded", "registry.fetch", "registry.read", "ledger.located", "registry.referrers", "ledger.events",
    ]  # fmt: skip
    for registry in (bench.registry, goal.registry):  # what happened before came along
        told = read_referrers(registry.referrers(registry.resolve(stored.name, "v1")), stored)
        assert [line.event.kind for line in told.lines][:3] == ["built", "checked", "pushed"]
    again = push()
    assert again.received.sent == 0


@pytest.mark.parametrize(("decided", "state"), [("", "pending"), (APPROVED, APPROVED), (REJECTED, REJECTED)])
def test_what_a_reviewer_said_of_the_digest_is_told(bench, tmp_path, decided, state):
    stored, goal, push = pushed(bench, tmp_path, GUARDED)
    assert push().state == "pending"
    if decided:
        review_model(stored.name, "v1", GUARDED, Review(state=decided, by="ada", how="claimed"), goal)
    assert push().state == state


def test_an_approval_that_lies_where_the_bundle_was_built_does_not_come_along(bench, tmp_path):
    stored, _, push = pushed(bench, tmp_path, GUARDED)
    review_model(stored.name, "v1", GUARDED, Review(state=APPROVED, by="ada", how="claimed"), bench)
    assert push().state == "pending"


def test_what_was_approved_by_a_tag_counts_where_it_is_pushed_to_as_where_it_was_built_by_policy(bench, tmp_path):
    stored, goal, push = pushed(bench, tmp_path, GUARDED)
    taking = Policy(Terms(requests=True))
    bench.policy = taking
    bench.ledger.versions_of[stored.name][1].reviews["desk"] = Review(state=APPROVED)  # the tag, set by hand
    assert isinstance(standing(stored, GUARDED, bench, meet=True), Approved)
    assert bench.ledger.review(stored.name, 1, "desk").by == NOT_KNOWN
    push()
    assert isinstance(standing(stored, GUARDED, goal, meet=True), NotApproved)  # this policy takes no requests
    goal = replace(goal, policy=taking)
    assert isinstance(standing(stored, GUARDED, goal, meet=True), Approved)
    assert isinstance(standing(stored, GUARDED, goal), Approved)
    met = [d for _, d in decisions_of(goal.registry.referrers(stored), stored) if d.how == REQUESTED]
    assert len(met) == 1
    review_model(stored.name, "v1", GUARDED, Review(state=REJECTED, by="eve", how="claimed"), goal)
    assert isinstance(standing(stored, GUARDED, goal, meet=True), Rejected)


def test_a_digest_that_mlflow_did_not_record_is_not_sent(bench, tmp_path):
    stored, goal, push = pushed(bench, tmp_path)
    bench.ledger.versions_of[stored.name][1].digest = "sha256:" + "0" * 64
    with pytest.raises(IntegrityError, match="in MLflow, not sha256:"):
        push()
    assert goal.registry.manifests == {}
    bench.ledger.versions_of[stored.name].clear()
    with pytest.raises(NotFound):
        push()
    assert goal.registry.manifests == {}
