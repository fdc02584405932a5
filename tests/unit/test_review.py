"""Which decisions of people let which digest serve; each rule with the case that it refuses and its twin that passes."""

import datetime
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promote.core.chain import EVENTS, EVENTS_TYPE, Chain, annotations_of, content_of, follow
from promote.core.decisions import REVIEW_TYPE, decision_event, decisions_of, first_form_events, kinds_of
from promote.core.facts import Fact, HostFacts, Target
from promote.core.policy import Terms
from promote.core.referrers import Referrer, pack_referrer
from promote.core.review import (
    APPROVED,
    CLAIMED,
    GITHUB,
    MLFLOW,
    NOT_KNOWN,
    PENDING,
    REJECTED,
    REQUESTED,
    Approved,
    Case,
    NotApproved,
    Rejected,
    Review,
    approve,
    host_words,
    is_request,
    person,
)
from promote.core.stages import Stored

ONE, OTHER = "sha256:" + "1" * 64, "sha256:" + "2" * 64
STORED = Stored(repository="oci:/b/ner", digest=ONE, name="ner", version=7, files={}, annotations={}, manifest=b"{}")
CALYPSO = Target(name="calypso", host=HostFacts(gpu=Fact("RTX 6000 Ada", "test"), driver=Fact("580.1", "test")))
NOON = datetime.datetime(2026, 11, 24, 12, tzinfo=datetime.UTC)


def yes(by="ada", **more):
    return Review(
        **{"state": APPROVED, "digest": ONE, "by": by, "how": CLAIMED, "at": "2026-11-24T10:00:00.000Z"} | more
    )


def no(by="eve", **more):
    return replace(yes(by, reason="drops ships"), state=REJECTED, **more)


def decided(*decisions, target=CALYPSO, tag=Review(), verdict="", authors=(), **terms):  # noqa: B008
    case = Case(
        tag=tag, decisions=decisions, terms=Terms(**terms), authors=frozenset(authors), verdict=verdict, moment=NOON
    )
    return approve(STORED, target, case)


def refused(*decisions, **more):
    answer = decided(*decisions, **more)
    assert isinstance(answer, NotApproved), answer
    return answer.reason


def test_a_target_without_review_takes_every_digest_and_the_record_says_why():
    answer = decided(target=Target(name="local", review=False))
    assert isinstance(answer, Approved)
    assert answer.review == Review(state=APPROVED, digest=ONE, reason="no review required")


def test_an_approval_of_this_digest_lets_it_serve():
    assert decided(yes()) == Approved(STORED, CALYPSO, yes())


def test_without_a_decision_it_waits():
    assert refused() == "ner v7 waits for a review for calypso"


@pytest.mark.parametrize("digest", [OTHER, ""])
def test_an_approval_of_another_digest_counts_for_nothing(digest):
    assert refused(yes(digest=digest)) == "ner v7 waits for a review for calypso"


def test_a_tag_about_another_digest_is_void_and_says_so():
    assert f"names {OTHER}, not {ONE}: it is void" in refused(tag=Review(state=APPROVED, digest=OTHER, by="ada"))


@pytest.mark.parametrize("tag", [Review(state=APPROVED), yes("ada")])
def test_a_tag_alone_is_a_request_whatever_name_stands_in_it(tag):
    assert "asked for in MLflow by somebody who is not known" in refused(tag=tag)


@pytest.mark.parametrize("digest", [ONE, ""])
def test_a_tag_that_says_no_is_a_no_even_against_approvals(digest):
    tag = Review(state=REJECTED, digest=digest, by="ada", reason="drops ships")
    assert decided(yes("bob"), tag=tag) == Rejected("ada rejected ner v7 for calypso: drops ships")
    assert decided(tag=Review(state=REJECTED)).reason == "somebody rejected ner v7 for calypso: -"
    assert isinstance(decided(yes("bob"), tag=replace(tag, digest=OTHER)), Approved)


def test_one_no_is_a_no_until_the_same_person_says_yes():
    later = "2026-11-24T11:00:00.000Z"
    assert isinstance(decided(no("eve"), yes("ada", at=later)), Rejected)
    assert isinstance(decided(no("ada"), yes("ada", at=later)), Approved)
    assert isinstance(decided(yes("ada"), no("ada", at=later)), Rejected)
    assert isinstance(decided(no("eve", digest=OTHER), yes("ada")), Approved)
    for together in ((no("ada"), yes("ada")), (yes("ada"), no("ada"))):
        assert isinstance(decided(*together), Rejected)


def test_a_policy_may_want_several_people():
    two = {"approvals": 2}
    assert refused(yes("ada"), **two) == "ner v7 has 1 of 2 approvals for calypso"
    assert "1 of 2" in refused(yes("ada@desk"), yes("github:ada"), **two)  # one person under two names
    assert isinstance(decided(yes("ada"), yes("bob"), **two), Approved)
    assert "who said it is not known" in refused(yes("ada"), yes(NOT_KNOWN), **two)


