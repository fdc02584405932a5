"""``promote smoke`` and ``promote bench`` against a real Triton, by the commands a user types."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from promote.adapters.model_repository import ModelRepository
from promote.adapters.triton_load import TritonLoad
from promote.adapters.triton_server import TritonServer
from promote.core.load import Cell
from promote.core.stages import Deployed
from promote.errors import Unavailable
from tests.e2e.project import PROMOTE, Project, clean
from tests.fakes.bundle import bundle, times
from tests.parts.triton import Served, new_name

pytestmark = [pytest.mark.e2e, pytest.mark.triton, pytest.mark.slow]


@pytest.fixture
def project(tmp_path: Path, triton: Served) -> Project:
    """Its target ``local`` is the session's Triton."""
    made = Project(tmp_path, f"sqlite:///{tmp_path}/none.db")
    where = f'http = "{triton.triton.http}"\ngrpc = "{triton.triton.grpc}"\nmodel_repository = "{triton.repository}"\n'
    made.write(local=where, gone='device = "cpu"\n' + where.replace(triton.triton.http, "127.0.0.1:9"))
    return made


def up(triton: Served, folder: Path, name: str, version: int, weight: float = 2.0, model: bytes | None = None) -> str:
    """Places, loads and records a version as a deployment does, but for the proof; its digest."""
    store = ModelRepository(triton.repository, by="tests")
    stored, files = bundle(folder / f"{name}-{version}", name, version, weight, model)
    store.place(stored, files)
    store.serve(name, (version,))
    server = TritonServer(triton.triton.http, triton.triton.grpc)
    server.load(name)
    server.await_ready(name, version, 30)
    store.commit(
        Deployed(
            name=name, version=version, digest=stored.digest, repository=stored.repository,
            since="2026-11-24T10:00:00Z", by="ada@dgx", state="live",
        )
    )  # fmt: skip
    return stored.digest


def test_smoke_says_version_digest_cases_difference_and_latency(project: Project, triton: Served) -> None:
    name = new_name("smoke")
    digest = up(triton, project.folder, name, 3)
    said = project("smoke", name, "--target", "local")
    assert said.last == f"oci:/bundles/{name}@{digest}"
    for part in (
        f"{name} version 3 answers as it was proven on local",
        f"digest  {digest}",
        "cases   minimum, typical; largest difference 0",
        "http    2 answers, median ",
        "grpc    2 answers, median ",
    ):
        assert part in said.err
    told = project("smoke", name, "--target", "local", "--json").json
    assert (told["version"], told["digest"], told["answers"], told["faults"]) == (3, digest, "right", [])
    assert len(told["replays"]) == 4
    assert all(0 < replay["ms"] < 60_000 for replay in told["replays"])


def test_smoke_finds_a_version_that_answers_wrongly(project: Project, triton: Served) -> None:
    """Its golden answers are those of weight 2, the model that was loaded multiplies by 5."""
    name = new_name("wrong")
    up(triton, project.folder, name, 1, model=times(5.0))
    said = project("smoke", name, "--target", "local", code=12)
    assert said.err.count("wrong: ") == 4
    assert f"hint: promote rollback {name} --target local" in said.err
    told = project("smoke", name, "--target", "local", "--json", code=12).json
    assert told["exit"] == {"code": 12, "reason": "parity, metric or policy gate failed"}
    assert told["answers"] == "wrong"


def test_smoke_of_what_is_not_there(project: Project, triton: Served) -> None:
    assert "was never deployed to local" in project("smoke", new_name(), "--target", "local", code=3).err
    assert "no Triton answers" in project("smoke", new_name(), "--target", "gone", code=5).err
    name = new_name("lost")
    up(triton, project.folder, name, 1)
    TritonServer(triton.triton.http, triton.triton.grpc).unload(name)
    assert "does not have it ready" in project("smoke", name, "--target", "local", code=5).err


