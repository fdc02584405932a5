"""Every byte of a bundle, of its variants and of what refers to it, read and held against its digest; nothing is kept.

What is missing or wrong is a ``Fault``, and the rest is read all the same. Not here: what belongs to a bundle (``core.cargo``).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from promote.adapters.oci import attached
from promote.adapters.oci.files import counted, verified
from promote.adapters.oci.moves import Move, move_all
from promote.adapters.oci.store import BlobStore
from promote.core.cargo import parts_of
from promote.core.faults import Audit, Fault
from promote.core.manifest import config_blob, read_manifest
from promote.core.stages import Blob, Held, Stored
from promote.core.variant_index import StoredIndex
from promote.errors import IntegrityError, NotFound, Unavailable
from promote.ports import Step

_DEEPEST = 3  # a signature of a decision about a bundle, and one more


@dataclass(slots=True)
class _Seen:
    """What was found so far.

    Args:
        faults: of manifests and lists.
        manifests: digest -> size.
        blobs: digest -> the blob, and the name by which a person knows it.
    """

    faults: list[Fault] = field(default_factory=list)
    manifests: dict[str, int] = field(default_factory=dict)
    blobs: dict[str, tuple[Blob, str]] = field(default_factory=dict)

    @contextmanager
    def telling(self, where: str) -> Iterator[None]:
        """What is wrong within becomes a fault of ``where``."""
        try:
            yield
        except NotFound:
            self.faults.append(Fault(where, "is not there"))
        except IntegrityError as error:
            self.faults.append(Fault(where, error.message.removeprefix(where).strip()))


def audit(store: BlobStore, held: Held, step: Step) -> Audit:
    """Reads it all; see ``promote.ports.Registry.audit``."""
    seen = _Seen()
    with seen.telling(held.digest):
        store.document(held.digest, len(held.manifest))
    seen.manifests[held.digest] = len(held.manifest)
    bundles = [held] if isinstance(held, Stored) else []
    if isinstance(held, StoredIndex):
        bundles = [*_variants(store, held, seen)]
    for bundle in bundles:
        within = f"{bundle.digest[:19]}: " if isinstance(held, StoredIndex) else ""
        for path, blob in bundle.files.items():
            seen.blobs.setdefault(blob.digest, (blob, within + path))
        config = config_blob(bundle)
        seen.blobs.setdefault(config.digest, (config, f"{within}config of the manifest"))
    _referrers(store, held, [held.digest, *(bundle.digest for bundle in bundles)], seen)
    total = sum(blob.size for blob, _ in seen.blobs.values())
    moves = [Move(blob.size, _reading(store, blob, where, seen)) for blob, where in seen.blobs.values()]
    move_all(moves, step, 0, total)
    return Audit(
        faults=tuple(sorted(set(seen.faults))),
        manifests=len(seen.manifests),
        blobs=len(seen.blobs),
        size=total + sum(seen.manifests.values()),
    )


def _document(store: BlobStore, held: Held, digest: str, size: int) -> bytes:
    """A manifest. CNCF Distribution answers 500, for ever, where its own bytes of one are damaged.

    Raises:
        Unavailable: the registry is away; where it still has the bundle itself, it is the manifest that is damaged.
    """
    try:
        return store.document(digest, size)
    except Unavailable as error:
        if digest == held.digest or store.manifest(held.digest) != held.manifest:
            raise
        raise IntegrityError(f"cannot be read: {error.message}") from error


def _variants(store: BlobStore, index: StoredIndex, seen: _Seen) -> Iterator[Stored]:
    for variant in index.variants:
        where = f"{variant.kind.label} {variant.digest}"
        seen.manifests[variant.digest] = variant.size
        with seen.telling(where):
            bundle = read_manifest(_document(store, index, variant.digest, variant.size), store.repository, index.name)
            if bundle.version != index.version:
                raise IntegrityError(f"is version {bundle.version}, the index is version {index.version}")
            yield bundle


def _referrers(store: BlobStore, held: Held, subjects: list[str], seen: _Seen) -> None:
    """What refers to these, what refers to that, and so on."""
    for _ in range(_DEEPEST):
        further: list[str] = []
        for subject in subjects:
            with seen.telling(f"the list of referrers of {subject}"):
                for entry in attached.entries(store, subject):
                    if entry["digest"] not in seen.manifests:
                        seen.manifests[entry["digest"]] = entry["size"]
                        further.append(entry["digest"])
                        _referrer(store, held, subject, Blob(entry["digest"], entry["size"]), seen)
        subjects = further


def _referrer(store: BlobStore, held: Held, subject: str, manifest: Blob, seen: _Seen) -> None:
    where = f"referrer {manifest.digest}"
    with seen.telling(where):
        data = _document(store, held, manifest.digest, manifest.size)
        for blob in parts_of(data, where, subject=subject):
            seen.blobs.setdefault(blob.digest, (blob, f"{where}: {blob.digest}"))


def _reading(store: BlobStore, blob: Blob, where: str, seen: _Seen) -> Callable[[Callable[[int], None]], int]:
    def work(told: Callable[[int], None]) -> int:
        with seen.telling(where):
            for _ in counted(verified(store.stream(blob), blob, where), told):
                pass
        return blob.size

    return work
