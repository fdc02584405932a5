"""A real Triton server, for the tests that need one: one for the session, or a fresh one where it shall be ended."""

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from examples.local_triton.launch import LocalTriton, start


@dataclass(frozen=True)
class Served:
    """A running server and the folder it reads models from (explicit mode: nothing is loaded at first)."""

    triton: LocalTriton
    repository: Path


@pytest.fixture(scope="session")
def triton_carrier() -> Path:
    """The folder that ``examples/local_triton/install.py`` filled."""
    folder = os.environ.get("PROMOTE_TRITON_CARRIER", "")
    if not folder:
        pytest.skip("PROMOTE_TRITON_CARRIER is not set: the folder filled by examples/local_triton/install.py")
    return Path(folder)


@pytest.fixture(scope="session")
def fresh_triton(triton_carrier: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Served]]:
    """Starts another server on a repository of its own; keyword arguments go to ``start``. All end with the session."""
    with ExitStack() as running:

        def start_one(repository: Path | None = None, **options: object) -> Served:
            folder = tmp_path_factory.mktemp("triton")
            repository = repository or folder / "models"
            repository.mkdir(exist_ok=True)
            triton = start(repository, carrier=triton_carrier, work=folder / "work", **options)
            return Served(running.enter_context(triton), repository)

        yield start_one


@pytest.fixture(scope="session")
def triton(fresh_triton: Callable[..., Served]) -> Served:
    """The session's server. Tests share it: give every model a name of its own, see ``new_name``."""
    return fresh_triton()


def new_name(stem: str = "m") -> str:
    """A model name that no other test has."""
    return f"{stem}-{uuid.uuid4().hex[:8]}"
