"""The folder that one command works in. It goes with the command; what a killed one left goes with the next.

Not here: what lies in it.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PREFIX = "work-"


@contextmanager
def work_folder(root: Path, logs_after: type[BaseException] | tuple[type[BaseException], ...] = ()) -> Iterator[Path]:
    """A folder of this process's own, locked while it is used, so that another command knows that somebody is at it.

    Args:
        root: where it is made; what killed commands left there is removed first, but for their logs.
        logs_after: after such an exception, whose message points to them, logs are left.
    """
    _sweep(root)
    begun = Path(tempfile.mkdtemp(prefix=".begun-", dir=root))
    handle = os.open(begun, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with suppress(OSError):  # some file systems have no locks; there, `_sweep` cannot lock one either
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        work = begun.rename(root / begun.name.replace(".begun-", _PREFIX))  # no other command sees it without its lock
        try:
            yield work
        except logs_after:
            _keep_logs(work)
            raise
        except BaseException:
            shutil.rmtree(work, ignore_errors=True)
            raise
        shutil.rmtree(work, ignore_errors=True)
    finally:
        os.close(handle)


def _sweep(root: Path) -> None:
    for left in root.glob(f"{_PREFIX}*"):
        with suppress(OSError):  # another command swept it, or is at it: both are well
            handle = os.open(left, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _keep_logs(left)
                left.rmdir()
            finally:
                os.close(handle)


def _keep_logs(work: Path) -> None:
    """Removes everything but the children's logs: no copy of a model is left behind."""
    for path in sorted(work.rglob("*"), reverse=True):
        if path.is_dir() and not path.is_symlink():
            with suppress(OSError):  # a log lies in it
                path.rmdir()
        elif path.suffix != ".log" or path.is_symlink():
            path.unlink(missing_ok=True)
