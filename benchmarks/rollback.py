"""How long a rollback takes as it is typed in an incident: the registry and MLflow take connections and never answer.

python benchmarks/rollback.py [ROLLBACKS] [--load [N]] [--ssh]    (needs PROMOTE_TRITON_CARRIER; --ssh an sshd, see tests/parts)

Told apart: from the start of the command to the first right answer of the version before, asked for all the time on the real
Triton, and to the end of the command, which tells MLflow in vain; and how long Triton's own load of the version took, which is
in both. ``--load`` has two processes for each processor (or N) count beside it. With ``--ssh`` the model repository is reached
through a real sshd on loopback.
"""

import argparse
import multiprocessing
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
from tritonclient.grpc import InferenceServerClient

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from examples.local_triton.launch import start
from tests.fakes.bundle import samples
from tests.parts.killing import real_world
from tests.parts.ssh_server import ssh_server

NAME = "times"
WEIGHTS = {1: 2.0, 2: 3.0}
X = samples(1.0)["typical"][0]["x"]


@contextmanager
def silent() -> Iterator[str]:
    """An address that takes connections and never answers."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(512)
        yield f"127.0.0.1:{server.getsockname()[1]}"


def count() -> None:
    """Until it is ended."""
    number = 0
    while True:
        number += 1


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """So many processes that only count."""
    made = [multiprocessing.Process(target=count, daemon=True) for _ in range(processes)]
    for one in made:
        one.start()
    try:
        yield
    finally:
        for one in made:
            one.kill()
            one.join()


def typed(bench, folder: Path, environment: dict[str, str], goal: int) -> tuple[float, float]:
    """Seconds to the first right answer of version ``goal``, and to the end of the command."""
    client = InferenceServerClient(
        bench.server._grpc
    )  # one connection: asking shall not take the processor from who loads
    while client.is_model_ready(NAME, str(goal)):  # it retired, and answers for a moment longer
        time.sleep(0.05)
    command = [sys.executable, "-m", "promote", "rollback", NAME, "--target", "bench", "--quiet"]
    began = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while not client.is_model_ready(NAME, str(goal)):
        assert process.poll() in (None, 0), "promote rollback failed"
        time.sleep(0.02)
    client.close()
    answer = bench.server.infer(NAME, goal, {"x": X}, "grpc")["y"]
    np.testing.assert_allclose(answer, X * WEIGHTS[goal], rtol=1e-6)
    answered = time.perf_counter() - began
    assert process.wait() == 0, "promote rollback failed"
    return answered, time.perf_counter() - began


def loaded(bench, goal: int) -> float:
    """Seconds that Triton takes to bring version ``goal`` up beside the other, and to retire that: what no command can save."""
    began = time.perf_counter()
    bench.store.serve(NAME, (3 - goal, goal))
    bench.server.load(NAME)
    bench.server.await_ready(NAME, goal, 60)
    taken = time.perf_counter() - began
    bench.store.serve(NAME, (goal,))
    bench.server.load(NAME)
    return taken


def main() -> None:
    """Runs all and prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rollbacks", type=int, nargs="?", default=50)
    parser.add_argument("--load", type=int, nargs="?", const=2 * (os.cpu_count() or 1), default=0)
    parser.add_argument("--ssh", action="store_true")
    asked = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        repository, environment, place = folder / "models", dict(os.environ), str(folder / "models")
        repository.mkdir()
        if asked.ssh:
            (folder / "sshd").mkdir()
            made = stack.enter_context(ssh_server(folder / "sshd"))
            programs = folder / "bin"
            programs.mkdir()
            (programs / "ssh").write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {made.config} "$@"\n')
            (programs / "ssh").chmod(0o755)
            environment["PATH"] = f"{programs}:{os.environ['PATH']}"
            place = f"ssh://calypso{repository}"
        away = stack.enter_context(silent())
        carrier = Path(os.environ["PROMOTE_TRITON_CARRIER"])
        triton = stack.enter_context(start(repository, carrier=carrier, work=folder / "work"))
        (folder / "promote.toml").write_text(
            f'registry.url = "http://{away}/models"\nmlflow.tracking_uri = "http://{away}"\n'
            f'[targets.bench]\ndevice = "cpu"\nonnxruntime = "installed"\ntriton = "24.10"\nmemory_gib = 8\n'
            f'review = false\nhttp = "{triton.http}"\ngrpc = "{triton.grpc}"\nmodel_repository = "{place}"\n'
        )
        bench = real_world(NAME, repository, triton.http, triton.grpc, *WEIGHTS.values())
        for version in WEIGHTS:
            bench.deploy(version)
        stack.enter_context(busy(asked.load))
        alone = [loaded(bench, 1 + at % 2) for at in range(1, 6)]
        rounds = [typed(bench, folder, environment, 1 + at % 2) for at in range(asked.rollbacks)]
    where = "a folder reached over ssh" if asked.ssh else "a folder"
    print(f"{asked.rollbacks} rollbacks as typed, {where}, {asked.load} busy processes, load {os.getloadavg()[0]:.1f}")
    print(f"Triton alone, both versions brought up: median {sorted(alone)[2]:.2f} s, longest {max(alone):.2f} s")
    for what, taken in zip(("the former version answers", "the command ends"), zip(*rounds, strict=True), strict=True):
        at = sorted(taken)
        p99 = at[min(len(at) - 1, int(len(at) * 0.99))]
        print(f"until {what}: median {at[len(at) // 2]:.2f} s, p99 {p99:.2f} s, longest {at[-1]:.2f} s")


if __name__ == "__main__":
    main()
