"""A mirror in a bucket: ``PREFIX/NAME/N/...`` as Triton reads it. Credentials, region and endpoint are boto3's own.

Every object is read to digest it. S3's own SHA-256 covers the whole object only where one request made it (of parts it is a
digest of digests), and other servers of the protocol keep what they are told without proving it.
"""

import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from threading import Lock
from typing import Any

from promote.adapters.mirrors.s3_upload import Goal, upload
from promote.adapters.repository.s3 import S3Space
from promote.adapters.repository.s3_client import asking, open_client
from promote.core.repository_place import S3Place
from promote.core.stages import Blob
from promote.errors import InputError
from promote.ports import Step

_CHUNK = 2**20
_AT_ONCE = 4


class S3Mirror:
    """A ``Mirror`` under a prefix of a bucket."""

    carries_card = False

    def __init__(self, place: S3Place, client: Any = None) -> None:
        self._place, self._client = place, client or open_client()
        self._space = S3Space(place, self._client)

    @property
    def shown(self) -> str:
        """``s3://bucket/prefix``."""
        return self._space.shown

    def sizes(self, name: str) -> dict[str, int]:
        """See ``ports.Mirror``; a prefix that a target's deployments fill is refused."""
        self._space.require()
        if self._space.sizes(f"state/models/{name}"):
            raise InputError(
                f"{self.shown} is the model repository of a target: promote deploy brings {name} there",
                hint="a mirror needs a prefix of its own",
            )
        return {f"{name}/{path}": size for path, size in self._space.sizes(f"root/{name}").items()}

    def read(self, path: str) -> bytes | None:
        """See ``ports.Mirror``."""
        held = self._space.read(f"root/{path}")
        return held.data if held else None

    def digests(self, sizes: Mapping[str, int], step: Step) -> dict[str, str]:
        """See ``ports.Mirror``."""
        count = _Counted(step, sum(sizes.values()))

        def one(path: str) -> str:
            found = hashlib.sha256()
            with asking(f"read {self.shown}/{path}"):
                answer = self._client.get_object(Bucket=self._place.bucket, Key=f"{self._place.prefix}/{path}")
                with closing(answer["Body"]) as body:
                    for chunk in body.iter_chunks(_CHUNK):
                        found.update(chunk)
                        count(len(chunk))
            return f"sha256:{found.hexdigest()}"

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            try:
                return dict(zip(sizes, pool.map(one, sizes), strict=True))
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def send(self, files: Sequence[tuple[str, Blob]], title: str, step: Step) -> int:
        """See ``ports.Mirror``. One after the other: the last of them makes Triton look at the others."""
        count = _Counted(step, sum(blob.size for _, blob in files))
        return sum(
            upload(Goal(self._client, self._place.bucket, f"{self._place.prefix}/{path}"), blob, count)
            for path, blob in files
        )


class _Counted:
    """Adds up what several threads moved."""

    def __init__(self, step: Step, total: int) -> None:
        self._step, self._total, self._done, self._lock = step, total, 0, Lock()

    def __call__(self, moved: int) -> None:
        with self._lock:
            self._done += moved
            self._step.update(min(self._done, self._total), self._total)
