"""A model repository in a bucket. S3 knows no rename: a version is whole when its notes are there, which come last.

Keys: ``PREFIX/...`` is what Triton reads, ``.promote-...`` beside it is promote's. Credentials, region and endpoint are
boto3's own (environment, profile, role; ``AWS_ENDPOINT_URL_S3``). Not here: the lock (``s3_lock``), what is told of a failure
(``s3_client``).
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing
from typing import Any

from promote.adapters.repository.s3_client import Changed, asking, missing, open_client
from promote.adapters.repository.s3_lock import hold
from promote.adapters.repository.space import Held, View
from promote.core.repository_place import S3Place
from promote.core.stages import Blob
from promote.errors import InputError, IntegrityError, Unavailable

_SMALL = 64 * 2**20  # the largest file that is read whole; golden samples, as core.golden.LARGEST
_CHUNK = 2**20
_AT_ONCE = 8  # requests under way; boto3 keeps ten connections
_NOTES = ("placed.json", "manifest.json", "config.pbtxt")
_MOST_AT_ONCE = 1000  # keys of one DeleteObjects request; S3 API reference


class S3Space:
    """A ``Space`` of S3."""

    def __init__(self, place: S3Place, client: Any = None) -> None:
        self._place, self._client = place, client or open_client()
        above, _, last = place.prefix.rpartition("/")
        self._areas = {"root": place.prefix, "state": f"{above}/.promote-{last}" if above else f".promote-{last}"}
        self._seen = False

    @property
    def shown(self) -> str:
        """``s3://bucket/prefix``."""
        return f"s3://{self._place.bucket}/{self._place.prefix}"

    def shown_key(self, key: str) -> str:
        """``s3://bucket/key``."""
        return f"s3://{self._place.bucket}/{self._key(key)}"

    def require(self) -> None:
        """Passes when the bucket is there; a prefix needs no making."""
        if self._seen:
            return
        with asking(f"look for bucket {self._place.bucket}") as failures:
            try:
                self._client.head_bucket(Bucket=self._place.bucket)
            except failures as error:
                if missing(error):
                    raise InputError(
                        f"there is no bucket {self._place.bucket}",
                        hint="create it, or name another bucket",
                    ) from error
                raise
        self._seen = True

    def read(self, key: str) -> Held | None:
        """An object of at most 64 MiB."""
        with asking(f"read {self.shown_key(key)}") as failures:
            try:
                answer = self._client.get_object(Bucket=self._place.bucket, Key=self._key(key))
            except failures as error:
                if missing(error):
                    return None
                raise
            with closing(answer["Body"]) as body:
                data = body.read(_SMALL + 1)
        if len(data) > _SMALL:
            raise IntegrityError(f"{self.shown_key(key)} has more than {_SMALL:,} bytes")
        return Held(data, answer["ETag"])

    def read_all(self, keys: Sequence[str]) -> dict[str, Held]:
        """At once, each by a thread of its own: together they take about as long as one."""
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            found = zip(keys, pool.map(self.read, keys), strict=True)
            return {key: held for key, held in found if held is not None}

    def glance(self, name: str) -> View:
        """Two listings, then all small objects at once."""
        home, root = f"state/models/{name}", f"root/{name}"
        notes, sizes = self.sizes(home), self.sizes(root)
        placed = [path.partition("/")[0] for path in notes if path.endswith("/placed.json")]
        wanted = {"record.jsonl", "told", *(f"{v}/{part}" for v in placed for part in _NOTES)} & notes.keys()
        keys = [f"{home}/{path}" for path in sorted(wanted)]
        return View(self.read_all([*keys, f"{root}/config.pbtxt"] if "config.pbtxt" in sizes else keys), sizes)

    def write(self, key: str, data: bytes) -> Held:
        """S3 puts an object whole or not at all."""
        return self._put(key, data)

    def swap(self, key: str, data: bytes, former: Held | None) -> Held:
        """A conditional write, where a reply that was lost is not taken for somebody else's change."""
        condition = {"IfMatch": former.mark} if former else {"IfNoneMatch": "*"}
        try:
            return self._put(key, data, **condition)
        except Changed as error:
            now = self.read(key)
            if now is None or now.data != data:
                raise Unavailable(
                    f"{self.shown_key(key)} was changed by somebody else meanwhile", hint="run the same command again"
                ) from error
            return now

    def sizes(self, folder: str) -> dict[str, int]:
        """Of every object below; a key that ends with / is how consoles show a folder, and no file."""
        start = self._key(folder) + "/"
        return {item["Key"].removeprefix(start): item["Size"] for item in self._list(start) if item["Key"] != start}

    def folders(self, folder: str) -> tuple[str, ...]:
        """Common prefixes directly below."""
        start = self._key(folder) + "/"
        found: list[str] = []
        with asking(f"list {self.shown_key(folder)}"):
            pages = self._client.get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self._place.bucket, Prefix=start, Delimiter="/"):
                found += [one["Prefix"].removeprefix(start).rstrip("/") for one in page.get("CommonPrefixes", [])]
        return tuple(sorted(found))

    def digests(self, folder: str) -> dict[str, str]:
        """Reads every object: what a server says of its checksums is not proof of its bytes."""
        return {path: self._digest(f"{folder}/{path}") for path in sorted(self.sizes(folder))}

    def bring(self, folder: str, files: Mapping[str, tuple[str, Blob]]) -> None:
        """Objects that are there already with these bytes are not sent again."""
        there = self.sizes(folder)
        for path in sorted(there.keys() - files.keys()):
            self.remove(f"{folder}/{path}")
        for path, (source, blob) in sorted(files.items()):
            key = f"{folder}/{path}"
            if there.get(path) != blob.size or self._digest(key) != blob.digest:
                with asking(f"write {self.shown_key(key)}"):  # each part carries a checksum that the server proves
                    self._client.upload_file(
                        source, self._place.bucket, self._key(key), ExtraArgs={"ChecksumAlgorithm": "SHA256"}
                    )

    def drop(self, folder: str) -> None:
        """All objects below."""
        keys = [item["Key"] for item in self._list(self._key(folder) + "/")]
        for start in range(0, len(keys), _MOST_AT_ONCE):
            with asking(f"remove {self.shown_key(folder)}"):
                answer = self._client.delete_objects(
                    Bucket=self._place.bucket,
                    Delete={"Objects": [{"Key": key} for key in keys[start : start + _MOST_AT_ONCE]], "Quiet": True},
                )
            if faults := answer.get("Errors"):
                first = faults[0]
                raise Unavailable(f"remove s3://{self._place.bucket}/{first['Key']}: {first.get('Code', 'refused')}")

    def remove(self, key: str) -> None:
        """S3 says nothing where it is not."""
        with asking(f"remove {self.shown_key(key)}"):
            self._client.delete_object(Bucket=self._place.bucket, Key=self._key(key))

    def sweep(self, name: str) -> None:
        """Nothing lies elsewhere: what a killed deployment sent is taken up by the next one."""

    def lock(self, name: str, by: str) -> AbstractContextManager[None]:
        """See ``s3_lock``."""
        self.require()
        return hold(self._client, self._place.bucket, self._key(f"state/locks/{name}.json"), name, by)

    def _put(self, key: str, data: bytes, **condition: str) -> Held:
        with asking(f"write {self.shown_key(key)}"):
            answer = self._client.put_object(Bucket=self._place.bucket, Key=self._key(key), Body=data, **condition)
        return Held(data, answer["ETag"])

    def _list(self, prefix: str) -> Iterator[dict[str, Any]]:
        with asking(f"list s3://{self._place.bucket}/{prefix}"):
            for page in self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._place.bucket, Prefix=prefix
            ):
                yield from page.get("Contents", [])

    def _digest(self, key: str) -> str:
        found = hashlib.sha256()
        with asking(f"read {self.shown_key(key)}"):
            answer = self._client.get_object(Bucket=self._place.bucket, Key=self._key(key))
            with closing(answer["Body"]) as body:
                for chunk in body.iter_chunks(_CHUNK):
                    found.update(chunk)
        return f"sha256:{found.hexdigest()}"

    def _key(self, key: str) -> str:
        area, _, rest = key.partition("/")
        return f"{self._areas[area]}/{rest}"
