"""Hashing beside the moving: the same digest as in one go, and no thread left behind."""

from __future__ import annotations

import hashlib
import os
import threading

import pytest

from promote.adapters.oci.files import verified
from promote.adapters.oci.hashing import hashing
from promote.core.stages import Blob
from promote.errors import IntegrityError


@pytest.mark.parametrize("size", [0, 1000, 9 * 1024 * 1024])
def test_the_digest_is_that_of_all_bytes_in_order(size: int) -> None:
    data = os.urandom(size)
    with hashing(size) as (update, hexdigest):
        for start in range(0, size, 700_001):
            update(data[start : start + 700_001])
        assert hexdigest() == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("ends", ["early", "long", "wrong", "whole"])
def test_no_thread_is_left(ends: str) -> None:
    before = set(threading.enumerate())
    data = os.urandom(20 * 1024 * 1024)
    pieces = [data[n : n + 1024 * 1024] for n in range(0, len(data), 1024 * 1024)]
    size = len(data) - 1 if ends == "long" else len(data)
    right = hashlib.sha256(data).hexdigest()
    chunks = verified(pieces, Blob(f"sha256:{'0' * 64 if ends == 'wrong' else right}", size), "x")
    if ends == "early":
        assert next(chunks) == pieces[0]
        chunks.close()  # type: ignore[attr-defined]
    elif ends == "whole":
        assert b"".join(chunks) == data
    else:
        with pytest.raises(IntegrityError):
            list(chunks)
    for thread in set(threading.enumerate()) - before:
        thread.join(5)
        assert not thread.is_alive()
