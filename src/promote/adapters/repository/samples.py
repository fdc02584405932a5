"""Reads a placed version's golden samples, and the tolerance that its passport records for them."""

from collections.abc import Callable, Mapping

from promote.adapters.repository.shelf import Shelf, on_disk
from promote.core.golden import LARGEST
from promote.core.layout import GOLDEN, PASSPORT
from promote.core.parity import Tolerance
from promote.core.passport import sha256
from promote.core.passport_reading import read_tolerance
from promote.core.stages import Blob
from promote.errors import IntegrityError, NotFound


def read_golden(shelf: Shelf, name: str, version: int) -> tuple[bytes, Tolerance]:
    """Samples as safetensors bytes, and the tolerance of the parity proof.

    Raises:
        NotFound: the version or its samples are not on disk.
        IntegrityError: they are not what was placed, or the passport records no tolerance.
        OSError: as the disk says.
    """
    return golden_of(on_disk(shelf, name, version), lambda path: (shelf.root / path).read_bytes(), name, version)


def golden_of(
    files: Mapping[str, Blob], read: Callable[[str], bytes], name: str, version: int
) -> tuple[bytes, Tolerance]:
    """The same of a version whose ``files`` are known, wherever ``read`` reads them."""
    samples = _read(read, files, f"{name}/{version}/{GOLDEN}")
    passport = _read(read, files, f"{name}/{version}/{PASSPORT}")
    return samples, read_tolerance(passport, f"the passport of {name} version {version}")


def _read(read: Callable[[str], bytes], files: Mapping[str, Blob], path: str) -> bytes:
    if path not in files:
        raise NotFound(f"the bundle has no {path}", hint="promote the run again: this bundle cannot be proven")
    if files[path].size > LARGEST:
        raise IntegrityError(f"{path} has {files[path].size:,} bytes, the most allowed is {LARGEST:,}")
    data = read(path)
    if sha256(data) != files[path].digest:
        raise IntegrityError(f"{path} has digest {sha256(data)}, expected {files[path].digest}")
    return data
