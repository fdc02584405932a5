"""The server process itself: its ports, its environment, its command line.

It starts one process and hands it back at once; whether it comes up is for server.py to see.
"""

from __future__ import annotations

import os
import socket
import subprocess
import uuid
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from examples.local_triton.server import LocalTriton, Ports


def free_ports(http: int = 0, grpc: int = 0, metrics: int = 0) -> Ports:
    """The ports asked for, with a free one of 127.0.0.1 in place of each 0."""
    with ExitStack() as stack:  # all held open together, so that no two are the same
        chosen = []
        for port in (http, grpc, metrics):
            holder = stack.enter_context(socket.socket())
            if port == 0:
                holder.bind(("127.0.0.1", 0))
            chosen.append(port or int(holder.getsockname()[1]))
    return Ports(*chosen)


def spawn(command: Sequence[str], environment: Mapping[str, str], ports: Ports, work: Path) -> LocalTriton:
    """The process, just started: it is not READY yet. Its output goes to `work/triton.log`."""
    prefix = f"promote_triton_{uuid.uuid4().hex[:12]}_"
    log = work / "triton.log"
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [*command, *_own_arguments(ports, prefix)],
            env=environment,
            cwd=work,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a process group of its own: Ctrl-C reaches us, and we end the server
        )
    return LocalTriton(process, ports, log, prefix)


def _own_arguments(ports: Ports, shm_prefix: str) -> list[str]:
    return [
        *(f"--{protocol}-address=127.0.0.1" for protocol in ("http", "grpc", "metrics")),
        *(f"--{protocol}-port={getattr(ports, protocol)}" for protocol in ("http", "grpc", "metrics")),
        f"--backend-config=python,shm-region-prefix-name={shm_prefix}",
        "--allow-gpu-metrics=false",
        # How long the end waits for clients that keep a connection open, idle or not: nothing here is worth more.
        "--exit-timeout-secs=1",
    ]


def child_environment(path: Path, libraries: Sequence[Path]) -> Mapping[str, str]:
    """Our own environment variables, with `path` first for commands and `libraries` first for the dynamic linker."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONHOME"}
    former = environment.get("LD_LIBRARY_PATH")
    environment["LD_LIBRARY_PATH"] = os.pathsep.join([*map(str, libraries), *([former] if former else [])])
    environment["PATH"] = os.pathsep.join([str(path), environment.get("PATH", os.defpath)])
    return environment
