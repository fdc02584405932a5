"""A real PostgreSQL, Debian's: on loopback, with a data directory of its own, run by a user who is not root."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.parts.registry import free_port

USER, PASSWORD = "mlflow", "canary-postgres-81c4"
_DEBIAN = Path("/usr/lib/postgresql")


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """Address of an empty database ``mlflow``, with a password, as MLflow takes it."""
    binaries = _binaries()
    if binaries is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    pytest.importorskip("psycopg2", reason="psycopg2 is not installed: pip install psycopg2-binary")
    # Not below pytest's own folder: that is root's alone where root runs the tests, and PostgreSQL does not run as root.
    folder = Path(tempfile.mkdtemp(prefix="promote-postgres-"))
    try:
        with _running(binaries, folder) as address:
            yield address
    finally:
        shutil.rmtree(folder)


@contextmanager
def _running(binaries: Path, folder: Path) -> Iterator[str]:
    owner = _owner()
    (folder / "password").write_text(PASSWORD)
    for path in (folder, folder / "password"):
        os.chown(path, owner.pw_uid, owner.pw_gid)
    data, port = folder / "data", free_port()
    _run(
        [binaries / "initdb", "-D", data, "-U", USER, "--auth=scram-sha-256", "--pwfile", folder / "password",
         "--no-sync", "--encoding=UTF8", "--locale=C"],
        owner, folder,
    )  # fmt: skip
    command = [binaries / "postgres", "-D", data, "-h", "127.0.0.1", "-p", str(port), "-k", folder, "-c", "fsync=off"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, **_as(owner))
    try:
        _made(port, process, folder / "log")
        yield f"postgresql+psycopg2://{USER}:{PASSWORD}@127.0.0.1:{port}/mlflow"
    finally:
        process.send_signal(signal.SIGINT)  # "fast": who is connected is sent away
        process.wait(30)


def _made(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    """Waits until it answers, and makes the database."""
    import psycopg2

    for _ in range(300):
        if process.poll() is not None:
            break
        try:
            link = psycopg2.connect(host="127.0.0.1", port=port, user=USER, password=PASSWORD, dbname="postgres")
        except psycopg2.OperationalError:
            time.sleep(0.1)
            continue
        link.autocommit = True
        link.cursor().execute("CREATE DATABASE mlflow")
        link.close()
        return
    pytest.fail(f"PostgreSQL does not start: {log.read_text()[-800:]}")


def _binaries() -> Path | None:
    """Debian keeps the servers of each release apart, and off PATH."""
    found = sorted(_DEBIAN.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    elsewhere = shutil.which("initdb")
    return found[-1].parent if found else Path(elsewhere).parent if elsewhere else None


def _owner() -> pwd.struct_passwd:
    """Who runs it: whoever runs the tests, or the package's own user where that is root."""
    return pwd.getpwuid(os.getuid()) if os.getuid() else pwd.getpwnam("postgres")


def _as(owner: pwd.struct_passwd) -> dict[str, object]:
    return {} if os.getuid() else {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}


def _run(command: Sequence[str | Path], owner: pwd.struct_passwd, cwd: Path) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, **_as(owner))
    assert done.returncode == 0, done.stderr[-800:]
