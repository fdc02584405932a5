"""Referrers in a registry: by its own API where it says that it has one, else by an index under a tag of the subject's.

Source: opencontainers/distribution-spec 1.1, "Pushing Manifests with Subject" and "Unavailable Referrers API". Not here: how
that index is written by several at once (``referrer_index``), and what a referrer is (``core.referrers``).
"""

from collections.abc import Iterator
from urllib.parse import quote

from promote.adapters.oci.failures import Patience
from promote.adapters.oci.pages import pages
from promote.adapters.oci.referrer_index import WATCH, ReferrerIndex, Watch
from promote.adapters.oci.upload import Place
from promote.core.manifest import INDEX_TYPE, MANIFEST_TYPE
from promote.core.names import digest
from promote.core.referrers import entry_of
from promote.core.stages import Blob
from promote.errors import IntegrityError


class RemoteReferrers:
    """The referrers of the manifests of one repository.

    Args:
        place: the repository.
        patience: with the registry.
        watch: over an index that was written.
    """

    def __init__(self, place: Place, patience: Patience, watch: Watch = WATCH) -> None:
        self._place, self._patience = place, patience
        self._index = ReferrerIndex(place, patience, watch)

    def attach(self, subject: str, *manifests: Blob) -> None:
        """See ``BlobStore.attach``; those that the registry does not list by itself are listed in one writing."""
        unlisted = [one for one in manifests if not self._patience.during(lambda one=one: self._put(subject, one))]  # type: ignore[misc]
        if unlisted:
            self._index.add(subject, *map(entry_of, unlisted))

    def referrers(self, subject: str, artifact_type: str) -> Iterator[bytes]:
        """See ``BlobStore.referrers``."""
        query = f"?artifactType={quote(artifact_type, safe='')}" if artifact_type else ""
        url = f"{self._place.root}/referrers/{digest(subject)}{query}"
        found = False
        for page in pages(self._place.transport, self._patience, url, "referrers", accept=INDEX_TYPE, missing=True):
            found = True
            yield page
        # The specification: 404 says that there is no such API, and then the tag must be asked.
        if not found and (index := self._index.read(subject)) is not None:
            yield index

    def _put(self, subject: str, manifest: Blob) -> bool:
        """Stores the manifest; whether the registry lists it by itself, which only this header says."""
        url, data = f"{self._place.root}/manifests/{manifest.digest}", manifest.data or b""
        answer = self._place.transport.send(
            "PUT", url, frozenset({201}), headers={"Content-Type": MANIFEST_TYPE}, body=lambda: data
        )
        with answer:
            stored = answer.headers.get("Docker-Content-Digest", manifest.digest)
            listed = answer.headers.get("OCI-Subject", "")
        if stored != manifest.digest or listed not in ("", subject):
            raise IntegrityError(
                f"{self._place.repository} took {manifest.digest} of {subject}, and names another manifest or subject"
            )
        return bool(listed)
