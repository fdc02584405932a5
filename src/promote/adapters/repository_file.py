"""Facts of a Triton model repository on disk: each model's configuration, versions and files.

The folder may come from anybody: sizes and counts are capped, links are not followed, no model is opened. Not here: what
follows from the facts (``core.rules``).
"""

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from promote.core.facts import ModelFolder
from promote.core.names import printable
from promote.errors import InputError, IntegrityError, NotFound

if TYPE_CHECKING:
    from tritonclient.grpc.model_config_pb2 import ModelConfig

_CONFIG = "config.pbtxt"
_LARGEST_CONFIG = 1024 * 1024
_DEEPEST = 100  # of braces: protobuf's parser of text descends by recursion
_MOST_MODELS = 100_000
_MOST_FILES = 100_000
_RESERVED = ("warmup", "initial_state", "configs")
_VERSION = re.compile(r"0|[1-9][0-9]{0,18}")


def read_repository(path: str) -> tuple[ModelFolder, ...]:
    """The models in a repository, by name. A folder that is itself a model gives that one.

    Raises:
        NotFound: no such folder.
        InputError: it cannot be read, or holds no model.
        IntegrityError: more models or files than promote reads, or a configuration too large or no text.
    """
    root = Path(path)
    try:
        if not root.is_dir():
            raise NotFound(
                f"{printable(path)} is {'no folder' if root.exists() else 'not there'}: expected a repository"
            )
        if _is_model(root):
            return (_model(root.resolve()),)
        found = [Path(entry.path) for entry in _scan(root) if entry.is_dir(follow_symlinks=False)]
        if len(found) > _MOST_MODELS:
            raise IntegrityError(f"{printable(path)} holds {len(found):,} folders, promote reads {_MOST_MODELS:,}")
        models = tuple(_model(folder) for folder in found if _is_model(folder))
    except OSError as error:
        raise InputError(f"cannot read {printable(path)}: {error.strerror}") from error
    if not models:
        raise InputError(
            f"{printable(path)} holds no model of Triton",
            hint="a model is a folder with config.pbtxt or versions 1, 2...",
        )
    return models


def parse_config(text: str, origin: str) -> "ModelConfig":
    """``config.pbtxt`` as the message.

    Raises:
        IntegrityError: nested too deeply, or not a ``ModelConfig``; the message names the line.
    """
    from google.protobuf import text_format
    from tritonclient.grpc.model_config_pb2 import ModelConfig

    if len(text) > _LARGEST_CONFIG:
        raise IntegrityError(f"{printable(origin)} has {len(text):,} characters, promote reads {_LARGEST_CONFIG:,}")
    if _depth(text) > _DEEPEST:
        raise IntegrityError(f"{printable(origin)} is nested deeper than {_DEEPEST} levels")
    try:
        return text_format.Parse(text, ModelConfig())
    except (text_format.ParseError, ValueError, RecursionError) as error:
        raise IntegrityError(f"{printable(origin)} is no model configuration: {printable(str(error), 120)}") from error


def _depth(text: str) -> int:
    """At most so deep: brackets in strings and comments count too, which no real configuration minds."""
    depth = deepest = 0
    for character in text:
        depth += (character in "{<[") - (character in "}>]")
        deepest = max(deepest, depth)
    return deepest


def _is_model(folder: Path) -> bool:
    if (folder / _CONFIG).is_file():
        return True
    return any(entry.is_dir(follow_symlinks=False) and _VERSION.fullmatch(entry.name) for entry in _scan(folder))


def _scan(folder: Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return sorted(entries, key=lambda entry: entry.name)


def _model(folder: Path) -> ModelFolder:
    folders = [e.name for e in _scan(folder) if e.is_dir(follow_symlinks=False)]
    versions = [name for name in folders if _VERSION.fullmatch(name)]
    files: set[str] = set()
    for name in _files(folder):
        files.add(name)
        if len(files) > _MOST_FILES:
            raise IntegrityError(f"{printable(folder.name)} holds more than {_MOST_FILES:,} files")
    return ModelFolder(
        name=folder.name,
        versions=tuple(sorted(int(name) for name in versions)),
        skipped=tuple(name for name in folders if name not in versions and name not in _RESERVED),
        files=frozenset(files),
        config=_config(folder / _CONFIG),
    )


def _files(folder: Path) -> Iterator[str]:
    waiting = [folder]
    while waiting:
        for entry in _scan(waiting.pop()):
            if entry.is_dir(follow_symlinks=False):
                waiting.append(Path(entry.path))
            elif entry.is_file(follow_symlinks=False):
                yield Path(entry.path).relative_to(folder).as_posix()


def _config(file: Path) -> str | None:
    try:
        handle = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise IntegrityError(f"{printable(file.parent.name)}: {_CONFIG} cannot be read: {error.strerror}") from error
    with os.fdopen(handle, "rb") as opened:
        if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
            raise IntegrityError(f"{printable(file.parent.name)}: {_CONFIG} is no plain file")
        data = opened.read(_LARGEST_CONFIG + 1)
    if len(data) > _LARGEST_CONFIG:
        raise IntegrityError(f"{printable(file.parent.name)}: {_CONFIG} has more than {_LARGEST_CONFIG:,} bytes")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise IntegrityError(f"{printable(file.parent.name)}: {_CONFIG} is no UTF-8") from error
