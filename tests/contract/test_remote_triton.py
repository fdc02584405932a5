"""The real Triton on a repository that is not a folder of this machine: deploy beside, prove, roll back, while a client asks."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from examples.local_triton.launch import start
from promote.adapters.remote_repository import RemoteRepository
from promote.adapters.repository.s3 import S3Space
from promote.adapters.triton_server import TritonServer
from promote.core.repository_place import S3Place
from tests.contract.bench import Bench, X, free_endpoint
from tests.parts.s3_server import S3

pytestmark = [pytest.mark.triton, pytest.mark.slow]


@dataclass(frozen=True)
class Elsewhere:
    """What ``start`` takes for a folder, and hands on as it is."""

    url: str

    def absolute(self) -> Elsewhere:
        return self

    def __str__(self) -> str:
        return self.url


@contextmanager
def asked(server: TritonServer, name: str, weights: dict[int, float]) -> Iterator[list[str]]:
    """A client that asks for the newest version all the time; what went wrong."""
    faults: list[str] = []
    answers: list[float] = []
    ended = threading.Event()

    def ask() -> None:
        import tritonclient.grpc as wire
        from tritonclient.utils import InferenceServerException

        client = wire.InferenceServerClient(server._grpc)
        tensor = wire.InferInput("x", list(X.shape), "FP32")
        tensor.set_data_from_numpy(X)
        while not ended.is_set():
            try:
                got = client.infer(name, [tensor]).as_numpy("y")
            except InferenceServerException as error:
                faults.append(str(error))
                continue
            if not any(np.array_equal(got, X * np.float32(weight)) for weight in weights.values()):
                faults.append(f"a wrong answer: {got}")
            answers.append(float(got[0, 0] / X[0, 0]) if X[0, 0] else 0.0)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield faults
    finally:
        ended.set()
        thread.join(30)
        assert len(answers) > 20


def absent() -> TritonServer:
    closed = free_endpoint()
    return TritonServer(closed, closed)


def run_through(bench: Bench) -> None:
    """Deploys twice and rolls back, with the calls that the story makes."""
    weights = {1: 2.0, 2: 3.0}
    bench.place("m", 1, weights[1])
    bench.up("m", 1)
    bench.times("m", 1, weights[1], "http")
    with asked(bench.server, "m", weights) as faults:
        bench.place("m", 2, weights[2])
        bench.up("m", 1, 2)
        for version, weight in weights.items():
            bench.times("m", version, weight)
        bench.up("m", 2)
        bench.times("m", 2, weights[2], "http")
        bench.up("m", 2, 1)
        bench.up("m", 1)
        bench.times("m", 1, weights[1])
    assert faults == []
    assert bench.store.inspect("m", 1).files == ""


def test_triton_serves_from_a_bucket(s3: S3, triton_carrier: Path, tmp_path: Path) -> None:
    bucket = s3.bucket()
    # Triton puts its copies into temporary folders and asks s3://scheme://host:port/bucket/prefix
    # (core src/filesystem/implementations/as.h); credentials are those of the environment.
    where = Elsewhere(f"s3://{s3.url}/{bucket}/repo/models")
    s3.client.put_object(Bucket=bucket, Key="repo/models/", Body=b"")  # a prefix without any object is none to Triton
    store = RemoteRepository(S3Space(S3Place(bucket, "repo/models")), by="tests", work=tmp_path)
    with start(where, carrier=triton_carrier, work=tmp_path / "work") as triton:  # type: ignore[arg-type]
        run_through(Bench(TritonServer(triton.http, triton.grpc), store, absent(), tmp_path))
