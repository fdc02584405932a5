"""What goes into a repository: blobs that are not there yet, then the manifest, then its tag, each read back.

Not here: how several move at once (``moves``), and what they are (``registry``, ``carrying``).
"""

from collections.abc import Callable, Iterable, Mapping

from promote.adapters.oci.moves import Move, move_all
from promote.adapters.oci.store import BlobsGone, BlobStore
from promote.adapters.oci.upload_limits import crew_in_time, refuse_too_large
from promote.core.matrix_rows import RegistryLimits
from promote.core.stages import Blob
from promote.errors import IntegrityError, NotFound
from promote.ports import Step

Told = Callable[[int], None]


def send(
    store: BlobStore, blobs: Iterable[Blob], files: Mapping[str, Blob], limits: RegistryLimits | None, step: Step,
    total: int, publish: Callable[[], None],
) -> int:  # fmt: skip
    """Sends what is not there, then publishes; returns how many bytes of the blobs had to be sent.

    Args:
        store: the repository.
        blobs: all of them; one that is there twice is sent once.
        files: those that the registry's limits are held against, by the name that messages call them.
        limits: of the registry, where known.
        step: hears how many bytes are through, of ``total``; the last are the manifests'.
        total: bytes, of manifests too.
        publish: stores the manifests; called again where the registry has lost a blob since.

    Raises:
        IntegrityError, AuthError, InputError, Unavailable: as the words say; nothing is published.
    """
    blobs = list(blobs)
    distinct = {blob.digest: blob for blob in blobs}.values()
    refuse_too_large(files, limits)
    crew = crew_in_time(files, limits, store)
    new = sum(blob.size for blob in distinct)
    before = sum(blob.size for blob in blobs) - new  # bytes of files that are another file once more

    def move(through: bool) -> int:
        moves = [Move(blob.size, _sending(store, blob), blob.size if through else 0) for blob in distinct]
        return move_all(moves, step, before, total, crew)

    sent = move(through=False)
    try:
        publish()
    except BlobsGone:  # collected by the registry since: each is asked for once more
        sent = min(new, sent + move(through=True))
        publish()
    step.update(total, total)
    return sent


def names(store: BlobStore, tag: str, manifest: Blob) -> bool:
    """Whether the tag names this manifest; a version tag that names another is never moved."""
    try:
        there = store.manifest(tag)
    except NotFound:
        return False
    if there != manifest.data:
        raise IntegrityError(
            f"{store.repository}:{tag} is another bundle already, expected {manifest.digest} or nothing",
            hint="version tags never move: promote the run again to get the next version",
        )
    return True


def publish(store: BlobStore, tag: str, manifest: Blob) -> None:
    """The manifest by digest, read back; then its tag, read back, since registries let two pushes race for one."""
    for reference in dict.fromkeys((manifest.digest, tag)):
        put(store, reference, manifest)


def put(store: BlobStore, reference: str, manifest: Blob) -> None:
    """A manifest by digest or tag, read back."""
    store.put_manifest(reference, manifest)
    if store.manifest(reference) != manifest.data:
        raise IntegrityError(
            f"{store.repository} took {manifest.digest} as {reference} and gives other bytes back",
            hint="somebody else pushed this version at the same time" if reference != manifest.digest else "",
        )


def _sending(store: BlobStore, blob: Blob) -> Callable[[Told], int]:
    def work(told: Told) -> int:
        if store.has(blob) or store.mount(blob):
            return 0
        there = blob.size  # bytes that an earlier run had brought: where it is heard to begin

        def hears(done: int) -> None:
            nonlocal there
            there = min(there, done)
            told(done)

        store.write(blob, hears)
        return blob.size - there

    return work
