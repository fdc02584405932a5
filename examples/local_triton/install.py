"""Installs the wheel that carries the tritonserver binary, into a folder of its own.

The wheel is `nvidia-pytriton`, used here only as the carrier of NVIDIA's server: nothing imports it, so nothing of its
requirements is installed (they hold NumPy below 2). It does not start the server (launch.py). A killed install leaves
nothing that could be taken for a finished one.

    python examples/local_triton/install.py DIR
"""

from __future__ import annotations

import argparse
import fcntl
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CARRIER = "nvidia-pytriton==0.7.0"
TRITON_RELEASE = "24.10"
TRITON_VERSION = "2.51.0"
SIZE_MB = 55
# Written last, inside the folder, and the folder gets its name last: either sign alone would do.
_MARKER = ".promote-carrier"


class CarrierError(RuntimeError):
    """The carrier could not be installed; the text says why and what to do."""


def install(directory: Path, *, python: Path | None = None) -> Path:
    """Gives back `directory`, holding the carrier. Does nothing, and asks no network, where it is there already.

    Raises `CarrierError` where pip fails, or where the folder holds something that is not ours to replace.
    """
    directory = directory.absolute()
    directory.parent.mkdir(parents=True, exist_ok=True)
    with _only_one(directory):
        if is_installed(directory):
            return directory
        if directory.exists() and any(directory.iterdir()):
            raise CarrierError(
                f"{directory} is not empty and was not filled by this installer; remove it or name another folder"
            )
        _say(f"installing Triton {TRITON_VERSION} ({CARRIER}, {SIZE_MB} MB) into {directory} ...")
        part = directory.with_name(f".{directory.name}.part")
        shutil.rmtree(part, ignore_errors=True)  # of an install that was killed; the lock says that none is running
        _pip_install(part, python or Path(sys.executable))
        (part / _MARKER).write_text(f"{CARRIER}\n", encoding="utf-8")
        if directory.exists():
            directory.rmdir()
        part.rename(directory)
        _say(f"installed Triton {TRITON_VERSION}")
    return directory


def is_installed(directory: Path) -> bool:
    """True for a folder that `install` finished, with this version."""
    marker = directory / _MARKER
    return marker.is_file() and marker.read_text(encoding="utf-8").strip() == CARRIER


def _pip_install(target: Path, python: Path) -> None:
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
    # No dependencies, and never a build: what is wanted is the binary in the wheel.
    command += ["--no-deps", "--only-binary", ":all:", "--target", str(target), CARRIER]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        shutil.rmtree(target, ignore_errors=True)
        said = "\n".join(f"  {line}" for line in done.stderr.strip().splitlines()[-8:])
        raise CarrierError(
            f"pip could not install {CARRIER}; it has wheels for Linux x86_64 and aarch64 with glibc >= 2.35:\n{said}"
        )
    if not (target / "pytriton/tritonserver/bin/tritonserver").is_file():
        raise CarrierError(f"{CARRIER} holds no tritonserver; was another package served under that name?")


@contextmanager
def _only_one(directory: Path) -> Iterator[None]:
    """Holds others out of the same folder: parallel test workers and two `make` runs ask at the same moment."""
    with directory.with_name(f".{directory.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> int:
    """Prints the folder on stdout; 1 and the reason on stderr where it could not be filled."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path, metavar="DIR")
    try:
        print(install(parser.parse_args().directory))
    except CarrierError as error:
        _say(f"error: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
