"""How a blob is sent, and whether it arrives in time: values only."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promote.core.matrix_rows import RegistryLimits
from promote.core.registries import LARGEST_PIECE, WORTH, Way, at_once, limits_of, rate_matters, way

MIB = 2**20


def row(host: str = "r.test", **more: object) -> RegistryLimits:
    return RegistryLimits.model_validate({"host": host, "source": "tests", **more})


@pytest.mark.parametrize(
    ("host", "found"),
    [
        ("ghcr.io", "ghcr.io"),
        ("europe-docker.pkg.dev", "*.pkg.dev"),
        ("own.pkg.dev", "own.pkg.dev"),
        ("a.own.pkg.dev", "*.own.pkg.dev"),
        ("pkg.dev", None),
        ("evilpkg.dev", None),
        ("ghcr.io.evil.test", None),
        ("ghcr.io:443", None),
    ],
)
def test_the_row_of_a_host(host: str, found: str | None) -> None:
    rows = [row(name) for name in ("*.pkg.dev", "ghcr.io", "own.pkg.dev", "*.own.pkg.dev")]
    limits = limits_of(host, rows)
    assert (limits.host if limits else None) == found


@pytest.mark.parametrize(
    ("limits", "size", "expected"),
    [
        (None, WORTH, Way(0, True)),
        (None, WORTH - 1, Way(0, False)),
        (None, 0, Way(0, False)),
        (row(resume="never"), 100 * MIB, Way(0, False)),
        (row(largest_chunk=4 * MIB), 100 * MIB, Way(0, True)),
        (row(upload="chunked"), 100 * MIB, Way(LARGEST_PIECE, True)),
        (row(upload="chunked", largest_chunk=4 * MIB), 100 * MIB, Way(4 * MIB, True)),
        (row(upload="chunked", largest_chunk=64 * MIB), 100 * MIB, Way(LARGEST_PIECE, True)),
        (row(upload="chunked", largest_chunk=4 * MIB), 4 * MIB, Way(0, True)),
        (row(upload="chunked", largest_chunk=4 * MIB, resume="never"), 4 * MIB + 1, Way(4 * MIB, False)),
    ],
)
def test_the_way_of_a_blob(limits: RegistryLimits | None, size: int, expected: Way) -> None:
    assert way(limits, size) == expected


def test_a_rate_is_measured_only_where_time_may_run_out() -> None:
    limits = row(upload_seconds=600)
    assert not rate_matters(None, [10**12], 6)
    assert not rate_matters(row(), [10**12], 6)
    assert not rate_matters(limits, [149 * MIB], 6)
    assert rate_matters(limits, [151 * MIB], 6)
    assert rate_matters(limits, [26 * MIB] * 6, 6)  # they share the line
    assert not rate_matters(limits, [25 * MIB] * 100, 6)


@pytest.mark.parametrize(
    ("sizes", "rate", "expected"),
    [
        ([480 * MIB], MIB, 6),
        ([481 * MIB], MIB, 0),
        ([480 * MIB, 1], MIB, 1),
        ([240 * MIB] * 6, MIB, 2),
        ([10**10], 10**10 / 480, 6),
        ([10**10], 10**10 / 481, 0),
        ([], MIB, 6),
        ([1], 0.0, 0),
    ],
)
def test_how_many_may_share_a_line(sizes: list[int], rate: float, expected: int) -> None:
    assert at_once(row(upload_seconds=600), sizes, rate, 6) == expected


@given(st.lists(st.integers(1, 10**11), max_size=20), st.floats(1, 1e9), st.floats(1, 10))
def test_a_faster_line_never_carries_fewer(sizes: list[int], rate: float, factor: float) -> None:
    limits = row(upload_seconds=600)
    assert at_once(limits, sizes, rate, 6) <= at_once(limits, sizes, rate * factor, 6)
