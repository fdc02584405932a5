"""Which models a run has: MLflow 3's logged models, else the model folders among its artifacts.

Not here: what a model's files are (``flavours``), nor fetching them (``artifacts``).
"""

import re
from dataclasses import dataclass
from typing import Any

from promote.adapters.tracking.artifacts import open_folder
from promote.adapters.tracking.client import Connection
from promote.adapters.tracking.failures import told
from promote.core.names import printable
from promote.errors import InputError, NotFound

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_OWN = "promote/"  # where ``ledger`` puts its reports
_LOG_HINT = "log one: mlflow.transformers.log_model(pipeline, name=...), or mlflow.onnx or mlflow.pytorch"


@dataclass(frozen=True, slots=True)
class Logged:
    """A model of a run.

    Args:
        name: its name within the run.
        location: URI of its folder.
        source: what a model version is made from: ``models:/m-...`` or ``runs:/...``.
        model_id: MLflow's, or empty where the model is a folder of the run.
    """

    name: str
    location: str
    source: str
    model_id: str = ""


def get_run(connection: Connection, run_id: str) -> Any:
    """MLflow's run.

    Raises:
        InputError: no run id.
        NotFound: no such run.
    """
    if not _RUN_ID.fullmatch(run_id):
        raise InputError(
            f"{printable(run_id, 80)!r} is no run id: expected letters and digits",
            hint="the id stands on the run's page in MLflow, under Run ID",
        )
    missing = f"run {run_id!r} is not in {connection.address.shown}"
    with told(connection.address, f"reading run {run_id}", missing):
        return connection.client.get_run(run_id)


def choose(connection: Connection, run: Any, name: str) -> Logged:
    """The model of ``run`` that is called ``name``, or its only one.

    Raises:
        NotFound: it has none, or none of that name.
        InputError: it has several and ``name`` is empty.
    """
    run_id = run.info.run_id
    models = _logged(connection, run) or _folders(connection, run)
    if not models:
        raise NotFound(f"run {run_id} has no model", hint=_LOG_HINT)
    names = ", ".join(sorted({printable(model.name, 60) for model in models}))
    # Logging a model again under its name makes a second one; the last is the run's.
    chosen = [model for model in models if model.name == name] if name else models
    if not chosen:
        raise NotFound(f"run {run_id} has no model {printable(name, 60)!r}", hint=f"it has: {names}")
    if len({model.name for model in chosen}) > 1:
        raise InputError(f"run {run_id} has several models: {names}", hint=f"choose one: --model {chosen[0].name}")
    return chosen[-1]


def _logged(connection: Connection, run: Any) -> list[Logged]:
    """MLflow 3's logged models, oldest first."""
    outputs = getattr(run.outputs, "model_outputs", None) or []
    found = []
    for output in outputs:
        with told(connection.address, f"reading model {printable(output.model_id, 80)}"):
            model = connection.client.get_logged_model(output.model_id)
        if str(model.status) == "READY":
            logged = Logged(model.name, model.artifact_location, f"models:/{model.model_id}", model.model_id)
            found.append((model.creation_timestamp, logged))
    return [logged for _, logged in sorted(found, key=lambda pair: pair[0])]


def _folders(connection: Connection, run: Any) -> list[Logged]:
    """Folders of the run's artifacts that hold an ``MLmodel``, as MLflow 2 logged them."""
    listing = open_folder(connection, run.info.artifact_uri).listing(deepest=2)
    folders = [file.path.removesuffix("/MLmodel") for file in listing if file.path.endswith("/MLmodel")]
    base = run.info.artifact_uri.rstrip("/")
    return [
        Logged(folder, f"{base}/{folder}", f"runs:/{run.info.run_id}/{folder}")
        for folder in folders
        if not folder.startswith(_OWN)
    ]
