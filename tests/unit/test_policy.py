"""promotion_policy.yaml: what may be written in it, and each gate with the case it stops and its twin that passes."""

import datetime
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promote.core.gates import Found, Told, asks, gates, read_passport
from promote.core.policy import Policy, Terms, parse_policy
from promote.errors import InputError, IntegrityError

DOCS = Path(__file__).resolve().parents[2] / "docs/reference/policy.md"
NOON = datetime.datetime(2026, 11, 27, 12, tzinfo=datetime.UTC)  # a Friday
NOW = Told(version=3, metrics={"f1": 0.93, "loss": 0.2}, parity=((1e-5, 1e-3), (4e-5, 2e-3)), licence="Apache-2.0")
LIVE = replace(NOW, version=2, metrics={"f1": 0.94, "loss": 0.15})
FOUND = Found(
    told=NOW, live=LIVE, kinds=frozenset({"application/vnd.promote.review.v1+json"}), probed="2026-11-20",
    collected="2026-11-01", moment=NOON,
)  # fmt: skip


def policy(text, target="calypso"):
    return parse_policy(f"schema: promote.policy/1\ntargets:\n  calypso:\n{text}", "promotion_policy.yaml", target)


@pytest.mark.parametrize(
    ("terms", "holds"),
    [
        ({"metrics": {"f1": {"min": 0.93}}}, True),
        ({"metrics": {"f1": {"min": 0.931}}}, False),
        ({"metrics": {"loss": {"max": 0.2}}}, True),
        ({"metrics": {"loss": {"max": 0.19}}}, False),
        ({"metrics": {"recall": {"min": 0}}}, False),  # not logged
        ({"metrics": {"f1": {"max_drop": 0.01}}}, True),
        ({"metrics": {"f1": {"max_drop": 0.009}}}, False),
        ({"metrics": {"loss": {"max_rise": 0.05}}}, True),
        ({"metrics": {"loss": {"max_rise": 0.04}}}, False),
        ({"parity": {"max_absolute": 4e-5}}, True),
        ({"parity": {"max_absolute": 3e-5}}, False),
        ({"parity": {"max_relative": 2e-3}}, True),
        ({"parity": {"max_relative": 1e-3}}, False),
        ({"evidence": ("review",)}, True),
        ({"evidence": ("signature",)}, False),
        ({"evidence": ("application/vnd.promote.review.v1+json",)}, True),
        ({"max_age_days": {"probe": 7}}, True),
        ({"max_age_days": {"probe": 6}}, False),
        ({"max_age_days": {"matrix": 26}}, True),
        ({"max_age_days": {"matrix": 25}}, False),
        ({"licences": ("mit", "apache-2.0")}, True),
        ({"licences": ("mit",)}, False),
        ({"freeze": ({"start": "fri 16:00", "end": "mon 06:00"},)}, True),
        ({"freeze": ({"start": "fri 12:00", "end": "mon 06:00"},)}, False),
        ({"freeze": ({"start": "2026-11-27T13:00:00+02:00", "end": "2026-11-28T00:00:00Z"},)}, False),
        ({"freeze": ({"start": "2026-11-27T12:00:01Z", "end": "2026-11-28T00:00:00Z"},)}, True),
    ],
)
def test_each_gate_stops_one_and_passes_its_twin(terms, holds):
    (gate,) = gates(Terms(**terms), FOUND)
    assert gate.holds is holds
    assert gate.has
    assert gate.needs
    assert asks(Terms(**terms))


def test_what_is_not_known_does_not_pass():
    bare = replace(FOUND, told=Told(version=3, metrics={}, parity=(), licence=""), probed="", live=None)
    terms = Terms(
        metrics={"f1": {"max_drop": 1}}, parity={"max_absolute": 1}, max_age_days={"probe": 9}, licences=("mit",)
    )
    assert [gate.holds for gate in gates(terms, bare)] == [False] * 4
    without = replace(FOUND, live=replace(LIVE, metrics={}))
    assert not gates(Terms(metrics={"f1": {"max_drop": 1}}), without)[0].holds
    first = replace(FOUND, live=None)
    assert gates(Terms(metrics={"f1": {"max_drop": 0}}), first)[0].holds  # nothing serves that it could be worse than
    ahead = replace(FOUND, probed="2026-11-29")
    assert not gates(Terms(max_age_days={"probe": 9}), ahead)[0].holds


@given(st.integers(0, 7 * 1440 - 1))
def test_a_weekly_window_and_the_rest_of_the_week_share_every_minute(minute):
    moment = datetime.datetime(2026, 11, 23, tzinfo=datetime.UTC) + datetime.timedelta(minutes=minute)
    window, rest = ({"start": a, "end": b} for a, b in (("fri 16:00", "mon 06:00"), ("mon 06:00", "fri 16:00")))
    held = [gates(Terms(freeze=(w,)), replace(FOUND, moment=moment))[0].holds for w in (window, rest)]
    assert sorted(held) == [False, True]


def test_without_terms_nothing_is_asked():
    assert not asks(Terms())
    assert gates(Terms(), FOUND) == ()
    assert policy("    approvals: 2", target="local") == Policy(
        Terms(), "promotion_policy.yaml", policy("    approvals: 2").digest
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("    aprovals: 2", "targets.calypso.aprovals: unknown key"),
        ("    approvals: 0", "targets.calypso.approvals"),
        ("    approvals: 2\n    approvals: 1", "repeated key 'approvals'"),
        ("    metrics: {f1: {}}", "expected min, max, max_drop or max_rise"),
        ("    metrics: {f1: {min: .nan}}", "targets.calypso.metrics.f1.min"),
        ("    parity: {max_absolute: -1}", "targets.calypso.parity.max_absolute"),
        ("    evidence: [sbom]", "expected review, verdict, signature or a media type"),
        ("    freeze: [{start: fri 16:00, end: 2026-01-01T00:00:00Z}]", "two moments, or two times of the week"),
        ("    freeze: [{start: 2026-01-02T00:00:00Z, end: 2026-01-01T00:00:00Z}]", "expected a time after start"),
        ("    freeze: [{start: fre 16:00, end: mon 06:00}]", "targets.calypso.freeze.0.start"),
        ("    requests: true\n    approvals: 2", "requests: of a tag nobody knows who set it"),
        ("    licences: &a [mit]\n    evidence: *a", "anchors and aliases are refused"),
        ("    identity: " + "x" * 70_000, "the most allowed is 65,536"),
        ("    !!python/object/apply:os.system [id]", "is no plain YAML"),
    ],
)
def test_a_policy_that_cannot_hold_is_refused_with_its_place(text, said):
    with pytest.raises(InputError) as refused:
        policy(text)
    assert said in refused.value.message
    assert refused.value.message.startswith("promotion_policy.yaml")


def test_the_page_about_it_shows_a_policy_that_is_read():
    text = DOCS.read_text().partition("```yaml\n")[2].partition("```")[0]
    read = parse_policy(text, "policy.yaml", "calypso")
    assert read.terms.model_fields_set == set(Terms.model_fields) - {"requests"}
    assert read.digest.startswith("sha256:")


def test_a_passport_that_is_none_is_refused():
    for data in (b"[]", b"{", b'{"version": 1, "lineage": {"metrics": {"f1": "x"}}, "parity": {"differences": []}}'):
        with pytest.raises(IntegrityError):
            read_passport(data)
