"""An upload that was cut goes on where it was: in the same run and in the next, however the registry lies about it."""

from __future__ import annotations

import json
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from promote.adapters.oci.registry import open_registry
from promote.core.matrix_rows import RegistryLimits
from promote.core.stages import Release
from promote.errors import IntegrityError, Unavailable
from promote.ports import Registry
from tests.fakes.quirk_registry import DISTRIBUTION, Fault, Limits, QuirkRegistry
from tests.fakes.registry import Steps, make_bundle, on_disk
from tests.parts.registry import RealRegistry
from tests.parts.wire import wire

MIB = 2**20
SIZE = 9 * MIB + 5
LOGIN = {"PROMOTE_REGISTRY_USERNAME": "ada", "PROMOTE_REGISTRY_PASSWORD": "canary"}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "model.onnx"
    path.write_bytes(os.urandom(SIZE))
    return path


def client(quirk: QuirkRegistry, uploads: Path | None = None, **row: object) -> Registry:
    rows = [RegistryLimits.model_validate({"host": quirk.host, "source": "tests", **row})] if row else []
    return open_registry(f"http://{quirk.host}/q", env=LOGIN, limits=rows, uploads=uploads)


def push(registry: Registry, weights: Path, steps: Steps | None = None) -> Release:
    return registry.push(make_bundle({"model.onnx": on_disk(weights)}), steps or Steps())


def whole(quirk: QuirkRegistry, weights: Path) -> bool:
    """Every blob is what its digest says, since the registry checked; and the weights are one of them."""
    return weights.read_bytes() in quirk.blobs.values() and not quirk.uploads


def expected(quirk: QuirkRegistry) -> int:
    return sum(map(len, quirk.blobs.values()))


def asked(quirk: QuirkRegistry, method: str) -> int:
    return sum(m == method and "/uploads/" in path for m, path in quirk.requests)


def big_put(after: int | None, status: int = 0, nth: int = 1, least: int = MIB, **more: Any) -> Fault:
    """Strikes the request that holds the weights, or what is left of them."""
    return Fault("PUT", "/blobs/uploads/", nth, status, after=after, least=least, **more)