def test_nobody_approves_their_own_where_the_policy_says_so():
    strict = {"self_approval": False, "authors": ("ada@desk", "github:carl")}
    assert "of the release's own author" in refused(yes("github:ada"), **strict)
    assert "of the release's own author" in refused(yes("Carl@laptop"), **strict)
    assert isinstance(decided(yes("bob"), **strict), Approved)
    assert isinstance(decided(yes("ada"), authors=("ada",)), Approved)  # the policy does not ask
    assert "who said it is not known" in refused(yes(NOT_KNOWN), **strict)
    assert "who made the release is not known" in refused(yes("bob"), self_approval=False)


def test_an_approval_expires_where_the_policy_says_so():
    assert "expired 2026-11-24" in refused(yes(at="2026-11-17T12:00:00.000Z"), approval_days=7)
    assert isinstance(decided(yes(at="2026-11-17T12:00:00.001Z"), approval_days=7), Approved)
    assert "when it was said is not known" in refused(yes(at="yesterday"), approval_days=7)
    assert isinstance(decided(yes(at="2020-01-01T00:00:00.000Z")), Approved)


def test_an_approval_is_void_when_the_verdict_changes():
    agreed = yes(verdict="compatible")
    assert "about the verdict compatible, which is degraded now" in refused(agreed, verdict="degraded")
    assert isinstance(decided(agreed, verdict="compatible"), Approved)


def test_an_approval_is_void_when_the_target_changes_and_not_when_more_is_known_of_it():
    agreed = yes(host=host_words(CALYPSO))
    assert agreed.host == {"gpu": "RTX 6000 Ada", "driver": "580.1"}
    newer = replace(CALYPSO, host=replace(CALYPSO.host, driver=Fact("595.2", "test")))
    assert "driver 580.1, now 595.2" in refused(agreed, target=newer)
    known = replace(CALYPSO, host=replace(CALYPSO.host, triton=Fact("26.04", "test")))
    assert isinstance(decided(agreed, target=known), Approved)


@pytest.mark.parametrize(("how", "counts"), [(MLFLOW, True), (GITHUB, True), (CLAIMED, False), (REQUESTED, False)])
def test_a_policy_may_want_a_name_that_somebody_vouches_for(how, counts):
    assert isinstance(decided(yes(how=how), identity="proven"), Approved) is counts
    assert isinstance(decided(yes(how=how)), Approved)


def test_a_policy_may_want_approvals_signed_by_somebody_it_names():
    signed = {"signers": "allowed_signers"}
    assert "void: it is not signed, and the policy wants that" in refused(yes("ada@desk"), **signed)
    forged = yes("ada@desk", signature="AAAA", doubt="it is not of this decision")
    assert "void: its signature shows nobody: it is not of this decision" in refused(forged, **signed)
    good = yes("ada@desk", signature="AAAA", signer="ada@example.com")
    assert decided(good, **signed) == Approved(STORED, CALYPSO, good)
    assert isinstance(decided(forged, good, **signed), Approved)
    assert isinstance(decided(yes("ada@desk")), Approved)  # where the policy does not ask, nobody looks


def test_who_signed_counts_as_a_person_and_is_not_the_author():
    one, same, other = (
        yes(by, signature="A", signer=signer)
        for by, signer in (
            ("ada@desk", "ada@example.com"),
            ("root@dgx", "ada@example.com"),
            ("bob@quay", "bob@example.com"),
        )
    )
    two = {"signers": "allowed_signers", "approvals": 2}
    assert "1 of 2" in refused(one, same, **two)
    assert isinstance(decided(one, other, **two), Approved)
    own = {"signers": "allowed_signers", "self_approval": False}
    for author in ("ada@dgx", "root@elsewhere"):
        assert "the release's own author" in refused(same, authors=(author,), **own)
    assert isinstance(decided(other, authors=("ada@dgx",), **own), Approved)
    assert isinstance(decided(yes("x@y", signature="A", signer="ada@example.com"), identity="proven"), Approved)


def test_a_no_is_taken_back_by_who_said_it_and_where_signatures_are_asked_by_no_unsigned_word():
    signed, later = {"signers": "allowed_signers"}, "2026-11-24T11:00:00.000Z"
    back = yes("ada@desk", at=later, signature="A", signer="ada@example.com")
    assert isinstance(decided(no("ada@desk"), yes("ada@desk", at=later), **signed), Rejected)
    assert isinstance(decided(no("ada@desk"), back, **signed), Approved)
    assert isinstance(decided(no("eve"), back, **signed), Rejected)
    mine = no("ada@desk", signature="A", signer="ada@example.com")
    assert isinstance(decided(mine, back, **signed), Approved)
    assert isinstance(decided(mine, replace(back, signer="bob@example.com"), **signed), Rejected)
    assert isinstance(decided(back, replace(no("eve"), at="2026-11-24T12:00:00.000Z"), **signed), Rejected)


def test_an_approval_that_came_back_from_mlflow_counts_by_its_signature_alone():
    signed = {"signers": "allowed_signers"}
    back = yes("ada@desk", signature="A", signer="ada@example.com", restored=True)
    assert isinstance(decided(back, **signed), Approved)
    assert "shows nobody" in refused(replace(back, signer=""), **signed)
    assert refused(replace(back, signer="")) == "ner v7 waits for a review for calypso"


