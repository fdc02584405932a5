"""How findings add up to a verdict."""

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promote.core.verdict import WORST_FIRST, Compatible, Finding, Incompatible, Outcome, Undecided, judge

BROKEN, UNKNOWN, DEGRADED, OK = WORST_FIRST


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