class Interrupts(Steps):
    """Ctrl-C when that many bytes are through."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self._after = after

    def update(self, done: int, total: int, unit: str = "bytes") -> None:
        super().update(done, total, unit)
        if done > self._after:
            raise KeyboardInterrupt


@pytest.mark.parametrize("after", [0, 1, SIZE // 2, SIZE - 1])
def test_a_request_that_was_cut_goes_on_at_its_byte(weights: Path, after: int) -> None:
    with QuirkRegistry(faults=(big_put(after),)) as quirk:
        release = push(client(quirk), weights)
        assert release.stored == client(quirk).resolve("ner", "v1")
        assert whole(quirk, weights)
        # Of one byte the registry's answer does not tell whether it has it: then all is sent.
        assert quirk.received == expected(quirk) + (after == 1)


def test_a_line_that_breaks_again_and_again_gets_there_while_it_moves(weights: Path) -> None:
    with QuirkRegistry(faults=(big_put(MIB, nth=0, least=MIB),)) as quirk:
        push(client(quirk), weights)
        assert whole(quirk, weights)
        assert quirk.received == expected(quirk)
        assert asked(quirk, "GET") == 9


@pytest.mark.parametrize("checks", [True, False])
@pytest.mark.parametrize("says", ["stuck", "short", "long", "none"])
def test_a_registry_that_lies_about_what_it_has_gets_all_of_it_once_more(
    weights: Path, says: str, checks: bool
) -> None:
    limits = Limits(range=says, checks_offset=checks)  # type: ignore[arg-type]
    with QuirkRegistry(limits, faults=(big_put(SIZE // 2),)) as quirk:
        push(client(quirk), weights)
        assert weights.read_bytes() in quirk.blobs.values()
        assert quirk.received <= expected(quirk) + SIZE + SIZE // 2


def test_where_nothing_is_kept_the_file_is_sent_anew(weights: Path) -> None:
    with QuirkRegistry(DISTRIBUTION, faults=(big_put(SIZE // 2),)) as quirk:
        push(client(quirk), weights)
        assert whole(quirk, weights)
        assert quirk.received == expected(quirk) + SIZE // 2


def test_a_registry_that_is_not_to_be_asked_is_not(weights: Path) -> None:
    with QuirkRegistry(faults=(big_put(SIZE // 2),)) as quirk:
        push(client(quirk, resume="never"), weights)
        assert weights.read_bytes() in quirk.blobs.values()
        assert asked(quirk, "GET") == 0


def test_a_reply_that_is_lost_after_the_deed_costs_no_byte(weights: Path) -> None:
    with QuirkRegistry(faults=(big_put(None, acted=True),)) as quirk:
        push(client(quirk), weights)
        assert whole(quirk, weights)
        assert quirk.received == expected(quirk)


@pytest.mark.parametrize("what", ["PUT", "PATCH"])
def test_an_upload_that_expired_begins_anew_and_the_others_stay(weights: Path, what: str) -> None:
    faults = (Fault(what, "/blobs/uploads/", 1, 404, code="BLOB_UPLOAD_UNKNOWN"),)
    with QuirkRegistry(faults=faults) as quirk:
        push(client(quirk, upload="chunked" if what == "PATCH" else "monolithic"), weights)
        assert weights.read_bytes() in quirk.blobs.values()
        assert asked(quirk, "POST") == len(quirk.blobs) + 1


@pytest.mark.parametrize("after", [None, 0, SIZE // 2])
def test_a_login_that_ends_in_the_middle_of_a_file_is_renewed(weights: Path, after: int | None) -> None:
    """The second body is the whole file again; where the registry kept a part of the first, it goes anew."""
    refused = big_put(after, 401, headers={"WWW-Authenticate": 'Basic realm="x"'})
    with QuirkRegistry(faults=(refused,)) as quirk:
        push(client(quirk), weights)
        assert weights.read_bytes() in quirk.blobs.values()


def test_pieces_are_as_large_as_the_registry_says_or_takes(weights: Path) -> None:
    with QuirkRegistry(Limits(patch=MIB)) as quirk:
        push(client(quirk, upload="chunked", largest_chunk=MIB), weights)
        assert whole(quirk, weights)
        assert asked(quirk, "PATCH") == 9
    with QuirkRegistry(Limits(patch=MIB)) as quirk:
        push(client(quirk, upload="chunked", largest_chunk=4 * MIB), weights)
        assert whole(quirk, weights)
        assert (asked(quirk, "PATCH"), quirk.received) == (11, expected(quirk))  # 4 and 2 MiB are refused


def test_a_registry_that_takes_no_pieces_says_so_and_is_not_asked_for_ever(weights: Path) -> None:
    with QuirkRegistry(Limits(patch=1000)) as quirk:
        with pytest.raises(IntegrityError, match="416"):
            push(client(quirk, upload="chunked"), weights)
        assert asked(quirk, "PATCH") < 10


@pytest.mark.parametrize("limits", [Limits(), Limits(patched=201), Limits(last_location=True)])
@pytest.mark.parametrize("after", [0, 1, MIB])
def test_a_piece_that_was_cut_goes_on(weights: Path, limits: Limits, after: int) -> None:
    fault = Fault("PATCH", "/blobs/uploads/", 3, 0, after=after)
    with QuirkRegistry(limits, faults=(fault,)) as quirk:
        push(client(quirk, upload="chunked", largest_chunk=2 * MIB), weights)
        assert whole(quirk, weights)
        # A registry whose address names the byte, as CNCF Distribution's, forgets what was cut in a piece.
        lost = 4 * MIB + after if limits.last_location and after else 0
        assert quirk.received == expected(quirk) + lost


@pytest.mark.parametrize("checks", [True, False])
@pytest.mark.parametrize("says", ["stuck", "short", "long", "none"])
@pytest.mark.parametrize("breaks", [True, False])
def test_pieces_arrive_whatever_the_registry_says_of_them(weights: Path, says: str, checks: bool, breaks: bool) -> None:
    limits = Limits(range=says, checks_offset=checks)  # type: ignore[arg-type]
    cut = (Fault("PATCH", "/blobs/uploads/", 3, 0, after=MIB),) if breaks else ()
    with QuirkRegistry(limits, faults=cut) as quirk:
        push(client(quirk, upload="chunked", largest_chunk=2 * MIB), weights)
        assert weights.read_bytes() in quirk.blobs.values()
        if not breaks:
            assert quirk.received == expected(quirk)  # once, and in nine pieces at most


def test_a_piece_of_which_a_part_was_taken_goes_on_from_there(weights: Path) -> None:
    part = Fault("PATCH", "/blobs/uploads/", 2, 202, after=MIB)
    with QuirkRegistry(faults=(part,)) as quirk:
        push(client(quirk, upload="chunked", largest_chunk=2 * MIB), weights)
        assert whole(quirk, weights)
        assert quirk.received == expected(quirk)


def test_a_slow_line_is_no_broken_one(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new connection has the time of connecting for each part of a body; the line needs half of a second for 1 MiB."""
    monkeypatch.setattr("promote.adapters.oci.transport.CONNECT_SECONDS", 0.3)
    with QuirkRegistry(Limits(closes=True)) as quirk, wire(quirk.host, 2 * MIB) as line:
        open_registry(f"http://{line.host}/q", env={}).push(make_bundle({"model.onnx": on_disk(weights)}), Steps())
        assert weights.read_bytes() in quirk.blobs.values()
        assert asked(quirk, "PUT") == len(quirk.blobs)


