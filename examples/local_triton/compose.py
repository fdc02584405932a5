"""Composes the backend directory: the wheel's Python backend and our `onnxruntime`, side by side.

    WORK/backends/python/        libtriton_python.so, triton_python_backend_utils.py, the stub of this Python version
    WORK/backends/onnxruntime/   model.py and the modules beside it

Everything is a copy, about 3 MB: Triton follows links and refuses a library that lies outside its backend directory
("escapes backend directory"). Python's byte code lands in WORK too, not in the carrier or in this repository.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from examples.local_triton.host import Carrier

OURS = Path(__file__).absolute().parent / "backends"


def compose(work: Path, carrier: Carrier, python_version: str) -> Path:
    """The directory to give to --backend-directory. A former one is replaced."""
    directory = work / "backends"
    shutil.rmtree(directory, ignore_errors=True)
    stub = carrier.stub(python_version)
    _copy([*_files(carrier.python_backend), stub], directory / "python")
    for backend in sorted(OURS.iterdir()):
        _copy(_files(backend), directory / backend.name)
    return directory


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file())


def _copy(files: list[Path], folder: Path) -> None:
    folder.mkdir(parents=True)
    for file in files:
        shutil.copy(file, folder / file.name)  # keeps the mode: the stub must stay executable
