"""What the server needs of this machine: its platform, a shared libpython, a stub for the running Python version.

It looks and says plainly what is missing and what to do about it. It starts nothing and writes nothing; the folder
with the backends is composed by compose.py.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

MIN_GLIBC = (2, 35)
MACHINES = ("x86_64", "aarch64")
# Asked of the interpreter that shall serve, which need not be the one that runs this.
_PROBE = """
import importlib.util, json, sys, sysconfig
ask = sysconfig.get_config_var
print(json.dumps({
    "version": "%d.%d" % sys.version_info[:2],
    "folders": [ask("LIBDIR"), sys.base_prefix + "/lib", sys.base_prefix + "/lib64", ask("LIBPL")],
    "multiarch": ask("MULTIARCH"),
    "missing": [name for name in ("numpy", "onnxruntime") if importlib.util.find_spec(name) is None],
}))
"""


class CannotStart(RuntimeError):
    """The server cannot run here, or did not come up; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Carrier:
    """The unpacked wheel."""

    directory: Path

    @property
    def server(self) -> Path:
        """The server binary."""
        return self.directory / "pytriton/tritonserver/bin/tritonserver"

    @property
    def libraries(self) -> Path:
        """The shared libraries that the wheel was repaired with."""
        return self.directory / "nvidia_pytriton.libs"

    @property
    def python_backend(self) -> Path:
        """The Python backend, without the stub."""
        return self.directory / "pytriton/tritonserver/backends/python"

    def stub(self, version: str) -> Path:
        """The process that runs a model's Python, linked against one version of libpython."""
        return self.directory / "pytriton/tritonserver/python_backend_stubs" / version / "triton_python_backend_stub"


@dataclass(frozen=True, slots=True)
class Python:
    """The environment that the backend runs in: its bin folder, its version, and where its libpython lies."""

    bin: Path
    version: str
    libpython: Path


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
        raise CannotStart(
            f"no tritonserver in {directory}; run `python examples/local_triton/install.py {directory}` first"
        )
    return carrier


def check_python(python: Path, carrier: Carrier) -> Python:
    """What the backend will run on. Raises `CannotStart` naming the first thing that is missing."""
    # absolute, not resolved: a virtual environment is known by the path of its own python3, which is a link.
    folder = python.absolute().parent
    said = _probe(python)
    version = str(said["version"])
    if not carrier.stub(version).is_file():
        have = sorted((stub.parent.name for stub in carrier.stub("*").parent.parent.glob("*/*")), key=_numbers)
        raise CannotStart(f"the carrier has no stub for Python {version}, only for {', '.join(have)}; use one of these")
    # The stub starts whatever `python3` comes first on PATH to learn where the packages are.
    beside = folder / "python3"
    if not beside.exists() or _probe(beside)["version"] != version:
        raise CannotStart(
            f"{folder} holds no `python3` of version {version}, by which the server finds its packages; make a virtual "
            f"environment with `{python} -m venv .venv` and run this with .venv/bin/python"
        )
    if said["missing"]:
        raise CannotStart(
            f"{python} cannot import {' and '.join(said['missing'])}, which the backend runs on; install promote[cpu]"
        )
    return Python(folder, version, _libpython(said, version))


def _libpython(said: dict[str, list[str] | str], version: str) -> Path:
    """The folder of the shared libpython; LIBDIR first, the prefix for builds that were moved after they were made."""
    name = f"libpython{version}.so.1.0"
    folders = [Path(folder) for folder in said["folders"] if folder]
    folders += [folder / str(said["multiarch"]) for folder in folders if said["multiarch"]]
    for folder in folders:
        if (folder / name).is_file():
            return folder
    raise CannotStart(
        f"this Python {version} has no shared library {name} (looked in {', '.join(str(f) for f in folders)}); the "
        f"server's Python backend is linked against it. Debian and Ubuntu: apt-get install libpython{version}. pyenv: "
        f'PYTHON_CONFIGURE_OPTS="--enable-shared" pyenv install {version}. Or use a Python built with --enable-shared.'
    )


def _probe(python: Path) -> dict[str, list[str] | str]:
    try:
        done = subprocess.run([str(python), "-c", _PROBE], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise CannotStart(f"{python} does not run: {error}") from error
    said: dict[str, list[str] | str] = json.loads(done.stdout)
    return said


def _confstr(name: str) -> str | None:
    try:
        return os.confstr(name)
    except (ValueError, OSError):  # musl has no such name
        return None


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]
