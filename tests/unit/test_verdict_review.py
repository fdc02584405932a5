"""How findings add up to a verdict, and which decision of a person lets which digest serve."""

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promote.core.facts import Target
from promote.core.review import APPROVED, PENDING, REJECTED, Approved, NotApproved, Rejected, Review, approve
from promote.core.stages import Stored
from promote.core.verdict import WORST_FIRST, Compatible, Finding, Incompatible, Outcome, Undecided, judge

BROKEN, UNKNOWN, DEGRADED, OK = WORST_FIRST
ONE, OTHER = "sha256:" + "1" * 64, "sha256:" + "2" * 64
STORED = Stored(
    repository="oci:/b/ner", digest=ONE, name="ner", version=7, files={}, annotations={}, manifest=b"{}"
)  # fmt: skip
CALYPSO = Target(name="calypso")


def findings(*outcomes):
    return tuple(Finding(rule=f"rule-{at}", outcome=outcome, has="") for at, outcome in enumerate(outcomes))


def pending(*outcomes):
    return tuple(replace(finding, pending=True) for finding in findings(*outcomes))


@pytest.mark.parametrize(
    ("outcomes", "strict", "tolerant"),
    [
        ((), "compatible", "compatible"),
        ((OK, OK), "compatible", "compatible"),
        ((OK, DEGRADED), "degraded", "degraded"),
        ((DEGRADED, UNKNOWN, OK), "undecided", "degraded"),
        ((UNKNOWN,), "undecided", "compatible"),
        ((UNKNOWN, BROKEN), "incompatible", "incompatible"),
        ((OK, BROKEN, DEGRADED), "incompatible", "incompatible"),
    ],
)
def test_broken_beats_unknown_beats_degraded(outcomes, strict, tolerant):
    assert judge("model", "calypso", findings(*outcomes)).word == strict
    assert judge("model", "calypso", pending(*outcomes), before_export=True).word == tolerant
    assert judge("model", "calypso", pending(*outcomes)).word == strict


def test_what_no_export_will_tell_is_undecided_before_it_too():
    assert judge("model", "calypso", findings(OK, UNKNOWN), before_export=True).word == "undecided"


def test_each_word_has_its_type_and_only_the_compatible_one_holds_the_subject():
    verdicts = [judge("model", "calypso", findings(outcome)) for outcome in (OK, BROKEN, UNKNOWN)]
    assert [type(verdict) for verdict in verdicts] == [Compatible, Incompatible, Undecided]
    assert [getattr(verdict, "subject", None) for verdict in verdicts] == ["model", None, None]
    assert {verdict.target for verdict in verdicts} == {"calypso"}


@given(st.lists(st.sampled_from(list(Outcome))), st.booleans())
def test_all_findings_come_back_worst_first_and_otherwise_in_their_order(outcomes, tolerate):
    given_in = findings(*outcomes)
    verdict = judge("model", "calypso", given_in, before_export=tolerate)
    assert sorted(verdict.findings, key=given_in.index) == list(given_in)
    keys = [(WORST_FIRST.index(f.outcome), given_in.index(f)) for f in verdict.findings]
    assert keys == sorted(keys)


@pytest.mark.parametrize("order", list(itertools.permutations((BROKEN, UNKNOWN, DEGRADED, OK))))
def test_the_order_of_findings_never_changes_the_verdict(order):
    assert judge("model", "calypso", findings(*order)).word == "incompatible"


def test_a_target_without_review_takes_every_digest_and_the_record_says_why():
    answer = approve(STORED, Target(name="local", review=False), Review())
    assert isinstance(answer, Approved)
    assert (answer.stored, answer.target.name) == (STORED, "local")
    assert answer.review == Review(state=APPROVED, digest=ONE, reason="no review required")


def test_an_approval_of_this_digest_lets_it_serve():
    review = Review(state=APPROVED, digest=ONE, by="ada", reason="F1 is right")
    assert approve(STORED, CALYPSO, review) == Approved(STORED, CALYPSO, review)


def test_without_a_decision_it_waits():
    answer = approve(STORED, CALYPSO, Review())
    assert answer == NotApproved("ner v7 waits for a review for calypso")
    assert answer.word == "not approved"


@pytest.mark.parametrize(("digest", "told"), [(OTHER, OTHER), ("", "no digest")])
def test_an_approval_of_another_digest_is_void(digest, told):
    answer = approve(STORED, CALYPSO, Review(state=APPROVED, digest=digest, by="ada"))
    assert isinstance(answer, NotApproved)
    assert f"names {told}, not {ONE}: it is void" in answer.reason


@pytest.mark.parametrize("digest", [ONE, ""])
def test_a_rejection_of_this_digest_or_of_none_by_name_holds(digest):
    answer = approve(STORED, CALYPSO, Review(state=REJECTED, digest=digest, by="ada", reason="drops ships"))
    assert answer == Rejected("ada rejected ner v7 for calypso: drops ships")
    assert approve(STORED, CALYPSO, Review(state=REJECTED)).reason == "somebody rejected ner v7 for calypso: -"


def test_a_rejection_of_another_digest_is_no_approval():
    assert isinstance(approve(STORED, CALYPSO, Review(state=REJECTED, digest=OTHER)), NotApproved)


@given(
    st.one_of(st.sampled_from([PENDING, APPROVED, REJECTED, "Approved", "yes"]), st.text()),
    st.one_of(st.sampled_from([ONE, OTHER, ""]), st.text()),
)
def test_only_the_word_approved_with_this_very_digest_lets_it_serve(state, digest):
    answer = approve(STORED, CALYPSO, Review(state=state, digest=digest))
    assert isinstance(answer, Approved) == ((state, digest) == (APPROVED, ONE))
