"""One file to one object of S3: in one request, or in parts that an interrupted run before may have sent.

Every request carries the SHA-256 of its bytes, which S3 proves on arrival. For a file in one request that is the file's digest;
of parts S3 knows only a digest of digests, so whole objects are proven by reading them (``s3.py``). An upload that ends midway
stays where it is, and the next run of the same copy goes on with it; others of that object are aborted.
"""

import base64
import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from promote.adapters.repository.s3_client import asking
from promote.core.stages import Blob
from promote.errors import IntegrityError

PART = 16 * 2**20
"""Bytes of a part; S3 takes 5 MiB to 5 GiB, and 10,000 parts (S3 User Guide, multipart upload limits)."""
_MOST_PARTS = 10_000
_AT_ONCE = 4
_CHUNK = 2**20


@dataclass(frozen=True, slots=True)
class Goal:
    """An object to be, and how messages name it."""

    client: Any
    bucket: str
    key: str

    @property
    def at(self) -> dict[str, str]:
        """As boto3 takes it."""
        return {"Bucket": self.bucket, "Key": self.key}

    @property
    def shown(self) -> str:
        """``s3://bucket/key``."""
        return f"s3://{self.bucket}/{self.key}"


def upload(goal: Goal, blob: Blob, moved: Callable[[int], None]) -> int:
    """Makes the object; the bytes that travelled.

    Args:
        goal: which object.
        blob: its bytes, in ``data`` or at ``path``.
        moved: hears of each part how many bytes are done.

    Raises:
        IntegrityError: other bytes arrived, or the file is shorter than it was.
        AuthError, Unavailable, InputError: as the words say.
    """
    if blob.data is None and blob.size > PART:
        return _in_parts(goal, blob, moved)
    data = blob.data if blob.data is not None else Path(blob.path).read_bytes()
    digest = base64.b64encode(bytes.fromhex(blob.digest.removeprefix("sha256:"))).decode()
    with asking(f"write {goal.shown}"):
        goal.client.put_object(**goal.at, Body=data, ChecksumSHA256=digest)
    moved(blob.size)
    return blob.size


def part_size(size: int) -> int:
    """Bytes of each part of an object of ``size`` bytes but the last; whole MiB, the same in every run."""
    return max(PART, -(-size // _MOST_PARTS // 2**20) * 2**20)


def _in_parts(goal: Goal, blob: Blob, moved: Callable[[int], None]) -> int:
    from s3transfer.utils import ReadFileChunk

    size = part_size(blob.size)
    upload_id, there = _begun(goal)
    count = -(-blob.size // size)

    def part(number: int) -> tuple[dict[str, Any], int]:
        start = (number - 1) * size
        length = min(size, blob.size - start)
        with ReadFileChunk.from_filename(blob.path, start, length) as data:
            checksum, md5 = _digests(data, length, goal.shown)
            known = {"PartNumber": number, "ChecksumSHA256": checksum}
            if _same(there.get(number), length, checksum, md5):
                moved(length)
                return known | {"ETag": there[number]["ETag"]}, 0
            data.seek(0)
            with asking(f"write part {number} of {goal.shown}"):
                answer = goal.client.upload_part(**goal.at, **known, UploadId=upload_id, Body=data)
        moved(length)
        return known | {"ETag": answer["ETag"]}, length

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        try:
            parts = list(pool.map(part, range(1, count + 1)))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    with asking(f"end the upload of {goal.shown}"):
        sent = {"Parts": [told for told, _ in parts]}
        goal.client.complete_multipart_upload(**goal.at, UploadId=upload_id, MultipartUpload=sent)
    return sum(travelled for _, travelled in parts)


def _begun(goal: Goal) -> tuple[str, dict[int, dict[str, Any]]]:
    """The upload to go on with and its parts by number: the newest that takes SHA-256, or a fresh one; others end here."""
    with asking(f"look for unfinished uploads of {goal.shown}"):
        pages = goal.client.get_paginator("list_multipart_uploads").paginate(Bucket=goal.bucket, Prefix=goal.key)
        found = [one for page in pages for one in page.get("Uploads", []) if one["Key"] == goal.key]
    fit = [one for one in found if one.get("ChecksumAlgorithm", "SHA256") == "SHA256"]
    chosen = max(fit, key=lambda one: (one["Initiated"], one["UploadId"]), default=None)
    for one in found:
        if one is not chosen:
            with asking(f"abort an unfinished upload of {goal.shown}"):
                goal.client.abort_multipart_upload(**goal.at, UploadId=one["UploadId"])
    if chosen is None:
        with asking(f"begin an upload of {goal.shown}"):
            begun = goal.client.create_multipart_upload(**goal.at, ChecksumAlgorithm="SHA256")
        return str(begun["UploadId"]), {}
    with asking(f"list the parts of {goal.shown}"):
        pages = goal.client.get_paginator("list_parts").paginate(**goal.at, UploadId=chosen["UploadId"])
        parts = {one["PartNumber"]: one for page in pages for one in page.get("Parts", [])}
    return str(chosen["UploadId"]), parts


def _same(there: dict[str, Any] | None, length: int, checksum: str, md5: str) -> bool:
    """Whether these bytes arrived before. Where the server tells no SHA-256 of a part, its ETag is the MD5; a wrong guess is
    found when the object is read.
    """
    if there is None or there.get("Size") != length:
        return False
    told = there.get("ChecksumSHA256")
    return told == checksum if told else str(there.get("ETag", "")).strip('"') == md5


def _digests(data: Any, length: int, shown: str) -> tuple[str, str]:
    """SHA-256 as S3 writes it, and MD5; a part is never whole in memory."""
    sha256, md5, read = hashlib.sha256(), hashlib.md5(usedforsecurity=False), 0
    while chunk := data.read(_CHUNK):
        sha256.update(chunk)
        md5.update(chunk)
        read += len(chunk)
    if read != length:
        raise IntegrityError(f"the file for {shown} became shorter while it was sent")
    return base64.b64encode(sha256.digest()).decode(), md5.hexdigest()
