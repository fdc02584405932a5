"""The running server: started on loopback, waited for until READY, ended by its process id.

It owns one process and its children, and nothing else: what the machine lacks is said by host.py, the command line is
launch.py, and models are loaded and unloaded by whoever talks to the endpoints.
"""

from __future__ import annotations

import atexit
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from examples.local_triton.host import CannotStart

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where the Python backend keeps its regions, not a temporary file
_POLL_S = 0.05
_LOG_LINES = 20


@dataclass(frozen=True, slots=True)
class Ports:
    """One port per protocol, all on 127.0.0.1."""

    http: int
    grpc: int
    metrics: int


@dataclass(slots=True)
class LocalTriton:
    """A tritonserver process of ours. Use it with `with`, or call `stop`."""

    process: subprocess.Popen[bytes]
    ports: Ports
    log: Path
    shm_prefix: str
    stopped: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        # A test run or a demo that ends by an exception somewhere else must not leave a server behind.
        atexit.register(self.stop)

    @property
    def pid(self) -> int:
        """The server's process id, which is also that of its process group."""
        return self.process.pid

    @property
    def http(self) -> str:
        """Host and port, as `tritonclient.http` takes them."""
        return f"127.0.0.1:{self.ports.http}"

    @property
    def grpc(self) -> str:
        """Host and port, as `tritonclient.grpc` takes them."""
        return f"127.0.0.1:{self.ports.grpc}"

    @property
    def metrics(self) -> str:
        """The Prometheus endpoint."""
        return f"http://127.0.0.1:{self.ports.metrics}/metrics"

    def wait_ready(self, deadline_s: float) -> None:
        """Returns when the server says READY. Raises `CannotStart`, with the end of the log, when it will not."""
        until = time.monotonic() + deadline_s
        while not _answers(f"http://{self.http}/v2/health/ready"):
            if (code := self.process.poll()) is not None:
                raise CannotStart(f"tritonserver ended with exit code {code} before it was ready\n{self.log_tail()}")
            if time.monotonic() > until:
                raise CannotStart(f"tritonserver was not ready after {deadline_s:.0f} s\n{self.log_tail()}")
            time.sleep(_POLL_S)

    def log_tail(self, lines: int = _LOG_LINES) -> str:
        """The last lines of the log, and where the rest is."""
        text = self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""
        tail = "\n".join(f"  {line}" for line in text.splitlines()[-lines:])
        return f"the end of {self.log}:\n{tail}"

    def stop(self, grace_s: float = 15.0) -> None:
        """Ends the server and every process it started. Safe to call twice.

        SIGTERM lets the server finish what it answers and unload its models; whatever is left of the process group
        after `grace_s` is killed.
        """
        if self.stopped:
            return
        self.stopped = True
        atexit.unregister(self.stop)
        until = time.monotonic() + grace_s
        if self.process.poll() is None:
            self.process.terminate()
            _until(lambda: self.process.poll() is not None, until)
        # The stubs share the group; they see the server's end themselves, but not at once.
        if not _until(lambda: not _group_lives(self.pid), min(until, time.monotonic() + 2.0)):
            _signal_group(self.pid, signal.SIGKILL)
            _until(lambda: self.process.poll() is not None and not _group_lives(self.pid), time.monotonic() + 5.0)
        self.process.wait(timeout=5.0)
        # A killed stub cannot give its shared memory back; the prefix is ours alone.
        for region in SHARED_MEMORY.glob(f"{self.shm_prefix}*"):
            region.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2.0) as response:  # noqa: S310 - our own loopback address
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _until(happened: Callable[[], bool], until: float) -> bool:
    while not happened():
        if time.monotonic() > until:
            return False
        time.sleep(_POLL_S)
    return True


def _group_lives(group: int) -> bool:
    return _signal_group(group, 0)


def _signal_group(group: int, number: int) -> bool:
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    return True
