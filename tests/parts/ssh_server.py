"""A real ``sshd`` on loopback for the account that runs the tests, with a key of its own and its own programs first on PATH.

Started where Debian's ``openssh-server`` is installed (or ``PROMOTE_SSHD`` names its ``sshd``). Nothing outside its folder is
written (as root, the empty folder /run/sshd), no other account is let in, and nothing of the account's own ``~/.ssh`` is read.
"""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SSHD = os.environ.get("PROMOTE_SSHD") or shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/sbin") or ""


@dataclass(frozen=True)
class SshServer:
    """A server under way.

    Args:
        config: for ``ssh -F``; the host is named ``calypso`` there, and ``stranger`` with a key that it does not know.
        programs: the folder that comes first on PATH of whoever logs in.
    """

    config: Path
    programs: Path


def _port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _await(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(100):
        assert process.poll() is None, "sshd ended at once"
        with socket.socket() as one:
            if one.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError("sshd does not listen")


@contextmanager
def ssh_server(folder: Path) -> Iterator[SshServer]:
    """Starts it, and ends it with the connections it holds."""
    if os.geteuid() == 0:  # where its processes without rights live; the system's own start makes it too
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    programs = folder / "programs"
    programs.mkdir()
    for key in ("host", "user", "other"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / key], check=True)
    shutil.copy(folder / "user.pub", folder / "authorized")
    port = _port()
    options = {
        "ListenAddress": "127.0.0.1", "Port": port, "HostKey": folder / "host", "AuthorizedKeysFile": folder / "authorized",
        "StrictModes": "no", "PidFile": "none", "PasswordAuthentication": "no", "UsePAM": "no",
        "SetEnv": f"PATH={programs}:/usr/bin:/bin",
    }  # fmt: skip
    (folder / "known").write_text(f"[127.0.0.1]:{port} {(folder / 'host.pub').read_text()}")
    known = (
        f"UserKnownHostsFile {folder / 'known'}",
        "GlobalKnownHostsFile /dev/null",
        "LogLevel ERROR",
        "IdentitiesOnly yes",
    )
    blocks = [
        "\n  ".join((f"Host {name}", "HostName 127.0.0.1", f"Port {port}", f"User {getpass.getuser()}",
                     f"IdentityFile {folder / key}", *known))
        for name, key in (("calypso", "user"), ("stranger", "other"))
    ]  # fmt: skip
    (folder / "config").write_text("\n".join(blocks) + "\n")
    words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([SSHD, "-D", "-e", "-f", "/dev/null", *words], stderr=log)
        try:
            _await(port, process)
            yield SshServer(folder / "config", programs)
        finally:
            process.terminate()
            process.wait()
