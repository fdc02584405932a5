"""What a mirror must hold, and where what it holds differs from the manifest. Pure.

A mirror is a copy of bundles where no registry is: a prefix of a bucket, a repository of the Hugging Face Hub. It is a
Triton model repository as it lies::

    NAME/N/...                       the files of version N
    NAME/N/promote/manifest.json     its manifest, whose digest is the bundle's name
    NAME/config.pbtxt                of the highest version there; written last

The registry stays the source of truth: nothing is deployed from a mirror, and what a mirror says of itself proves nothing.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from promote.core.layout import content
from promote.core.names import printable
from promote.core.repository_place import S3Place, s3_place
from promote.core.stages import Blob, Stored
from promote.errors import InputError

MANIFEST = "promote/manifest.json"
SCHEMES = ("s3", "hf")
_VERSION = re.compile(r"[1-9][0-9]{0,9}")
_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?"
# The Hub's own grammar of names: 96 characters at most, no -- or .., no .git at the end (huggingface_hub _validators.py).
_HUB = re.compile(rf"hf://(?P<repo>{_NAME}/{_NAME})(?:@(?P<revision>[A-Za-z0-9][A-Za-z0-9._/-]{{0,99}}))?")


@dataclass(frozen=True, slots=True)
class HubPlace:
    """A model repository of the Hugging Face Hub, ``org/name``, and one of its branches."""

    repo: str
    revision: str


Place = S3Place | HubPlace
"""Where a mirror may lie."""


def parse_mirror(text: str) -> Place:
    """The place that ``text`` names.

    Raises:
        InputError: neither ``s3://bucket/prefix`` nor ``hf://org/name[@branch]``.
    """
    if place := s3_place(text):
        return place
    if found := _HUB.fullmatch(text):
        repo, revision = found["repo"], found["revision"] or "main"
        well = not any(part in repo for part in ("--", "..")) and not repo.endswith(".git") and ".." not in revision
        if well and len(repo) <= 96:
            return HubPlace(repo, revision)
    shown = printable(re.sub(r"//[^/]*@", "//", text), 80)  # without a secret put before the host
    raise InputError(
        f"{shown!r} is no mirror: expected s3://bucket/prefix or hf://org/name[@branch]",
        hint="see docs/how-to/mirrors.md",
    )


@dataclass(frozen=True, slots=True)
class Difference:
    """Where a mirror is not what the manifest says.

    Args:
        kind: ``missing``, ``changed`` or ``extra``.
        path: in the mirror.
        has: what lies there: a digest, or a number of bytes; empty where nothing does.
        needs: what the manifest says; empty of what it does not know.
    """

    kind: str
    path: str
    has: str = ""
    needs: str = ""

    @property
    def words(self) -> str:
        """What is wrong, to be read after the path."""
        told = {"missing": f"is missing, expected {self.needs}", "changed": f"is {self.has}, expected {self.needs}"}
        return told.get(self.kind, f"is no file of the bundle ({self.has})")

    def __str__(self) -> str:
        """One line."""
        return f"{printable(self.path)} {self.words}"


def manifest_path(name: str, version: int) -> str:
    """Where a mirror keeps the manifest of a version."""
    return f"{name}/{version}/{MANIFEST}"


def config_path(name: str) -> str:
    """The one file of a model that its versions share."""
    return f"{name}/config.pbtxt"


def contents(stored: Stored) -> dict[str, Blob]:
    """Path -> blob of all that a mirror holds of the bundle, in the order to send it.

    The manifest is first: it says whose the files are that come after it. The config is last: it makes Triton look at them.
    """
    last = config_path(stored.name)
    files = {path: blob for path, blob in sorted(stored.files.items()) if path != last}
    return {manifest_path(stored.name, stored.version): content(stored.manifest)} | files | {last: stored.files[last]}


def versions_in(name: str, held: Mapping[str, int]) -> tuple[int, ...]:
    """Versions of the model whose manifest lies in the mirror, in order."""
    found = (re.fullmatch(rf"{re.escape(name)}/({_VERSION.pattern})/{re.escape(MANIFEST)}", path) for path in held)
    return tuple(sorted(int(one[1]) for one in found if one))


def by_size(stored: Stored, held: Mapping[str, int]) -> tuple[Difference, ...]:
    """What names and sizes tell.

    Args:
        stored: the bundle, as the registry tells it.
        held: path -> bytes of all that the mirror has of the model.
    """
    wanted = contents(stored)
    found = [Difference("missing", path, needs=blob.digest) for path, blob in wanted.items() if path not in held]
    found += [
        Difference("changed", path, f"{held[path]:,} bytes", f"{blob.size:,} bytes")
        for path, blob in wanted.items()
        if path in held and held[path] != blob.size
    ]
    strays = (path for path in held if path not in wanted and not _of_another(stored, path))
    found += [Difference("extra", path, f"{held[path]:,} bytes") for path in sorted(strays)]
    return tuple(found)


def by_digest(stored: Stored, digests: Mapping[str, str]) -> tuple[Difference, ...]:
    """What reading tells; of the paths in ``digests`` only."""
    wanted = contents(stored)
    return tuple(
        Difference("changed", path, digest, wanted[path].digest)
        for path, digest in sorted(digests.items())
        if digest != wanted[path].digest
    )


def _of_another(stored: Stored, path: str) -> bool:
    """A file in the folder of another version is that version's affair."""
    _, version, *rest = path.split("/")
    return bool(rest) and _VERSION.fullmatch(version) is not None and version != str(stored.version)
