"""The child process of an export: ``python -m promote.adapters.export.child JOB.json`` in its own folder.

Reads a job, does it, writes ``<do>.result.json``; says on stdout what it is at, a line each. A failure that can be
explained is written as a result; anything else is a crash that the parent reports with the last line of the log.
"""

import errno
import json
import os
import sys
from pathlib import Path
from typing import Any

from promote.adapters.export.refusal import Refusal
from promote.core.extras import not_installed

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS)
FULL_HINT = "free some disk, or set work_dir in promote.toml"
DISK_FULL = 28  # the exit code that says so where no result can be written


def main(job_file: str) -> int:
    """Does the job named in ``job_file``; 0 when a result, good or bad, was written."""
    job: dict[str, Any] = json.loads(Path(job_file).read_text())
    try:
        if job["do"] == "export":
            from promote.adapters.export.torch_export import export

            result = export(job)
        elif job["do"] == "lower":
            from promote.adapters.export.lower import lower

            result = lower(job)
        else:
            from promote.adapters.export.runtime import run

            result = run(job)
    except Refusal as refusal:
        result = {"error": refusal.kind, "message": refusal.message, "hint": refusal.hint}
    except ModuleNotFoundError as error:
        missing = not_installed(error)
        if missing is None:
            raise
        result = {"error": "input", "message": missing.message, "hint": missing.hint}
    except OSError as error:
        if error.errno not in FULL:
            raise
        where = error.filename or Path.cwd()
        result = {
            "error": "unavailable",
            "message": f"cannot write {where}: {error.strerror}",
            "hint": FULL_HINT,
        }
    try:
        Path(f"{job['do']}.result.json").write_text(json.dumps(result))
    except OSError as error:  # the disk is so full that not even the reason fits on it
        if error.errno not in FULL:
            raise
        return DISK_FULL
    return 0


if __name__ == "__main__":
    code = main(sys.argv[1])
    sys.stdout.flush()
    os._exit(code)  # all is written: taking a large model apart again would cost a second or two
