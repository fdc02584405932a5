"""Runs a command and says how long it took and how much memory it held at most. Shared by the benchmarks here."""

import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Cost:
    """Wall seconds, the largest resident memory of the process or any of its children, MiB, and seconds of processor time."""

    seconds: float
    peak_mib: float
    processor: float = 0.0

    def __str__(self) -> str:
        processor = f"{self.processor:7.2f} s of processor time  " if self.processor else ""
        return f"{self.seconds:7.2f} s  {processor}{self.peak_mib:8.0f} MiB"


def run(command: Sequence[str], *, cwd: Path | None = None, environ: dict[str, str] | None = None) -> Cost:
    """The cost of one command; its output is dropped, a failure raises."""
    started = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=cwd, env=environ or dict(os.environ), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))} ended with {process.returncode}")
    return Cost(time.perf_counter() - started, usage.ru_maxrss / 1024, usage.ru_utime + usage.ru_stime)


def best(command: Sequence[str], times: int = 5, **more: object) -> Cost:
    """The quickest of several runs: the least disturbed one."""
    return min((run(command, **more) for _ in range(times)), key=lambda cost: cost.seconds)  # type: ignore[arg-type]
