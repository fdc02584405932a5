"""Bodies of answers in memory that is used again: every byte as sent, whatever the line does; the line kept if it can be."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from promote.adapters.oci.body import chunks
from promote.adapters.oci.buffers import CHUNK, Buffers
from promote.adapters.oci.line import Line
from promote.errors import Unavailable

_DATA = os.urandom(3 * 2**20 + 12_345)
_LENGTH = f"Content-Length: {len(_DATA)}\r\n".encode()


@contextmanager
def _server(answer: Callable[[socket.socket], object]) -> Iterator[tuple[str, list[int]]]:
    """Its address and how many connections it took; ``answer`` is called for every request, until it closes the connection."""
    connections: list[int] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def talk(client: socket.socket) -> None:
            with client, suppress(OSError):
                while client.recv(65536):
                    answer(client)

        def serve() -> None:
            with suppress(OSError):
                while True:
                    client, _ = listening.accept()
                    connections.append(1)
                    threading.Thread(target=talk, args=(client,), daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/blob", connections


def _get(line: Line, url: str, seconds: float = 20.0) -> bytes:
    return b"".join(chunks(line.send("GET", url, {}, None, (5.0, seconds))))


def _keep(pieces: Iterator[memoryview], came: list[bytes]) -> None:
    for piece in pieces:
        came.append(bytes(piece))


def _in_bits(client: socket.socket) -> None:
    client.sendall(b"HTTP/1.1 200 OK\r\n" + _LENGTH + b"\r\n" + _DATA[:5])
    for start in range(5, len(_DATA), 300_001):
        time.sleep(0.02)
        client.sendall(_DATA[start : min(start + 300_001, len(_DATA))])


def _in_chunks(client: socket.socket) -> None:
    client.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for start in range(0, len(_DATA), 100_000):
        piece = _DATA[start : start + 100_000]
        client.sendall(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
    client.sendall(b"0\r\n\r\n")


@pytest.mark.parametrize("answer", [_in_bits, _in_chunks])
def test_every_byte_comes_and_the_connection_serves_again(answer: Callable[[socket.socket], None]) -> None:
    with _server(answer) as (url, connections):
        line = Line(url)
        assert _get(line, url) == _DATA
        assert _get(line, url) == _DATA
        assert len(connections) == 1


@pytest.mark.parametrize("length", [_LENGTH, b""])
def test_a_body_that_ends_with_its_connection_comes_whole(length: bytes) -> None:
    def answer(client: socket.socket) -> None:
        client.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n" + length + b"\r\n" + _DATA)
        client.shutdown(socket.SHUT_RDWR)

    with _server(answer) as (url, connections):
        line = Line(url)
        assert [_get(line, url) == _DATA, _get(line, url) == _DATA] == [True, True]
        assert len(connections) == 2


@pytest.mark.parametrize("sent", [0, 5, 2**20, len(_DATA) - CHUNK, len(_DATA) - 1])
def test_a_body_that_is_cut_is_told_and_what_came_was_passed_on(sent: int) -> None:
    def answer(client: socket.socket) -> None:
        client.sendall(b"HTTP/1.1 200 OK\r\n" + _LENGTH + b"\r\n" + _DATA[:sent])
        client.shutdown(socket.SHUT_RDWR)

    came: list[bytes] = []
    with _server(answer) as (url, _):
        pieces = chunks(Line(url).send("GET", url, {}, None, (5.0, 20.0)))
        with pytest.raises(Unavailable, match=r"the connection to http://127.* broke"):
            _keep(pieces, came)
    assert b"".join(came) == _DATA[:sent]


@pytest.mark.parametrize("sent", [2**20, len(_DATA) - 1])
def test_a_line_that_falls_silent_is_given_up_after_its_time(sent: int) -> None:
    silent = threading.Event()

    def answer(client: socket.socket) -> None:
        client.sendall(b"HTTP/1.1 200 OK\r\n" + _LENGTH + b"\r\n" + _DATA[:sent])
        silent.wait(20)

    with _server(answer) as (url, _):
        started = time.monotonic()
        with pytest.raises(Unavailable, match="broke"):
            _get(Line(url), url, seconds=1.0)
        assert 1.0 <= time.monotonic() - started < 10
        silent.set()


def test_a_slow_line_is_no_silent_one() -> None:
    """A piece that takes longer than the time limit is not given up while bytes come."""

    def answer(client: socket.socket) -> None:
        client.sendall(b"HTTP/1.1 200 OK\r\n" + _LENGTH + b"\r\n")
        for start in range(0, 2 * CHUNK, CHUNK // 8):
            client.sendall(_DATA[start : start + CHUNK // 8])
            time.sleep(0.2)
        client.sendall(_DATA[2 * CHUNK :])

    with _server(answer) as (url, _):
        assert _get(Line(url), url, seconds=1.0) == _DATA


def test_memory_that_somebody_looks_at_is_not_given_out_again() -> None:
    buffers = Buffers(10)
    first = buffers.take()
    assert len(first) == 10
    assert buffers.take() is first
    looked_at = memoryview(first)[:3]
    second = buffers.take()
    assert second is not first
    assert len(second) == len(first) == 10
    looked_at.release()
    assert buffers.take() is first


def test_memory_is_no_larger_than_what_is_expected() -> None:
    assert [len(Buffers(expected).take()) for expected in (0, 1, CHUNK + 1, None)] == [1, 1, CHUNK, CHUNK]
