"""A mirror on the Hugging Face Hub: one commit for each copy, so that a version is there whole or not at all.

What the Hub says of digests is not believed: every file is read at the commit, through whatever storage the Hub redirects to.
"""

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote, urljoin

from promote.adapters.mirrors.hub_client import Hub, asking, open_hub, origin, private, require_token
from promote.core.mirrors import HubPlace
from promote.core.stages import Blob
from promote.errors import IntegrityError, NotFound, Unavailable
from promote.ports import Step

_SMALL = 64 * 2**20
_CHUNK = 2**20
_HOPS = 5
_TRIES = 3
_AS_IS = {"accept-encoding": "identity"}


class HubMirror:
    """A ``Mirror`` in a model repository of the Hub."""

    carries_card = True

    def __init__(self, place: HubPlace, env: Mapping[str, str]) -> None:
        self._place, self._commit, self._moved = place, "", 0
        self._step: Step | None = None
        self._total = 0
        self._hub: Hub = open_hub(env, self._count)

    @property
    def shown(self) -> str:
        """``hf://org/name``, with the branch where it is not the usual one."""
        branch = "" if self._place.revision == "main" else f"@{self._place.revision}"
        return f"hf://{self._place.repo}{branch}"

    def sizes(self, name: str) -> dict[str, int]:
        """See ``ports.Mirror``; everything after is read at the commit that is the newest now."""
        from huggingface_hub.errors import EntryNotFoundError
        from huggingface_hub.hf_api import RepoFile

        api, repo = self._hub.api, self._place.repo
        with asking(self._hub, f"look at {self.shown}"):
            self._commit = str(api.repo_info(repo, revision=self._place.revision).sha)
        with asking(self._hub, f"list {self.shown}"):
            try:
                listed = list(api.list_repo_tree(repo, name, recursive=True, revision=self._commit))
            except EntryNotFoundError:
                return {}
            files = {str(one.path): int(one.size) for one in listed if isinstance(one, RepoFile)}
        return {path: size for path, size in files.items() if path.startswith(f"{name}/")}

    def read(self, path: str) -> bytes | None:
        """See ``ports.Mirror``."""
        data = b""
        try:
            with self._open(path) as body:
                for chunk in body:
                    data += chunk
                    if len(data) > _SMALL:
                        raise IntegrityError(f"{self.shown}/{path} has more than {_SMALL:,} bytes")
        except NotFound:
            return None
        return data

    def digests(self, sizes: Mapping[str, int], step: Step) -> dict[str, str]:
        """See ``ports.Mirror``."""
        total, found = sum(sizes.values()), dict[str, str]()

        def one(path: str, before: int) -> str:
            return self._digest(path, sizes[path], lambda read: step.update(before + read, total))

        done = 0
        for path, size in sizes.items():
            found[path] = one(path, done)
            done += size
        return found

    def send(self, files: Sequence[tuple[str, Blob]], title: str, step: Step) -> int:
        """See ``ports.Mirror``; if nobody else committed since ``sizes``."""
        from huggingface_hub import CommitOperationAdd

        require_token(self._hub, f"write to {self.shown}")
        self._step, self._moved, self._total = step, 0, sum(blob.size for _, blob in files)
        with asking(self._hub, f"write to {self.shown}"):
            operations = []
            for path, blob in files:
                added = CommitOperationAdd(path, blob.data if blob.data is not None else blob.path)
                added.upload_info.sha256 = bytes.fromhex(blob.digest.removeprefix("sha256:"))
                operations.append(added)
            came = self._hub.api.create_commit(
                self._place.repo,
                operations,
                commit_message=title,
                revision=self._place.revision,
                parent_commit=self._commit,
            )
        self._commit, self._step = str(came.oid), None
        return self._moved

    def _count(self, moved: int) -> None:
        self._moved += moved
        if self._step is not None:
            self._step.update(min(self._moved, self._total), self._total)

    def _digest(self, path: str, size: int, moved: Callable[[int], None]) -> str:
        """Of what lies there, no further than it may be; cut lines are tried again."""
        tried = 0
        while True:
            found, read, tried = hashlib.sha256(), 0, tried + 1
            try:
                with self._open(path) as body:
                    for chunk in body:
                        found.update(chunk)
                        read += len(chunk)
                        if read > size:
                            break
                        moved(read)
                return f"sha256:{found.hexdigest()}"
            except NotFound as error:
                raise IntegrityError(
                    f"{self.shown}/{path} is not there", hint="a .gitignore there may leave it out of every commit"
                ) from error
            except Unavailable:
                if tried == _TRIES:
                    raise
                time.sleep(tried)

    @contextmanager
    def _open(self, path: str) -> Iterator[Iterator[bytes]]:
        """The bytes of a file at the commit. Storage elsewhere is asked without the token."""
        from huggingface_hub.utils import hf_raise_for_status

        doing = f"read {self.shown}/{path}"
        url = f"{self._hub.endpoint}/{self._place.repo}/resolve/{self._commit or self._place.revision}/{quote(path)}"
        with asking(self._hub, doing):
            for _ in range(_HOPS):
                mine = origin(url) == origin(self._hub.endpoint)
                with self._hub.reader.stream(
                    "GET", url, headers=_AS_IS | (self._hub.headers if mine else {})
                ) as response:
                    if not response.has_redirect_location:
                        hf_raise_for_status(response)
                        yield response.iter_bytes(_CHUNK)
                        return
                    url = self._next(url, response, doing)
            raise Unavailable(f"{doing}: more than {_HOPS} redirects")

    def _next(self, url: str, response: Any, doing: str) -> str:
        there = urljoin(url, str(response.headers["location"]))
        if not private(there, self._hub.endpoint):
            raise IntegrityError(
                f"{doing}: redirected to an address that is not encrypted", hint="nothing was read there"
            )
        return there
