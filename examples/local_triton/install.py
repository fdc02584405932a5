"""Installs what the server needs and the environment cannot hold: the tritonserver binary, and a NumPy below 2.

The binary comes in the wheel `nvidia-pytriton`, used here only as its carrier: nothing imports it and nothing of its
requirements is installed. NumPy 1.26 is put apart for the server's Python stub alone, which was built before NumPy 2
and reads arrays of NumPy 2 wrongly, without an error. It does not start the server (launch.py). A killed install
leaves nothing that could be taken for a finished one.

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

TRITON_RELEASE = "24.10"
TRITON_VERSION = "2.51.0"
CARRIER = "nvidia-pytriton==0.7.0"
NUMPY = "numpy==1.26.4"
SERVER = Path("pytriton/tritonserver/bin/tritonserver")
_RECORD = Path("nvidia_pytriton-0.7.0.dist-info/RECORD")


class CarrierError(RuntimeError):
    """Something could not be installed; the text says why and what to do."""


def install(directory: Path, *, python: Path | None = None) -> Path:
    """Gives back `directory`, holding the carrier, and NumPy for the version of `python`.

    Does nothing, and asks no network, where both are there. Raises `CarrierError` where pip fails, or where the folder
    holds something that is not ours to replace.
    """
    directory, python = directory.absolute(), python or Path(sys.executable)
    directory.parent.mkdir(parents=True, exist_ok=True)
    with _only_one(directory):
        if not is_installed(directory):
            if directory.exists() and any(directory.iterdir()):
                raise CarrierError(f"{directory} holds something else than {CARRIER}; remove it or name another folder")
            _place(f"Triton {TRITON_VERSION} ({CARRIER}, 55 MB)", CARRIER, directory, python)
            if not is_installed(directory):
                raise CarrierError(f"{CARRIER} holds no tritonserver; was another package served under that name?")
        numpy = numpy_folder(directory, _version(python))
        if not numpy.is_dir():
            _place(f"NumPy for the server's Python stub ({NUMPY}, 18 MB)", NUMPY, numpy, python)
    return directory


def is_installed(directory: Path) -> bool:
    """True for a folder that holds this version of the carrier, whoever put it there."""
    return (directory / _RECORD).is_file() and (directory / SERVER).is_file()


def numpy_folder(directory: Path, python_version: str) -> Path:
    """Where NumPy for this version of Python lies inside the carrier's folder."""
    return directory / f"numpy-py{python_version}"


def _place(what: str, requirement: str, directory: Path, python: Path) -> None:
    """Installs aside and gives the folder its name last, so that a folder of that name is a finished one."""
    _say(f"installing {what} into {directory} ...")
    part = directory.with_name(f".{directory.name}.part")
    shutil.rmtree(part, ignore_errors=True)  # of an install that was killed; the lock says that none is running
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
    command += ["--no-deps", "--only-binary", ":all:", "--target", str(part), requirement]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        shutil.rmtree(part, ignore_errors=True)
        said = "\n".join(f"  {line}" for line in done.stderr.strip().splitlines()[-8:])
        raise CarrierError(
            f"pip could not install {requirement}; it is there for Linux x86_64 and aarch64, glibc >= 2.35, "
            f"Python 3.9 to 3.12:\n{said}"
        )
    if directory.exists():
        directory.rmdir()
    part.rename(directory)


def _version(python: Path) -> str:
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    return subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True).stdout.strip()


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
