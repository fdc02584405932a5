"""Real parts that are killed by their process id and started anew at the same address, on what they had."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import requests

from examples.local_triton.launch import start
from examples.local_triton.server import LocalTriton
from tests.parts.mlflow_server import WEBHOOKS, _store
from tests.parts.registry import free_port


@dataclass
class Daemon:
    """A server in a process group of its own.

    Args:
        command: what runs.
        url: answers when it is up, whatever the status.
        folder: for its log.
    """

    command: list[str]
    url: str
    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command, stdout=log, stderr=log, env=os.environ | self.environment, start_new_session=True
            )
        for _ in range(900):
            assert self.process.poll() is None, (self.folder / "log").read_text()[-800:]
            try:
                requests.get(self.url, timeout=1)
                return
            except requests.RequestException:
                time.sleep(0.1)
        pytest.fail(f"{self.command[0]} does not answer at {self.url}")

    def kill(self) -> None:
        if self.process and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(10)


def registry_daemon(folder: Path) -> tuple[Daemon, str]:
    """Debian's docker-registry, and its ``host:port``."""
    binary = shutil.which("docker-registry")
    if binary is None:
        pytest.skip("docker-registry is not installed: apt-get install docker-registry")
    folder.mkdir()
    host = f"127.0.0.1:{free_port()}"
    config = {
        "version": 0.1, "log": {"level": "error"}, "http": {"addr": host},
        "storage": {"filesystem": {"rootdirectory": str(folder / "storage")}},
    }  # fmt: skip
    (folder / "config.yml").write_text(json.dumps(config))
    return Daemon([binary, "serve", str(folder / "config.yml")], f"http://{host}/v2/", folder), host


def mlflow_daemon(folder: Path, template: Path) -> tuple[Daemon, str]:
    """``mlflow server``, and its address."""
    folder.mkdir()
    store, address = _store(template, folder, "mlflow-artifacts:/tests"), f"http://127.0.0.1:{(port := free_port())}"
    command = [
        sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
        "--backend-store-uri", store, "--serve-artifacts", "--artifacts-destination", str(folder / "artifacts"),
    ]  # fmt: skip
    quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    return Daemon(command, f"{address}/health", folder, quiet | WEBHOOKS), address


@dataclass
class TritonDaemon:
    """A real Triton that keeps its ports when it is started again."""

    carrier: Path
    folder: Path
    running: LocalTriton | None = None
    starts: int = 0

    @property
    def repository(self) -> Path:
        return self.folder / "models"

    @property
    def lines(self) -> str:
        """Of a target in promote.toml."""
        assert self.running
        where = f'http = "{self.running.http}"\ngrpc = "{self.running.grpc}"\n'
        return f'{where}model_repository = "{self.repository}"\n'

    def start(self) -> None:
        self.repository.mkdir(parents=True, exist_ok=True)
        self.starts += 1
        ports = self.running.ports if self.running else None
        again = {"http_port": ports.http, "grpc_port": ports.grpc, "metrics_port": ports.metrics} if ports else {}
        self.running = start(self.repository, carrier=self.carrier, work=self.folder / f"work-{self.starts}", **again)

    def kill(self) -> None:
        """SIGKILL, as the kernel does where memory ends; its children and shared memory go too."""
        if self.running:
            os.kill(self.running.pid, signal.SIGKILL)
            self.running.stop()
