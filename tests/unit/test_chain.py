"""How events of one bundle hang together: what was changed, removed, put elsewhere or written at once is seen."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promote.core.chain import (
    EVENTS,
    EVENTS_TYPE,
    Chain,
    annotations_of,
    batches,
    chain_of,
    content_of,
    follow,
    key_of,
    read_referrers,
    read_texts,
    withdrawn,
)
from promote.core.events import Actor, Event, Kind, event_of, moment, parse_line, repeats, stamp, write_line
from promote.core.referrers import Referrer, pack_referrer
from promote.core.stages import Stored
from promote.errors import IntegrityError

ONE, OTHER = "sha256:" + "1" * 64, "sha256:" + "2" * 64
STORED = Stored(repository="oci:/b/ner", digest=ONE, name="ner", version=7, files={}, annotations={}, manifest=b"{}")
ABOUT = ("ner", 7, ONE)
ADA = Actor("ada@desk", "claimed")


def at(minute):
    return f"2026-11-24T10:{minute:02d}:00.000000Z"


def event(kind=Kind.DEPLOYED, minute=0, **more):
    return event_of(STORED, kind, ADA, at(minute), **{"target": "calypso"} | more)


def chained(*kinds):
    """Lines one after the other, a minute apart."""
    lines = []
    for minute, kind in enumerate(kinds):
        lines += follow(chain_of(lines, ABOUT), [event(kind, minute)], at(minute))
    return lines


def listed(*lines, restored=False, **changed):
    told = annotations_of(lines, restored=restored)
    manifest = pack_referrer(STORED, EVENTS_TYPE, content_of(lines), told).manifest
    told |= changed
    return Referrer(digest=manifest.digest, size=manifest.size, artifact_type=EVENTS_TYPE, annotations=told)


def test_each_line_follows_the_one_before_and_the_whole_is_without_fault():
    lines = chained(Kind.BUILT, Kind.CHECKED, Kind.APPROVED, Kind.DEPLOYED)
    chain = chain_of(reversed(lines), ABOUT)
    assert chain == Chain(lines=tuple(lines), ends=(lines[-1].digest,))
    assert [line.event.former for line in lines[1:]] == [(line.digest,) for line in lines[:-1]]


@pytest.mark.parametrize("gone", [0, 1, 2])
def test_a_line_that_was_removed_leaves_one_that_follows_nothing(gone):
    lines = chained(Kind.BUILT, Kind.CHECKED, Kind.APPROVED, Kind.DEPLOYED)
    (fault,) = chain_of([line for line in lines if line is not lines[gone]], ABOUT).faults
    assert fault.about == lines[gone + 1].digest
    assert "was removed or changed" in fault.what


def test_what_was_cut_off_at_the_end_no_line_tells():
    lines = chained(Kind.BUILT, Kind.REJECTED)
    assert chain_of(lines[:1], ABOUT).faults == ()  # only the other copy does: fsck


def test_a_changed_line_is_another_one():
    lines = chained(Kind.REJECTED, Kind.REFUSED)
    forged = parse_line(lines[0].text.replace("rejected", "approved"))
    assert "removed or changed" in chain_of([forged, lines[1]], ABOUT).faults[0].what


def test_lines_that_change_places_are_seen_by_when_they_were_noted():
    first = write_line(replace(event(Kind.APPROVED), noted=at(30)))
    second = write_line(replace(event(Kind.DEPLOYED), noted=at(1), former=(first.digest,)))
    assert "before" in chain_of([first, second], ABOUT).faults[0].what
    skewed = write_line(replace(event(Kind.DEPLOYED), noted=at(21), former=(first.digest,)))
    assert chain_of([first, skewed], ABOUT).faults == ()


def test_what_happened_earlier_may_be_told_late():
    lines = chained(Kind.BUILT, Kind.APPROVED)
    late = follow(chain_of(lines, ABOUT), [event(Kind.ROLLED_BACK, 0)], at(59))
    assert chain_of([*lines, *late], ABOUT).faults == ()


def test_an_event_of_another_bundle_does_not_belong_here():
    line = write_line(replace(event(), bundle=OTHER, noted=at(0)))
    assert "not about this bundle" in chain_of([line], ABOUT).faults[0].what


def test_two_at_once_are_a_fork_that_is_told_and_that_the_next_one_closes():
    (root,) = chained(Kind.BUILT)
    chain = chain_of([root], ABOUT)
    both = [*follow(chain, [event(Kind.APPROVED, 1)], at(1)), *follow(chain, [event(Kind.REJECTED, 1)], at(1))]
    forked = chain_of([root, *both], ABOUT)
    assert forked.ends == tuple(sorted(line.digest for line in both))
    assert (forked.forks, forked.faults) == ((root.digest,), ())
    (closing,) = follow(forked, [event(Kind.REFUSED, 2)], at(2))
    assert chain_of([root, *both, closing], ABOUT).ends == (closing.digest,)


def test_two_beginnings_are_a_fork_too():
    lines = [write_line(replace(event(kind), noted=at(0))) for kind in (Kind.BUILT, Kind.APPROVED)]
    assert set(chain_of(lines, ABOUT).forks) == {line.digest for line in lines}


@given(st.permutations(range(4)), st.sets(st.integers(0, 3)), st.sets(st.integers(0, 3)))
def test_two_copies_made_one_are_the_same_in_any_order(order, left, right):
    lines = chained(Kind.BUILT, Kind.CHECKED, Kind.APPROVED, Kind.DEPLOYED)
    whole = chain_of([lines[i] for i in order], ABOUT)
    both = [lines[i] for i in left] + [lines[i] for i in right]
    assert whole == chain_of(lines, ABOUT)
    assert {line.digest for line in chain_of(both, ABOUT).lines} == {lines[i].digest for i in left | right}


TEXT = st.text(max_size=300)


@given(TEXT, TEXT, st.dictionaries(st.text(min_size=1, max_size=50), TEXT, max_size=5))
def test_whatever_somebody_writes_is_one_line_and_is_read_back(by, reason, more):
    line = write_line(replace(event(reason=reason, more=more), by=by, noted=at(0)))
    assert line.text.isascii()
    assert "\n" not in line.text
    assert parse_line(line.text) == line
    assert all(text.isprintable() for text in (line.event.by, line.event.reason, *line.event.more.values()))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"version":7', '"version":"7"'),
        ('"version":7', '"version":0'),
        ('"kind":"deployed"', '"kind":"blessed"'),
        ("promote.event/1", "promote.event/2"),
        (ONE, "sha256:1"),
        ('"model":"ner"', '"model":"../ner"'),
        ("10:00:00.000000Z", "10:00"),
        ('"how":"claimed"', '"how":"claimed","how":"github"'),
        ('"target":"calypso"', '"target":["calypso"]'),
    ],
)
def test_what_is_no_event_is_refused(old, new):
    text = chained(Kind.DEPLOYED)[0].text
    assert old in text
    with pytest.raises(IntegrityError):
        parse_line(text.replace(old, new))
    assert parse_line(text).text == text


def test_a_later_release_may_say_more_and_the_digest_is_of_all_of_it():
    text = chained(Kind.DEPLOYED)[0].text.replace("{", '{"zzz":1,', 1)
    line = parse_line(text)
    assert line.event == chained(Kind.DEPLOYED)[0].event
    assert line.digest != chained(Kind.DEPLOYED)[0].digest


def test_a_list_of_referrers_tells_its_lines_and_a_forged_list_is_found():
    lines = chained(Kind.BUILT, Kind.CHECKED)
    told = read_referrers([listed(*lines)], STORED)
    assert (told.lines, told.faults, told.restored) == (tuple(lines), (), frozenset())
    forged = read_referrers([listed(*lines, **{EVENTS: content_of(lines[:1]).decode()})], STORED)
    assert forged.lines == ()
    assert "other events than were attached" in forged.faults[0].what
    nonsense = pack_referrer(STORED, EVENTS_TYPE, b"{}\n", {EVENTS: "{}\n"}).manifest
    bad = Referrer(digest=nonsense.digest, size=1, artifact_type=EVENTS_TYPE, annotations={EVENTS: "{}\n"})
    assert "no event of promote" in read_referrers([bad], STORED).faults[0].what


def test_what_came_back_from_mlflow_is_known_until_it_lies_there_by_itself():
    lines = chained(Kind.BUILT, Kind.APPROVED)
    back = listed(*lines, restored=True)
    assert read_referrers([back], STORED).restored == {line.digest for line in lines}
    assert read_referrers([back, listed(lines[0])], STORED).restored == {lines[1].digest}


def test_a_tag_whose_line_was_changed_is_found_by_its_key():
    lines = chained(Kind.REJECTED, Kind.REFUSED)
    tags = {key_of(line): line.text for line in lines}
    assert [*tags] == sorted(tags)
    assert read_texts(tags).lines == tuple(lines)
    key = key_of(lines[0])
    told = read_texts(tags | {key: lines[0].text.replace("rejected", "approved")})
    assert (told.lines, [fault.about for fault in told.faults]) == ((lines[1],), [key])


def test_the_same_is_not_said_twice():
    built = chained(Kind.BUILT)
    assert repeats(built, event(Kind.BUILT, 9))
    assert not repeats(built, event(Kind.BUILT, 9, target="orin"))
    served = chained(Kind.DEPLOYED)
    assert repeats(served, event(Kind.DEPLOYED, 0))
    assert not repeats(served, event(Kind.DEPLOYED, 1))
    assert not repeats(served, replace(event(Kind.DEPLOYED, 0), by="bob"))


def test_a_refusal_is_said_again_when_something_else_was_said_meanwhile():
    why = {"reason": "waits for a review"}
    lines = [*follow(Chain(), [event(Kind.REFUSED, 0, **why)], at(0))]
    assert repeats(lines, event(Kind.REFUSED, 5, **why))
    assert not repeats(lines, event(Kind.REFUSED, 5, reason="drops ships"))
    lines += follow(chain_of(lines, ABOUT), [event(Kind.APPROVED, 6)], at(6))
    assert not repeats(lines, event(Kind.REFUSED, 7, **why))


def test_many_lines_are_parted_and_the_first_withdrawal_is_found():
    lines = chained(*[Kind.DEPLOYED] * 45)
    assert [len(part) for part in batches(lines)] == [40, 5]
    assert withdrawn(lines) is None
    gone = follow(chain_of(lines, ABOUT), [event(Kind.WITHDRAWN, 46, target="")], at(46))
    assert withdrawn([*lines, *gone]).kind is Kind.WITHDRAWN


def test_a_stamp_says_utc_and_what_is_none_is_the_beginning_of_time():
    assert stamp(moment("2026-11-24T12:00:00+02:00")) == at(0)
    assert moment("yesterday") < moment(at(0))
    assert isinstance(event(), Event)
