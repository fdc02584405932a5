"""``promote model`` is killed in the middle of its largest file, and typed again: what is sent twice, counted at the registry."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from tests.e2e.project import PROMOTE, Project, clean
from tests.fakes.factory import log_run
from tests.fakes.quirk_registry import DISTRIBUTION, QuirkRegistry
from tests.parts.registry import RealRegistry
from tests.parts.wire import Wire, wire

pytestmark = [pytest.mark.e2e, pytest.mark.mlflow, pytest.mark.slow]

LARGEST = 1700 * 1700 * 4
RATE = 4 * 2**20
OVERHEAD = 200_000  # requests' headers


@pytest.fixture(scope="module")
def wide_run(sqlite_uri: str) -> str:
    return log_run(sqlite_uri, {"wide": "wide"})


@pytest.fixture
def project(tmp_path: Path, sqlite_uri: str) -> Project:
    made = Project(tmp_path, sqlite_uri)
    made.write(local='model_repository = "models"\nhttp = "127.0.0.1:1"\ngrpc = "127.0.0.1:1"')
    return made


def killed_in_the_middle(project: Project, run: str, line: Wire) -> int:
    """The bytes that had gone to the registry when the process was killed, without a word to it."""
    arguments = ["model", run, "--target", "local", "--registry", f"http://{line.host}/e2e"]
    process = subprocess.Popen(
        [PROMOTE, *arguments], cwd=project.folder, env=clean(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, start_new_session=True,
    )  # fmt: skip
    until = time.monotonic() + 120
    while line.sent < LARGEST // 3 + OVERHEAD and process.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
    alive = process.poll() is None
    os.killpg(process.pid, signal.SIGKILL)
    _, told = process.communicate(timeout=30)
    assert alive, told
    assert line.sent < LARGEST, told
    return settled(lambda: line.sent)


def settled(count: Callable[[], int]) -> int:
    """What a number comes to when it moves no more."""
    before = -1
    while (now := count()) != before:
        before = now
        time.sleep(0.5)
    return now


def again(project: Project, run: str, line: Wire) -> int:
    """Typed once more: it is through, and these bytes went to the registry."""
    before = line.sent
    typed = project("model", run, "--target", "local", "--registry", f"http://{line.host}/e2e")
    name, _, digest = typed.last.partition("@")
    accept = {"Accept": "application/vnd.oci.image.manifest.v1+json"}
    url = f"http://{line.host}/v2/{name.partition('/')[2]}/manifests/{digest}"
    assert requests.get(url, headers=accept, timeout=10).status_code == 200
    return settled(lambda: line.sent) - before


def test_only_the_missing_bytes_are_sent_where_the_registry_keeps_them(project: Project, wide_run: str) -> None:
    with QuirkRegistry() as quirk, wire(quirk.host, RATE) as line:
        killed_in_the_middle(project, wide_run, line)
        had = settled(lambda: quirk.received)
        assert LARGEST // 4 < had < LARGEST
        (kept,) = (project.folder / ".promote/uploads").iterdir()
        assert kept.stat().st_mode & 0o077 == 0
        sent = again(project, wide_run, line)
        all_of_it = sum(map(len, quirk.blobs.values()))
        assert quirk.received == all_of_it  # not one byte twice
        assert all_of_it - had <= sent < all_of_it - had + OVERHEAD
        assert list((project.folder / ".promote/uploads").iterdir()) == []


def test_the_files_on_their_way_are_sent_again_where_it_does_not(project: Project, wide_run: str) -> None:
    with QuirkRegistry(DISTRIBUTION) as quirk, wire(quirk.host, RATE) as line:
        killed_in_the_middle(project, wide_run, line)
        had = settled(lambda: quirk.received)
        sent = again(project, wide_run, line)
        all_of_it = sum(map(len, quirk.blobs.values()))
        assert LARGEST <= sent < LARGEST + (all_of_it - LARGEST) + OVERHEAD
        assert quirk.received <= all_of_it + had


def test_on_the_real_registry_finished_files_are_not_sent_again(
    project: Project, wide_run: str, registry: RealRegistry
) -> None:
    with wire(registry.host, RATE) as line:
        killed_in_the_middle(project, wide_run, line)
        sent = again(project, wide_run, line)
        assert LARGEST < sent < LARGEST + OVERHEAD  # what was in flight is one file here
        assert list((project.folder / ".promote/uploads").iterdir()) == []
