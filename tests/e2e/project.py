"""A user's folder: promote.toml, MLflow on SQLite, an OCI layout, a model repository; and the commands typed in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROMOTE = Path(sys.executable).parent / "promote"


@dataclass(frozen=True)
class Typed:
    """What a command came to."""

    code: int
    out: str
    err: str

    @property
    def last(self) -> str:
        """The last line of stdout."""
        return self.out.splitlines()[-1]

    @property
    def json(self) -> Any:
        """stdout, which is one JSON object."""
        return json.loads(self.out)


@dataclass(frozen=True)
class Project:
    """The folder.

    Args:
        folder: where commands are typed.
        uri: MLflow's tracking URI.
    """

    folder: Path
    uri: str

    def write(self, **targets: str) -> None:
        """promote.toml with the given targets' lines."""
        tables = "".join(f"\n[targets.{name}]\n{lines}\n" for name, lines in targets.items())
        (self.folder / "promote.toml").write_text(f'[mlflow]\ntracking_uri = "{self.uri}"\n{tables}')

    def __call__(
        self, *arguments: str, code: int | None = 0, env: Mapping[str, str] | None = None, failed: bool = True
    ) -> Typed:
        """Types ``promote ...``; the exit code must be ``code`` where one is named, and nothing may look like a traceback.

        ``failed``: a code of an error comes with one; otherwise it is that of an answer.
        """
        done = subprocess.run(
            [PROMOTE, *arguments],
            cwd=self.folder,
            capture_output=True,
            text=True,
            env=clean(env),
            timeout=200,
            check=False,
        )
        typed = Typed(done.returncode, done.stdout, done.stderr)
        told = f"$ promote {' '.join(arguments)}\n{typed.out}\n{typed.err}"
        assert code in (None, typed.code), told
        assert "Traceback" not in typed.err, told
        if failed and code not in (
            None,
            0,
            10,
            11,
            12,
            13,
            14,
        ):  # an error is one line, a blank one and a hint, after the progress
            lines = typed.err.splitlines()
            at = next((i for i, line in enumerate(lines) if line.startswith("error: ")), None)
            assert at is not None, told
            assert lines[at + 1 : at + 2] == [""], told
            assert lines[at + 2].startswith("hint: "), told
            assert len(lines) == at + 3, told
        return typed

    def tree(self) -> dict[str, int]:
        """Every file a user would miss or wonder about, with its size."""
        kept = (p for p in self.folder.rglob("*") if p.is_file() and p.name != "mlflow.db")
        return {str(p.relative_to(self.folder)): p.stat().st_size for p in kept}


def clean(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a new shell: no settings of promote's or MLflow's, no terminal."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PROMOTE_", "MLFLOW_", "AWS_", "DOCKER_"))}
    return kept | {"MLFLOW_DISABLE_TELEMETRY": "true", "NO_COLOR": "1", "COLUMNS": "120"} | dict(more or {})
