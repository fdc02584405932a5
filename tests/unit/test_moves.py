"""Several blobs at once: how many, in what order, and what becomes of the others when one fails."""

from __future__ import annotations

import _thread
import threading
import time
from collections.abc import Callable

import pytest

from promote.adapters.oci.moves import Move, move_all
from promote.errors import IntegrityError
from tests.fakes.registry import Steps

Told = Callable[[int], None]


def test_no_more_than_so_many_at_once_and_the_largest_first() -> None:
    lock, now, most, order = threading.Lock(), 0, 0, []

    def work(size: int) -> Callable[[Told], int]:
        def moving(told: Told) -> int:
            nonlocal now, most
            with lock:
                now, order[len(order) :] = now + 1, [size]
                most = max(most, now)
            time.sleep(0.02)
            told(size)
            with lock:
                now -= 1
            return size

        return moving

    sizes = [*range(1, 13)]
    assert move_all([Move(size, work(size)) for size in sizes], Steps(), 0, sum(sizes), at_once=3) == sum(sizes)
    assert most == 3
    assert set(order[:3]) == {12, 11, 10}


def test_what_had_not_to_be_moved_counts_as_through_but_not_as_moved() -> None:
    steps = Steps()
    assert move_all([Move(5, lambda _: 0), Move(7, lambda _: 7)], steps, 3, 15) == 7
    assert steps.seen[-1] == (15, 15)


def test_nothing_to_move_is_no_work() -> None:
    assert move_all([], Steps(), 0, 0) == 0


def test_a_new_try_is_not_told_as_going_back() -> None:
    def work(told: Told) -> int:
        for done in (0, 900_000, 0, 500_000, 1_000_000):
            told(done)
            time.sleep(0.12)
        return 1_000_000

    steps = Steps()
    move_all([Move(1_000_000, work)], steps, 0, 1_000_000)
    done = [d for d, _ in steps.seen]
    assert done == sorted(done)
    assert len(set(done)) > 2


def test_the_first_error_stops_the_others_promptly_and_is_told_once() -> None:
    stopped, begun = [], []

    def endless(told: Told) -> int:
        begun.append(1)
        try:
            while True:
                told(1)
                time.sleep(0.01)
        finally:
            stopped.append(1)

    def broken(_: Told) -> int:
        time.sleep(0.05)
        raise IntegrityError("other bytes")

    started = time.monotonic()
    with pytest.raises(IntegrityError, match="other bytes"):
        move_all([Move(9, endless), Move(8, endless), Move(7, broken), *[Move(1, endless)] * 50], Steps(), 0, 99, 3)
    assert time.monotonic() - started < 1
    assert len(stopped) == len(begun) == 2  # and none of the fifty was begun


@pytest.mark.parametrize("deaf", [False, True])
def test_an_interrupt_ends_it_within_a_second(deaf: bool) -> None:
    left = threading.Event()

    def work(told: Told) -> int:
        while not left.wait(0.01):
            if not deaf:  # deaf: hangs in a dead connection
                told(1)
        return 1

    timer = threading.Timer(0.2, _thread.interrupt_main)
    timer.start()
    started = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            move_all([Move(1, work)] * 4, Steps(), 0, 4)
        assert time.monotonic() - started < 1.2
    finally:
        left.set()
        timer.join()
