"""A repository as an OCI image layout on disk: ``oci-layout``, ``index.json``, ``blobs/sha256/<hex>``.

Source: opencontainers/image-spec ``image-layout.md``. Whatever else lies in the layout (skopeo may have put it there)
stays. Blobs appear by rename; ``index.json`` is replaced by rename, under a lock, so two pushes do not lose a tag.
"""

import fcntl
import json
import math
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from promote.adapters.oci.buffers import Piece
from promote.adapters.oci.files import (
    at_most,
    chunks_of,
    counted,
    disk,
    source,
    sweep,
    sync_folder,
    verified,
    write_whole,
)
from promote.adapters.oci.layout_index import MARK, REF_NAME, find, read_layout, ref_name
from promote.core.manifest import INDEX_TYPE, LARGEST_MANIFEST, types_of
from promote.core.names import DIGEST, MODEL_NAME, digest, printable
from promote.core.referrers import entry_of, fallback_tag, with_entries
from promote.core.stages import Blob
from promote.errors import InputError, IntegrityError, NotFound


@dataclass(frozen=True, slots=True)
class Layout:
    """One repository: the layout in ``root``, which is made by the first write."""

    root: Path

    @property
    def repository(self) -> str:
        """``oci:`` and the folder."""
        return f"oci:{self.root}"

    def has(self, blob: Blob) -> bool:
        """See ``BlobStore``."""
        try:
            size = self._blob(blob.digest).stat(follow_symlinks=False).st_size
        except (FileNotFoundError, NotADirectoryError):
            return False
        if size != blob.size:
            raise IntegrityError(
                f"{self.repository} holds {blob.digest} with {size:,} bytes, expected {blob.size:,}",
                hint=f"the layout is damaged: remove {self._blob(blob.digest)} and push again",
            )
        return True

    def mount(self, blob: Blob) -> bool:
        """See ``BlobStore``: a folder takes nothing from others."""
        return False

    def beside(self, repository: str, blobs: Iterable[Blob]) -> None:
        """See ``BlobStore``: a folder takes nothing from others."""

    def write(self, blob: Blob, told: Callable[[int], None]) -> None:
        """See ``BlobStore``."""
        self._make()
        goal = self._blob(blob.digest)
        write_whole(goal, counted(source(blob), told), goal.parent)

    def rate(self) -> float:
        """See ``BlobStore``."""
        return math.inf

    def stream(self, blob: Blob) -> Iterator[Piece]:
        """See ``BlobStore``."""
        try:
            yield from chunks_of(self._blob(blob.digest))
        except FileNotFoundError as error:
            raise NotFound(f"{self.repository} has no blob {blob.digest}", hint="push the bundle again") from error

    def manifest(self, reference: str) -> bytes:
        """See ``BlobStore``; a digest must be one that ``index.json`` names, not any blob."""
        blob = find(self._index(), reference, self.repository)
        return b"".join(verified(self.stream(blob), blob, f"{self.repository}@{blob.digest}"))

    def tags(self) -> Iterator[str]:
        """See ``BlobStore``."""
        if (self.root / "index.json").exists():
            yield from (str(name) for entry in self._index()["manifests"] if (name := ref_name(entry)))

    def put_manifest(self, reference: str, manifest: Blob) -> None:
        """See ``BlobStore``."""
        if DIGEST.fullmatch(reference):
            self.write(manifest, lambda _: None)
            sweep(self._blob(reference).parent)  # once a push: it looks through all blobs
        with self._locked():
            index = self._index()
            entries = index["manifests"]
            taken = [e for e in entries if ref_name(e) == reference]
            if any(e["digest"] != manifest.digest for e in taken):
                raise IntegrityError(f"{self.repository}:{reference} names another bundle by now: {taken[0]['digest']}")
            if taken or (DIGEST.fullmatch(reference) and any(e["digest"] == reference for e in entries)):
                return
            named = {} if DIGEST.fullmatch(reference) else {"annotations": {REF_NAME: reference}}
            # The entry without a name made way for the tag: one manifest is one line of the index.
            kept = [e for e in entries if e["digest"] != manifest.digest or ref_name(e)]
            entry = {**types_of(manifest), "digest": manifest.digest, "size": manifest.size}
            self._save(index, [*kept, entry | named])

    def document(self, digest: str, size: int) -> bytes:
        """See ``BlobStore``."""
        blob = Blob(digest, size)
        return b"".join(
            at_most(verified(self.stream(blob), blob, f"{self.repository}@{digest}"), LARGEST_MANIFEST, digest)
        )

    def attach(self, subject: str, *manifests: Blob) -> None:
        """See ``BlobStore``. The list lies under the same tag as in a registry, so that a copy of both is whole."""
        for manifest in manifests:
            self.write(manifest, lambda _: None)
        tag = fallback_tag(subject)
        with self._locked():
            index = self._index()
            there = self._list(tag, index["manifests"])
            former = self.manifest(tag) if there else None
            new = with_entries(former, map(entry_of, manifests), f"{self.repository}:{tag}")
            if new is None:
                return
            self.write(new, lambda _: None)
            entry = {"mediaType": INDEX_TYPE, "digest": new.digest, "size": new.size, "annotations": {REF_NAME: tag}}
            self._save(index, [*(e for e in index["manifests"] if e not in there), entry])

    def referrers(self, subject: str, artifact_type: str) -> Iterator[bytes]:
        """See ``BlobStore``."""
        tag = fallback_tag(subject)
        there = self._list(tag, self._index()["manifests"])
        if there and there[0].get("mediaType") == INDEX_TYPE:
            yield self.manifest(tag)

    def _list(self, tag: str, entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [entry for entry in entries if ref_name(entry) == tag]

    def _save(self, index: dict[str, Any], entries: list[dict[str, Any]]) -> None:
        data = json.dumps(
            index | {"manifests": entries}, sort_keys=True, separators=(",", ":"), ensure_ascii=False
        ).encode()
        write_whole(self.root / "index.json", [data], self.root)

    def _index(self) -> dict[str, Any]:
        """``index.json``, its entries being descriptors; foreign keys are kept."""
        path = self.root / "index.json"
        try:
            mark = b"".join(at_most(chunks_of(self.root / "oci-layout"), LARGEST_MANIFEST, "oci-layout"))
            data = b"".join(at_most(chunks_of(path), LARGEST_MANIFEST, str(path)))
        except FileNotFoundError as error:
            raise NotFound(f"{self.root} is no OCI layout", hint="promote model RUN pushes a version") from error
        return read_layout(mark, data, str(self.root))

    def _make(self) -> None:
        """The empty layout, unless there is one."""
        if (self.root / "oci-layout").is_file() and (self.root / "index.json").is_file():
            return
        with disk(f"make the layout {printable(str(self.root))}"):
            there = {path.name for path in self.root.iterdir()} if self.root.exists() else set()
            if there and not {"oci-layout", "blobs"} & there:  # an empty one may be another push's, a moment old
                raise InputError(f"{self.root} is there and is no OCI layout", hint="name another folder")
            (self.root / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)
            sync_folder(self.root.parent)
        with self._locked():
            if not (self.root / "index.json").exists():
                empty = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": []}
                write_whole(self.root / "index.json", [json.dumps(empty, separators=(",", ":")).encode()], self.root)
            write_whole(self.root / "oci-layout", [MARK], self.root)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        path = self.root / "index.json.lock"
        with disk(f"lock {printable(str(path))}"):
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        try:
            with disk(f"lock {printable(str(path))}"):
                fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def _blob(self, name: str) -> Path:
        return self.root / "blobs" / "sha256" / digest(name).removeprefix("sha256:")


def layouts_in(folder: Path) -> tuple[str, ...]:
    """The models of which a layout lies in the folder, by name; none where there is no such folder."""
    with disk(f"look into {printable(str(folder))}"):
        found = [path.name for path in folder.iterdir() if (path / "oci-layout").is_file()] if folder.is_dir() else []
    return tuple(sorted(name for name in found if MODEL_NAME.fullmatch(name)))
