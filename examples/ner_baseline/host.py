"""What a reviewer wants to know of the machine that trained: ``absent`` where there is none, never left out."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path

ABSENT = "absent"


def host_facts() -> dict[str, str]:
    """Tag name -> value: architecture, GPU, compute capability, driver, CUDA, torch, Python."""
    import torch

    gpu = torch.cuda.is_available()
    major, minor = torch.cuda.get_device_capability() if gpu else (0, 0)
    return {
        "host.arch": platform.machine(),
        "host.os": platform.platform(),
        "host.python": platform.python_version(),
        "host.torch": torch.__version__,
        "host.gpu": torch.cuda.get_device_name() if gpu else ABSENT,
        "host.compute_capability": f"{major}.{minor}" if gpu else ABSENT,
        "host.cuda": torch.version.cuda or ABSENT,
        "host.driver": _ask("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"),
    }


def git_commit() -> str:
    """The commit of this checkout, ``-dirty`` where it was changed; ``absent`` outside git."""
    here = str(Path(__file__).resolve().parent)
    commit = _ask("git", "-C", here, "rev-parse", "HEAD")
    dirty = _ask("git", "-C", here, "status", "--porcelain", "--untracked-files=no")
    return commit if commit == ABSENT or dirty == ABSENT else f"{commit}-dirty"


def _ask(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return ABSENT
    lines = done.stdout.strip().splitlines()
    return lines[0] if lines else ABSENT
