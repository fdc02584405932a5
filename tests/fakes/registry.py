"""The ``Registry`` port in memory, trusted because it passes ``tests/contract/test_registry.py``; and small bundles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from promote.core.facts import ModelFacts, Target
from promote.core.faults import Audit, Fault
from promote.core.layout import content
from promote.core.manifest import config_blob, pack, read_manifest
from promote.core.names import DIGEST, bundle_path, model_name
from promote.core.parity import ParityProven, Tolerance
from promote.core.passport import sha256
from promote.core.referrers import Referrer, entry_of, pack_referrer, read_index, referrers_of, with_entries
from promote.core.stages import (
    Blob,
    Bundle,
    Candidate,
    Export,
    ExportPlan,
    Held,
    Proven,
    Received,
    Release,
    Run,
    SourceModel,
    Stored,
)
from promote.core.variant_index import StoredIndex, is_index, pack_index, read_variants
from promote.core.variants import Kind
from promote.core.verdict import Compatible
from promote.errors import InputError, IntegrityError, NotFound
from promote.ports import Step


@dataclass
class FakeRegistry:
    """Blobs, manifests and tags as dictionaries; a test may change them behind the registry's back."""

    blobs: dict[str, bytes] = field(default_factory=dict)
    manifests: dict[tuple[str, str], bytes] = field(default_factory=dict)  # (name, digest or tag)
    lists: dict[tuple[str, str], bytes] = field(default_factory=dict)  # (name, digest of the subject)

    def push(self, bundle: Bundle, step: Step, *, alone: bool = True) -> Release:
        packed = pack(bundle)
        tag = (bundle.name, f"v{bundle.version}" if alone else packed.manifest.digest)
        data = packed.manifest.data or b""
        if self.manifests.get(tag, data) != data:
            raise IntegrityError(f"{tag} is another bundle", hint="version tags never move: promote the run again")
        blobs = [*bundle.files.values(), packed.config]
        total, sent, skipped = sum(b.size for b in blobs) + len(data), 0, 0
        for blob in blobs:
            if blob.digest in self.blobs:
                skipped += blob.size
            else:
                self.blobs[blob.digest] = _verified(blob, blob.data if blob.data is not None else _read(blob.path))
                sent += blob.size
            step.update(sent + skipped, total)
        sent, skipped = (sent, skipped + len(data)) if tag in self.manifests else (sent + len(data), skipped)
        self.manifests[tag] = self.manifests[bundle.name, packed.manifest.digest] = data
        step.update(total, total)
        return Release(bundle=bundle, stored=self._stored(bundle.name, data), sent=sent, skipped=skipped)

    def receive(self, stored: Stored, files: Mapping[str, str], config: bytes, step: Step) -> Received:
        here = self._stored(stored.name, stored.manifest)
        tag = (stored.name, f"v{stored.version}")
        if self.manifests.get(tag, stored.manifest) != stored.manifest:
            raise IntegrityError(f"{tag} is another bundle", hint="version tags never move: promote the run again")
        config_of = config_blob(here)
        given = {blob.digest: (blob, _read(files[path])) for path, blob in here.files.items()}
        given[config_of.digest] = (config_of, config)
        new = {digest: _verified(*pair) for digest, pair in given.items() if digest not in self.blobs}
        self.blobs |= new
        total = sum(b.size for b in here.files.values()) + config_of.size + len(stored.manifest)
        sent = sum(map(len, new.values())) + (0 if tag in self.manifests else len(stored.manifest))
        self.manifests[tag] = self.manifests[stored.name, stored.digest] = stored.manifest
        step.update(total, total)
        return Received(stored=here, sent=sent, skipped=total - sent)

    def gather(self, children: Sequence[tuple[Kind, Stored]]) -> StoredIndex:
        data = pack_index(children).data or b""
        for _, stored in children:
            if self.manifests.get((stored.name, stored.digest)) != stored.manifest:
                raise NotFound(f"no {stored.reference}")
        index = read_variants(data, f"fake/{children[0][1].name}", children[0][1].name)
        if self.manifests.get((index.name, f"v{index.version}"), data) != data:
            raise IntegrityError("another bundle", hint="version tags never move: promote the run again")
        self.manifests[index.name, f"v{index.version}"] = self.manifests[index.name, index.digest] = data
        return index

    def resolve(self, name: str, reference: str) -> Stored:
        found = self.find(name, reference)
        if isinstance(found, StoredIndex):
            raise InputError(f"{found.reference} is an index of variants")
        return found

    def find(self, name: str, reference: str) -> Stored | StoredIndex:
        if ":" in reference and not DIGEST.fullmatch(reference):
            raise InputError(f"{reference!r} is neither a tag nor a digest")
        if (model_name(name), reference) not in self.manifests:
            raise NotFound(f"no {name}:{reference}")
        data = self.manifests[name, reference]
        stored = (read_variants if is_index(data, reference) else read_manifest)(data, f"fake/{name}", name)
        if reference[1:].isdigit() and reference != f"v{stored.version}":
            raise IntegrityError(f"{name}:{reference} is version {stored.version}")
        return stored

    def models(self) -> tuple[str, ...]:
        return tuple(sorted({model for model, _ in self.manifests}))

    def tags(self, name: str) -> tuple[str, ...]:
        tags = {tag for model, tag in self.manifests if model == model_name(name) and not DIGEST.fullmatch(tag)}
        numbers = {tag for tag in tags if tag[1:].isdigit()}
        return (*sorted(numbers, key=lambda tag: -int(tag[1:])), *sorted(tags - numbers))

    def fetch(self, stored: Stored, folder: str, step: Step) -> Mapping[str, str]:
        done, total, goals = 0, sum(b.size for b in stored.files.values()), {}
        for path, blob in stored.files.items():
            goal = Path(folder, bundle_path(path))
            if not goal.is_file() or sha256(goal.read_bytes()) != blob.digest:
                data = self._read(stored, blob)
                goal.parent.mkdir(parents=True, exist_ok=True)
                goal.write_bytes(data)
            goals[path] = str(goal)
            done += blob.size
            step.update(done, total)
        return goals

    def read(self, stored: Held, blob: Blob) -> bytes:
        if blob.size > 16 * 1024 * 1024:
            raise IntegrityError(f"{blob.digest} is too large to read whole")
        return self._read(stored, blob)

    def audit(self, held: Held, step: Step) -> Audit:
        self._see(held)
        listed = held.variants if isinstance(held, StoredIndex) else ()
        bundles = [self.resolve(held.name, variant.digest) for variant in listed] or [held]
        parts = {path: blob for bundle in bundles for path, blob in bundle.files.items()}
        parts |= {f"config of {bundle.digest}": config_blob(bundle) for bundle in bundles}
        faults = []
        for path, blob in parts.items():
            try:
                _verified(blob, self.blobs[blob.digest])
            except (KeyError, IntegrityError) as error:
                faults.append(Fault(path, "is not there" if isinstance(error, KeyError) else "has other bytes"))
        size = sum(blob.size for blob in parts.values()) + len(held.manifest)
        return Audit(faults=tuple(faults), manifests=1 + len(listed), blobs=len(parts), size=size)

    def attach(self, stored: Held, artifact_type: str, data: bytes, annotations: Mapping[str, str]) -> str:
        self._see(stored)
        packed = pack_referrer(stored, artifact_type, data, annotations)
        self.blobs |= {blob.digest: blob.data or b"" for blob in packed.blobs}
        where = (stored.name, stored.digest)
        if (new := with_entries(self.lists.get(where), [entry_of(packed.manifest)], "the list")) is not None:
            self.lists[where] = new.data or b""
        return packed.manifest.digest

    def referrers(self, stored: Held, artifact_type: str = "") -> tuple[Referrer, ...]:
        self._see(stored)
        index = self.lists.get((stored.name, stored.digest))
        return referrers_of(read_index(index, "the list") if index else [], artifact_type)

    def _see(self, stored: Held) -> None:
        if stored.repository != f"fake/{stored.name}":
            raise InputError(f"{stored.reference} does not lie here")
        if (stored.name, stored.digest) not in self.manifests:
            raise NotFound(f"no {stored.reference}")

    def _read(self, stored: Held, blob: Blob) -> bytes:
        if stored.repository != f"fake/{stored.name}":
            raise InputError(f"{stored.reference} does not lie here")
        if blob.digest not in self.blobs:
            raise NotFound(f"no blob {blob.digest}")
        return _verified(blob, self.blobs[blob.digest])

    def _stored(self, name: str, data: bytes) -> Stored:
        return read_manifest(data, f"fake/{name}", name)


