"""What every mirror does, in a bucket and on the Hub: a bundle is copied whole, skipped where it is, and differences are told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from promote.adapters.mirrors.hub import HubMirror
from promote.adapters.mirrors.s3 import S3Mirror
from promote.core.mirrors import HubPlace, contents
from promote.core.passport import sha256
from promote.core.repository_place import S3Place
from promote.errors import InputError, IntegrityError
from promote.ports import Mirror
from tests.fakes.hub import TOKEN, Hub
from tests.fakes.mirrored import Mirrored
from tests.fakes.registry import FakeRegistry, Steps
from tests.parts.s3_server import S3


@dataclass
class Place:
    """A mirror, and what somebody else does there."""

    open: Callable[[], Mirror]
    put: Callable[[str, bytes], None]
    delete: Callable[[str], None]


@pytest.fixture
def s3_place(s3: S3) -> Place:
    at = S3Place(s3.bucket(), "some/mirror")

    def put(path: str, data: bytes) -> None:
        s3.client.put_object(Bucket=at.bucket, Key=f"some/mirror/{path}", Body=data)

    def delete(path: str) -> None:
        s3.client.delete_object(Bucket=at.bucket, Key=f"some/mirror/{path}")

    return Place(lambda: S3Mirror(at), put, delete)


@pytest.fixture
def hub_place(hub: Hub) -> Place:
    hub.repo("acme/models")
    env = {"HF_TOKEN": TOKEN, "HF_ENDPOINT": hub.url}
    return Place(
        lambda: HubMirror(HubPlace("acme/models", "main"), env),
        lambda path, data: hub.put("acme/models", {path: data}),
        lambda path: hub.put("acme/models", {path: None}),
    )


@pytest.fixture(params=["s3_place", "hub_place"])
def place(request: pytest.FixtureRequest) -> Place:
    return request.getfixturevalue(request.param)


@pytest.fixture
def made(tmp_path: Path) -> Mirrored:
    return Mirrored(FakeRegistry(), tmp_path)


def test_what_is_copied_is_the_bundle_and_its_manifest(place: Place, made: Mirrored) -> None:
    stored = made.push("ner", 1, more={"tokenizer/vocab.txt": b"a\nb\n", "empty.txt": b""})
    came = made.copy(stored, place.open())
    held = place.open().sizes("ner")
    assert held == {path: blob.size for path, blob in contents(stored).items()}
    assert place.open().digests(held, Steps()) == {path: blob.digest for path, blob in contents(stored).items()}
    assert sha256(place.open().read("ner/1/promote/manifest.json") or b"") == stored.digest
    assert (came.served, came.skipped) == (1, 0)
    assert came.sent >= sum(held.values())
    assert made.verify(stored, place.open()) == []


def test_what_is_there_is_not_sent_again(place: Place, made: Mirrored) -> None:
    stored = made.push("ner", 1)
    made.copy(stored, place.open())
    again = made.copy(stored, place.open())
    assert (again.sent, again.skipped) == (0, sum(blob.size for blob in contents(stored).values()))
    place.delete("ner/1/model.onnx")
    assert 0 < made.copy(stored, place.open()).sent < again.skipped
    assert made.verify(stored, place.open()) == []


def test_each_difference_is_told(place: Place, made: Mirrored) -> None:
    stored = made.push("ner", 1, more={"a.bin": b"aaaa", "b.bin": b"bbbb"})
    made.copy(stored, place.open())
    place.delete("ner/1/model.onnx")
    place.put("ner/1/a.bin", b"aaaaa")
    place.put("ner/1/b.bin", b"bbbB")
    place.put("ner/1/libtriton_evil.so", b"\x7fELF")
    place.put("ner/1.py", b"import os")
    blobs = contents(stored)
    assert made.verify(stored, place.open()) == [
        f"ner/1/model.onnx is missing, expected {blobs['ner/1/model.onnx'].digest}",
        "ner/1/a.bin is 5 bytes, expected 4 bytes",
        "ner/1.py is no file of the bundle (9 bytes)",
        "ner/1/libtriton_evil.so is no file of the bundle (4 bytes)",
        f"ner/1/b.bin is {sha256(b'bbbB')}, expected {blobs['ner/1/b.bin'].digest}",
    ]
    with pytest.raises(IntegrityError, match=r"holds ner/1\.py, which is no file of ner version 1"):
        made.copy(stored, place.open())
    place.delete("ner/1/libtriton_evil.so")
    place.delete("ner/1.py")
    made.copy(stored, place.open())
    assert made.verify(stored, place.open()) == []


def test_nothing_there_is_all_missing(place: Place, made: Mirrored) -> None:
    stored = made.push("ner", 1)
    assert [one.split(",")[0] for one in made.verify(stored, place.open())] == [
        f"{path} is missing" for path in contents(stored)
    ]


def test_the_highest_version_is_served_whatever_the_order(place: Place, made: Mirrored) -> None:
    first, second, tenth = (made.push("ner", version, float(version)) for version in (1, 2, 10))
    for stored, served in ((second, 2), (first, 2), (tenth, 10), (first, 10)):
        assert made.copy(stored, place.open()).served == served
        assert b"versions: %d" % served in (place.open().read("ner/config.pbtxt") or b"")
    for stored in (first, second, tenth):
        assert made.verify(stored, place.open()) == []


def test_a_config_that_no_version_has_is_a_difference(place: Place, made: Mirrored) -> None:
    first, second = (made.push("ner", version) for version in (1, 2))
    made.copy(first, place.open())
    made.copy(second, place.open())
    config = (place.open().read("ner/config.pbtxt") or b"") + b"# by hand\n"
    place.put("ner/config.pbtxt", config)
    for stored in (first, second):
        assert [one.split()[0] for one in made.verify(stored, place.open())] == ["ner/config.pbtxt"]
    # A version that only the mirror knows of vouches for nothing.
    place.put("ner/99/promote/manifest.json", b'{"files": {"ner/config.pbtxt": "%s"}}' % sha256(config).encode())
    assert made.verify(second, place.open()) != []


def test_a_number_stands_for_one_bundle(place: Place, made: Mirrored, tmp_path: Path) -> None:
    other = Mirrored(FakeRegistry(), tmp_path)
    made.copy(made.push("ner", 1, 2.0), place.open())
    stored = other.push("ner", 1, 3.0)
    with pytest.raises(IntegrityError, match=rf"holds version 1 of ner as sha256:.*, not {stored.digest}"):
        other.copy(stored, place.open())
    assert "ner/1/promote/manifest.json is " in " ".join(other.verify(stored, place.open()))


@pytest.mark.parametrize("path", ["ner/1/model.onnx", "ner/config.pbtxt", "ner/7/model.onnx"])
def test_what_no_copy_put_there_is_left_alone(place: Place, made: Mirrored, path: str) -> None:
    place.put(path, b"by hand")
    with pytest.raises(InputError, match="ner is there and no copy put it there"):
        made.copy(made.push("ner", 1), place.open())
    assert place.open().sizes("ner") == {path: 7}


def test_models_do_not_see_each_other(place: Place, made: Mirrored) -> None:
    one, other = made.push("ner", 1), made.push("ner-2", 1)
    made.copy(other, place.open())
    made.copy(one, place.open())
    assert set(place.open().sizes("ner")) == set(contents(one))
    assert made.verify(other, place.open()) == made.verify(one, place.open()) == []


def test_code_is_not_copied(place: Place, made: Mirrored) -> None:
    with pytest.raises(IntegrityError, match=r"may not be in a bundle: \.py files are code"):
        made.copy(made.push("ner", 1, more={"model.py": b"import os"}), place.open())
    assert place.open().sizes("ner") == {}
