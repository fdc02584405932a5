"""Puts a release's report where it is read: among the run's artifacts, and as a page on this machine.

Not here: what the report says (``core``).
"""

import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

from promote.adapters.tracking.artifacts import open_folder
from promote.adapters.tracking.client import Connection
from promote.adapters.tracking.failures import told
from promote.adapters.tracking.models import get_run
from promote.core.names import bundle_path, distinct_paths
from promote.core.page import REPORT
from promote.errors import IntegrityError

_LARGEST = 64 * 1024 * 1024
_NO_NAME = re.compile(r"[^\w.-]", re.ASCII)


def log_report(connection: Connection, run_id: str, folder: str, report: Mapping[str, bytes]) -> None:
    """Writes every file of ``report`` to ``folder`` of the run's artifacts, over what is there.

    Raises:
        IntegrityError: a name is no plain relative path, or the server wants it written where it must not be.
        NotFound, AuthError, Unavailable: as the words say.
    """
    distinct_paths(list(report))
    artifacts = open_folder(connection, get_run(connection, run_id).info.artifact_uri)
    with tempfile.TemporaryDirectory(prefix="promote-report-") as temporary:
        for name, data in report.items():
            path = Path(temporary, bundle_path(name))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        with told(connection.address, f"writing the report to run {run_id}"):
            artifacts.repository.log_artifacts(temporary, folder)


def read_report(connection: Connection, run_id: str) -> bytes:
    """The run's report page as it lies there; empty where none does.

    Raises:
        IntegrityError: it is a link, or larger than a report.
        AuthError, Unavailable: as the words say.
    """
    artifacts = open_folder(connection, get_run(connection, run_id).info.artifact_uri)
    listed = next((file for file in artifacts.listing(deepest=0) if file.path == REPORT), None)
    if listed is None:
        return b""
    with tempfile.TemporaryDirectory(prefix="promote-report-") as temporary:
        blob = artifacts.fetch(listed, Path(temporary))
        if blob.size > _LARGEST:
            raise IntegrityError(f"{REPORT} of run {run_id} has {blob.size:,} bytes, which is no report")
        return Path(temporary, REPORT).read_bytes()


def link_forward(
    connection: Connection, run_id: str, name: str, version: int, reference: str, promotion_run: str
) -> None:
    """Tags the training run with what was made of it: ``promote.NAME.vN`` is the bundle's reference, ``promote.NAME.vN.run``
    the run of the promotion.
    """
    with told(connection.address, f"tagging run {run_id}"):
        connection.client.set_tag(run_id, f"promote.{name}.v{version}", reference)
        connection.client.set_tag(run_id, f"promote.{name}.v{version}.run", promotion_run)


def page_name(name: str, version: int, target: str = "") -> str:
    """Of a report on this machine; ``target`` is a further one."""
    return f"{name}-v{version}" + (f"-for-{_NO_NAME.sub('_', target)}" if target else "") + ".html"


def write_page(folder: Path | None, name: str, page: bytes | None) -> str:
    """The path of ``page`` on this machine, whole or not at all; empty where nothing is to be written."""
    if folder is None or page is None:
        return ""
    folder.mkdir(parents=True, exist_ok=True)
    goal = folder / name
    descriptor, temporary = tempfile.mkstemp(prefix=".report-", dir=folder)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(page)
            os.fchmod(file.fileno(), 0o644)
        Path(temporary).replace(goal)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return str(goal)
