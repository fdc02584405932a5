"""What the server needs of this machine: its platform, a shared libpython, a stub for the running Python version.

It looks, and says plainly what is missing and what to do about it. It starts nothing and writes nothing: the folders
that the server is given are composed by compose.py.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from examples.local_triton.install import SERVER, numpy_folder

MIN_GLIBC = (2, 35)
MACHINES = ("x86_64", "aarch64")
# Asked of the interpreter that shall serve, which need not be the one that runs this.
_PROBE = """
import importlib.util, json, sys, sysconfig
ask = sysconfig.get_config_var
print(json.dumps({
    "version": "%d.%d" % sys.version_info[:2],
    "executable": sys._base_executable,
    "packages": [p for p in sys.path if p.rstrip("/").endswith(("site-packages", "dist-packages"))],
    "libraries": [ask("LIBDIR"), sys.base_prefix + "/lib", sys.base_prefix + "/lib64", ask("LIBPL")],
    "multiarch": ask("MULTIARCH"),
    "onnxruntime": importlib.util.find_spec("onnxruntime") is not None,
}))
"""


class CannotStart(RuntimeError):
    """The server cannot run here, or did not come up; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Carrier:
    """The unpacked wheel, and what lies beside it."""

    directory: Path

    @property
    def server(self) -> Path:
        """The server binary."""
        return self.directory / SERVER

    @property
    def libraries(self) -> Path:
        """The shared libraries that the wheel brings along."""
        return self.directory / "nvidia_pytriton.libs"

    @property
    def python_backend(self) -> Path:
        """The Python backend, without the stub."""
        return self.directory / "pytriton/tritonserver/backends/python"

    @property
    def stubs(self) -> Path:
        """The process that runs a model's Python, once for every version of libpython."""
        return self.directory / "pytriton/tritonserver/python_backend_stubs"


@dataclass(frozen=True, slots=True)
class Python:
    """The environment that models run in."""

    version: str
    executable: Path
    """The interpreter itself, not that of a virtual environment."""
    libpython: Path
    """The folder that holds the shared libpython."""
    packages: tuple[Path, ...]
    """Where packages are imported from, in order: NumPy below 2 first."""
    stub: Path


def check_platform() -> None:
    """Raises `CannotStart` where the wheel's binary cannot run at all."""
    if not sys.platform.startswith("linux") or platform.machine() not in MACHINES:
        raise CannotStart(
            f"the Triton binary runs on Linux x86_64 and aarch64, this is {platform.system()} {platform.machine()}; "
            "use the tritonserver container there"
        )
    name, _, version = (_confstr("CS_GNU_LIBC_VERSION") or "another C library").partition(" ")
    if name != "glibc" or tuple(int(part) for part in version.split(".")[:2]) < MIN_GLIBC:
        raise CannotStart(
            f"the Triton binary needs glibc >= 2.35 (Debian 12, Ubuntu 22.04 or newer), this machine has {name} "
            f"{version}; use the tritonserver container here"
        )


def check_carrier(directory: Path) -> Carrier:
    """The carrier in `directory`. Raises `CannotStart` where it is not there."""
    carrier = Carrier(directory.absolute())
    if not carrier.server.is_file():
        raise CannotStart(f"no tritonserver in {directory}; {_install_first(directory)}")
    return carrier


def check_python(python: Path, carrier: Carrier) -> Python:
    """What models will run on. Raises `CannotStart` naming the first thing that is missing."""
    said = _probe(python)
    version = str(said["version"])
    stub = carrier.stubs / version / "triton_python_backend_stub"
    if not stub.is_file():
        have = sorted((folder.name for folder in carrier.stubs.iterdir()), key=lambda name: int(name.split(".")[1]))
        raise CannotStart(f"the carrier has no stub for Python {version}, only for {', '.join(have)}; use one of these")
    if not said["onnxruntime"]:
        raise CannotStart(f"{python} cannot import onnxruntime, which the models run on; install promote[cpu]")
    numpy = numpy_folder(carrier.directory, version)
    if not numpy.is_dir():
        raise CannotStart(
            f"no NumPy below 2 for Python {version} in {carrier.directory}, without which the server's Python stub "
            f"would read every tensor wrongly; {_install_first(carrier.directory)}"
        )
    packages = (numpy, *(Path(folder) for folder in said["packages"]))
    return Python(version, Path(said["executable"]), _libpython(said, version), packages, stub)


def _libpython(said: dict[str, Any], version: str) -> Path:
    """The folder of the shared libpython: LIBDIR first, then the prefix, for builds moved after they were made."""
    name = f"libpython{version}.so.1.0"
    folders = [Path(folder) for folder in said["libraries"] if folder]
    folders += [folder / said["multiarch"] for folder in folders if said["multiarch"]]
    for folder in folders:
        if (folder / name).is_file():
            return folder
    raise CannotStart(
        f"this Python {version} has no shared library {name} (looked in {', '.join(str(f) for f in folders)}); the "
        f"server's Python stub is linked against it. Debian and Ubuntu: apt-get install libpython{version}. pyenv: "
        f'PYTHON_CONFIGURE_OPTS="--enable-shared" pyenv install {version}. Or use a Python built with --enable-shared.'
    )


def _probe(python: Path) -> dict[str, Any]:
    try:
        done = subprocess.run([str(python), "-c", _PROBE], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise CannotStart(f"{python} does not run: {error}") from error
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def _install_first(directory: Path) -> str:
    return f"run `python examples/local_triton/install.py {directory}` first"


def _confstr(name: str) -> str | None:
    try:
        return os.confstr(name)
    except (ValueError, OSError):  # musl has no such name
        return None
