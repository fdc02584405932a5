"""Referrers of a bundle in any repository, be it in a registry or a layout: attached, and listed with suspicion.

Not here: where the list is kept (``referrers`` for a registry, ``layout``), and its form (``core.referrers``).
"""

from collections.abc import Mapping

from promote.adapters.oci.store import BlobSource, BlobStore
from promote.core.referrers import Entry, Referrer, pack_referrer, read_index, referrers_of
from promote.core.stages import Held
from promote.errors import IntegrityError

_MOST = 10_000


def attach(
    store: BlobStore, stored: Held, artifact_type: str, data: bytes, annotations: Mapping[str, str]
) -> str:  # fmt: skip
    """See ``promote.ports.Registry.attach``."""
    packed = pack_referrer(stored, artifact_type, data, annotations)
    _see(store, stored)
    for blob in packed.blobs:
        if not store.has(blob):
            store.write(blob, lambda _: None)
    store.attach(stored.digest, packed.manifest)
    return packed.manifest.digest


def listed(store: BlobStore, stored: Held, artifact_type: str) -> tuple[Referrer, ...]:
    """See ``promote.ports.Registry.referrers``."""
    _see(store, stored)
    return referrers_of(entries(store, stored.digest, artifact_type), artifact_type)


def entries(store: BlobSource, subject: str, artifact_type: str = "") -> list[Entry]:
    """The referrers of ``subject`` as they are listed, each entry checked, perhaps of other kinds too."""
    found: list[Entry] = []
    where = f"{store.repository}@{subject}"
    for page in store.referrers(subject, artifact_type):
        found += read_index(page, f"the list of referrers of {where}")
        if len(found) > _MOST:
            raise IntegrityError(f"{where} has more than {_MOST:,} referrers")
    return found


def _see(store: BlobStore, stored: Held) -> None:
    """The bundle can be read here. Without that right a registry may answer 404, which would read as no referrers.

    Raises:
        NotFound, AuthError: it cannot.
    """
    if store.manifest(stored.digest) != stored.manifest:
        raise IntegrityError(f"{stored.reference} is another manifest by now")
