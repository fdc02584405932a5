"""Facts of a Triton model repository on disk: each model's configuration, versions and files.

The folder may come from anybody: sizes and counts are capped, folders behind links are not entered, no model is opened.
Not here: what follows from the facts (``core.rules``).
"""

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from promote.core.facts import ModelFolder
from promote.core.model_config import LARGEST_CONFIG
from promote.core.model_folder import USUAL_FILES
from promote.core.names import printable
from promote.errors import InputError, IntegrityError

_CONFIG = "config.pbtxt"
_MOST_FILES = 100_000
_MOST_VERSIONS = 1_000
_RESERVED = ("warmup", "initial_state", "configs")
_VERSION = re.compile(r"0|[1-9][0-9]{0,18}")


@dataclass(frozen=True, slots=True)
class Tree:
    """What there is to judge below a folder, in the order of names.

    Args:
        models: folders that are a model's directory for Triton.
        files: model files that lie in none of these.
    """

    models: tuple[str, ...]
    files: tuple[str, ...]


def find(path: str, suffixes: tuple[str, ...]) -> Tree:
    """Every model's directory at or below ``path``, and every file outside of them that ends like a model.

    A folder is a model's directory when it holds ``config.pbtxt``, or a version directory with a file of Triton's usual
    names. Folders behind links are not entered.

    Raises:
        InputError: a folder cannot be read.
    """
    models: list[str] = []
    files: list[str] = []
    waiting = [Path(path).as_posix()]
    while waiting:
        folder = waiting.pop()
        try:
            entries = _scan(folder)
            if _is_model(entries):
                models.append(folder)
                continue
            waiting += [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
            files += [entry.path for entry in entries if entry.name.endswith(suffixes) and entry.is_file()]
        except OSError as error:
            raise InputError(f"cannot read {printable(folder)}: {error.strerror}") from error
    return Tree(*(tuple(sorted(found.removeprefix("./") for found in kind)) for kind in (models, files)))


def read_model(path: str) -> ModelFolder:
    """One model's directory.

    Raises:
        InputError: it cannot be read.
        IntegrityError: more files or versions than promote reads, or a configuration that is too large or no plain file.
    """
    try:
        folder = Path(path).absolute()  # a link keeps its name, which is the model's
        return _model(folder.resolve() if ".." in folder.parts else folder)
    except OSError as error:
        raise InputError(f"cannot read {printable(path)}: {error.strerror}") from error


def _is_model(entries: list[os.DirEntry[str]]) -> bool:
    if any(entry.name == _CONFIG and not entry.is_dir() for entry in entries):
        return True
    versions = [e.path for e in entries if _VERSION.fullmatch(e.name) and e.is_dir(follow_symlinks=False)]
    return any(entry.name in USUAL_FILES for version in versions for entry in _scan(version))


def _scan(folder: str | Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return sorted(entries, key=lambda entry: entry.name)


def _model(folder: Path) -> ModelFolder:
    folders = [e.name for e in _scan(folder) if e.is_dir(follow_symlinks=False)]
    versions = [name for name in folders if _VERSION.fullmatch(name)]
    if len(versions) > _MOST_VERSIONS:
        raise IntegrityError(
            f"{printable(folder.name)} has {len(versions):,} versions, promote reads {_MOST_VERSIONS:,}"
        )
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
        warmup={name: (folder / name).stat().st_size for name in files if name.startswith("warmup/")},
    )


def _files(folder: Path) -> Iterator[str]:
    waiting = [folder]
    while waiting:
        for entry in _scan(waiting.pop()):
            if entry.is_dir(follow_symlinks=False):
                waiting.append(Path(entry.path))
            elif entry.is_file():
                yield Path(entry.path).relative_to(folder).as_posix()


def _config(file: Path) -> bytes | None:
    try:
        handle = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise IntegrityError(f"{printable(file.parent.name)}: {_CONFIG} cannot be read: {error.strerror}") from error
    with os.fdopen(handle, "rb") as opened:
        if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
            raise IntegrityError(f"{printable(file.parent.name)}: {_CONFIG} is no plain file")
        data = opened.read(LARGEST_CONFIG + 1)
    if len(data) > LARGEST_CONFIG:
        raise IntegrityError(f"{printable(file.parent.name)}: {_CONFIG} has more than {LARGEST_CONFIG:,} bytes")
    return data
