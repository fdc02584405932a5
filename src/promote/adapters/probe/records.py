"""Where probes are kept: ``<work_dir>/targets/NAME.json``, written whole or not at all.

Not here: the form of a record (``core.probe_record``).
"""

import contextlib
import os
import tempfile
from pathlib import Path

from promote.core.probe_record import Probe, read_record, write_record
from promote.errors import InputError, IntegrityError

_LARGEST = 2**20


def keep(root: Path, probe: Probe) -> Path:
    """Writes the probe in place of the former one; returns the file.

    Raises:
        InputError: the folder cannot be written.
    """
    path = _path(root, probe.target)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".probe-", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(write_record(probe))
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(name).unlink()
            raise
    except OSError as error:
        raise InputError(
            f"cannot keep the probe in {path}: {error.strerror}", hint="work_dir in promote.toml"
        ) from error
    return path


def last(root: Path, target: str) -> Probe | None:
    """The target's last probe; ``None``: it never was.

    Raises:
        IntegrityError: the file is damaged.
        InputError: it cannot be read.
    """
    path = _path(root, target)
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    if len(data) > _LARGEST:
        raise IntegrityError(
            f"{path} has more than {_LARGEST:,} bytes", hint=f"promote target probe {target} measures anew"
        )
    return read_record(data, target, str(path))


def _path(root: Path, target: str) -> Path:
    return root / "targets" / f"{target}.json"
