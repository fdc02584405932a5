"""Chooses the data that verdicts rest on: the matrix and the template, the shipped ones or the settings' own."""

from __future__ import annotations

import dataclasses
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from promote.adapters.settings import Settings
from promote.core.facts import ModelFacts
from promote.core.kernels import KernelTable
from promote.core.matrix import Matrix, parse
from promote.core.placement import TABLE, CudaTable
from promote.errors import InputError, NotFound

if TYPE_CHECKING:
    from promote.core.serving import Template
    from promote.ports import Progress


@dataclasses.dataclass(frozen=True)
class Data:
    """What one command line asked for.

    Args:
        settings: of ``promote.toml`` and the environment.
        progress: how a person is told.
        registry_url: ``--registry``, else the settings'.
        allow_pickle: ``--allow-pickle``.
    """

    settings: Settings
    progress: Progress
    registry_url: str = ""
    allow_pickle: bool = False

    @property
    def registry_base(self) -> str:
        """The registry or layout of ``--registry`` or the settings; a layout's folder relative to those."""
        url = self.registry_url or self.settings.registry.url
        return f"oci:{self.settings.path(Path(url.removeprefix('oci:')))}" if url.startswith("oci:") else url

    @property
    def registry_host(self) -> str:
        """Its host, which the user and password of the environment are for; empty where it is a layout, or none."""
        from promote.adapters.oci.origin import parse_origin

        if self.registry_base.startswith("oci:"):
            return ""
        try:
            return parse_origin(self.registry_base).host
        except InputError:  # told where the registry itself is asked for
            return ""

    @cached_property
    def matrix(self) -> Matrix:
        """The shipped matrix, or the settings' own."""
        return read_matrix(self.matrix_path)

    @property
    def matrix_path(self) -> Path:
        """Where the matrix lies."""
        path = self.settings.matrix
        return self.settings.path(path) if path else shipped("compat_matrix.yaml")

    @property
    def templates(self) -> Path:
        """Where a folder lies for each kind of model."""
        folder = self.settings.templates
        return self.settings.path(folder) if folder else shipped("model_repo_templates")

    @cached_property
    def template(self) -> Template:
        """The serving settings of the ONNX Runtime backend."""
        from promote.core.serving import parse_template

        path = self.templates / "onnxruntime" / "template.yaml"
        return parse_template(read_text(path), str(path))

    def read_facts(self, path: str, source: str = "") -> ModelFacts:
        """Facts of a model file, read without running it; see ``adapters.model_file``."""
        from promote.adapters.model_file import read_facts

        return read_facts(path, source)


def shipped(name: str) -> Path:
    """A data file or folder that comes with promote: inside the wheel, or at the top of a checkout."""
    packaged = Path(str(files("promote"))) / "data" / name
    checkout = Path(__file__).resolve().parents[3] / name
    for path in (packaged, checkout):
        if path.exists():
            return path
    raise NotFound(f"{name} did not come with this installation", hint="install promote again")


def read_matrix(path: Path) -> Matrix:
    """The matrix in a file, with what each ONNX Runtime release implements, and where.

    Raises:
        InputError: it cannot be read, or is wrong; the message names the first wrong field.
    """
    kernels = KernelTable(shipped("operator_kernels.json.gz").read_bytes())
    cuda = CudaTable(shipped(TABLE).read_bytes())
    return dataclasses.replace(parse(read_text(path), str(path)), kernels=kernels, cuda=cuda)


def read_text(path: Path) -> str:
    """A file's text, which must be UTF-8.

    Raises:
        InputError: it cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read {path}: {error}") from error
