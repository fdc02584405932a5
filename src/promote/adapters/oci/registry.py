"""The ``Registry`` port: bundles in OCI repositories, one per model, be they in a registry or in layouts on disk.

Not here: the form of the manifest (``core.manifest``) and how bytes travel (``http``, ``layout``).
"""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from promote.adapters.oci import attached, carrying
from promote.adapters.oci.auditing import audit
from promote.adapters.oci.files import counted, disk, holds, room, size_of, sweep, verified, write_whole
from promote.adapters.oci.layout import Layout, layouts_in
from promote.adapters.oci.moves import Move, move_all
from promote.adapters.oci.origin import parse_origin
from promote.adapters.oci.sending import Told, names, publish, send
from promote.adapters.oci.store import BlobStore
from promote.core.cargo import Cargo, Lacking, Landed
from promote.core.faults import Audit
from promote.core.manifest import config_blob, pack, read_manifest
from promote.core.matrix_rows import RegistryLimits
from promote.core.names import DIGEST, bundle_path, model_name, printable
from promote.core.references import TAG
from promote.core.referrers import FALLBACK_TAG, Referrer
from promote.core.registries import limits_of
from promote.core.stages import Blob, Bundle, Held, Received, Release, Stored
from promote.core.variant_index import StoredIndex, is_index, pack_index, read_variants
from promote.core.variants import Kind
from promote.errors import InputError, IntegrityError, NotFound
from promote.ports import Step

_VERSION_TAG = re.compile(r"v([1-9][0-9]*)")
_LARGEST_READ = 16 * 1024 * 1024


def open_registry(
    base: str, env: Mapping[str, str], limits: Sequence[RegistryLimits] = (), uploads: Path | None = None,
    mounts: Path | None = None,
) -> "OciRegistry":  # fmt: skip
    """The registry at ``base``; nothing is contacted yet.

    Args:
        base: ``oci:folder`` (a layout per model in it), or ``[https://|http://]host[:port][/path]``. Without a scheme,
            loopback hosts are spoken to over http and all others over https.
        env: where credentials and docker's configuration are looked for, as docker does; and
            ``PROMOTE_REGISTRY_USERNAME`` with ``PROMOTE_REGISTRY_PASSWORD``, which win.
        limits: of registries; those of this one count.
        uploads: folder in which uploads to a registry that were cut off are remembered.
        mounts: folder in which is kept which repository has which blob.

    Raises:
        InputError: ``base`` is neither.
    """
    if base.startswith("oci:"):
        folder = base.removeprefix("oci:")
        if not folder:
            raise InputError("oci: names no folder", hint="for instance oci:bundles")
        root = Path(os.path.abspath(folder))  # noqa: PTH100 - lexical: a link on the way stays as the user wrote it
        return OciRegistry(lambda name: Layout(root / name), models=lambda: layouts_in(root))
    from promote.adapters.oci.catalog import models_below
    from promote.adapters.oci.http import open_remote

    origin = parse_origin(base)
    row = limits_of(origin.host, limits)
    located = open_remote(base, env, limits=row, uploads=uploads, mounts=mounts)
    return OciRegistry(located, row, models=lambda: models_below(origin, env))


