"""A bundle from one repository to another with all that refers to it, be they in registries, layouts or archives.

Bytes go from stream to stream and never lie in a file of ours; each blob is verified on the way, and one that the goal has is not
read at all. Not here: what belongs to a bundle (``core.cargo``).
"""

from collections.abc import Callable, Iterable
from contextlib import suppress

from promote.adapters.oci import attached
from promote.adapters.oci.files import Elsewhere
from promote.adapters.oci.moves import Move, move_all
from promote.adapters.oci.sending import Told, names, put, send
from promote.adapters.oci.store import BlobSource, BlobStore
from promote.adapters.oci.upload_limits import refuse_too_large
from promote.core.cargo import Attached, Cargo, Lacking, Landed, parts_of, read_bundles, variants_of
from promote.core.manifest import config_blob
from promote.core.matrix_rows import RegistryLimits
from promote.core.passport import sha256
from promote.core.stages import Blob
from promote.errors import IntegrityError, NotFound
from promote.ports import Step

_DEEPEST = 3  # a signature of a decision about a bundle, and one more


def collect(store: BlobSource, name: str, reference: str) -> Cargo:
    """What ``reference`` names, and all that belongs to it; manifests are read, files are not.

    Raises:
        NotFound: nothing there by that name.
        IntegrityError: no bundle of this model, or a manifest that is not what its digest or list says.
    """
    data = store.manifest(reference)
    root = Blob(sha256(data), len(data), data=data)
    where = f"{store.repository}@{root.digest}"
    variants = variants_of(data, where)
    manifests = [data] if variants is None else [store.document(v.digest, v.size) for v in variants]
    bundles = read_bundles(manifests, store.repository, name)
    if reference[:1] == "v" and reference[1:].isdecimal() and int(reference[1:]) != bundles[0].version:
        raise IntegrityError(
            f"{store.repository}:{reference} is version {bundles[0].version} by its manifest",
            hint="somebody moved the tag: name the digest that was approved",
        )
    found, gone = _attached(store, [root.digest, *(bundle.digest for bundle in bundles)])
    parts = [part for bundle in bundles for part in (*bundle.files.values(), config_blob(bundle))]
    parts += [part for one in found for part in parts_of(one.manifest.data or b"", one.manifest.digest)]
    return Cargo(
        repository=store.repository, name=name, version=bundles[0].version, root=root, bundles=bundles,
        blobs=_sized(store, parts), attached=found, gone=gone,
    )  # fmt: skip


def take(cargo: Cargo, store: BlobStore, limits: RegistryLimits | None, step: Step) -> Landed:
    """Brings all of it into the repository: files, manifests, what refers to them, and the tag last.

    Raises:
        IntegrityError: bytes that are not what their digest says, or the version's tag names another bundle there.
        AuthError, InputError, Unavailable: as the words say; what arrived is kept, and is not sent again.
    """
    tag = f"v{cargo.version}"
    tagged = names(store, tag, cargo.root)
    missing = _missing(cargo, store)
    store.beside(cargo.repository, cargo.blobs.values())

    def publish() -> None:
        for manifest in cargo.manifests[: len(cargo.manifests) - len(cargo.attached)]:
            if manifest.digest in missing:
                put(store, manifest.digest, manifest)
        for subject in dict.fromkeys(one.subject for one in cargo.attached):
            mine = [one.manifest for one in cargo.attached if one.subject == subject]
            if new := [manifest for manifest in mine if manifest.digest in missing]:
                store.attach(subject, *new)
        if not tagged:
            put(store, tag, cargo.root)

    sent = send(store, cargo.blobs.values(), cargo.files, limits, step, cargo.size, publish)
    sent += sum(manifest.size for manifest in cargo.manifests if manifest.digest in missing)
    return Landed(reference=f"{store.repository}@{cargo.root.digest}", sent=sent, skipped=cargo.size - sent)


def lacks(cargo: Cargo, store: BlobStore, limits: RegistryLimits | None, step: Step) -> Lacking:
    """What ``take`` would bring; nothing is written. Limits of time are not asked: measuring them takes an upload.

    Raises:
        InputError: a file is too large for the registry.
        IntegrityError, AuthError, Unavailable: as ``take``.
    """
    names(store, f"v{cargo.version}", cargo.root)
    refuse_too_large(cargo.files, limits)
    missing, lacking = _missing(cargo, store), list[Blob]()

    def asking(blob: Blob) -> Callable[[Told], int]:
        def work(_: Told) -> int:
            if not store.has(blob):
                lacking.append(blob)
            return 0

        return work

    move_all([Move(blob.size, asking(blob)) for blob in cargo.blobs.values()], step, 0, cargo.size)
    host = store.repository.partition("/")[0]
    return Lacking(
        reference=f"{store.repository}@{cargo.root.digest}",
        blobs=tuple(sorted(lacking, key=lambda blob: blob.digest)),
        manifests=tuple(manifest for manifest in cargo.manifests if manifest.digest in missing),
        takes_over=host != "oci:" and cargo.repository.startswith(f"{host}/"),
    )


def _missing(cargo: Cargo, store: BlobStore) -> frozenset[str]:
    """Digests of the manifests that the repository has not, or does not list as referrers."""
    listed: set[str] = set()
    for subject in {one.subject for one in cargo.attached}:
        with suppress(NotFound):  # a layout that is not there yet
            listed |= {entry["digest"] for entry in attached.entries(store, subject)}
    missing = {one.manifest.digest for one in cargo.attached} - listed
    for manifest in cargo.manifests[: len(cargo.manifests) - len(cargo.attached)]:
        try:
            store.manifest(manifest.digest)
        except NotFound:
            missing.add(manifest.digest)
    return frozenset(missing)


def _attached(store: BlobSource, subjects: list[str]) -> tuple[tuple[Attached, ...], tuple[str, ...]]:
    """What refers to these, what refers to that, and so on; and what is listed and not there."""
    found: dict[str, Attached] = {}
    gone: list[str] = []
    for _ in range(_DEEPEST):
        further = []
        for subject in subjects:
            for entry in attached.entries(store, subject):
                if entry["digest"] in found or entry["digest"] in gone:
                    continue
                try:
                    data = store.document(entry["digest"], entry["size"])
                except NotFound:
                    gone.append(entry["digest"])
                    continue
                parts_of(data, f"{store.repository}@{entry['digest']}", subject=subject)
                manifest = Blob(entry["digest"], len(data), data=data)
                found[manifest.digest] = Attached(subject=subject, manifest=manifest)
                further.append(manifest.digest)
        subjects = further
    return tuple(found.values()), tuple(gone)


def _sized(store: BlobSource, parts: Iterable[Blob]) -> dict[str, Blob]:
    """Each blob once, to be read from the store.

    Raises:
        IntegrityError: two sizes of one digest.
    """
    blobs: dict[str, Blob] = {}
    for part in parts:
        known = blobs.setdefault(part.digest, Elsewhere(part.digest, part.size, read=store.stream))
        if known.size != part.size:
            raise IntegrityError(
                f"{part.digest} in {store.repository} is said to have {known.size:,} and {part.size:,} bytes"
            )
    return blobs
