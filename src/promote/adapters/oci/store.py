"""What an OCI registry and a layout have in common: one repository's blobs by digest and manifests by digest or tag.

Not here: what a bundle is. ``registry`` builds the ``Registry`` port on this.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from promote.adapters.oci.buffers import Piece
from promote.core.stages import Blob
from promote.errors import IntegrityError


class BlobsGone(IntegrityError):
    """The registry refuses a manifest since it has not all of its blobs (any more): it may have collected them."""


class BlobSource(Protocol):
    """One repository that is read."""

    @property
    def repository(self) -> str:
        """As ``Stored.repository`` prints it."""

    def stream(self, blob: Blob) -> Iterator[Piece]:
        """The stored bytes in small pieces, **not** verified: pass them through ``files.verified``.

        Raises:
            NotFound: no such blob.
        """

    def manifest(self, reference: str) -> bytes:
        """The manifest or image index of a tag or digest, at most 4 MiB; verified where ``reference`` is a digest.

        Raises:
            NotFound: nothing there by that name.
            IntegrityError: other bytes than the digest says, too many, or neither a manifest nor an index.
        """

    def document(self, digest: str, size: int) -> bytes:
        """A manifest that an index or a list of referrers names, of at most 4 MiB, verified.

        Raises:
            NotFound: it is not there.
            IntegrityError: other bytes than the digest and size say.
        """

    def referrers(self, subject: str, artifact_type: str) -> Iterator[bytes]:
        """Image indexes of at most 4 MiB that list referrers of ``subject``, **not** checked, perhaps of other kinds too."""


class BlobStore(BlobSource, Protocol):
    """One repository that is written to as well."""

    def has(self, blob: Blob) -> bool:
        """Whether a blob of that digest and size is there.

        Raises:
            IntegrityError: it is there with another size.
        """

    def mount(self, blob: Blob) -> bool:
        """Whether the blob got there from another repository, without a byte sent; it was not there before.

        Raises:
            AuthError, Unavailable: as the words say.
        """

    def beside(self, repository: str, blobs: Iterable[Blob]) -> None:
        """Hears that another repository, as ``repository`` prints it, has these blobs; of this registry they can be mounted."""

    def write(self, blob: Blob, told: Callable[[int], None]) -> None:
        """Stores the blob's bytes, hashed on the way; ``told`` hears how many are through: first those that an
        earlier run had brought, and from 0 again where all are sent anew.

        Raises:
            IntegrityError: the bytes are not what the digest says; nothing is stored.
            AuthError, Unavailable: as the words say.
        """

    def rate(self) -> float:
        """Bytes a second on the way there, measured now; infinite where there is no way or it cannot be measured."""

    def attach(self, subject: str, *manifests: Blob) -> None:
        """Stores manifests whose subject is that of digest ``subject``, and lists them; their blobs are there already.

        Raises:
            IntegrityError: what should be the list of referrers is something else.
            Unavailable: others keep writing the list.
        """

    def tags(self) -> Iterator[str]:
        """The tags of the repository, of all kinds; none where it is not there."""

    def put_manifest(self, reference: str, manifest: Blob) -> None:
        """Stores a manifest or index by its digest, or names it by a tag; all that it names is there already.

        Raises:
            BlobsGone: they were.
            IntegrityError: the tag came to name another digest meanwhile (where the store can tell).
        """
