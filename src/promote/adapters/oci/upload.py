"""How one blob gets into a repository of a registry: what an ``Upload`` is, how it begins, is cancelled and ends.

Source: opencontainers/distribution-spec. Not here: the bytes (``upload_bodies``, ``upload_resuming``), which blobs, several at
once and tried again (``http``), and requests (``transport``).
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urljoin, urlsplit, urlunsplit

import requests

from promote.adapters.oci.failures import Again
from promote.adapters.oci.origin import origin_of, shown
from promote.adapters.oci.transport import Transport
from promote.core.stages import Blob
from promote.errors import IntegrityError, PromoteError

# A registry may digest the whole blob before it answers the PUT.
COMMIT_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Place:
    """A repository that is written to.

    Args:
        repository: as it is printed.
        root: its address, ``https://host/v2/path``.
        transport: speaks to it; safe to use from several threads.
    """

    repository: str
    root: str
    transport: Transport


class Upload(Protocol):
    """One way to upload a blob. Called from several threads at once, each with another blob."""

    def __call__(self, place: Place, blob: Blob, told: Callable[[int], None]) -> None:
        """One try: the blob is in the repository afterwards, its digest confirmed.

        Args:
            place: where to.
            blob: not known to be there.
            told: see ``BlobStore.write``.

        Raises:
            Again: it may pass.
            IntegrityError: the bytes are not what the digest says, here or there.
            AuthError, NotFound, InputError, Unavailable: it will not pass.
        """


def open_session(place: Place) -> str:
    """The address of a new upload."""
    url = f"{place.root}/blobs/uploads/"
    with place.transport.send("POST", url, frozenset({202})) as answer:
        return session_of(place, url, answer)


def cancel(place: Place, session: str) -> None:
    """Not every registry cancels; what was begun is then forgotten by the registry itself, in days."""
    with suppress(Again, PromoteError):
        place.transport.send("DELETE", session, frozenset({200, 202, 204, 404, 405})).close()


def session_of(place: Place, url: str, answer: requests.Response) -> str:
    """The upload's address by an answer to a request for ``url``, on the registry's own origin.

    Raises:
        IntegrityError: elsewhere, or none.
    """
    location = answer.headers.get("Location", "")
    session = urljoin(url, location)
    try:
        same = origin_of(session) == origin_of(url)
    except ValueError:
        same = False
    if not location or not same:
        raise IntegrityError(
            f"{place.repository} sends the upload to {shown(session)}, another origin",
            hint="nothing was sent there; a registry behind a proxy must know its own address",
        )
    return session


def with_digest(session: str, blob: Blob) -> str:
    """The address that ends an upload: the session's, with the digest."""
    parts = urlsplit(session)
    query = f"{parts.query}&digest={blob.digest}" if parts.query else f"digest={blob.digest}"
    return urlunsplit(parts._replace(query=query))


def confirm(place: Place, blob: Blob, done: requests.Response) -> None:
    """Passes when the registry stored what was meant, as far as it says.

    Raises:
        IntegrityError: it names another digest.
    """
    if done.headers.get("Docker-Content-Digest", blob.digest) != blob.digest:
        raise IntegrityError(f"{place.repository} stored other bytes than {blob.digest}")
