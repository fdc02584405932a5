"""Runs small POSIX shell scripts of ours on another host through the system's ``ssh``; what fails there is told in one line.

Every argument is quoted by ``shlex`` and every name was checked before; nothing is put into a script. One connection serves
all commands of a process. No password is asked for and no unknown host key accepted: keys, ports and jumps are ssh's own
configuration. Not here: which scripts (``ssh``).
"""

import contextlib
import os
import shlex
import shutil
import subprocess
import tempfile
import weakref
from pathlib import Path
from typing import IO

from promote.adapters import process_group
from promote.core.names import printable
from promote.core.repository_place import SshPlace
from promote.errors import AuthError, InputError, PromoteError, Unavailable

SECONDS = 60.0  # of one small command
_CONNECT = 15
_LINGER = 20  # seconds that a connection outlives a process that was killed
_OPTIONS = {
    "BatchMode": "yes", "StrictHostKeyChecking": "yes", "ConnectTimeout": str(_CONNECT), "ServerAliveInterval": "15",
    "ServerAliveCountMax": "4", "ClearAllForwardings": "yes", "RequestTTY": "no",
}  # fmt: skip
_OWN = 255  # ssh's exit code for its own failures; ssh(1)
_ABSENT = 127
_UNWRITABLE = ("Permission denied", "Read-only file system", "Operation not permitted", "Not a directory")


class SshLine:
    """A host, and one connection to it that is opened when it is first needed and ends with this process."""

    def __init__(self, place: SshPlace) -> None:
        self.shown = f"{place.user}@{place.host}" if place.user else place.host
        self._to = [*(["-p", str(place.port)] if place.port else []), "--", self.shown]
        self._folder = ""

    def run(
        self, doing: str, script: str, *arguments: str, send: "bytes | IO[bytes]" = b"", expected: tuple[int, ...] = ()
    ) -> tuple[int, bytes]:
        """The exit code and stdout of ``script``.

        Args:
            doing: begins every message.
            script: for ``sh -eu``; finds ``arguments`` as ``$1`` and so on.
            arguments: whatever they hold, they stay arguments.
            send: stdin; a file is sent from where it is, without a limit of time.
            expected: exit codes that are answers, beside 0.

        Raises:
            AuthError: ssh is not let in.
            Unavailable: the host does not answer, its key is not known, or the disk there is full.
            InputError: no right to write there, or a program is missing.
        """  # fmt: skip
        text, limit = (send, SECONDS) if isinstance(send, bytes) else (None, None)
        process = self.start(script, *arguments, stdin=subprocess.PIPE if isinstance(send, bytes) else send)
        try:
            out, err = process.communicate(text, timeout=limit)
        except subprocess.TimeoutExpired:
            raise Unavailable(f"{doing}: {self.shown} did not answer within {SECONDS:.0f} s") from None
        finally:
            end(process)
        if process.returncode and process.returncode not in expected:
            raise self.told(doing, process.returncode, err)
        return process.returncode, out

    def start(self, script: str, *arguments: str, stdin: "int | IO[bytes]") -> "subprocess.Popen[bytes]":
        """The same under way; whoever starts it ends it.

        Raises:
            InputError: there is no ssh here.
            AuthError, Unavailable: as ``run``.
        """
        command = shlex.join(["exec", "sh", "-euc", script, "promote", *arguments])
        return self._popen(["-S", f"{self._connection()}/%C", *self._to, command], stdin, subprocess.PIPE)

    def told(self, doing: str, code: int, err: bytes) -> PromoteError:
        """What a failure is: of ssh itself, or of a program there."""
        lines = [line.strip() for line in err.decode(errors="replace").splitlines() if line.strip()]
        said = printable(lines[-1] if lines else "no reason given", 200)
        if code == _OWN:
            return self._refused(doing, said, err)
        message = f"{doing}: {self.shown} says: {said}"
        if any("No space left" in line or "quota exceeded" in line for line in lines):
            return Unavailable(message, hint="make room on that disk and run the same command again")
        if code == _ABSENT:
            return InputError(message, hint="the host needs a POSIX shell, GNU coreutils and findutils, and util-linux")
        if any(word in line for line in lines for word in _UNWRITABLE):
            return InputError(
                message, hint="the user who deploys must be able to write the model repository and beside it"
            )
        return Unavailable(message)

    def _refused(self, doing: str, said: str, err: bytes) -> PromoteError:
        if "Permission denied" in said or "Too many authentication failures" in said:
            return AuthError(
                f"{doing}: {self.shown} does not let us in: {said}",
                hint="ssh must get in without a question: see ssh-copy-id and ssh-agent",
            )
        if b"Host key verification failed" in err or b"REMOTE HOST IDENTIFICATION" in err:
            return Unavailable(
                f"{doing}: the host key of {self.shown} is not known or has changed",
                hint="compare it, then put it into ~/.ssh/known_hosts: log in once by hand",
            )
        return Unavailable(f"{doing}: ssh to {self.shown}: {said}")

    def _connection(self) -> str:
        """The folder of the connection's socket, which is open."""
        if self._folder:
            return self._folder
        # Short, since the path of a socket is; nobody else may use the connection.
        folder = tempfile.mkdtemp(prefix="promote-ssh-")
        weakref.finalize(self, _hang_up, folder, list(self._to))
        # What it says goes to a file: it goes on in the background and would keep a pipe open.
        log = Path(folder, "log")
        with log.open("wb") as said:
            master = ["-M", "-S", f"{folder}/%C", "-f", "-N", "-o", f"ControlPersist={_LINGER}", *self._to]
            process = self._popen(master, subprocess.DEVNULL, said)
            try:
                code = process.wait(_CONNECT + SECONDS)
            except subprocess.TimeoutExpired:
                end(process)
                raise Unavailable(f"connect: {self.shown} did not answer within {_CONNECT + SECONDS:.0f} s") from None
        if code:
            raise self.told("connect", code, log.read_bytes())
        self._folder = folder
        return folder

    def _popen(
        self, arguments: list[str], stdin: "int | IO[bytes]", err: "int | IO[bytes]"
    ) -> "subprocess.Popen[bytes]":
        options = [word for name, value in _OPTIONS.items() for word in ("-o", f"{name}={value}")]
        out = subprocess.PIPE if err == subprocess.PIPE else subprocess.DEVNULL
        environment = os.environ | {"LC_ALL": "C"}
        try:
            return subprocess.Popen(
                ["ssh", *options, *arguments],
                stdin=stdin,
                stdout=out,
                stderr=err,
                start_new_session=True,
                env=environment,
            )
        except OSError as error:
            raise InputError(f"ssh cannot be run here: {error.strerror}", hint="install OpenSSH's client") from error


def end(process: "subprocess.Popen[bytes]") -> None:
    """Ends it, if it did not by itself, with what it started."""
    if process.poll() is None:
        process_group.end(process)
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()


def _hang_up(folder: str, to: list[str]) -> None:
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        subprocess.run(["ssh", "-S", f"{folder}/%C", "-O", "exit", *to], capture_output=True, timeout=5, check=False)
    shutil.rmtree(folder, ignore_errors=True)
