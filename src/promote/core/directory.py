"""A model's directory as it lay on somebody's disk, made a bundle. Pure.

No run is known, so nothing says that these bytes answer as any trained model does: the manifest and the passport say that
it comes from a directory, and a policy must allow such bundles (``core.gates``). Not here: how a directory is read
(``adapters.oci.directory``).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from promote.core.bundle_files import check_files
from promote.core.cargo import Cargo
from promote.core.facts import ModelFacts, Target
from promote.core.layout import GOLDEN, PASSPORT, content
from promote.core.manifest import DIRECTORY, pack_files, read_manifest
from promote.core.parity import DEFAULT_TOLERANCES, Tolerance
from promote.core.passport import SCHEMA, canonical, plain, sha256
from promote.core.stages import Blob
from promote.core.verdict import Compatible
from promote.errors import InputError, PromoteError


@dataclass(frozen=True, slots=True, kw_only=True)
class Directory:
    """A model repository's directory of one model, read and digested.

    Args:
        path: where it lies.
        name: of the model, which Triton takes from the directory.
        version: the only one in it.
        files: path -> blob, ``NAME/config.pbtxt`` and ``NAME/N/...``.
    """

    path: str
    name: str
    version: int
    files: Mapping[str, Blob]

    @property
    def samples(self) -> bool:
        """Whether golden samples are in it, without which nothing could be asked of a server that loaded it."""
        return f"{self.name}/{self.version}/{GOLDEN}" in self.files


def directory_files(name: str, version: int, paths: list[str]) -> None:
    """Passes where a bundle may hold these files and nothing of one is there already.

    Raises:
        InputError: a passport, or a file that no bundle holds; the message names it.
    """
    if f"{name}/{version}/{PASSPORT}" in paths:
        raise InputError(
            f"{name}/{version}/{PASSPORT} is there: this is a bundle that was pulled",
            hint="promote copy brings the bundle itself elsewhere, with its digest and what was proven of it",
        )
    try:
        check_files(name, version, paths)
    except PromoteError as error:
        raise InputError(error.message, hint=error.hint) from error


def pack_directory(found: Directory, verdict: Compatible[ModelFacts], target: Target, matrix: str) -> Cargo:
    """The bundle of a directory; the same files, verdict and target give the same bytes.

    Args:
        found: the directory.
        verdict: only a compatible one is packed.
        target: the target it was judged for.
        matrix: digest of the matrix that judged.
    """
    passport = content(_passport(found, verdict, target, matrix))
    files = dict(sorted({**found.files, f"{found.name}/{found.version}/{PASSPORT}": passport}.items()))
    ours = {"target": target.name, "verdict": verdict.word, "passport": passport.digest, "origin": DIRECTORY}
    packed = pack_files(found.name, found.version, files, ours)
    stored = read_manifest(packed.manifest.data or b"", found.path, found.name)
    blobs = {blob.digest: blob for blob in (*files.values(), packed.config)}
    return Cargo(
        repository="", name=found.name, version=found.version, root=packed.manifest,
        bundles=(replace(stored, repository=""),), blobs=blobs,
    )  # fmt: skip


def _passport(found: Directory, verdict: Compatible[ModelFacts], target: Target, matrix: str) -> bytes:
    """As ``core.passport`` writes it; what only a run could tell is empty, and ``origin`` says why."""
    nobody = {"run_id": "", "run_name": "", "experiment": "", "model": found.name, "flavour": DIRECTORY}
    files = {path: {"digest": blob.digest, "size": blob.size} for path, blob in sorted(found.files.items())}
    return canonical(
        {
            "schema": SCHEMA,
            "origin": DIRECTORY,
            "name": found.name,
            "version": found.version,
            "target": plain(target),
            "verdict": verdict.word,
            "findings": plain(verdict.findings),
            "matrix": matrix,
            "files": files,
            "facts": plain(verdict.subject),
            "declared": {},
            "plan": {"format": "onnx", "reasons": ["none: the file as it lay in a directory"], "ruled_out": []},
            "parity": {"tolerance": plain(_tolerance(verdict.subject)), "differences": []},
            "tools": {},
            "lineage": nobody | {"source_digest": sha256(canonical(files)), "params": {}, "metrics": {}, "tags": {}},
        }
    )


def _tolerance(facts: ModelFacts) -> Tolerance:
    """By which a server's answers to the golden samples are held against them: that of the model's coarsest floats."""
    types = set(facts.dtypes.value) if facts.dtypes else set()
    coarse = {"BFLOAT16": "bf16", "FLOAT16": "fp16"}
    return DEFAULT_TOLERANCES[next((word for name, word in coarse.items() if name in types), "fp32")]
