"""A model repository in a bucket: kills and lost replies at each request, two who write at once, locks that a kill left.

What every ``Store`` does is held by ``test_store.py``; a real Triton that reads the bucket is in ``test_remote_triton.py``.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from promote.adapters.remote_repository import RemoteRepository
from promote.adapters.repository.s3 import S3Space
from promote.adapters.repository.s3_client import open_client
from promote.adapters.repository.s3_lock import hold
from promote.core.passport import sha256
from promote.core.repository_place import S3Place
from promote.core.stages import Deployed, Stored
from promote.errors import InputError, IntegrityError, Unavailable
from tests.fakes.bundle import Bundle, bundle
from tests.parts.s3_server import S3


class Killed(BaseException):
    """The process ends here."""


@dataclass
class Counting:
    """A client that ends the process at one of its writes, before it is sent or after it was done."""

    client: Any
    stop: int = -1
    after: bool = False
    writes: list[str] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        real = getattr(self.client, name)
        if not name.startswith(("put_", "upload_", "delete_")):
            return real

        def counted(*args: Any, **more: Any) -> Any:
            mine = len(self.writes) == self.stop
            self.writes.append(name)
            if mine and not self.after:
                raise Killed
            answer = real(*args, **more)
            if mine:
                raise Killed
            return answer

        return counted


@dataclass
class Bucket:
    s3: S3
    name: str
    work: Path

    def store(self, client: Any = None, by: str = "tests") -> RemoteRepository:
        return RemoteRepository(S3Space(S3Place(self.name, "repo/models"), client), by=by, work=self.work)

    def objects(self) -> dict[str, bytes]:
        listed = self.s3.client.list_objects_v2(Bucket=self.name).get("Contents", [])
        return {o["Key"]: self.s3.client.get_object(Bucket=self.name, Key=o["Key"])["Body"].read() for o in listed}


@pytest.fixture
def bucket(s3: S3, tmp_path: Path) -> Bucket:
    return Bucket(s3, s3.bucket(), tmp_path)


def live(stored: Stored) -> Deployed:
    return Deployed(
        name=stored.name, version=stored.version, digest=stored.digest, repository=stored.repository,
        since="2026-11-24T10:00:00Z", by="tests", state="live",
    )  # fmt: skip


def deploy(store: RemoteRepository, made: Bundle) -> None:
    stored, files = made
    with store.lock(stored.name):
        store.place(stored, files)
        store.serve(stored.name, (stored.version,))
        store.commit(live(stored))
        store.prune(stored.name, 0)


def whole(bucket: Bucket, made: Bundle) -> None:
    """A version whose notes say so is there to the last byte, and what Triton's config names is whole."""
    stored = made[0]
    objects = bucket.objects()
    version = f"m/{stored.version}"
    if f"repo/.promote-models/models/{version}/placed.json" in objects:
        for path, blob in stored.files.items():
            if path != "m/config.pbtxt":
                assert sha256(objects[f"repo/models/{path}"]) == blob.digest
    if "repo/models/m/config.pbtxt" in objects:
        assert any(key.endswith("placed.json") for key in objects)


@pytest.mark.slow
def test_a_kill_at_any_write_leaves_nothing_half_and_running_again_finishes(bucket: Bucket) -> None:
    first, second = bundle(bucket.work / "1", "m", 1, 2.0), bundle(bucket.work / "2", "m", 2, 3.0)
    counting = Counting(open_client())
    deploy(bucket.store(counting), first)
    deploy(bucket.store(counting), second)
    expected = {k: v for k, v in bucket.objects().items() if "/locks/" not in k}
    steps = len(counting.writes)
    assert steps > 15
    for stop in range(steps):
        for after in (False, True):
            other = Bucket(bucket.s3, bucket.s3.bucket(), bucket.work)
            try:
                killed = other.store(Counting(open_client(), stop, after))
                for made in (first, second):
                    deploy(killed, made)
                raise AssertionError("was not killed")
            except Killed:
                pass
            for made in (first, second):
                whole(other, made)
            # A lock that was left goes by its age: see below.
            other.s3.client.delete_object(Bucket=other.name, Key="repo/.promote-models/locks/m.json")
            done = other.store().current("m")
            for made in (first, second)[1 if done and done.version == 2 else 0 :]:
                deploy(other.store(), made)
            assert {k: v for k, v in other.objects().items() if "/locks/" not in k} == expected, (stop, after)


def test_what_was_sent_is_not_sent_again(bucket: Bucket) -> None:
    made = bundle(bucket.work / "1", "m", 1)
    with pytest.raises(Killed):
        bucket.store(Counting(open_client(), 4)).place(*made)
    again = Counting(open_client())
    bucket.store(again).place(*made)
    assert again.writes.count("upload_file") == 1  # of three


