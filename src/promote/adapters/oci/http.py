"""A repository in an OCI registry, over HTTP: streaming, no file whole in memory.

Source: opencontainers/distribution-spec. Not here: how one blob is uploaded (``upload``), and requests (``transport``).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import requests

from promote.adapters.oci.body import chunks
from promote.adapters.oci.buffers import Piece
from promote.adapters.oci.failures import PATIENT, Again, Patience
from promote.adapters.oci.mount import Mounts, blobs_of, mount
from promote.adapters.oci.origin import Origin, is_repository, media_type, parse_origin
from promote.adapters.oci.pages import pages, texts
from promote.adapters.oci.referrers import RemoteReferrers
from promote.adapters.oci.store import BlobStore
from promote.adapters.oci.transport import Transport
from promote.adapters.oci.upload import Place, Upload
from promote.adapters.oci.upload_rate import measure
from promote.adapters.oci.upload_resuming import Resuming
from promote.adapters.oci.upload_sessions import Sessions
from promote.core.manifest import DOCKER_TYPES, INDEX_TYPE, LARGEST_MANIFEST, MANIFEST_TYPE, no_bundle, types_of
from promote.core.matrix_rows import RegistryLimits
from promote.core.names import DIGEST, digest
from promote.core.passport import sha256
from promote.core.stages import Blob
from promote.core.variant_index import is_index
from promote.errors import IntegrityError, NotFound, Unavailable


def open_remote(
    base: str, env: Mapping[str, str], patience: Patience = PATIENT, limits: RegistryLimits | None = None,
    uploads: Path | None = None, mounts: Path | None = None,
) -> Callable[[str], BlobStore]:  # fmt: skip
    """Model name -> its repository in the registry at ``base``; nothing is contacted yet.

    Args:
        base, env: see ``registry.open_registry``.
        patience: with a registry that is busy or away.
        limits: what the registry takes, where that is known.
        uploads: folder in which uploads that were cut off are remembered; ``None``: within this run only.
        mounts: folder in which is kept which repository has which blob; ``None``: nothing is known.

    Raises:
        InputError: ``base`` names no registry.
    """
    origin = parse_origin(base)
    upload, known = Resuming(limits, Sessions(uploads)), Mounts(origin, mounts)
    return lambda name: Remote(origin, origin.repository(name), Transport(origin, env), patience, upload, known)


_KINDS = (MANIFEST_TYPE, INDEX_TYPE)  # a bundle, or an index of several; images are asked for to be told apart
_MOST_BREAKS = 3  # of a connection, with no byte in between


class Remote:
    """One repository of a registry; see ``BlobStore``.

    Args:
        origin: the registry.
        path: the repository within it.
        transport: speaks to it; one per repository, since a token holds for one.
        patience: with a registry that is busy or away.
        upload: how a blob gets there; by default as every registry takes it.
        mounts: which repository has which blob already.
    """

    def __init__(
        self, origin: Origin, path: str, transport: Transport, patience: Patience = PATIENT,
        upload: Upload | None = None, mounts: Mounts | None = None,
    ) -> None:  # fmt: skip
        self.repository = f"{origin.host}/{path}"
        self._root, self._transport, self._patience = f"{origin.url}/v2/{path}", transport, patience
        self._upload = upload or Resuming(None, Sessions())
        self._path, self._mounts = path, mounts or Mounts(origin, None)
        self._place = Place(self.repository, self._root, transport)
        self._referrers = RemoteReferrers(self._place, patience)

    def has(self, blob: Blob) -> bool:
        """See ``BlobStore``."""
        return self._patience.during(lambda: self._has(blob))

    def _has(self, blob: Blob) -> bool:
        with self._transport.send("HEAD", f"{self._root}/blobs/{digest(blob.digest)}", frozenset({200, 404})) as answer:
            length = answer.headers.get("Content-Length", str(blob.size))
            if answer.status_code == 200 and length != str(blob.size):
                raise IntegrityError(
                    f"{self.repository} holds {blob.digest} with another size, expected {blob.size:,} bytes"
                )
            return answer.status_code == 200

    def mount(self, blob: Blob) -> bool:
        """See ``BlobStore``."""
        return self._patience.during(lambda: mount(self._place, blob, self._path, self._mounts))

    def beside(self, repository: str, blobs: Iterable[Blob]) -> None:
        """See ``BlobStore``."""
        host, _, path = repository.partition("/")
        if host == self._place.repository.partition("/")[0] and is_repository(path):
            self._mounts.tell(path, (blob.digest for blob in blobs))

    def write(self, blob: Blob, told: Callable[[int], None]) -> None:
        """See ``BlobStore``."""
        tried = False

        def attempt() -> None:
            nonlocal tried
            # What broke after the last byte may have arrived: asking is cheaper than sending again.
            if tried and self._has(blob):
                return
            tried = True
            self._upload(self._place, blob, told)

        self._patience.during(attempt)

    def rate(self) -> float:
        """See ``BlobStore``."""
        return self._patience.during(lambda: measure(self._place))

    def stream(self, blob: Blob) -> Iterator[Piece]:
        """See ``BlobStore``; where the connection breaks, goes on at the byte it had reached."""
        got, broke = 0, 0
        while True:
            try:
                for chunk in self._from(blob, got):
                    got, broke = got + len(chunk), 0
                    yield chunk
                return
            except Unavailable:
                broke += 1
                if broke > _MOST_BREAKS:
                    raise

    def _from(self, blob: Blob, offset: int) -> Iterator[Piece]:
        """The pieces of a blob from a byte on; a registry that knows no ranges sends all, and the start is dropped."""
        url = f"{self._root}/blobs/{digest(blob.digest)}"
        expected, asked = (frozenset({200, 206}), {"Range": f"bytes={offset}-"}) if offset else (frozenset({200}), {})
        answer = self._patience.during(lambda: self._transport.send("GET", url, expected, headers=asked))
        ahead = offset if answer.status_code == 200 else 0
        left = str(blob.size - offset + ahead)
        if answer.headers.get("Content-Length", left) != left:
            answer.close()
            raise IntegrityError(
                f"{self.repository} holds {blob.digest} with another size, expected {blob.size:,} bytes"
            )
        for chunk in chunks(answer):
            if ahead < len(chunk):
                yield chunk[ahead:] if ahead else chunk
            ahead = max(0, ahead - len(chunk))

    def manifest(self, reference: str) -> bytes:
        """See ``BlobStore``."""
        return self._patience.during(lambda: self._manifest(reference))

    def _manifest(self, reference: str) -> bytes:
        url = f"{self._root}/manifests/{reference}"
        named = f"{self.repository}{'@' if DIGEST.fullmatch(reference) else ':'}{reference}"
        with self._get_manifest(url, reference) as answer:
            if answer.status_code == 404:
                raise NotFound(f"{named} is not there", hint="a private repository may answer so to a stranger")
            kind = answer.headers.get("Content-Type", "").partition(";")[0].strip()
            if kind in DOCKER_TYPES:
                raise no_bundle(named)
            if kind not in _KINDS:
                raise IntegrityError(f"{named} is {media_type(kind)}, expected {MANIFEST_TYPE}")
            data = b""
            for chunk in chunks(answer):
                data += chunk
                if len(data) > LARGEST_MANIFEST:
                    raise IntegrityError(f"the manifest {named} has more than {LARGEST_MANIFEST:,} bytes")
            found = sha256(data)
            claimed = [
                answer.headers.get("Docker-Content-Digest", found),
                *([reference] if DIGEST.fullmatch(reference) else []),
            ]
            if any(claim != found for claim in claimed):
                raise IntegrityError(
                    f"the manifest {named} has digest {found}, which is not what was asked or promised"
                )
            if is_index(data, named) is not (kind == INDEX_TYPE):  # two readers would take it for two things
                raise IntegrityError(f"{named} is sent as {media_type(kind)} and calls itself something else")
            return data

    def _get_manifest(self, url: str, reference: str) -> requests.Response:
        """The answer, 200 or 404. CNCF Distribution answers 500, for ever, where a digest is that of a file.

        Raises:
            NotFound: the digest is that of a file.
        """
        expected, accept = frozenset({200, 404}), {"Accept": ", ".join((*_KINDS, *DOCKER_TYPES))}
        try:
            return self._transport.send("GET", url, expected, headers=accept)
        except Again:
            if DIGEST.fullmatch(reference) and self._is_file(reference):
                raise NotFound(
                    f"{self.repository}@{reference} is a file of a bundle, expected a bundle",
                    hint="name the digest that promote model printed last",
                ) from None
            raise

    def _is_file(self, name: str) -> bool:
        with self._transport.send("HEAD", f"{self._root}/blobs/{name}", frozenset({200, 404})) as answer:
            return answer.status_code == 200

    def tags(self) -> Iterator[str]:
        """See ``BlobStore``."""
        url = f"{self._root}/tags/list"
        for page in pages(self._transport, self._patience, url, "tags", missing=True):
            yield from texts(page, "tags", self.repository)

    def put_manifest(self, reference: str, manifest: Blob) -> None:
        """See ``BlobStore``; a registry cannot tell whether a tag moved meanwhile, so the caller reads it back."""
        url, data = f"{self._root}/manifests/{reference}", manifest.data or b""
        kind = types_of(manifest)["mediaType"]

        def attempt() -> None:
            answer = self._transport.send(
                "PUT", url, frozenset({201}), headers={"Content-Type": kind}, body=lambda: data
            )
            with answer:
                if answer.headers.get("Docker-Content-Digest", manifest.digest) != manifest.digest:
                    raise IntegrityError(f"{self.repository} stored another manifest than {manifest.digest}")

        self._patience.during(attempt)
        if not DIGEST.fullmatch(reference):  # the last step of a push: what a manifest names the registry keeps
            self._mounts.keep(self._path, blobs_of(data))

    def document(self, digest: str, size: int) -> bytes:
        """See ``BlobStore``."""
        data = self.manifest(digest)
        if len(data) != size:
            raise IntegrityError(f"{self.repository}@{digest} has {len(data):,} bytes, expected {size:,}")
        return data

    def attach(self, subject: str, *manifests: Blob) -> None:
        """See ``BlobStore``."""
        self._referrers.attach(subject, *manifests)

    def referrers(self, subject: str, artifact_type: str) -> Iterator[bytes]:
        """See ``BlobStore``."""
        return self._referrers.referrers(subject, artifact_type)
