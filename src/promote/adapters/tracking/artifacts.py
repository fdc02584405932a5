"""Lists and fetches artifact files, trusting neither the server's paths nor its locations (threats: ``..``, links, floods).

Not here: which files are a model (``flavours``), nor which models a run has (``models``).
"""

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from promote.adapters.tracking.address import Address
from promote.adapters.tracking.client import Connection
from promote.adapters.tracking.failures import told
from promote.core.names import bundle_path, distinct_paths, printable
from promote.core.stages import Blob
from promote.errors import InputError, IntegrityError, NotFound
from promote.ports import Step

_MOST_FILES = 10_000
_DEEPEST = 12
_CHUNK = 1024 * 1024
_STORES = ("s3", "gs", "wasbs", "abfss")


@dataclass(frozen=True, slots=True)
class Listed:
    """A file that the artifact store says it has.

    Args:
        path: relative to the folder, checked.
        size: bytes, or ``None`` where the store does not say.
    """

    path: str
    size: int | None


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder of artifacts.

    Args:
        address: of the tracking server that named it.
        location: its URI, checked.
        repository: MLflow's ``ArtifactRepository`` of it.
        local: where it lies on this machine, or ``None``.
    """

    address: Address
    location: str
    repository: Any
    local: Path | None = None

    def listing(self, deepest: int = _DEEPEST) -> list[Listed]:
        """Every file down to ``deepest`` folders, by path.

        Raises:
            IntegrityError: a path leaves the folder, two paths are one, or there are too many.
        """
        found: list[Listed] = []
        waiting, seen = [("", 0)], 0
        while waiting:
            folder, depth = waiting.pop()
            for info in self._list(folder):
                path = self._inside(str(info.path), folder)
                seen += 1
                if seen > _MOST_FILES:
                    raise IntegrityError(f"{self.address.scrub(self.location)} has more than {_MOST_FILES:,} files")
                if not info.is_dir:
                    found.append(Listed(path, info.file_size))
                elif depth < deepest:
                    waiting.append((path, depth + 1))
                elif deepest == _DEEPEST:
                    raise IntegrityError(f"{printable(path)!r} lies more than {_DEEPEST} folders deep")
        distinct_paths([file.path for file in found])
        return sorted(found, key=lambda file: file.path)

    def _list(self, folder: str) -> list[Any]:
        with told(self.address, f"listing {folder or 'the artifacts'}", hostile=True):
            return list(self.repository.list_artifacts(folder or None))

    def _inside(self, path: str, folder: str) -> str:
        checked = bundle_path(path)
        if folder and not checked.startswith(f"{folder}/"):
            raise IntegrityError(f"the server lists {printable(path)!r} as a file of {printable(folder)!r}")
        return checked

    def fetch(self, file: Listed, root: Path) -> Blob:
        """Copies one file to its path under ``root`` and digests the copy.

        Raises:
            NotFound: it is listed and not there.
            IntegrityError: it is a link, or not of the size that was listed.
            AuthError, Unavailable: as the words say.
        """
        goal = root / file.path
        missing = f"artifact {file.path!r} is missing: the store lists it and does not have it"
        if self.local is not None:
            _refuse_links(self.local, file.path, missing)
        with told(self.address, f"fetching {file.path}", missing, hostile=True):
            goal.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Not download_artifacts: for one file it lists its folder again, and for many it hides which one failed.
            self.repository._download_file(file.path, str(goal))
            blob = _digested(goal)
        if file.size is not None and blob.size != file.size:
            raise IntegrityError(f"artifact {file.path!r} has {blob.size:,} bytes, listed were {file.size:,}")
        return blob

    def fetch_all(self, files: list[Listed], root: Path, step: Step) -> dict[str, Blob]:
        """Fetches every file; path -> blob. ``root`` is made, private."""
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        total = sum(file.size or 0 for file in files)
        blobs: dict[str, Blob] = {}
        for file in files:
            blobs[file.path] = self.fetch(file, root)
            done = sum(blob.size for blob in blobs.values())
            step.update(done, max(total, done))
        return blobs


def open_folder(connection: Connection, location: str) -> Folder:
    """The artifact folder at ``location``, which the server chose.

    Raises:
        IntegrityError: it would read this machine's disk, or send credentials to another host, at a stranger's word.
        InputError: a kind of store that promote does not read.
    """
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
    from mlflow.utils.file_utils import local_file_uri_to_path

    address = connection.address
    parts = urlsplit(location)
    kind = "" if location.startswith("/") else parts.scheme
    shown = printable(address.scrub(location.partition("?")[0]))
    local: Path | None = None
    if kind in ("", "file"):
        if not address.here or parts.netloc not in ("", "localhost"):
            raise IntegrityError(
                f"{address.shown} keeps its artifacts in {shown}, a path on another machine",
                hint="start that server with --serve-artifacts, or log to an object store",
            )
        local = Path(local_file_uri_to_path(location))
    elif kind == "mlflow-artifacts":
        if parts.netloc and parts.netloc.lower() != _host_port(address):
            raise IntegrityError(f"{address.shown} sends us to another host for its artifacts: {shown}")
    elif kind not in _STORES:
        raise InputError(
            f"artifacts in {shown} cannot be read: expected one of {', '.join(_STORES)}, or the server's own"
        )
    with told(address, f"opening {shown}"):
        return Folder(address, location, get_artifact_repository(location, tracking_uri=address.uri), local)


def _host_port(address: Address) -> str:
    return address.host if address.port is None else f"{address.host}:{address.port}"


def _refuse_links(root: Path, path: str, missing: str) -> None:
    """A link in an artifact folder may lead to any file of this machine."""
    place = root
    mode = 0
    for part in path.split("/"):
        place = place / part
        try:
            mode = place.lstat().st_mode
        except FileNotFoundError:
            raise NotFound(missing) from None
        if stat.S_ISLNK(mode):
            raise IntegrityError(f"artifact {path!r} is a link or lies behind one: only plain files are fetched")
    if not stat.S_ISREG(mode):
        raise IntegrityError(f"artifact {path!r} is no plain file")


def _digested(path: Path) -> Blob:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    sha, size = hashlib.sha256(), 0
    with os.fdopen(descriptor, "rb") as file:
        while chunk := file.read(_CHUNK):
            sha.update(chunk)
            size += len(chunk)
    return Blob(f"sha256:{sha.hexdigest()}", size, str(path))