def interrupted(quirk: QuirkRegistry, weights: Path, uploads: Path) -> int:
    """A run that is stopped in the middle of the weights; how many bytes of them the registry has."""
    with pytest.raises(KeyboardInterrupt):
        push(client(quirk, uploads), weights, Interrupts(SIZE // 2))
    until = time.monotonic() + 10
    while time.monotonic() < until:
        before = quirk.received
        time.sleep(0.2)
        if quirk.received == before:
            break
    return sum(len(session.data) for session in quirk.uploads.values())


@pytest.fixture
def slow() -> Iterator[QuirkRegistry]:
    with QuirkRegistry(Limits(rate=20 * MIB)) as quirk:
        yield quirk


def test_the_next_run_sends_only_what_is_missing(slow: QuirkRegistry, weights: Path, tmp_path: Path) -> None:
    uploads = tmp_path / "work" / "uploads"
    had = interrupted(slow, weights, uploads)
    assert SIZE // 4 < had < SIZE
    (kept,) = uploads.iterdir()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert set(json.loads(kept.read_text())) == {"root", "digest", "session", "begun"}
    assert "canary" not in kept.read_text()
    release = push(client(slow, uploads), weights)
    assert whole(slow, weights)
    assert slow.received == expected(slow)
    assert not list(uploads.iterdir())
    assert SIZE - had <= release.sent < SIZE - had + 10_000  # and the small files that had not gone
    assert release.sent + release.skipped > SIZE


@pytest.mark.parametrize("damage", ["elsewhere", "other digest", "old", "torn", "user", "link"])
def test_what_was_kept_is_checked_before_it_is_used(
    slow: QuirkRegistry, weights: Path, tmp_path: Path, damage: str
) -> None:
    had = interrupted(slow, weights, tmp_path / "uploads")
    (kept,) = (tmp_path / "uploads").iterdir()
    record = json.loads(kept.read_text())
    bad = {
        "elsewhere": record | {"session": "http://127.0.0.1:9/v2/q/ner/blobs/uploads/x"},
        "user": record | {"session": record["session"].replace("http://", "http://ada:canary@")},
        "other digest": record | {"digest": f"sha256:{'0' * 64}"},
        "old": record | {"begun": time.time() - 25 * 3600},
    }
    kept.write_text(json.dumps(bad.get(damage, record))[: 40 if damage == "torn" else None])
    if damage == "link":
        kept.rename(tmp_path / "away")
        kept.symlink_to(tmp_path / "away")
    push(client(slow, tmp_path / "uploads"), weights)
    assert weights.read_bytes() in slow.blobs.values()
    assert slow.received == expected(slow) + had


def test_two_runs_never_write_into_one_upload(slow: QuirkRegistry, weights: Path, tmp_path: Path) -> None:
    import fcntl

    had = interrupted(slow, weights, tmp_path)
    (kept,) = tmp_path.iterdir()
    with kept.open() as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        push(client(slow, tmp_path), weights)
    assert weights.read_bytes() in slow.blobs.values()
    assert slow.received == expected(slow) + had


def test_a_folder_that_cannot_be_written_costs_only_the_going_on(weights: Path, tmp_path: Path) -> None:
    (tmp_path / "uploads").write_text("no folder")
    with QuirkRegistry(faults=(big_put(SIZE // 2),)) as quirk:
        push(client(quirk, tmp_path / "uploads"), weights)
        assert whole(quirk, weights)
        assert quirk.received == expected(quirk)


def test_a_file_that_changed_since_is_not_gone_on_with(slow: QuirkRegistry, weights: Path, tmp_path: Path) -> None:
    mine = tmp_path / "model.onnx"
    mine.write_bytes(weights.read_bytes())
    bundle = make_bundle({"model.onnx": on_disk(mine)})
    with pytest.raises(KeyboardInterrupt):
        client(slow, tmp_path / "uploads").push(bundle, Interrupts(SIZE // 2))
    mine.write_bytes(b"x" + weights.read_bytes()[1:])
    with pytest.raises(IntegrityError, match="digested before"):
        client(slow, tmp_path / "uploads").push(bundle, Steps())
    assert weights.read_bytes() not in slow.blobs.values()
    assert not list((tmp_path / "uploads").iterdir())


def test_who_gives_up_is_told_what_is_kept(weights: Path) -> None:
    always = Fault("PUT", "/blobs/uploads/", 0, 429, {"Retry-After": "86400"})
    with QuirkRegistry(faults=(always,)) as quirk:
        with pytest.raises(Unavailable, match="429") as told:
            push(client(quirk), weights)
        assert "goes on where the registry kept its start" in told.value.hint


def test_the_real_registry_goes_on_between_two_pieces(registry: RealRegistry, weights: Path, tmp_path: Path) -> None:
    """CNCF Distribution keeps what whole requests brought: the last address it named says how far that was."""
    with wire(registry.host, 20 * MIB) as line:
        row = RegistryLimits(host=line.host, upload="chunked", largest_chunk=MIB, source="tests")

        def client() -> Registry:
            return open_registry(f"http://{line.host}/{tmp_path.name}", env={}, limits=[row], uploads=tmp_path / "up")

        with pytest.raises(KeyboardInterrupt):
            push(client(), weights, Interrupts(SIZE // 2))
        time.sleep(1)  # the piece on its way is finished
        had = line.sent
        assert len(list((tmp_path / "up").iterdir())) == 1
        release = push(client(), weights)
        assert line.sent < SIZE + MIB  # headers and the small files of the bundle included
        assert line.sent - had < SIZE - 4 * MIB
        assert not list((tmp_path / "up").iterdir())
        goals = client().fetch(release.stored, str(tmp_path / "out"), Steps())
        assert Path(goals["ner/1/model.onnx"]).read_bytes() == weights.read_bytes()


def test_the_real_registry_sends_a_file_anew_after_a_cut(registry: RealRegistry, weights: Path, tmp_path: Path) -> None:
    with wire(registry.host, 20 * MIB) as line:

        def client() -> Registry:
            return open_registry(f"http://{line.host}/{tmp_path.name}", env={}, uploads=tmp_path / "up")

        with pytest.raises(KeyboardInterrupt):
            push(client(), weights, Interrupts(SIZE // 2))
        time.sleep(1)
        had = line.sent
        release = push(client(), weights)
        assert SIZE < line.sent - had < SIZE + MIB
        assert client().resolve("ner", "v1") == release.stored
