"""A deployment in a process of its own that is ended by SIGKILL before its N-th step."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from promote.adapters.model_repository import ModelRepository
from promote.adapters.triton_server import TritonServer
from tests.fakes.world import Bench, bench_of

STEPS = [
    "lock",
    "staging",
    "place",
    "serve",
    "commit",
    "prune",
    "told",
    "load",
    "await_ready",
    "infer",
    "fetch",
    "deployed",
]
"""Calls that change something, or that a change waits for."""


class _Killed:
    """A part whose steps are counted, and that ends the process at one of them."""

    def __init__(self, part: Any, count: Callable[[str], None]) -> None:
        self._part, self._count = part, count

    def each(self) -> dict[str, Any]:
        return {"": self}

    def __getattr__(self, method: str) -> Any:
        real = getattr(self._part, method)
        if method not in STEPS:
            return real
        if method in ("lock", "staging"):
            return self._context(real, method)

        def asked(*args: Any, **kwargs: Any) -> Any:
            self._count(f"before {method}")
            return real(*args, **kwargs)

        return asked

    def _context(self, real: Callable[..., Any], method: str) -> Callable[..., Any]:
        @contextmanager
        def entered(*args: Any) -> Any:
            with real(*args) as value:
                yield value
                self._count(f"leaving {method}")

        return entered


def real_world(name: str, repository: Path, http: str, grpc: str, *weights: float) -> Bench:
    """A world around a real store and server, with a version for each weight in its registry: the same in every process."""
    made = bench_of(ModelRepository(repository, by="tests"), TritonServer(http, grpc), name)
    for weight in weights:
        made.promote(weight)
    return made


def deploy_and_die(at: int, version: int, *world: Any) -> tuple[int, str]:
    """Deploys that version in another process, which dies at step ``at``.

    Returns:
        Its exit code (-9: it was killed), and which step it died at; empty where it had fewer steps.
    """
    context = get_context("forkserver")  # its processes start with everything imported, and with no connection
    context.set_forkserver_preload(["tests.parts.killing", "tritonclient.grpc", "tritonclient.http"])
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_deploy, args=(theirs, at, version, *world))
    process.start()
    theirs.close()
    step = ""
    try:
        while True:
            step = ours.recv()
    except EOFError:
        process.join()
    return process.exitcode or 0, step


def _deploy(pipe: Any, at: int, version: int, *world: Any) -> None:
    made = real_world(*world)
    done = 0

    def count(step: str) -> None:
        nonlocal done
        done += 1
        if done == at:
            pipe.send(step)
            os.kill(os.getpid(), signal.SIGKILL)

    for part in ("registry", "ledger", "store", "server"):
        setattr(made, part, _Killed(getattr(made, part), count))
    made.deploy(version)
