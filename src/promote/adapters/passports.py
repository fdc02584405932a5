"""Where passports lie: OCI layouts, folders of bundles or passports, single files. Found and read, never judged here.

A damaged one is told as an ``Item`` with its fault, so that one bad bundle hides no other. Not here: what a passport says
(``core.passport_facts``), nor a registry across the network (``oci.listing``).
"""

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from promote.core.layout import PASSPORT
from promote.core.manifest import LARGEST_MANIFEST, strict_json
from promote.core.names import DIGEST, printable
from promote.core.passport import sha256
from promote.errors import IntegrityError, NotFound, PromoteError

LARGEST = 16 * 1024 * 1024
_USUAL = 64 * 1024  # more than nearly every passport has
_REF_NAME = "org.opencontainers.image.ref.name"
_VERSION_TAG = re.compile(r"v[1-9][0-9]{0,9}")
_MODELS = (".onnx", ".plan", ".engine")


@dataclass(frozen=True, slots=True)
class Item:
    """Something to judge.

    Args:
        where: what to call it: a path, or a bundle's reference.
        passport: the passport's bytes, whose digest was right where one is known.
        model: path of a model file that has no passport.
        fault: why there is neither.
    """

    where: str
    passport: bytes = b""
    model: str = ""
    fault: str = ""


class _Annotations(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True)

    passport: Annotated[str, Field(alias="io.promote.passport", pattern=r"^sha256:[0-9a-f]{64}$")]


class _Manifest(BaseModel):
    """All that is asked of a manifest whose own digest was right: which passport it was pushed with."""

    model_config = ConfigDict(frozen=True, strict=True)

    annotations: _Annotations


_manifest = _Manifest.__pydantic_validator__.validate_json


def passport_digest(manifest: bytes, where: str) -> str:
    """The digest of the passport that a manifest names.

    Raises:
        IntegrityError: it names none.
    """
    try:
        digest: str = _manifest(manifest).annotations.passport
    except ValidationError as error:
        raise IntegrityError(f"{where} is not a bundle of promote: it names no passport") from error
    return digest


def find(path: str) -> Iterator[Item]:
    """Everything to judge at ``path``, in the order of names; links inside a folder are not followed.

    Args:
        path: a model file, a passport, an OCI layout, or a folder with any of these in it. Of a bundle the passport
            counts, and its model file is not read again.

    Raises:
        NotFound: nothing there.
    """
    if os.path.isdir(path):  # noqa: PTH112 - paths are text here: a hundred thousand of them
        yield from _folder(path)
    elif os.path.exists(path):  # noqa: PTH110
        yield Item(path, model=path) if not path.endswith(".json") else _passport(path, path)
    else:
        raise NotFound(
            f"{printable(path)} is not there", hint="a folder of bundles, passports or models, or one of them"
        )


def _folder(top: str) -> Iterator[Item]:
    """By hand and not by ``os.walk``, which asks the disk once more for every folder."""
    waiting = [top]
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(folder) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            yield Item(folder, fault=f"cannot read {printable(folder)}: {error.strerror}")
            continue
        names = {entry.name for entry in found}
        if {"oci-layout", "index.json"} <= names:
            yield from read_layout(folder)
            continue
        inner = [entry for entry in found if entry.is_dir(follow_symlinks=False) and not entry.name.startswith(".")]
        promoted = _promoted(folder) if "promote" in names else None
        if promoted is not None:
            yield promoted
        waiting += [entry.path for entry in reversed(inner) if promoted is None or entry.name != "promote"]
        yield from _files(found, promoted is not None)


def _promoted(folder: str) -> Item | None:
    """The passport of a bundle's version, asked for by its name: looking first costs as much as reading."""
    path = f"{folder}/{PASSPORT}"
    try:
        return Item(path, passport=_read(path, LARGEST))
    except IntegrityError as error:
        return Item(path, fault=error.message) if os.path.lexists(path) else None


def _files(entries: list["os.DirEntry[str]"], promoted: bool) -> Iterator[Item]:
    for entry in entries:
        if entry.name.endswith(".json"):
            item = _passport(entry.path, entry.path)
            if not _foreign(entry.name, item):
                yield item
        elif entry.name.endswith(_MODELS) and not promoted and entry.is_file():
            yield Item(entry.path, model=entry.path)


def _foreign(name: str, item: Item) -> bool:
    """JSON in a folder that never was a passport: a tokenizer's, say."""
    if "passport" in name or b'"promote.passport/' in item.passport:
        return False
    if item.fault:
        return True
    try:
        return json.loads(item.passport) is not None
    except (ValueError, RecursionError):
        return False


def _passport(path: str, where: str) -> Item:
    try:
        return Item(where, passport=_read(path, LARGEST))
    except PromoteError as error:
        return Item(where, fault=error.message)


def read_layout(root: str) -> Iterator[Item]:
    """The passport of every version in a layout, its bytes verified against the digests that lead to it."""
    try:
        index = strict_json(_read(f"{root}/index.json", LARGEST_MANIFEST), f"{printable(root)}/index.json")
        entries = _versions(index)
    except PromoteError as error:
        yield Item(f"oci:{root}", fault=error.message)
        return
    for tag, digest in entries:
        where = f"oci:{root}:{tag}"
        try:
            manifest = _blob(root, digest, LARGEST_MANIFEST)
            yield Item(where, passport=_blob(root, passport_digest(manifest, where), LARGEST))
        except PromoteError as error:
            yield Item(where, fault=error.message)


def _versions(index: Any) -> list[tuple[str, str]]:
    try:
        named = [(entry.get("annotations", {}).get(_REF_NAME), entry["digest"]) for entry in index["manifests"]]
        tags = [(str(tag), str(digest)) for tag, digest in named if tag and _VERSION_TAG.fullmatch(str(tag))]
        return sorted(tags, key=lambda pair: int(pair[0][1:]))
    except (TypeError, KeyError, AttributeError) as error:
        raise IntegrityError("index.json is not an index of manifests") from error


def _blob(root: str, digest: str, most: int) -> bytes:
    if not DIGEST.fullmatch(digest):
        raise IntegrityError(f"{printable(digest, 60)!r} is not a digest")
    data = _read(f"{root}/blobs/sha256/{digest[7:]}", most)
    if sha256(data) != digest:
        raise IntegrityError(f"the bytes of {digest} have the digest {sha256(data)}")
    return data


def _read(path: str, most: int) -> bytes:
    """A whole file of at most ``most`` bytes; a link is none, a pipe is empty. Three calls to the system, no more."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise IntegrityError(f"cannot read {printable(path)}: {error.strerror}") from error
    try:
        data = os.read(handle, _USUAL)
        while len(data) <= most and (more := os.read(handle, most + 1 - len(data)) if len(data) >= _USUAL else b""):
            data += more
    except OSError as error:
        raise IntegrityError(f"cannot read {printable(path)}: {error.strerror}") from error
    finally:
        os.close(handle)
    if len(data) > most:
        raise IntegrityError(f"{printable(path)} has more than {most:,} bytes")
    return data