class OciRegistry:
    """See ``promote.ports.Registry``.

    Args:
        locate: the repository of a model.
        limits: what the registry takes at most, where that is known.
        models: those that it holds; by default none are known.
    """

    def __init__(
        self, locate: Callable[[str], BlobStore], limits: RegistryLimits | None = None,
        models: Callable[[], tuple[str, ...]] = tuple,
    ) -> None:  # fmt: skip
        self._locate, self._limits, self._models = locate, limits, models
        self._stores: dict[str, BlobStore] = {}

    def push(self, bundle: Bundle, step: Step, *, alone: bool = True) -> Release:
        """See ``promote.ports.Registry``."""
        packed = pack(bundle)
        stored = read_manifest(packed.manifest.data or b"", self._at(bundle.name).repository, bundle.name)
        sent, total = self._send(stored, bundle.files, packed.config, step, alone=alone)
        return Release(bundle=bundle, stored=stored, sent=sent, skipped=total - sent)

    def receive(self, stored: Stored, files: Mapping[str, str], config: bytes, step: Step) -> Received:
        """See ``promote.ports.Registry``."""
        here = read_manifest(stored.manifest, self._at(stored.name).repository, stored.name)
        blobs = {path: replace(blob, path=files[path]) for path, blob in here.files.items()}
        sent, total = self._send(here, blobs, replace(config_blob(here), data=config), step)
        return Received(stored=here, sent=sent, skipped=total - sent)

    def gather(self, children: Sequence[tuple[Kind, Stored]]) -> StoredIndex:
        """See ``promote.ports.Registry``."""
        packed, first = pack_index(children), children[0][1]
        store = self._of(first)
        index = read_variants(packed.data or b"", store.repository, first.name)
        for _, stored in children:
            if store.manifest(stored.digest) != stored.manifest:  # some registries take an index of what they have not
                raise IntegrityError(f"{stored.reference} is another manifest by now")
        tag = f"v{index.version}"
        if not names(store, tag, packed):
            publish(store, tag, packed)
        return index

    def _send(
        self, stored: Stored, files: Mapping[str, Blob], config: Blob, step: Step, *, alone: bool = True
    ) -> tuple[int, int]:
        """Sends what is not there, the manifest and its tag last; bytes sent, and bytes in all."""
        store = self._at(stored.name)
        tag = f"v{stored.version}" if alone else stored.digest
        manifest = Blob(stored.digest, len(stored.manifest), data=stored.manifest)
        there = names(store, tag, manifest)
        blobs = [*(blob for _, blob in sorted(files.items())), config]
        total = sum(blob.size for blob in blobs) + manifest.size

        def publish_it() -> None:
            if not there:
                publish(store, tag, manifest)

        sent = send(store, blobs, files, self._limits, step, total, publish_it)
        return sent + (0 if there else manifest.size), total

    def resolve(self, name: str, reference: str) -> Stored:
        """See ``promote.ports.Registry``."""
        found = self.find(name, reference)
        if isinstance(found, StoredIndex):
            labels = ", ".join(variant.kind.label for variant in found.variants)
            raise InputError(
                f"{found.reference} is an index of variants ({labels}), expected one bundle",
                hint=f"promote resolve {name}:{printable(reference)} --target NAME names the one for a host",
            )
        return found

    def find(self, name: str, reference: str) -> Stored | StoredIndex:
        """See ``promote.ports.Registry``."""
        if not DIGEST.fullmatch(reference) and not TAG.fullmatch(reference):
            raise InputError(f"{printable(reference, 60)!r} is neither a tag like v3 nor a digest sha256:...")
        store = self._at(name)
        if FALLBACK_TAG.fullmatch(reference):
            raise NotFound(
                f"{store.repository}:{reference} is a list of referrers, expected a bundle",
                hint=f"{name}@{reference.replace('-', ':')} is the bundle that they refer to",
            )
        data = store.manifest(reference)
        read = read_variants if is_index(data, f"{store.repository}:{reference}") else read_manifest
        stored = read(data, store.repository, name)
        if DIGEST.fullmatch(reference) and stored.digest != reference:
            raise IntegrityError(f"{store.repository} answered {stored.digest} when asked for {reference}")
        tag = _VERSION_TAG.fullmatch(reference)
        if tag and int(tag[1]) != stored.version:
            raise IntegrityError(
                f"{store.repository}:{reference} is version {stored.version} by its manifest",
                hint="somebody moved the tag: name the digest that was approved",
            )
        return stored

    def models(self) -> tuple[str, ...]:
        """See ``promote.ports.Registry``."""
        return self._models()

    def tags(self, name: str) -> tuple[str, ...]:
        """See ``promote.ports.Registry``."""
        found = {tag for tag in self._at(name).tags() if TAG.fullmatch(tag) and not FALLBACK_TAG.fullmatch(tag)}
        numbered = {tag: int(number[1]) for tag in found if (number := _VERSION_TAG.fullmatch(tag))}
        return (*sorted(numbered, key=lambda tag: -numbered[tag]), *sorted(found - numbered.keys()))

    def fetch(self, stored: Stored, folder: str, step: Step) -> Mapping[str, str]:
        """See ``promote.ports.Registry``; a right file that is there already is kept.

        Nothing is flushed to the disk: what a crash leaves is held to its digest when it is fetched again, and whoever places the
        files verifies and flushes them.
        """
        store = self._of(stored)
        root = Path(folder)
        total = sum(blob.size for blob in stored.files.values())
        with disk(f"make {printable(folder)}"):
            root.mkdir(parents=True, exist_ok=True)
        sweep(root)
        goals = {path: _goal(root, path) for path in stored.files}
        room(root, sum(blob.size for path, blob in stored.files.items() if size_of(goals[path]) != blob.size))
        moves = [
            Move(blob.size, _fetching(store, blob, goals[path], root, f"{stored.reference}: {path}"))
            for path, blob in stored.files.items()
        ]
        move_all(moves, step, 0, total)
        return {path: str(goal) for path, goal in goals.items()}

    def read(self, stored: Held, blob: Blob) -> bytes:
        """See ``promote.ports.Registry``."""
        if blob.size > _LARGEST_READ:
            raise IntegrityError(f"{blob.digest} has {blob.size:,} bytes, at most {_LARGEST_READ:,} are read whole")
        return b"".join(verified(self._of(stored).stream(blob), blob, f"{stored.reference}: {blob.digest}"))

    def audit(self, held: Held, step: Step) -> Audit:
        """See ``promote.ports.Registry``."""
        return audit(self._of(held), held, step)

    def attach(self, stored: Held, artifact_type: str, data: bytes, annotations: Mapping[str, str]) -> str:
        """See ``promote.ports.Registry``."""
        return attached.attach(self._of(stored), stored, artifact_type, data, annotations)

    def referrers(self, stored: Held, artifact_type: str = "") -> tuple[Referrer, ...]:
        """See ``promote.ports.Registry``."""
        return attached.listed(self._of(stored), stored, artifact_type)

    def collect(self, name: str, reference: str) -> Cargo:
        """See ``promote.ports.Origin``."""
        return carrying.collect(self._at(name), name, reference)

    def take(self, cargo: Cargo, step: Step) -> Landed:
        """See ``promote.ports.Goal``."""
        return carrying.take(cargo, self._at(cargo.name), self._limits, step)

    def lacks(self, cargo: Cargo, step: Step) -> Lacking:
        """See ``promote.ports.Place``."""
        return carrying.lacks(cargo, self._at(cargo.name), self._limits, step)

    def _at(self, name: str) -> BlobStore:
        if name not in self._stores:
            self._stores[name] = self._locate(model_name(name))
        return self._stores[name]

    def _of(self, stored: Held) -> BlobStore:
        store = self._at(stored.name)
        if store.repository != stored.repository:
            raise InputError(
                f"{stored.reference} does not lie in {store.repository}", hint="--registry names the registry to read"
            )
        return store


def _fetching(store: BlobStore, blob: Blob, goal: Path, root: Path, what: str) -> Callable[[Told], int]:
    def work(told: Told) -> int:
        if holds(goal, blob):
            return 0
        write_whole(goal, counted(verified(store.stream(blob), blob, what), told), root, lasting=False)
        return blob.size

    return work


def _goal(root: Path, path: str) -> Path:
    """Where a file of the bundle goes; its folder is made.

    Raises:
        IntegrityError: a link leads out of ``root``.
    """
    goal = root / bundle_path(path)
    with disk(f"make {printable(str(goal.parent))}"):
        if not goal.parent.resolve().is_relative_to(root.resolve()):  # before anything is made out there
            raise IntegrityError(f"{printable(str(goal.parent))} leads out of {printable(str(root))}")
        goal.parent.mkdir(parents=True, exist_ok=True)
    return goal
