"""Runs the export's child processes: no credentials, no network where the kernel lets us, limits on time and memory.

Model code and native runtimes may crash, hang, or eat the machine; they do it in a process of their own group, and the
stage fails cleanly. Not here: what the child does (``child``).
"""

import contextlib
import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from promote.adapters.export.child import DISK_FULL, FULL_HINT
from promote.adapters.process_group import end, resident_bytes
from promote.core.names import printable
from promote.errors import ExportError, InputError, PromoteError, Unavailable

# All that a child gets of our environment: nothing that could hold a credential.
_PASSED_ON = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "TZ", "OMP_NUM_THREADS", "PYTHONPATH", "VIRTUAL_ENV")
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_POLL_SECONDS, _POLLS_PER_LOOK = 0.05, 8  # looking at memory reads all of /proc: not at every poll
_ERRORS: dict[str, type[PromoteError]] = {"export": ExportError, "input": InputError, "unavailable": Unavailable}


@dataclass(frozen=True, slots=True)
class Limits:
    """What one child may use.

    Args:
        seconds: wall clock.
        memory_bytes: resident memory of the whole group of processes.
    """

    seconds: float = 3600.0
    memory_bytes: int = int(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") * 0.9)


def run_child(job: dict[str, Any], folder: Path, limits: Limits, say: Callable[[str], None]) -> dict[str, Any]:
    """Runs one job of ``child`` and returns its result.

    Args:
        job: JSON values; ``do`` names the work.
        folder: the child's working folder, its HOME and TMPDIR.
        limits: see ``Limits``.
        say: called with each line the child says of its progress.

    Raises:
        ExportError: it failed, crashed, or broke a limit; the message says which.
        InputError, Unavailable: as the child reports them (a disk that is full, say).
    """
    what = str(job["do"])
    (folder / f"{what}.job.json").write_text(json.dumps(job))
    log = folder / f"{what}.log"
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "promote.adapters.export.child", f"{what}.job.json"],
            cwd=folder,
            env=_environment(folder),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            start_new_session=True,
            preexec_fn=_restrict,  # noqa: PLW1509 - it calls the kernel only, and takes no lock
        )
        try:
            broken = _watch(process, limits, say)
        finally:
            end(process)
    result = folder / f"{what}.result.json"
    if broken:
        raise ExportError(f"the {what} was stopped: {broken}", hint=f"its log is {log}")
    if process.returncode == DISK_FULL:
        raise Unavailable(f"cannot write {folder}: no space left on device", hint=FULL_HINT)
    if process.returncode != 0 or not result.exists():
        raise ExportError(f"the {what} {_died(process.returncode)}: {_last_line(log)}", hint=f"its log is {log}")
    answer: dict[str, Any] = json.loads(result.read_text())
    if "error" in answer:
        kind = _ERRORS.get(answer["error"], ExportError)
        raise kind(printable(answer["message"], 600), hint=answer.get("hint", "") or f"its log is {log}")
    return answer


def _environment(folder: Path) -> dict[str, str]:
    kept = {key: os.environ[key] for key in _PASSED_ON if key in os.environ}
    return kept | {
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "HF_HOME": str(folder / "hf"),
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "CUDA_VISIBLE_DEVICES": "",  # the export runs on the CPU: the same bytes whatever GPU is near
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def _restrict() -> None:
    """In the child, before Python starts: first to go when memory is short, no core files, no network if we may."""
    with contextlib.suppress(OSError), Path("/proc/self/oom_score_adj").open("w") as handle:
        handle.write("1000")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Isolation from the network is a second wall: where the kernel forbids it the child still has no credentials.
    libc = ctypes.CDLL(None, use_errno=True)
    if hasattr(libc, "unshare") and os.geteuid() == 0:
        libc.unshare(_CLONE_NEWNET)
    elif hasattr(libc, "unshare") and libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) == 0:
        user = os.getuid()
        with contextlib.suppress(OSError), Path("/proc/self/uid_map").open("w") as handle:
            handle.write(f"{user} {user} 1")


def _watch(process: "subprocess.Popen[bytes]", limits: Limits, say: Callable[[str], None]) -> str:
    """Waits for the end; returns which limit was broken, or an empty string."""
    assert process.stdout is not None  # noqa: S101 - opened as a pipe above
    os.set_blocking(process.stdout.fileno(), False)
    deadline = time.monotonic() + limits.seconds
    pending = b""
    polls = 0
    while process.poll() is None:
        pending = _forward(pending + (process.stdout.read() or b""), say)
        if time.monotonic() > deadline:
            return f"it took longer than {limits.seconds:g} s (export.seconds in promote.toml)"
        polls += 1
        used = resident_bytes(process.pid) if polls % _POLLS_PER_LOOK == 0 else 0
        if used > limits.memory_bytes:
            return f"it used {used / 2**30:.1f} GiB, more than {limits.memory_bytes / 2**30:.1f} (export.memory_gib)"
        time.sleep(_POLL_SECONDS)
    _forward(pending + (process.stdout.read() or b"") + b"\n", say)
    return ""


def _forward(text: bytes, say: Callable[[str], None]) -> bytes:
    *lines, rest = text.split(b"\n")
    for line in lines:
        if line.strip():
            say(printable(line.decode(errors="replace"), 120))
    return rest


def _died(code: int) -> str:
    return f"crashed ({signal.Signals(-code).name})" if code < 0 else f"ended with code {code}"


def _last_line(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return printable(lines[-1], 300) if lines else "it said nothing"
