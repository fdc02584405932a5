"""Two real Tritons that serve from one repository: a version serves when both have proven it, and status tells of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from examples.local_triton.launch import LocalTriton
from promote.adapters.model_repository import ModelRepository
from promote.adapters.triton_replicas import TritonReplicas
from promote.adapters.triton_server import TritonServer
from promote.core.stages import Deployment
from promote.core.standing import Kind
from promote.errors import DeployFailed, InputError, Unavailable
from promote.pipeline import Serving, deploy, rollback, smoke, status
from tests.contract.bench import free_endpoint
from tests.fakes.world import DESK, Bench, bench_of
from tests.parts.triton import Served, new_name

pytestmark = [pytest.mark.triton, pytest.mark.slow]


@dataclass
class Pair:
    """A target of two servers, and a model of which version 2 is live on both."""

    bench: Bench
    name: str
    tritons: tuple[LocalTriton, LocalTriton]

    @property
    def servers(self) -> tuple[TritonServer, TritonServer]:
        one, other = self.bench.server.each().values()
        return one, other

    def loaded(self) -> list[list[int]]:
        """The versions that each has ready."""
        return [
            sorted(version for version, state in server.index().get(self.name, {}).items() if state == "READY")
            for server in self.servers
        ]

    def deploy(self, version: int) -> None:
        assert isinstance(deploy(self.name, f"v{version}", DESK, "ada@desk", self.bench), Deployment)

    def row(self) -> Serving:
        return next(row for row in status(DESK, self.bench).models if row.name == self.name)


@pytest.fixture(scope="module")
def two(fresh_triton: Callable[..., Served]) -> tuple[Served, Served]:
    first = fresh_triton()
    return first, fresh_triton(first.repository)


@pytest.fixture
def pair(two: tuple[Served, Served]) -> Iterator[Pair]:
    name = new_name("pair")
    servers = {one.triton.http: TritonServer(one.triton.http, one.triton.grpc) for one in two}
    bench = bench_of(ModelRepository(two[0].repository, by="tests"), TritonReplicas(servers), name)
    made = Pair(bench, name, (two[0].triton, two[1].triton))
    for version, weight in ((1, 2.0), (2, 3.0)):
        bench.promote(weight, name=name)
        made.deploy(version)
    yield made
    for server in servers.values():
        server.unload(name)


def test_a_version_is_brought_up_and_proven_on_both_and_status_tells_of_each(pair: Pair) -> None:
    assert pair.loaded() == [[2], [2]]
    done = rollback(pair.name, DESK, "ada@desk", pair.bench)
    assert pair.loaded() == [[1], [1]]
    assert len(done.replays) == 8  # two cases, two protocols, two servers
    smoked = smoke(pair.name, DESK, pair.bench)
    assert (len(smoked.replays), smoked.faults) == (8, ())
    row = pair.row()
    assert (row.ready, row.drift) == (True, ())
    assert [one.at for one in row.replicas] == [triton.http for triton in pair.tritons]
    assert all(one.ready and one.statistics["requests"] >= 4 for one in row.replicas)
    assert row.statistics["requests"] == sum(one.statistics["requests"] for one in row.replicas)


def test_a_replica_that_answers_with_another_version_is_drift_and_the_remedy_ends_it(pair: Pair) -> None:
    store = pair.bench.store
    store.serve(pair.name, (1,))
    second = pair.servers[1]
    second.load(pair.name)  # as after a restart of one of them with what an interrupted deployment left
    second.await_ready(pair.name, 1, 30)
    store.serve(pair.name, (2,))
    row = pair.row()
    assert (row.ready, [one.ready for one in row.replicas]) == (False, [True, False])
    at = pair.tritons[1].http
    assert row.drift[0].kind == Kind.NOT_READY
    assert row.drift[0].has.startswith(f"at {at}: version 2 is live by the record and UN")  # unloading, unavailable
    assert row.drift[0].has.endswith("; version 1 answers instead")
    assert row.drift[1].kind == Kind.OTHER_VERSION
    assert row.drift[1].has.startswith(f"at {at}: version 1, which served before")
    assert not any(pair.tritons[0].http in drift.has for drift in row.drift)
    pair.deploy(2)  # the remedy
    assert pair.row().drift == ()
    assert pair.loaded() == [[2], [2]]


def test_where_one_replica_refuses_none_changes(pair: Pair) -> None:
    """The files are the same for both; the second server is made to find others, as on a mount that is damaged."""
    pair.bench.promote(4.0, name=pair.name)
    one, other = pair.servers
    real = other.load

    def refuse(name: str) -> None:
        if 3 in {int(path.name) for path in (pair.bench.store._root / name).iterdir() if path.name.isdecimal()}:
            moved = pair.bench.store._root / name / "3" / "model.onnx"
            data = moved.read_bytes()
            moved.write_bytes(b"broken")
            try:
                real(name)
            finally:
                moved.write_bytes(data)
        else:
            real(name)

    other.load = refuse  # type: ignore[method-assign]
    try:
        with pytest.raises(DeployFailed) as raised:
            pair.deploy(3)
    finally:
        other.load = real  # type: ignore[method-assign]
    assert f"at {pair.tritons[1].http}: " in raised.value.message
    assert raised.value.hint == f"{pair.name} version 2 serves as before"
    assert pair.loaded() == [[2], [2]]
    assert pair.row().drift[:1] == ()
    assert one.ready(pair.name, 2)


def test_a_replica_that_is_away_stops_a_deployment_and_status_tells_of_the_other(pair: Pair) -> None:
    closed = free_endpoint()
    first, _ = pair.servers
    pair.bench.server = TritonReplicas({pair.tritons[0].http: first, closed: TritonServer(closed, closed)})
    with pytest.raises(Unavailable, match=f"no Triton answers at {closed}"):
        pair.deploy(1)
    with pytest.raises(Unavailable, match=f"at {closed}: "):
        rollback(pair.name, DESK, "ada@desk", pair.bench)
    assert first.ready(pair.name, 2)
    row = pair.row()
    assert (row.ready, [one.ready for one in row.replicas]) == (False, [True, False])
    assert row.drift[0].kind == Kind.NOT_READY
    assert "no Triton answers" in row.drift[0].has
    pair.bench.server = TritonReplicas(
        {closed: TritonServer(closed, closed), free_endpoint(): TritonServer(closed, closed)}
    )
    with pytest.raises(Unavailable):
        pair.row()


def test_replicas_of_two_releases_are_no_target_of_one_verdict(pair: Pair) -> None:
    _, other = pair.servers
    other.require = lambda: "2.52.0"  # type: ignore[method-assign]
    with pytest.raises(InputError, match=r"of different releases of Triton: 2\.51\.0 at .*, 2\.52\.0 at "):
        pair.deploy(1)


def test_the_settings_name_them_and_promote_status_types_them_out(
    pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from promote.cli.main import run

    one, other = pair.tritons
    (tmp_path / "promote.toml").write_text(
        f'mlflow.tracking_uri = "http://127.0.0.1:9"\n[targets.desk]\ndevice = "cpu"\nreview = false\nhttp = "{one.http}"\n'
        f'grpc = "{one.grpc}"\nreplicas = [{{ http = "{other.http}", grpc = "{other.grpc}" }}]\n'
        f'model_repository = "{pair.bench.store._root}"\n'
    )
    monkeypatch.chdir(tmp_path)
    run(["status", "--target", "desk", "--fast"])
    told = capsys.readouterr().err
    for triton in pair.tritons:
        assert f"{pair.name} at {triton.http}: ready, " in told