def test_a_lock_that_a_kill_left_is_taken_over_when_it_was_not_renewed(bucket: Bucket) -> None:
    client, key = open_client(), "repo/.promote-models/locks/m.json"
    client.put_object(Bucket=bucket.name, Key=key, Body=b'{"by": "ann@laptop", "token": "x"}')
    with pytest.raises(Unavailable, match=r"m is being deployed by ann@laptop, seen . s ago") as raised:
        with bucket.store().lock("m"):
            pass
    assert "120 s" in raised.value.hint
    time.sleep(2.1)
    with hold(client, bucket.name, key, "m", "ben", expiry=1.0):
        assert b"ben" in bucket.objects()[key]
    assert key not in bucket.objects()


def test_a_lock_is_renewed_while_it_is_held(bucket: Bucket) -> None:
    client, key = open_client(), "locks/m.json"
    with hold(client, bucket.name, key, "m", "ann", expiry=2.0):
        time.sleep(4.2)
        with pytest.raises(Unavailable, match="ann"):
            with hold(client, bucket.name, key, "m", "ben", expiry=2.0):
                pass


def test_of_two_that_record_at_once_one_is_told(bucket: Bucket) -> None:
    one, two = bundle(bucket.work / "1", "m", 1), bundle(bucket.work / "2", "m", 2)

    class Late:
        """Another deployment writes between our reading and our writing."""

        def __init__(self, client: Any) -> None:
            self.client, self.done = client, False

        def __getattr__(self, name: str) -> Any:
            if name == "put_object" and not self.done:
                self.done = True
                bucket.store().commit(replace(live(one[0]), by="another"))
            return getattr(self.client, name)

    with pytest.raises(Unavailable, match="changed by somebody else"):
        bucket.store(Late(open_client())).commit(live(two[0]))
    bucket.store().commit(live(two[0]))
    with pytest.raises(Unavailable, match="changed by somebody else"):
        bucket.store(Late(open_client())).commit(live(one[0]))
    assert [d.version for d in bucket.store().history("m")] == [1, 2, 1]


def test_a_reply_that_was_lost_is_no_change_of_somebody_else(bucket: Bucket) -> None:
    made = bundle(bucket.work / "1", "m", 1)

    class Twice:
        """The first answer does not arrive, so that the client asks again."""

        def __init__(self, client: Any) -> None:
            self.client = client

        def __getattr__(self, name: str) -> Any:
            real = getattr(self.client, name)
            return (lambda **more: (real(**more), real(**more))[1]) if name == "put_object" else real

    store = bucket.store(Twice(open_client()))
    store.commit(live(made[0]))
    assert [d.version for d in store.history("m")] == [1]
    with store.lock("m"):
        pass


def test_an_object_changed_afterwards_is_seen(bucket: Bucket) -> None:
    made = bundle(bucket.work / "1", "m", 1)
    store = bucket.store()
    deploy(store, made)
    key = "repo/models/m/1/model.onnx"
    data = bytearray(bucket.objects()[key])
    data[-1] ^= 1
    bucket.s3.client.put_object(Bucket=bucket.name, Key=key, Body=bytes(data))
    assert "model.onnx has digest" in store.inspect("m", 1).files
    with pytest.raises(IntegrityError, match=r"model\.onnx has digest"):
        store.place(*made)
    bucket.s3.client.put_object(Bucket=bucket.name, Key=f"{key}.more", Body=b"x")
    with pytest.raises(IntegrityError, match="was added afterwards"):
        store.serve("m", (1,))
    bucket.s3.client.put_object(Bucket=bucket.name, Key="repo/models/m/config.pbtxt", Body=b'name: "m"')
    assert "was changed" in store.inspect("m", 1, contents=False).config


def test_a_model_placed_by_hand_is_left_alone(bucket: Bucket) -> None:
    bucket.s3.client.put_object(Bucket=bucket.name, Key="repo/models/m/1/model.onnx", Body=b"by hand")
    with pytest.raises(InputError, match=r"s3://.*/repo/models/m is there and was not placed by promote"):
        bucket.store().place(*bundle(bucket.work / "1", "m", 1))
    assert list(bucket.objects()) == ["repo/models/m/1/model.onnx"]


def test_nothing_of_ours_lies_where_triton_looks(bucket: Bucket) -> None:
    deploy(bucket.store(), bundle(bucket.work / "1", "m", 1))
    names = {
        key.removeprefix("repo/models/").split("/")[0] for key in bucket.objects() if key.startswith("repo/models/")
    }
    assert names == {"m"}


def test_a_bucket_that_is_not_there_is_bad_input(s3: S3, tmp_path: Path) -> None:
    store = RemoteRepository(S3Space(S3Place("no-such-bucket", "models")), by="tests", work=tmp_path)
    with pytest.raises(InputError, match="there is no bucket no-such-bucket"):
        store.models() or store.current("m")


def test_a_server_that_does_not_answer_is_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, s3: S3) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    store = RemoteRepository(S3Space(S3Place("bucket", "models")), by="tests", work=tmp_path)
    with pytest.raises(Unavailable, match="look for bucket bucket"):
        store.current("m")
