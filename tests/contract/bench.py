"""What the contract tests of server and store stand on: both ports over one repository, fake or real."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from promote.adapters.model_repository import ModelRepository
from promote.adapters.triton_server import TritonServer
from promote.core.stages import Stored
from tests.fakes.bundle import bundle, samples
from tests.fakes.store import FakeStore
from tests.fakes.triton import FakeServer
from tests.parts.triton import Served

if TYPE_CHECKING:
    from promote.ports import Server, Store

READY_SECONDS = 30.0
X = samples(1)["typical"][0]["x"]


@dataclass
class Bench:
    """A server and the store it reads; ``absent`` is a server of the same kind that nobody runs."""

    server: Server
    store: Store
    absent: Server
    folder: Path

    def place(self, name: str, version: int, weight: float = 2.0, model: bytes | None = None) -> Stored:
        made, files = bundle(self.folder / f"{name}-{version}", name, version, weight, model)
        self.store.place(made, files)
        return made

    def up(self, name: str, *versions: int) -> None:
        """Serves and loads, and waits for all of them."""
        self.store.serve(name, versions)
        self.server.load(name)
        for version in versions:
            self.server.await_ready(name, version, READY_SECONDS)

    def times(self, name: str, version: int, weight: float, protocol: str = "grpc") -> None:
        """Asserts that this version multiplies by this weight."""
        answer = self.server.infer(name, version, {"x": X}, protocol)
        assert answer.keys() == {"y"}
        np.testing.assert_array_equal(answer["y"], X * np.float32(weight))


def fake_bench(folder: Path) -> Bench:
    store = FakeStore()
    absent = FakeServer(store)
    absent.down = True
    return Bench(FakeServer(store), store, absent, folder)


def real_bench(served: Served, folder: Path) -> Bench:
    server = TritonServer(served.triton.http, served.triton.grpc)
    closed = free_endpoint()
    return Bench(server, ModelRepository(served.repository, by="tests"), TritonServer(closed, closed), folder)


def free_endpoint() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"
