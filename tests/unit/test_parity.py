"""Parity fails closed: each way an export can be wrong, and its twin that passes."""

import numpy as np
import pytest

from promote.core.parity import BIN_EDGES, ParityFailed, ParityProven, Tolerance, compare

TOLERANCE = Tolerance(absolute=1e-3, relative=1e-2)


def cases(array):
    return {"typical": {"logits": np.asarray(array, dtype="float32")}}


def test_equal_outputs_are_proven_with_their_figures():
    proof = compare(cases([[1.0, 2.0], [3.0, -4.0]]), cases([[1.0, 2.0], [3.0, -4.001]]), TOLERANCE)
    assert isinstance(proof, ParityProven)
    assert proof.worst.max_absolute == pytest.approx(1e-3, rel=1e-3)
    assert proof.worst.mean_absolute == pytest.approx(2.5e-4, rel=1e-3)
    assert proof.worst.max_relative == pytest.approx(2.5e-4, rel=1e-3)
    assert proof.worst.shape == (2, 2)


def test_a_difference_beyond_the_tolerance_names_the_output_and_the_amount():
    proof = compare(cases([1.0, 2.0]), cases([1.0, 2.5]), TOLERANCE)
    assert isinstance(proof, ParityFailed)
    assert proof.reasons == (
        "typical: output 'logits' differs in 1 of 2 values, by up to 0.5 (tolerance 0.001 + 0.01 x value)",
    )


@pytest.mark.parametrize(
    ("want", "got", "words"),
    [
        ([1.0, 2.0], [[1.0, 2.0]], "has shape (1, 2), expected (2,)"),
        ([1.0, np.nan], [1.0, np.nan], "NaN or infinity in the source model"),
        ([1.0, 2.0], [1.0, np.inf], "NaN or infinity in the export"),
        ([], [], "is empty"),
        ([3.0, 3.0], [3.0, 3.0], "is 3 everywhere"),
    ],
)
def test_what_proves_nothing_fails(want, got, words):
    proof = compare(cases(want), cases(got), TOLERANCE)
    assert isinstance(proof, ParityFailed)
    assert any(words in reason for reason in proof.reasons)


def test_no_samples_prove_nothing():
    assert isinstance(compare({}, {}, TOLERANCE), ParityFailed)


def test_a_missing_an_extra_and_a_retyped_output_fail():
    want = {"a": {"x": np.array([1.0, 2.0]), "y": np.array([1, 2])}}
    got = {"a": {"x": np.array([1.0, 2.0], dtype="float32"), "z": np.array([1, 2])}}
    proof = compare(want, got, TOLERANCE)
    assert isinstance(proof, ParityFailed)
    text = " | ".join(proof.reasons)
    assert "'y' is missing" in text
    assert "an output 'z' more" in text
    assert "has type float32, expected float64" in text


def test_integers_must_be_equal():
    want, got = {"a": {"ids": np.array([1, 2])}}, {"a": {"ids": np.array([1, 3])}}
    assert isinstance(compare(want, got, Tolerance(10.0, 10.0)), ParityFailed)
    assert isinstance(compare(want, want, Tolerance(0.0, 0.0)), ParityProven)


def test_a_replay_may_meet_a_constant_output():
    assert isinstance(compare(cases([3.0, 3.0]), cases([3.0, 3.0]), TOLERANCE, constant_ok=True), ParityProven)


def test_errors_are_counted_in_bins_and_what_is_equal_is_in_none():
    want = np.zeros((3, 4), dtype="float32") + np.arange(4, dtype="float32")
    got = want.copy()
    got[0, 1] += 1e-4
    got[1, 1] += 1.05e-4
    got[2, 2] += 5e-4
    (difference,) = compare({"typical": {"y": want}}, {"typical": {"y": got}}, TOLERANCE).differences
    assert sum(count for _, count in difference.errors) == 3
    for at, count in difference.errors:
        inside = [e for e in (1e-4, 1.05e-4, 5e-4) if BIN_EDGES[at - 1] <= e + 1e-7 < BIN_EDGES[at]]
        assert len(inside) == count


def test_the_smallest_and_the_largest_errors_have_a_bin_and_an_exact_copy_has_none():
    want = np.array([1.0, 2.0, 0.0])
    off = np.array([1.0, 1e9, 1e-30])
    (difference,) = compare({"a": {"y": want}}, {"a": {"y": off}}, TOLERANCE).differences
    assert difference.errors == ((0, 1), (len(BIN_EDGES), 1))
    (same,) = compare({"a": {"y": want}}, {"a": {"y": want}}, TOLERANCE).differences
    assert same.errors == ()
