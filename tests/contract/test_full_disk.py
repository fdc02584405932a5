"""A disk that is really full: a file system of a few megabytes in memory, filled to its last page. Mounting it takes root.

Every single step that fails is in ``test_model_repository``; here the operating system says it, also on a host over ssh.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from promote.adapters.model_repository import ModelRepository
from promote.adapters.remote_repository import RemoteRepository
from promote.adapters.repository.ssh import SshSpace
from promote.core.repository_place import SshPlace
from promote.core.stages import Deployed, Stored
from promote.errors import Unavailable
from tests.fakes.bundle import bundle, contents, fetched
from tests.parts.ssh_server import SSHD

if TYPE_CHECKING:
    from promote.ports import Store

pytestmark = pytest.mark.slow


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", folder], capture_output=True, check=False)
    if made.returncode:
        pytest.skip("a small file system cannot be mounted here: it takes root")
    try:
        (folder / "models").mkdir()
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.fixture(params=["folder", *(["ssh"] if SSHD else [])])
def store(request: pytest.FixtureRequest, small: Path, tmp_path: Path) -> Callable[[], Store]:
    if request.param == "folder":
        return lambda: ModelRepository(small / "models", by="tests")
    request.getfixturevalue("calypso")
    return lambda: RemoteRepository(SshSpace(SshPlace("", "calypso", 0, str(small / "models"))), "tests", tmp_path)


@contextmanager
def full(folder: Path) -> Iterator[None]:
    """To its last page."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass
    try:
        assert os.statvfs(folder).f_bavail == 0
        yield
    finally:
        filler.unlink()


def live(stored: Stored, since: int = 0) -> Deployed:
    return Deployed(
        name=stored.name, version=stored.version, digest=stored.digest, repository=stored.repository,
        since=f"2026-11-24T10:00:{since:02}Z", by="tests", state="live",
    )  # fmt: skip


def test_a_version_that_does_not_fit_is_told_and_the_former_one_is_whole(
    store: Callable[[], Store], small: Path, tmp_path: Path
) -> None:
    first = bundle(tmp_path / "1", "m", 1)
    second = fetched(tmp_path / "2", "m", 2, contents("m", 2) | {"m/2/weights/w": os.urandom(2**20)})
    store().place(*first)
    store().serve("m", (1,))
    store().commit(live(first[0]))
    filler = small / "filler"
    filler.write_bytes(bytes(1_500_000))
    with pytest.raises(Unavailable, match="No space left") as told:
        store().place(*second)
    assert "make room on that disk" in told.value.hint
    assert sorted(path.name for path in (small / "models" / "m").iterdir()) == ["1", "config.pbtxt"]
    assert store().inspect("m", 1).files == ""
    filler.unlink()
    store().place(*second)
    assert store().inspect("m", 2).files == ""


def test_a_record_that_cannot_be_written_says_what_served_before(
    store: Callable[[], Store], small: Path, tmp_path: Path
) -> None:
    """A line may still fit into the last page of the record; one of them does not."""
    made = {version: bundle(tmp_path / str(version), "m", version)[0] for version in (1, 2)}
    for version, stored in made.items():
        store().commit(live(stored, version))

    def many() -> None:
        for second in range(3, 40):
            store().commit(live(made[1 + (second + 1) % 2], second))

    with full(small), pytest.raises(Unavailable, match="No space left"):
        many()
    history = store().history("m")
    last = history[-1]
    assert [line.since[-3:-1] for line in history] == [f"{second:02}" for second in range(1, len(history) + 1)]
    other = made[1 if last.version == 2 else 2]
    store().commit(live(other, 50))
    assert store().history("m") == (*history[:-1], replace(last, state="kept"), live(other, 50))
