"""A mirror in a bucket: what is copied is what the manifest says, and Triton serves it; a copy that was cut goes on.

What every mirror does is held by ``test_mirror.py``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from examples.local_triton.launch import start
from promote.adapters.mirrors.s3 import S3Mirror
from promote.adapters.mirrors.s3_upload import PART, part_size
from promote.adapters.repository.s3_client import open_client
from promote.adapters.triton_server import TritonServer
from promote.core.repository_place import S3Place
from promote.errors import AuthError, InputError, IntegrityError, PromoteError, Unavailable
from promote.pipeline import mirror_bundle, verify_mirror
from tests.contract.test_remote_triton import Elsewhere
from tests.fakes.mirrored import QUIET, Mirrored, whole_bundle
from tests.fakes.registry import FakeRegistry, Steps
from tests.parts.registry import serving
from tests.parts.s3_server import S3

LARGE = np.random.default_rng(0).integers(0, 255, 2 * PART + 1000, np.uint8).tobytes()


@pytest.fixture
def made(s3: S3, tmp_path: Path) -> Mirrored:
    return Mirrored(FakeRegistry(), tmp_path)


def place(s3: S3) -> S3Place:
    return S3Place(s3.bucket(), "mirror/models")


class Watched:
    """A client that remembers its calls, and ends the process at one of them."""

    def __init__(self, stop: str = "", after: int = 0) -> None:
        self.client, self.calls, self.stop, self.after = open_client(), list[str](), stop, after

    def __getattr__(self, name: str) -> Any:
        real = getattr(self.client, name)

        def called(*args: Any, **more: Any) -> Any:
            self.calls.append(name)
            assert name != "upload_part" or not isinstance(more["Body"], bytes)  # no part is whole in memory
            if name == self.stop and self.calls.count(name) > self.after:
                raise KeyboardInterrupt
            return real(*args, **more)

        return called


def unfinished(s3: S3, where: S3Place) -> list[str]:
    found = s3.client.list_multipart_uploads(Bucket=where.bucket).get("Uploads", [])
    return [one["Key"] for one in found]


def keys(s3: S3, where: S3Place) -> list[str]:
    listed = s3.client.list_objects_v2(Bucket=where.bucket).get("Contents", [])
    return [one["Key"].removeprefix(f"{where.prefix}/") for one in listed]


def test_large_files_go_in_parts_and_are_whole(s3: S3, made: Mirrored) -> None:
    where, watched = place(s3), Watched()
    stored = made.push("big", 1, more={"weights.bin": LARGE})
    came = made.copy(stored, S3Mirror(where, watched))
    assert watched.calls.count("upload_part") == 3
    assert unfinished(s3, where) == []
    read = s3.client.get_object(Bucket=where.bucket, Key="mirror/models/big/1/weights.bin")["Body"].read()
    assert read == LARGE
    assert came.sent == sum(blob.size for blob in stored.files.values()) + len(stored.manifest)
    again = Watched()
    assert made.copy(stored, S3Mirror(where, again)).sent == 0
    assert not [name for name in again.calls if name.startswith(("put_", "upload_", "create_"))]


def test_a_copy_that_was_cut_goes_on_where_it_was(s3: S3, made: Mirrored) -> None:
    where = place(s3)
    stored = made.push("big", 1, more={"weights.bin": LARGE})
    with pytest.raises(KeyboardInterrupt):
        made.copy(stored, S3Mirror(where, Watched("upload_part", after=1)))
    assert unfinished(s3, where) == ["mirror/models/big/1/weights.bin"]
    assert "big/config.pbtxt" not in keys(s3, where)  # Triton takes it for no model yet
    again = Watched()
    came = made.copy(stored, S3Mirror(where, again))
    assert 0 < again.calls.count("upload_part") <= 2
    assert unfinished(s3, where) == []
    assert came.sent < len(LARGE)
    assert made.verify(stored, S3Mirror(where)) == []


def test_a_file_that_changes_while_it_is_sent_is_told(s3: S3, made: Mirrored) -> None:
    stored = made.push("big", 1, more={"weights.bin": LARGE})

    class Cut(Watched):
        def __getattr__(self, name: str) -> Any:
            if name == "create_multipart_upload":
                for path in made.work.rglob("weights.bin"):
                    with path.open("r+b") as handle:
                        handle.truncate(PART)
            return super().__getattr__(name)

    with pytest.raises(IntegrityError, match=r"weights\.bin became shorter while it was sent"):
        made.copy(stored, S3Mirror(place(s3), Cut()))


def test_parts_of_other_bytes_and_uploads_left_over_do_not_stay(s3: S3, made: Mirrored) -> None:
    where, key = place(s3), "mirror/models/big/1/weights.bin"
    stored = made.push("big", 1, more={"weights.bin": LARGE})
    for _ in range(2):
        begun = s3.client.create_multipart_upload(Bucket=where.bucket, Key=key, ChecksumAlgorithm="SHA256")
        s3.client.upload_part(
            Bucket=where.bucket, Key=key, UploadId=begun["UploadId"], PartNumber=1, Body=bytes(PART)
        )  # fmt: skip
    assert len(unfinished(s3, where)) == 2
    made.copy(stored, S3Mirror(where))
    assert unfinished(s3, where) == []
    assert s3.client.get_object(Bucket=where.bucket, Key=key)["Body"].read() == LARGE


@pytest.mark.parametrize("size", [PART + 1, 10_000 * PART, 10_000 * PART + 1, 2**40, 5 * 2**40])
def test_parts_are_as_many_as_s3_takes(size: int) -> None:
    assert -(-size // part_size(size)) <= 10_000
    assert part_size(size) == PART if size <= 10_000 * PART else PART < part_size(size) <= 5 * 2**30


def test_an_upload_that_was_ended_meanwhile_is_told(s3: S3, made: Mirrored) -> None:
    where = place(s3)
    stored = made.push("big", 1, more={"weights.bin": LARGE})

    class Ended(Watched):
        def __getattr__(self, name: str) -> Any:
            if name == "complete_multipart_upload":
                from botocore.exceptions import ClientError

                def gone(**_: Any) -> None:  # as S3 says it; moto fails of itself here
                    told = {"Error": {"Code": "NoSuchUpload", "Message": "The specified upload does not exist."}}
                    raise ClientError(told, "CompleteMultipartUpload")

                return gone
            return super().__getattr__(name)

    with pytest.raises(Unavailable, match=r"end the upload of s3://.*weights\.bin: NoSuchUpload"):
        made.copy(stored, S3Mirror(where, Ended()))


def test_bytes_that_change_on_the_way_are_found_when_they_are_read_back(s3: S3, made: Mirrored) -> None:
    class Lying(Watched):
        def __getattr__(self, name: str) -> Any:
            real = super().__getattr__(name)
            if name != "put_object":
                return real

            def put(**more: Any) -> Any:
                if more["Key"].endswith("model.onnx"):
                    more["Body"] = more["Body"][:-1] + b"?"
                return real(**more)

            return put

    where, stored = place(s3), made.push("m", 1)
    with pytest.raises(IntegrityError, match=r"m/1/model\.onnx is sha256:.*, expected sha256:"):
        made.copy(stored, S3Mirror(where, Lying()))
    made.copy(stored, S3Mirror(where))
    assert made.verify(stored, S3Mirror(where)) == []


def test_a_target_s_repository_is_no_mirror(s3: S3, made: Mirrored) -> None:
    where, stored = place(s3), made.push("m", 1)
    s3.client.put_object(Bucket=where.bucket, Key="mirror/.promote-models/models/m/record.jsonl", Body=b"{}\n")
    with pytest.raises(InputError, match="is the model repository of a target"):
        made.copy(stored, S3Mirror(where))
    assert keys(s3, where) == ["mirror/.promote-models/models/m/record.jsonl"]


def test_a_bucket_that_is_not_there(s3: S3, made: Mirrored) -> None:
    stored = made.push("m", 1)
    for asked in (made.copy, made.verify):
        with pytest.raises(InputError, match="there is no bucket no-such-bucket"):
            asked(stored, S3Mirror(S3Place("no-such-bucket", "models")))


@contextmanager
def answering(status: int, code: str, message: str) -> Iterator[str]:
    """A server that answers everything with one refusal of S3."""
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("x-amz-bucket-region", "us-east-1")  # as S3 does; boto3 asks again there, once
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_HEAD = do_PUT = do_POST = answer

        def log_message(self, *_: object) -> None:
            pass

    with serving(Handler) as url:
        yield url


REFUSALS = {
    "denied": (403, "AccessDenied", "Access Denied", AuthError, "the bucket's policy says who may write"),
    "skewed": (403, "RequestTimeTooSkewed", "The difference is too large", AuthError, "set the clock of this machine"),
    "region": (400, "AuthorizationHeaderMalformed", "expecting 'eu-north-1'", InputError, "set AWS_REGION"),
    "elsewhere": (301, "PermanentRedirect", "address this bucket elsewhere", InputError, "set AWS_REGION"),
    "expired": (
        400,
        "ExpiredToken",
        "The provided token has expired",
        AuthError,
        "credentials come from the AWS chain",
    ),
    "damaged": (
        400,
        "BadDigest",
        "The SHA256 you specified did not match",
        IntegrityError,
        "run the same command again",
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_refusal_is_one_clear_line(name: str, s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    status, code, message, kind, hint = REFUSALS[name]
    with answering(status, code, message) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", url)
        mirror = S3Mirror(S3Place("bucket", "models"))
        with pytest.raises(PromoteError) as raised:
            mirror.digests({"m/1/model.onnx": 3}, Steps())
    assert type(raised.value) is kind
    assert raised.value.message.startswith(f"read s3://bucket/models/m/1/model.onnx: {code}: {message}")
    assert "\n" not in raised.value.message
    assert hint in raised.value.hint
    assert "canary" not in raised.value.message + raised.value.hint


@pytest.mark.triton
@pytest.mark.slow
def test_the_real_triton_serves_the_mirror(s3: S3, made: Mirrored, triton_carrier: Path, tmp_path: Path) -> None:
    where = place(s3)
    for version, weight in ((1, 2.0), (2, 3.0)):
        made.copy(made.push("times", version, weight), S3Mirror(where))
    url = Elsewhere(f"s3://{s3.url}/{where.bucket}/{where.prefix}")
    x = np.array([[1, 2, 3, 4]], np.float32)
    with start(url, carrier=triton_carrier, work=tmp_path / "work") as triton:  # type: ignore[arg-type]
        server = TritonServer(triton.http, triton.grpc)
        server.load("times")
        server.await_ready("times", 2, 30)
        assert np.array_equal(server.infer("times", 2, {"x": x}, "http")["y"], 3 * x)
        assert not server.ready("times", 1)


def test_the_story_asks_no_more_than_the_port(s3: S3, made: Mirrored, tmp_path: Path) -> None:
    stored = whole_bundle(made.registry, "plain", 1)
    mirror = S3Mirror(place(s3))
    mirror_bundle(stored, made.registry, mirror, str(tmp_path), QUIET)
    assert verify_mirror(stored, made.registry, mirror, QUIET).differences == ()