def test_bench_measures_compares_draws_and_keeps(project: Project, triton: Served) -> None:
    name = new_name("bench")
    up(triton, project.folder, name, 1)
    loads = ("--batch", "1,4", "--concurrency", "1,2", "--seconds", "0.3", "--protocol", "grpc", "--protocol", "http")
    first = project("bench", name, "--target", "local", *loads, "--json").json
    assert (first["name"], first["version"], first["loop"], first["former"]) == (name, 1, "closed", None)
    assert [(m["protocol"], m["batch"], m["concurrency"]) for m in first["loads"]] == [
        (protocol, batch, clients) for protocol in ("grpc", "http") for batch in (1, 4) for clients in (1, 2)
    ]
    for made in first["loads"]:
        at = made["percentiles_ms"]
        assert 0 < at["p50"] <= at["p90"] <= at["p95"] <= at["p99"] < 5_000
        assert made["errors"] == {}
        assert made["rows_per_second"] == pytest.approx(made["answers"] * made["batch"] / made["seconds"], rel=0.01)
        # Little's law: in a closed loop, clients = requests a second x mean latency, but for what the client does between.
        assert made["answers"] / made["seconds"] * made["mean_ms"] / 1000 <= made["concurrency"] * 1.02

    up(triton, project.folder, name, 2, 3.0)
    said = project("bench", name, "--target", "local", *loads, "--out", "bench.html")
    header, *rows = said.out.splitlines()
    assert header.split()[-1] == "V1"
    assert len(rows) == 8
    assert all(row.endswith("%") and "█" in row for row in rows)
    assert "drawn in bench.html" in said.err
    page = (project.folder / "bench.html").read_text()
    assert page.count("<svg") == 2
    assert 'class="then"' in page
    assert len(list((project.folder / ".promote/bench/local" / name).glob("v*.json"))) == 2


def test_a_server_that_goes_away_under_load_is_counted_and_then_told(
    fresh_triton: Callable[..., Served], tmp_path: Path
) -> None:
    served = fresh_triton()
    up(served, tmp_path, "m", 1)
    load = TritonLoad(served.triton.http, served.triton.grpc)
    x = {"x": np.ones((1, 4), np.float32)}
    threading.Timer(1.5, served.triton.stop).start()
    made = load.measure("m", 1, x, Cell("grpc", 1, 2), 3.0)
    assert made.answers > 0
    assert made.failed > 0
    assert any("no Triton answers" in reason for reason in made.errors)
    with pytest.raises(Unavailable):
        load.measure("m", 1, x, Cell("grpc", 1, 1), 0.3)


def test_bench_of_what_is_not_right(project: Project, triton: Served) -> None:
    name = new_name("wrongbench")
    up(triton, project.folder, name, 1, model=times(5.0))
    said = project("bench", name, "--target", "local", "--seconds", "0.2", code=12)
    assert "grpc, batch 1: golden: output 'y' differs" in said.err
    for options in (
        ("--batch", "0"),
        ("--batch", "one"),
        ("--concurrency", "65"),
        ("--seconds", "0"),
        ("--out", "no/x.html"),
    ):
        project("bench", name, "--target", "local", *options, code=2)
    project("bench", new_name(), "--target", "local", code=3)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_bench_that_is_stopped_asks_no_more_and_keeps_nothing(project: Project, triton: Served, how: int) -> None:
    name = new_name("stopped")
    up(triton, project.folder, name, 1)
    command = [PROMOTE, "bench", name, "--target", "local", "--concurrency", "2", "--seconds", "120"]
    with subprocess.Popen(command, cwd=project.folder, stderr=subprocess.PIPE, text=True, env=clean()) as running:
        server = TritonServer(triton.triton.http, triton.triton.grpc)
        until = time.monotonic() + 60
        while server.statistics(name)[1]["requests"] < 50 and time.monotonic() < until:
            time.sleep(0.1)
        running.send_signal(how)
        _, said = running.communicate(timeout=30)
    assert running.returncode == 130
    assert "error: " in said
    assert "Traceback" not in said
    assert not (project.folder / ".promote/bench").exists()
    asked = server.statistics(name)[1]["requests"]
    time.sleep(0.5)
    assert server.statistics(name)[1]["requests"] == asked
