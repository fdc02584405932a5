"""Reads a model's directory that shall become a bundle: plain files alone, each digested; no model is opened.

What is sent later is held against these digests, so a file that changes in between is refused. Not here: what may be in it
(``core.directory``), and a folder that a bundle is pulled to (``folder``).
"""

import os
from collections.abc import Iterator
from pathlib import Path

from promote.adapters.oci.files import chunks_of, disk, size_of
from promote.adapters.oci.hashing import hashing
from promote.core.bundle_files import check_head, read_config
from promote.core.directory import Directory, directory_files
from promote.core.golden import LARGEST, split
from promote.core.layout import GOLDEN
from promote.core.model_config import LARGEST_CONFIG
from promote.core.names import printable
from promote.core.stages import Blob
from promote.errors import InputError, IntegrityError, NotFound
from promote.ports import Step

_CONFIG = "config.pbtxt"
_MOST, _DEEPEST = 10_000, 16


def read_directory(path: str, step: Step) -> Directory:
    """The one model in ``path``: a model's directory, or a model repository that holds nothing else.

    Raises:
        NotFound: no such directory.
        InputError: several models or versions, a link or device, a file that no bundle holds, or a configuration that may
            load code or is of another model.
    """
    root = _model(Path(os.path.abspath(path)))  # noqa: PTH100 - lexical: the model's name is the last part as it was typed
    sizes = dict(_walk(root, root, 0))
    if not any(file == _CONFIG for file in sizes):
        raise InputError(f"{printable(str(root))} has no {_CONFIG}", hint="name the directory of one model of Triton")
    versions = sorted(
        {int(head) for head, slash, _ in (file.partition("/") for file in sizes) if slash and _is_version(head)}
    )
    if len(versions) != 1:
        told = ", ".join(map(str, versions)) or "none"
        raise InputError(
            f"{printable(str(root))} has versions {told}, expected one", hint="a bundle is one version of a model"
        )
    name, version = root.name, versions[0]
    directory_files(name, version, [f"{name}/{file}" for file in sizes])
    files, done, total = {}, 0, sum(sizes.values())
    for file in sorted(sizes):
        files[f"{name}/{file}"] = _digested(root / file, f"{name}/{file}")
        done += sizes[file]
        step.update(done, total)
    _config(root / _CONFIG, name)
    _samples(root / str(version) / GOLDEN)
    return Directory(path=str(root), name=name, version=version, files=files)


def _model(path: Path) -> Path:
    """The model's directory: ``path``, or the only one in it where that is a model repository."""
    shown = printable(str(path))
    with disk(f"look into {shown}"):
        if not path.exists():
            raise NotFound(f"no directory {shown}", hint="promote push DIR REF; MODEL:vN takes --from")
        if path.is_symlink() or not path.is_dir():
            raise InputError(f"{shown} is no directory", hint="name the directory of one model of Triton")
        if (path / _CONFIG).exists():
            return path
        models = [child for child in path.iterdir() if (child / _CONFIG).is_file()]
        others = [child.name for child in path.iterdir() if child not in models]
    if len(models) == 1 and not others:
        return models[0]
    what = f"{len(models)} models" + (f" and {printable(min(others), 40)!r} beside" if others else "")
    raise InputError(
        f"{shown} has no {_CONFIG} and holds {what}, expected one model", hint="name the directory of one model"
    )


def _is_version(name: str) -> bool:
    return name.isascii() and name.isdecimal() and name[0] != "0"


def _walk(folder: Path, root: Path, depth: int) -> Iterator[tuple[str, int]]:
    """Path below the root, and bytes, of every file."""
    if depth > _DEEPEST:
        raise InputError(f"{printable(str(folder))} lies deeper than {_DEEPEST} folders")
    with disk(f"look into {printable(str(folder))}"), os.scandir(folder) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    if len(entries) > _MOST:
        raise InputError(f"{printable(str(folder))} holds more than {_MOST:,} files")
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(Path(entry.path), root, depth + 1)
        elif entry.is_file(follow_symlinks=False):
            yield Path(entry.path).relative_to(root).as_posix(), entry.stat(follow_symlinks=False).st_size
        else:
            kind = "a link" if entry.is_symlink() else "a device, a pipe or a socket"
            raise InputError(
                f"{printable(entry.path)} is {kind}, expected a plain file", hint="put the file itself there"
            )


def _digested(path: Path, name: str) -> Blob:
    """Its digest, and where it lies.

    Raises:
        InputError: native code, or no plain file any more.
    """
    size = first = 0
    try:
        with hashing(size_of(path)) as (update, hexdigest):
            for chunk in chunks_of(path):
                if not first:
                    check_head(name, bytes(chunk[:4]))
                    first = 1
                update(chunk)
                size += len(chunk)
            return Blob(f"sha256:{hexdigest()}", size, str(path))
    except (IntegrityError, FileNotFoundError) as error:
        raise InputError(
            f"{printable(name)}: {error}", hint="nothing was sent: nobody may change the directory meanwhile"
        ) from error


def _config(path: Path, name: str) -> None:
    text = b"".join(chunks_of(path)) if size_of(path) <= LARGEST_CONFIG else b""
    try:
        read_config(text, name)
    except IntegrityError as error:
        raise InputError(
            error.message,
            hint="promote serves the backend onnxruntime, by fields that name no other file; the name is the directory's",
        ) from error


def _samples(path: Path) -> None:
    """Passes where there are none, or some with answers."""
    if (size := size_of(path)) < 0:
        return
    try:
        if size > LARGEST:
            raise IntegrityError(f"golden samples of {size:,} bytes, the most allowed is {LARGEST:,}")
        cases = split(b"".join(chunks_of(path)))
    except IntegrityError as error:
        raise InputError(
            f"{printable(str(path))}: {error.message}", hint="promote.core.golden.join writes them"
        ) from error
    if mute := [case for case, (_, outputs) in cases.items() if not outputs]:
        raise InputError(
            f"{printable(str(path))}: case {printable(mute[0])!r} has no outputs, so no answer could be held against it"
        )