def _verified(blob: Blob, data: bytes) -> bytes:
    if len(data) != blob.size or sha256(data) != blob.digest:
        raise IntegrityError(f"{blob.digest} is other bytes")
    return data


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except FileNotFoundError as error:
        raise IntegrityError(f"{path} is gone") from error


class Steps:
    """A ``Step`` that remembers."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, int]] = []

    def update(self, done: int, total: int, unit: str = "bytes") -> None:
        self.seen.append((done, total))

    def say(self, text: str) -> None:
        pass


def on_disk(path: Path) -> Blob:
    """A blob that lies in a file."""
    data = path.read_bytes()
    return Blob(sha256(data), len(data), str(path))


def make_bundle(
    files: Mapping[str, Blob | bytes] | None = None, *, name: str = "ner", version: int = 1,
    tags: Mapping[str, str] | None = None, run_id: str = "4f2a", passport: bytes = b'{"schema":"promote.passport/1"}\n',
    config: bytes = b"",
) -> Bundle:  # fmt: skip
    """A bundle of these files, by path within the version directory, and what every bundle has."""
    run = Run(run_id=run_id, ended_ms=1_700_000_000_000, tags=tags or {})
    model = SourceModel(name=name, flavour="onnx", root="", files={}, entry="model.onnx", digest=sha256(b"source"))
    candidate = Candidate(run, model, ModelFacts())
    given = files if files is not None else {"model.onnx": b"weights of " + name.encode(), "labels.txt": b"O\nB-PER\n"}
    inside = {path: file if isinstance(file, Blob) else content(file) for path, file in given.items()}
    samples = content(b"golden")
    export = Export(
        candidate=candidate,
        plan=ExportPlan(opset=20, ir_version=10),
        files=inside,
        facts=ModelFacts(),
        samples=samples,
        cases=(),
    )
    proven = Proven(export, ParityProven(Tolerance(1e-4, 1e-3), ()))
    fixed = {"promote/golden.safetensors": samples, "promote/passport.json": content(passport)}
    all_files = {f"{name}/config.pbtxt": content(config or f'name: "{name}"\n'.encode())}
    all_files |= {f"{name}/{version}/{path}": blob for path, blob in {**inside, **fixed}.items()}
    return Bundle(
        verdict=Compatible(proven, "calypso", ()), target=Target(name="calypso"), name=name, version=version,
        files=dict(sorted(all_files.items())), passport=passport, created="2023-11-14T22:13:20Z",
    )  # fmt: skip
