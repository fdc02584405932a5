"""Composes what the server is given: a backend directory, and a Python environment for the models.

    WORK/backends/python/        libtriton_python.so, triton_python_backend_utils.py, the stub of this Python version
    WORK/backends/onnxruntime/   model.py and the modules beside it
    WORK/python/                 a virtual environment: NumPy below 2, then all that the caller's environment has

The backends are copies, about 3 MB: Triton follows links and refuses a library that lies outside its backend directory
("escapes backend directory"). The environment holds links and paths only. Nothing of the carrier is changed.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from examples.local_triton.host import Carrier, Python

OURS = Path(__file__).absolute().parent / "backends"


def compose_backends(work: Path, carrier: Carrier, python: Python) -> Path:
    """The directory to give to --backend-directory. A former one is replaced."""
    directory = work / "backends"
    shutil.rmtree(directory, ignore_errors=True)
    _copy([*_files(carrier.python_backend), python.stub], directory / "python")
    for backend in sorted(OURS.iterdir()):
        _copy(_files(backend), directory / backend.name)
    return directory


def compose_python(work: Path, python: Python) -> Path:
    """The bin folder to put first on PATH, by whose `python3` the stub finds its packages. A former one is replaced.

    PYTHONPATH would be shorter, but the stub starts Python in isolated mode and does not read it.
    """
    directory = work / "python"
    shutil.rmtree(directory, ignore_errors=True)
    site = directory / "lib" / f"python{python.version}" / "site-packages"
    site.mkdir(parents=True)
    home = python.executable.parent
    (directory / "pyvenv.cfg").write_text(f"home = {home}\ninclude-system-site-packages = false\n", encoding="utf-8")
    # addsitedir rather than the bare path: editable installs hang on .pth files of their own.
    lines = [f"import site; site.addsitedir({str(folder)!r})" for folder in python.packages]
    (site / "local_triton.pth").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (directory / "bin").mkdir()
    (directory / "bin" / "python3").symlink_to(python.executable)
    return directory / "bin"


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file())


def _copy(files: list[Path], folder: Path) -> None:
    folder.mkdir(parents=True)
    for file in files:
        shutil.copy(file, folder / file.name)  # keeps the mode: the stub must stay executable
