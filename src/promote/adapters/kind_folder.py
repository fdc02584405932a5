"""Writes models' directories into a folder: all of them or none, and never over what is there.

Not here: what is in them (``core.kind_configs``, and the template's own files).
"""

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from promote.core.names import bundle_path, printable
from promote.errors import InputError, Unavailable


def write_models(out: Path, files: Mapping[str, bytes | Path]) -> tuple[Path, ...]:
    """The directories that were written, sorted.

    Args:
        out: made where it is missing.
        files: ``NAME/...`` -> bytes, or the file to copy.

    Raises:
        InputError: one of the directories is there already, or ``out`` is no folder.
        Unavailable: the disk says no; nothing is left behind.
        IntegrityError: a path that is not plain.
    """
    names = sorted({bundle_path(path).partition("/")[0] for path in files})
    there = [name for name in names if (out / name).exists()]
    if there or (out.exists() and not out.is_dir()):
        raise InputError(
            f"{printable(str(out / there[0] if there else out))} is there already",
            hint="name another folder with --out, or move it away: nothing is written over",
        )
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".promote-", dir=out, ignore_cleanup_errors=True) as part:
            for path, content in files.items():
                goal = Path(part) / path
                goal.parent.mkdir(parents=True, exist_ok=True)
                if isinstance(content, bytes):
                    goal.write_bytes(content)
                else:
                    shutil.copyfile(content, goal)
            for name in names:
                os.rename(Path(part) / name, out / name)  # noqa: PTH104 - of a folder, onto no other
    except OSError as error:
        raise Unavailable(f"cannot write {printable(str(out))}: {error.strerror}") from error
    return tuple(out / name for name in names)


def template_files(folder: Path) -> dict[str, Path]:
    """The files of a template's folder by name, but for its settings; folders in it are left out.

    Raises:
        InputError: it cannot be read.
    """
    try:
        return {p.name: p for p in sorted(folder.iterdir()) if p.is_file() and p.name != "template.yaml"}
    except OSError as error:
        raise InputError(f"cannot read {printable(str(folder))}: {error.strerror}") from error
