"""How often a host or a bucket is asked for one rollback: a number, so that a slow line is not asked thirty times."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from promote.adapters.remote_repository import RemoteRepository
from promote.adapters.repository.s3 import S3Space
from promote.adapters.repository.s3_client import open_client
from promote.adapters.repository.ssh import SshSpace
from promote.adapters.repository.ssh_line import SshLine
from promote.core.repository_place import S3Place, SshPlace
from promote.core.stages import Deployed, Stored
from promote.errors import IntegrityError, NotFound, Unavailable
from promote.pipeline import rollback
from tests.fakes.bundle import bundle
from tests.fakes.triton import FakeServer
from tests.fakes.world import DESK, bench_of, fail
from tests.parts.s3_server import S3
from tests.parts.ssh_server import SSHD

pytestmark = pytest.mark.slow


class Multiplies(FakeServer):
    """Loads whatever it is asked to, and answers as the version of that number does; it reads no repository."""

    def __init__(self) -> None:
        pass

    def require(self) -> str:
        return "2.51.0"

    def load(self, name: str) -> None:
        pass

    def await_ready(self, name: str, version: int, seconds: float) -> None:
        pass

    def infer(self, name: str, version: int, inputs: Any, protocol: str) -> Any:
        return {"y": inputs["x"] * (version + 1)}


class Place:
    """A repository elsewhere, opened anew by each command, and what was asked of it."""

    def __init__(self, make: Callable[[], RemoteRepository], folder: Path) -> None:
        self.make, self.folder, self.asked = make, folder, list[str]()

    def deploy(self, version: int) -> None:
        """It multiplies by one more than its version."""
        store, (stored, files) = self.make(), bundle(self.folder / str(version), "times", version, version + 1.0)
        with store.lock("times"), store.staging(stored):
            store.place(stored, files)
            store.serve("times", (version,))
            store.commit(live(stored))

    def rollback(self) -> Deployed:
        """Typed while MLflow is away."""
        self.asked.clear()
        bench = bench_of(self.make(), Multiplies())
        bench.ledger.deployed = fail(Unavailable("MLflow does not answer"))
        done = rollback("times", DESK, "ada@desk", bench)
        assert (done.former and done.former.version, len(done.replays)) == (2, 4)
        assert "MLflow was not told" in done.warnings[0]
        return done.live


def live(stored: Stored) -> Deployed:
    return Deployed(
        name=stored.name, version=stored.version, digest=stored.digest, repository=stored.repository,
        since="2026-11-24T10:00:00Z", by="tests", state="live",
    )  # fmt: skip


@contextmanager
def over_ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    root = tmp_path / "far" / "models"
    root.mkdir(parents=True)
    place = Place(
        lambda: RemoteRepository(SshSpace(SshPlace("", "calypso", 0, str(root))), "tests", tmp_path), tmp_path
    )
    real = SshLine.start

    def start(self: SshLine, script: str, *arguments: str, **more: Any) -> Any:
        place.asked.append(script)
        return real(self, script, *arguments, **more)

    with monkeypatch.context() as counted:
        counted.setattr(SshLine, "start", start)
        yield place


@contextmanager
def in_a_bucket(s3: S3, tmp_path: Path) -> Iterator[Place]:
    bucket = s3.bucket()

    def make() -> RemoteRepository:
        client = open_client()
        client.meta.events.register("before-send.s3", lambda event_name, **_: place.asked.append(event_name))
        return RemoteRepository(S3Space(S3Place(bucket, "repo/models"), client), "tests", tmp_path)

    place = Place(make, tmp_path)
    yield place


@pytest.fixture(params=["s3", *(["ssh"] if SSHD else [])])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    if request.param == "s3":
        with in_a_bucket(request.getfixturevalue("s3"), tmp_path) as made:
            yield made
        return
    request.getfixturevalue("calypso")
    with over_ssh(tmp_path, monkeypatch) as made:
        yield made


def test_a_rollback_asks_a_few_times(place: Place) -> None:
    """The lock, a look, two configurations, the golden samples, the record; then twice for what MLflow missed."""
    for version in (1, 2):
        place.deploy(version)
    assert place.rollback().version == 1
    at_once = sum(name.endswith(".GetObject") for name in place.asked)  # eight under way at a time, but for two
    assert len(place.asked) - at_once <= 10, place.asked
    assert at_once <= 14, place.asked
    store = place.make()
    assert [former.version for former in store.history("times")] == [1, 2, 1]
    assert store.inspect("times", 1).files == ""
    assert store.inspect("times", 1).config == ""


def test_what_was_changed_there_is_seen_in_one_look_too(place: Place) -> None:
    for version in (1, 2):
        place.deploy(version)
    space = place.make()._space
    space.write("root/times/1/added", b"x")
    with pytest.raises(IntegrityError, match=r"times/1/added was added afterwards"):
        place.rollback()
    space.remove("root/times/1/added")
    held = space.read("state/models/times/1/manifest.json")
    assert held is not None
    space.write("state/models/times/1/manifest.json", held.data + b" ")
    with pytest.raises(IntegrityError, match=r"manifest\.json has digest"):
        place.rollback()
    space.write("state/models/times/1/manifest.json", held.data)
    assert place.rollback().version == 1


def test_a_version_placed_or_gone_while_the_lock_is_held_is_looked_at_anew(place: Place) -> None:
    place.deploy(1)
    store, (stored, files) = place.make(), bundle(place.folder / "3", "times", 3, 4.0)
    with store.lock("times"):
        assert store.current("times") is not None
        store.place(stored, files)
        store.serve("times", (1, 3))
        assert store.golden("times", 3)[0]
        store.withdraw("times", 3)
        with pytest.raises(NotFound, match="version 3 of times is not in the model repository"):
            store.golden("times", 3)
        store.serve("times", (1,))
