"""Where passports lie on disk: folders of bundles or passports, single files. Found and read, never judged here.

A damaged one is told as an ``Item`` with its fault, so that one bad bundle hides no other. Not here: what a passport says
(``core.passport_facts``), what an OCI layout holds (``oci.passports``), nor a registry across the network (``oci.listing``).
"""

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from operator import attrgetter

from promote.adapters.whole_file import read_whole
from promote.core.layout import PASSPORT
from promote.core.names import printable
from promote.core.passport_item import LARGEST, Item
from promote.errors import IntegrityError, NotFound, PromoteError

_NAME = attrgetter("name")
_MODELS = (".onnx", ".plan", ".engine")
_VERSION = re.compile(r"[1-9][0-9]{0,9}")


@dataclass(frozen=True, slots=True)
class Share:
    """The part of a folder that one of several processes takes: every ``of``-th thing that lies right in it."""

    place: int = 0
    of: int = 1


ALL = Share()


def find(path: str, share: Share = ALL) -> Iterator[Item]:
    """Everything to judge at ``path``, in the order of names; links inside a folder are not followed.

    Args:
        path: a model file, a passport, an OCI layout, or a folder with any of these in it. Of a bundle the passport
            counts, and its model file is not read again.
        share: the part wanted; what is no folder is all in the first.

    Raises:
        NotFound: nothing there.
    """
    if os.path.isdir(path):  # noqa: PTH112 - paths are text here: a hundred thousand of them
        yield from _folder(path, share)
    elif share.place:
        return
    elif os.path.exists(path):  # noqa: PTH110
        yield Item(path, model=path) if not path.endswith(".json") else _passport(path, path)
    else:
        raise NotFound(
            f"{printable(path)} is not there", hint="a folder of bundles, passports or models, or one of them"
        )


def _folder(top: str, share: Share) -> Iterator[Item]:
    """By hand and not by ``os.walk``, which asks the disk once more for every folder."""
    waiting = [top]
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(folder) as entries:
                found = sorted(entries, key=_NAME)
        except OSError as error:
            if folder != top or not share.place:
                yield Item(folder, fault=f"cannot read {printable(folder)}: {error.strerror}")
            continue
        names = {entry.name for entry in found}
        layout = {"oci-layout", "index.json"} <= names
        if folder == top and share.of > 1:
            if (layout or "promote" in names) and share.place:  # one thing, which the first takes
                return
            found = found if layout or "promote" in names else found[share.place :: share.of]
        if layout:
            yield Item(folder, layout=folder)
            continue
        inner = [entry for entry in found if entry.is_dir(follow_symlinks=False) and not entry.name.startswith(".")]
        promoted = _promoted(folder) if "promote" in names else None
        if promoted is not None:
            yield promoted
        yield from _files(found, promoted is not None)
        left = []
        for entry in inner:
            version = _promoted(entry.path) if _VERSION.fullmatch(entry.name) else None
            if version is not None:  # a bundle's: all in its folder belongs to it, and is not looked at
                yield version
            elif promoted is None or entry.name != "promote":
                left.append(entry.path)
        waiting += reversed(left)


def _promoted(folder: str) -> Item | None:
    """The passport of a bundle's version, asked for by its name: looking first costs as much as reading."""
    path = f"{folder}/{PASSPORT}"
    try:
        return Item(path, passport=read_whole(path, LARGEST))
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
        return Item(where, passport=read_whole(path, LARGEST))
    except PromoteError as error:
        return Item(where, fault=error.message)