def test_a_request_is_met_once_for_a_digest_and_only_where_nobody_stands_in_the_tag():
    def asked(tag, *decisions):
        return is_request(Case(tag=tag, decisions=decisions, moment=NOON), STORED)

    assert asked(Review(state=APPROVED))
    assert asked(Review(state=APPROVED, digest=ONE))
    assert not asked(Review(state=APPROVED, digest=OTHER))
    assert not asked(yes("ada"))
    assert not asked(Review(state=PENDING))
    assert not asked(Review(state=APPROVED), yes(NOT_KNOWN, how=REQUESTED))


@pytest.mark.parametrize("name", ["ada", "Ada@desk", "github:ada", "mlflow:ADA"])
def test_one_person_has_several_names(name):
    assert person(name) == "ada"


def referrer(annotations, kind=REVIEW_TYPE):
    return Referrer(digest=OTHER, size=1, artifact_type=kind, annotations=annotations)


def listed(*lines, restored=False):
    """A list of referrers with one that holds these lines."""
    told = annotations_of(lines, restored=restored)
    manifest = pack_referrer(STORED, EVENTS_TYPE, content_of(lines), told).manifest
    return [Referrer(digest=manifest.digest, size=manifest.size, artifact_type=EVENTS_TYPE, annotations=told)]


def lines_of(*decisions, target="calypso"):
    return follow(Chain(), (decision_event(STORED, target, one) for one in decisions), "2026-11-24T10:00:00.5Z")


@given(
    st.text(max_size=50), st.text(max_size=50), st.dictionaries(st.sampled_from(["gpu", "driver"]), st.text(min_size=1))
)
def test_a_decision_is_read_back_from_its_event_and_its_words_stay_on_one_line(by, reason, host):
    ((target, read),) = decisions_of(listed(*lines_of(yes(by, reason=reason, host=host))), STORED)
    assert (target, read.state, read.digest, read.at) == ("calypso", APPROVED, ONE, yes().at)
    assert all(text.isprintable() for text in (read.by, read.reason, *read.host.values()))
    assert read.host.keys() == host.keys()


FIRST_FORM = {  # as they were attached before there were events
    "org.opencontainers.image.created": "2026-11-24T10:00:00.000Z", "io.promote.target": "calypso",
    "io.promote.review.state": "approved", "io.promote.review.by": "ada", "io.promote.review.how": "claimed",
    "io.promote.review.at": "2026-11-24T10:00:00.000Z", "io.promote.review.host": '{"gpu": "RTX 6000 Ada"}\n',
}  # fmt: skip


def test_a_decision_of_the_first_form_still_counts_and_stands_in_the_history():
    ((target, read),) = decisions_of([referrer(FIRST_FORM)], STORED)
    assert (target, read) == ("calypso", yes(host={"gpu": "RTX 6000 Ada"}))
    assert isinstance(decided(read), Approved)
    (event,) = first_form_events([referrer(FIRST_FORM)], STORED)
    assert (event.kind, event.by, event.target, event.bundle) == ("approved", "ada", "calypso", ONE)
    assert kinds_of([referrer(FIRST_FORM)], STORED) == kinds_of(listed(*lines_of(yes())), STORED) == {REVIEW_TYPE}


def test_what_is_no_decision_for_this_target_is_left_out():
    told = FIRST_FORM
    assert decisions_of([referrer(told)], STORED, "orin") == ()
    assert decisions_of(listed(*lines_of(yes())), STORED, "orin") == ()
    assert decisions_of([referrer(told, "application/json")], STORED) == ()
    assert decisions_of([referrer(told | {"io.promote.review.state": "fine"})], STORED) == ()
    unlike = decisions_of([referrer(told | {"io.promote.review.host": "[" * 9999})], STORED)[0][1]
    known = replace(CALYPSO, host=replace(CALYPSO.host, triton=Fact("26.04", "test")))
    assert "the target has changed since" in refused(unlike, target=known)


def test_an_approval_that_came_back_from_mlflow_allows_nothing_and_a_no_does_stop():
    back = [decision for _, decision in decisions_of(listed(*lines_of(yes(), no()), restored=True), STORED)]
    assert [decision.state for decision in back] == [REJECTED]


def test_an_approval_whose_list_tells_another_line_than_was_attached_counts_for_nothing():
    (one,) = listed(*lines_of(no("eve")))
    forged = replace(
        one, annotations=one.annotations | {EVENTS: one.annotations[EVENTS].replace("rejected", "approved")}
    )
    assert decisions_of([forged], STORED) == ()
    assert [decision.state for _, decision in decisions_of([one], STORED)] == [REJECTED]


def test_what_was_withdrawn_serves_nowhere_whoever_agreed():
    for target in (CALYPSO, Target(name="local", review=False)):
        case = Case(decisions=(yes(),), withdrawn="withdrawn by eve: drops ships", moment=NOON)
        answer = approve(STORED, target, case)
        assert isinstance(answer, Rejected)
        assert answer.reason == "ner v7 was withdrawn by eve: drops ships"
        assert isinstance(approve(STORED, target, replace(case, withdrawn="")), Approved)
