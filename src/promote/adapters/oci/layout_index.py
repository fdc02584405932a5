"""``index.json`` of an OCI image layout, be it in a folder or in an archive: what it names, and how it is read with suspicion.

Source: opencontainers/image-spec ``image-layout.md``. Not here: where its bytes lie (``layout``, ``archive``).
"""

from typing import Any

from promote.core.manifest import LARGEST_MANIFEST, strict_json
from promote.core.names import digest, printable
from promote.core.referrers import FALLBACK_TAG
from promote.core.stages import Blob
from promote.errors import IntegrityError, NotFound

MARK = b'{"imageLayoutVersion":"1.0.0"}'
REF_NAME = "org.opencontainers.image.ref.name"
Index = dict[str, Any]


def read_layout(mark: bytes, data: bytes, where: str) -> Index:
    """The index, its entries being descriptors; foreign keys are kept.

    Args:
        mark: bytes of ``oci-layout``.
        data: bytes of ``index.json``.
        where: the layout, for messages.

    Raises:
        IntegrityError: another version of layouts, or no index.
    """
    if strict_json(mark, f"{where}/oci-layout") != {"imageLayoutVersion": "1.0.0"}:
        raise IntegrityError(f"{where} is not an OCI layout of version 1.0.0")
    index = strict_json(data, f"{where}/index.json")
    entries = index.get("manifests") if isinstance(index, dict) else None
    if not isinstance(entries, list) or not all(_is_descriptor(entry) for entry in entries):
        raise IntegrityError(f"{where}/index.json is not an index of manifests")
    return dict(index)


def find(index: Index, reference: str, where: str) -> Blob:
    """The manifest of a tag or digest, which must be one that the index names, not any blob.

    Raises:
        NotFound: it names none.
        IntegrityError: it names several, or one that is too large.
    """
    found = {e["digest"]: e["size"] for e in index["manifests"] if reference in (ref_name(e), e["digest"])}
    if not found:
        raise NotFound(f"{where} has no {printable(reference)}", hint="promote model RUN pushes a version")
    if len(found) > 1:
        raise IntegrityError(f"{where}:{printable(reference)} names {len(found)} manifests, expected one")
    return _manifest(*found.popitem())


def alone(index: Index, where: str) -> Blob:
    """The one manifest or index that it is about: that with a tag, or without any tag the only one.

    Raises:
        IntegrityError: it is about several, or none.
    """
    entries = [entry for entry in index["manifests"] if not FALLBACK_TAG.fullmatch(str(ref_name(entry) or ""))]
    tagged = [entry for entry in entries if ref_name(entry)] or entries
    found = {entry["digest"]: entry["size"] for entry in tagged}
    if len(found) != 1:
        names = ", ".join(sorted(printable(str(ref_name(e) or e["digest"]), 30) for e in tagged)[:5])
        raise IntegrityError(
            f"{where} holds {len(found)} bundles{f' ({names})' if names else ''}, expected one",
            hint="promote export writes one bundle a file",
        )
    return _manifest(*found.popitem())


def ref_name(entry: Index) -> object:
    """The tag of an entry; ``None`` where it has none."""
    return entry.get("annotations", {}).get(REF_NAME)


def _manifest(name: str, size: int) -> Blob:
    blob = Blob(digest(name), size)
    if size > LARGEST_MANIFEST:
        raise IntegrityError(f"the manifest {blob.digest} has {size:,} bytes, expected {LARGEST_MANIFEST:,} at most")
    return blob


def _is_descriptor(entry: object) -> bool:
    if not isinstance(entry, dict) or not isinstance(entry.get("annotations", {}), dict):
        return False
    size = entry.get("size")
    return isinstance(entry.get("digest"), str) and type(size) is int and size >= 0
