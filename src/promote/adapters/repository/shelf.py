"""Where things lie in and beside a model repository, and what is known of each version that was placed there::

    ROOT/NAME/config.pbtxt               what Triton reads: the config of the last version, naming all that serve
    ROOT/NAME/N/...                      a version, complete from the moment it has its name
    ROOT/../.promote-ROOT/               the state, beside the repository: in it, Triton would list it as a model
        staging/                         private folders of fetches and placements under way; swept at the next one
        locks/NAME.lock                  one deployment of a model at a time; holds who it is
        models/NAME/record.jsonl         deployments, append-only
        models/NAME/told                 how many of these MLflow knows of
        models/NAME/N/manifest.json      the manifest as the registry gave it; its digest is the version's identity
        models/NAME/N/config.pbtxt       the version's own config (Triton's layout has one for all versions)
        models/NAME/N/placed.json        digests and sizes of the version's files; written last

Both must be on one file system, since everything gets its name by a rename.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from promote.adapters.repository.disk import disk, listing, verify, write_whole
from promote.core.bundle_files import check_files
from promote.core.names import digest, model_name, printable
from promote.core.passport import canonical, sha256
from promote.core.stages import Blob, Stored
from promote.errors import InputError, IntegrityError, NotFound


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    digest: str
    size: int


class _Placed(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    digest: str
    files: dict[str, _File]


@dataclass(frozen=True, slots=True)
class Shelf:
    """The places of one repository; ``root`` exists."""

    root: Path
    state: Path

    @property
    def staging(self) -> Path:
        """Private folders of work under way."""
        return self.state / "staging"

    def version(self, name: str, version: int) -> Path:
        """Of one version, as Triton sees it."""
        return self.root / name / str(version)

    def notes(self, name: str, version: int) -> Path:
        """What is known of one version."""
        return self.state / "models" / name / str(version)

    def record(self, name: str) -> Path:
        """Of one model's deployments."""
        return self.state / "models" / name / "record.jsonl"


def open_shelf(root: Path) -> Shelf:
    """The shelf of an existing repository; writes nothing.

    Raises:
        InputError: no such folder, or one that cannot have a state folder beside it.
    """
    with disk("open the model repository"):
        if not root.is_dir():
            raise InputError(
                f"model repository {root} is not a folder",
                hint="create it or mount it, or change model_repository of the target in promote.toml",
            )
        real = root.resolve()
        if real.parent == real or os.path.ismount(real):
            raise InputError(
                f"model repository {root} is the top of a file system, with no room beside it",
                hint="use a folder below it: versions get their name by a rename within one file system",
            )
    return Shelf(real, real.parent / f".promote-{real.name}")


def make_state(shelf: Shelf) -> None:
    """Creates the state folder where it is missing.

    Raises:
        InputError: no right to write there, or it lies on another file system.
    """
    with disk("prepare the folder beside the model repository"):
        for folder in (shelf.state, shelf.staging, shelf.state / "locks", shelf.state / "models"):
            folder.mkdir(exist_ok=True)
        if shelf.staging.stat().st_dev != shelf.root.stat().st_dev:
            raise InputError(
                f"{shelf.state} and {shelf.root} are not on one file system",
                hint="versions get their name by a rename, which only works within one file system",
            )


def write_notes(shelf: Shelf, stored: Stored, config: bytes) -> None:
    """Keeps what must be known of a version later, before the version itself appears."""
    folder = shelf.notes(stored.name, stored.version)
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / "manifest.json", stored.manifest, shelf.staging, stored.name)
    write_whole(folder / "config.pbtxt", config, shelf.staging, stored.name)
    write_whole(folder / "placed.json", placed_json(stored), shelf.staging, stored.name)


def placed_json(stored: Stored) -> bytes:
    """What ``placed.json`` says of a version."""
    files = {path: {"digest": blob.digest, "size": blob.size} for path, blob in sorted(stored.files.items())}
    return canonical({"digest": stored.digest, "files": files})


def read_notes(shelf: Shelf, name: str, version: int) -> tuple[str, dict[str, Blob]] | None:
    """Manifest digest and files of a version that was placed here, or ``None`` for one that was not.

    Raises:
        IntegrityError: the notes are damaged.
    """
    folder = shelf.notes(name, version)
    try:
        data = (folder / "placed.json").read_bytes()
        manifest = (folder / "manifest.json").read_bytes()
    except FileNotFoundError:
        return None
    return parse_notes(data, manifest, str(folder), name, version)


def parse_notes(data: bytes, manifest: bytes, folder: str, name: str, version: int) -> tuple[str, dict[str, Blob]]:
    """Manifest digest and files, by ``placed.json`` (``data``) and ``manifest.json`` of ``folder``.

    Raises:
        IntegrityError: as ``read_notes``.
    """
    try:
        placed = _Placed.model_validate_json(data)
        files = {path: Blob(digest(file.digest), file.size) for path, file in placed.files.items()}
        check_files(name, version, list(files))
    except (ValidationError, IntegrityError) as error:
        raise IntegrityError(f"{folder}/placed.json is damaged: {printable(str(error))}") from error
    if sha256(manifest) != placed.digest:
        raise IntegrityError(f"{folder}/manifest.json has digest {sha256(manifest)}, expected {placed.digest}")
    return placed.digest, files


def on_disk(shelf: Shelf, name: str, version: int) -> dict[str, Blob]:
    """The files of a version that is placed and still lies there, no file more or less and each of its size.

    Raises:
        NotFound: it is not there.
        IntegrityError: files were added, removed or changed in size.
    """
    model_name(name)
    folder = shelf.version(name, version)
    known = read_notes(shelf, name, version)
    if known is None or not folder.is_dir():
        raise NotFound(
            f"version {version} of {name} is not in the model repository", hint="promote deploy fetches it again"
        )
    same_listing(listing(folder), known[1], str(folder), name, version)
    return known[1]


def same_listing(found: Mapping[str, int], files: Mapping[str, Blob], folder: str, name: str, version: int) -> None:
    """Passes when ``found`` (path in the version -> bytes) are the files of a version, no more, no less.

    Raises:
        IntegrityError: files were added, removed or changed in size.
    """
    expected = {p.removeprefix(f"{name}/{version}/"): b for p, b in files.items() if p != f"{name}/config.pbtxt"}
    for path in sorted(found.keys() ^ expected.keys()):
        fault = "was added afterwards" if path in found else "is missing"
        raise IntegrityError(f"{printable(f'{folder}/{path}')} {fault}", hint="versions are never edited in place")
    for path, size in found.items():
        if size != expected[path].size:
            was = f"has {size:,} bytes, expected {expected[path].size:,}"
            raise IntegrityError(f"{folder}/{path} {was}", hint="versions are never edited in place")


def verify_version(shelf: Shelf, name: str, version: int) -> None:
    """Passes when every file of the version has the digest of its bundle.

    Raises:
        NotFound, IntegrityError: as ``on_disk``, or a file with other bytes.
    """
    for path, blob in on_disk(shelf, name, version).items():
        if path != f"{name}/config.pbtxt":
            verify(shelf.root / path, blob, path)
