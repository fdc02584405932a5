"""The ``Runs`` port: an MLflow run becomes a candidate, its model's files fetched into a private folder and digested.

Not here: exporting or loading the model (``adapters.export``).
"""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from promote.adapters.tracking.artifacts import Folder, open_folder
from promote.adapters.tracking.client import Connection, connect
from promote.adapters.tracking.failures import told
from promote.adapters.tracking.flavours import example_path, read_flavour, read_mlmodel
from promote.adapters.tracking.models import choose, get_run
from promote.core.names import printable
from promote.core.passport import canonical, sha256
from promote.core.stages import Candidate, Run, RunRef, SourceModel
from promote.errors import InputError, IntegrityError
from promote.ports import Runs, Step

_LABELS = "labels.txt"
_LARGEST_TEXT = 1 << 20
_LARGEST_EXAMPLE = 16 << 20
_PLAIN_EXAMPLE = "promote_input_example.json"
# The words of MLflow's serving format around an input example.
_ENVELOPE = {"inputs", "params"}


def open_runs(uri: str, work: Path, *, allow_pickle: bool) -> Runs:
    """Runs of the tracking server at ``uri``, fetched into ``work``; nothing is asked of it before ``find``."""
    return MlflowRuns(uri, work, allow_pickle)


@dataclass(frozen=True, slots=True)
class MlflowRuns:
    """See ``promote.ports.Runs``.

    Args:
        uri: of the tracking server.
        work: a folder of this promotion's own.
        allow_pickle: a model that only a pickle holds may be promoted.
    """

    uri: str
    work: Path
    allow_pickle: bool = False

    def find(self, ref: RunRef, step: Step) -> Candidate:
        """See ``promote.ports.Runs``."""
        connection = connect(self.uri)
        run = get_run(connection, ref.run_id)
        _require_finished(run)
        logged = choose(connection, run, ref.model)
        root = self._private("source")
        folder = open_folder(connection, logged.location)
        files = folder.fetch_all(folder.listing(), root, step)
        mlmodel = read_mlmodel(files)
        flavour = read_flavour(mlmodel, files, allow_pickle=self.allow_pickle)
        example = example_path(mlmodel, files)
        model = SourceModel(
            name=logged.name,
            flavour=flavour.flavour,
            root=str(root),
            files=files,
            entry=flavour.entry,
            digest=sha256(canonical({path: blob.digest for path, blob in files.items()})),
            task=flavour.task,
            pickled=flavour.pickled,
            example=_plain_example(root, example) if example else "",
            labels=self._labels(open_folder(connection, run.info.artifact_uri)) or flavour.labels,
        )
        return Candidate(_run(connection, run), model, flavour.facts)

    def _private(self, name: str) -> Path:
        """An empty folder that no other user reads."""
        folder = self.work / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700, parents=True)
        return folder

    def _labels(self, artifacts: Folder) -> tuple[str, ...]:
        """The run's ``labels.txt``, one name a line in id order."""
        there = [file for file in artifacts.listing(deepest=0) if file.path == _LABELS]
        if not there:
            return ()
        if (there[0].size or 0) > _LARGEST_TEXT:
            raise IntegrityError(
                f"{_LABELS} of the run has {there[0].size:,} bytes, expected at most {_LARGEST_TEXT:,}"
            )
        blob = artifacts.fetch(there[0], self._private("labels"))
        try:
            lines = Path(blob.path).read_text(encoding="utf-8").rstrip("\r\n").splitlines()
        except UnicodeDecodeError:
            raise IntegrityError(f"{_LABELS} of the run is not UTF-8 text") from None
        if any(not line.strip() or printable(line) != line for line in lines):
            raise IntegrityError(f"{_LABELS} of the run has an empty or unprintable line, so ids would shift")
        return tuple(lines)


def _require_finished(run: Any) -> None:
    if run.info.status != "FINISHED":
        raise InputError(
            f"run {run.info.run_id} is {run.info.status}, expected FINISHED",
            hint="wait for its end"
            if run.info.status in ("RUNNING", "SCHEDULED")
            else "train again, or take another run",
        )


def _run(connection: Connection, run: Any) -> Run:
    with told(connection.address, f"reading experiment {run.info.experiment_id}"):
        experiment = connection.client.get_experiment(run.info.experiment_id)
    tags = dict(run.data.tags)
    return Run(
        run_id=run.info.run_id,
        name=run.info.run_name or "",
        experiment=experiment.name,
        experiment_id=run.info.experiment_id,
        tracking_uri=connection.address.shown,
        user=run.info.user_id or tags.get("mlflow.user", ""),
        ended_ms=run.info.end_time or 0,
        params=dict(run.data.params),
        metrics=dict(run.data.metrics),
        tags=tags,
    )


def _plain_example(root: Path, path: str) -> str:
    """The input example as the exporter reads it: MLflow's serving envelope taken off; the fetched file stays as it is."""
    source = root / path
    if source.stat().st_size > _LARGEST_EXAMPLE:
        raise InputError(
            f"the input example {path} is larger than {_LARGEST_EXAMPLE >> 20} MiB", hint="log a smaller one"
        )
    try:
        given = json.loads(source.read_bytes())
    except (ValueError, RecursionError):
        raise IntegrityError(f"the input example {path} is not JSON") from None
    if not isinstance(given, dict) or "inputs" not in given or not set(given) <= _ENVELOPE:
        return path
    plain = root / _PLAIN_EXAMPLE
    if plain.exists():
        raise IntegrityError(f"the model holds a file {_PLAIN_EXAMPLE}, a name that promote keeps for itself")
    plain.write_text(json.dumps(given["inputs"]))
    return _PLAIN_EXAMPLE
