"""Golden samples: what is joined comes back the same, and bytes that are none are refused."""

import json
import random
import struct

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from promote.core.golden import as_served, join, split
from promote.core.tensors import ONNX_OF_NUMPY
from promote.errors import InputError, IntegrityError

X = np.arange(6, dtype=np.float32).reshape(2, 3)
ARRAYS = st.sampled_from(sorted(ONNX_OF_NUMPY)).flatmap(
    lambda kind: npst.arrays(kind, npst.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3))
)
TENSORS = st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8), ARRAYS, max_size=3)
CASES = st.dictionaries(
    st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,9}", fullmatch=True),
    st.tuples(TENSORS.filter(bool), TENSORS),
    min_size=1,
    max_size=3,
)


def raw(head: object, data: bytes = b"") -> bytes:
    """A safetensors file made by hand."""
    text = json.dumps(head).encode() if not isinstance(head, bytes) else head
    return struct.pack("<Q", len(text)) + text + data


def one(key: str, dtype: str = "F32", shape: tuple[int, ...] = (1,), data: bytes = b"\0\0\0\0") -> bytes:
    return raw({key: {"dtype": dtype, "shape": shape, "data_offsets": [0, len(data)]}}, data)


@given(CASES, st.randoms())
@example({"0.": ({"x": X}, {}), "0": ({"x": X}, {})}, random.Random(0))
def test_any_samples_come_back_the_same_and_give_the_same_bytes_in_any_order(cases, order) -> None:  # type: ignore[no-untyped-def]
    data = join(cases)
    shuffled = list(cases.items())
    order.shuffle(shuffled)
    assert join(dict(shuffled)) == data
    found = split(data)
    assert list(found) == sorted(cases)
    for case, sides in cases.items():
        for given_, read in zip(sides, found[case], strict=True):
            assert given_.keys() == read.keys()
            for name, array in given_.items():
                assert (read[name].dtype, read[name].shape) == (array.dtype, array.shape)
                assert read[name].tobytes() == array.tobytes()
    assert join(found) == data


@pytest.mark.parametrize(
    "array", [X.T, X[:, ::2], X.astype(">f4"), np.asfortranarray(X), np.broadcast_to(X[0], (2, 3))]
)
def test_memory_order_and_byte_order_do_not_show(array: np.ndarray) -> None:
    data = join({"a": ({"x": array}, {})})
    assert data == join({"a": ({"x": np.array(array.tolist(), np.float32)}, {})})
    np.testing.assert_array_equal(split(data)["a"][0]["x"], array)


def test_a_name_with_slashes_stays_one_name() -> None:
    assert list(split(join({"a": ({"in/out/x": X}, {"in/": X})}))["a"][0]) == ["in/out/x"]


@pytest.mark.parametrize(
    ("cases", "why"),
    [
        ({"a": ({}, {"y": X})}, "has no inputs"),
        ({"a/b": ({"x": X}, {})}, "is no name"),
        ({"": ({"x": X}, {})}, "is no name"),
        ({"..": ({"x": X}, {})}, "is no name"),
        ({"a": ({"": X}, {})}, "0 characters"),
        ({"a": ({"x" * 513: X}, {})}, "513 characters"),
        ({"a": ({"x": np.array(["text"])}, {})}, "strings"),
        ({"a": ({"x": np.array([b"text"], object)}, {})}, "strings"),
        ({"a": ({"x": np.array([1j])}, {})}, "complex128"),
    ],
)
def test_samples_that_cannot_be_kept_are_told(cases: dict, why: str) -> None:  # type: ignore[type-arg]
    with pytest.raises(InputError, match=why):
        join(cases)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"x",
        raw({}),
        raw(b"not json"),
        raw(b"\xff"),
        struct.pack("<Q", 2**63) + b"{}",
        one("a/in/x")[:-1],
        one("a/in/x") + b"\0",
        one("a/in/x", shape=(2,)),
        one("a/in/x", "BF16", (2,)),
        one("a/in/x", "BOOL", (4,), b"\0\1\2\0"),
        one("a/in/x", "F32", (1,) * 65),
        one("x"),
        one("a/x"),
        one("a/between/x"),
        one("a/in/"),
        one("../in/x"),
        one(f"a/in/{'x' * 513}"),
        one("a/out/x"),
    ],
)
def test_bytes_that_are_no_samples_are_refused(data: bytes) -> None:
    with pytest.raises(IntegrityError, match="golden samples") as refused:
        split(data)
    assert "\n" not in refused.value.message


@given(st.integers(0, 10_000), st.binary(max_size=3))
def test_damage_is_refused_or_read_but_never_a_crash(place: int, new: bytes) -> None:
    data = join({"a": ({"x": X}, {"y": X > 2})})
    place %= len(data)
    try:
        cases = split(data[:place] + new + data[place + 1 :])
    except IntegrityError:
        return
    assert all(inputs for inputs, _ in cases.values())


def test_a_scalar_is_served_as_one_value() -> None:
    served = as_served({"s": np.float32(2), "x": X})  # type: ignore[dict-item]
    assert (served["s"].shape, served["x"].shape) == ((1,), (2, 3))
