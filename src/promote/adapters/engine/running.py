"""Runs one command of a build with limits on time, memory and output; what it says goes line by line to a log and to ``say``.

Not here: which command (``core.engine_place``) and what its lines mean (``core.engine_log``).
"""

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from promote.adapters.process_group import end, resident_bytes

# All that the child gets of our environment: ways to a host or an engine, nothing that holds a credential.
_PASSED_ON = ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH", "TZ", "SSH_AUTH_SOCK", "DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG",
              "XDG_RUNTIME_DIR", "TMPDIR")  # fmt: skip
_POLL_SECONDS, _POLLS_PER_LOOK = 0.05, 8  # looking at memory reads all of /proc: not at every poll
_CHUNK = 65_536
_LONGEST_LINE = 16_384


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one command may use.

    Args:
        seconds: wall clock.
        memory_bytes: resident memory of the whole group of processes on this machine.
        printed_bytes: of its output, stdout and stderr together.
        folder_bytes: of all it leaves in its folder.
    """

    seconds: float = 3600.0
    memory_bytes: int = 64 * 2**30
    printed_bytes: int = 64 * 2**20
    folder_bytes: int = 64 * 2**30


@dataclass(slots=True)
class Ended:
    """How a command ended.

    Args:
        code: its exit code, below 0 the signal.
        lines: all lines it printed.
        broken: which limit it was ended for: ``time``, ``memory``, ``output``; empty: none.
        seconds: how long it ran.
    """

    code: int = 0
    lines: list[str] = field(default_factory=list)
    broken: str = ""
    seconds: float = 0.0


def run(
    words: Sequence[str], limits: Limits, say: Callable[[str], None], log: Path, folder: Path | None = None
) -> Ended:
    """Runs ``words`` to their end, or until a limit is broken; then nothing of their group is left.

    Args:
        words: program and arguments; no shell sees them.
        limits: see ``Limits``.
        say: hears every line.
        log: is appended to.
        folder: what it writes into, where that is on this machine.

    Returns:
        Exit code 127 with the reason as its line where the program cannot be started.
    """
    started, ended = time.monotonic(), Ended()
    with log.open("ab") as kept:
        kept.write(f"$ {list(words)}\n".encode())
        try:
            process = subprocess.Popen(
                list(words), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                start_new_session=True, cwd=log.parent, env=_environment(),
            )  # fmt: skip
        except OSError as error:
            return Ended(127, [f"{words[0]}: {error.strerror}"])
        try:
            with _Lines(process, kept, ended.lines, say) as lines:
                ended.broken = _watch(process, limits, lines, folder)
                end(process)
                lines.drain(limits.printed_bytes)
        finally:
            end(process)
    ended.code, ended.seconds = process.returncode, time.monotonic() - started
    return ended


def _environment() -> dict[str, str]:
    return {key: os.environ[key] for key in _PASSED_ON if key in os.environ} | {"LC_ALL": "C"}


class _Lines:
    """The child's output, cut into lines as it comes."""

    def __init__(
        self, process: "subprocess.Popen[bytes]", kept: "object", lines: list[str], say: Callable[[str], None]
    ) -> None:
        assert process.stdout is not None  # noqa: S101 - opened as a pipe
        self._pipe, self._kept, self._lines, self._say = process.stdout, kept, lines, say
        self._rest, self.size = b"", 0
        os.set_blocking(self._pipe.fileno(), False)

    def __enter__(self) -> "_Lines":
        return self

    def __exit__(self, *_: object) -> None:
        self._pipe.close()

    def take(self) -> bool:
        """Takes what is there; false: nothing was."""
        data = self._pipe.read(_CHUNK) or b""
        self.size += len(data)
        self._kept.write(data)  # type: ignore[attr-defined]
        *whole, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > _LONGEST_LINE:
            whole, self._rest = [*whole, self._rest], b""
        for line in whole:
            self._tell(line)
        return bool(data)

    def drain(self, largest: int) -> None:
        """Takes what is left after the child ended."""
        while self.size <= largest and self.take():
            pass
        if self._rest:
            self._tell(self._rest)
            self._rest = b""

    def _tell(self, line: bytes) -> None:
        text = line.decode(errors="replace").rstrip()
        self._lines.append(text[:_LONGEST_LINE])
        self._say(text[:_LONGEST_LINE])


def _watch(process: "subprocess.Popen[bytes]", limits: Limits, lines: _Lines, folder: Path | None) -> str:
    """Waits for the end; returns which limit was broken, or an empty string."""
    until, polls = time.monotonic() + limits.seconds, 0
    while process.poll() is None:
        took = lines.take()
        if lines.size > limits.printed_bytes:
            return "output"
        if time.monotonic() > until:
            return "time"
        polls += 1
        if polls % _POLLS_PER_LOOK == 0:
            if resident_bytes(process.pid) > limits.memory_bytes:
                return "memory"
            if folder and _size(folder) > limits.folder_bytes:
                return "output"
        if not took:
            time.sleep(_POLL_SECONDS)
    return ""


def _size(folder: Path) -> int:
    total = 0
    for path in folder.iterdir():
        with contextlib.suppress(OSError):
            total += path.lstat().st_size
    return total


__all__ = ["Ended", "Limits", "run"]
