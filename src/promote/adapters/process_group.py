"""A child process with all that it started: how much memory they hold together, and that none of them is left behind."""

import contextlib
import os
import resource
import signal
import subprocess
from pathlib import Path


def resident_bytes(session: int) -> int:
    """Resident memory of every process of this session, bytes; 0 where /proc does not tell."""
    total = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it ended while we looked
            continue
        if int(fields[3]) == session:
            total += int(fields[21]) * resource.getpagesize()
    return total


def end(process: "subprocess.Popen[bytes]") -> None:
    """Leaves nothing of the child's group behind, whatever happened."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


__all__ = ["end", "resident_bytes"]
