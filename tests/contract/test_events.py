"""What happened is told by a real registry and a real MLflow, by each of them alone, and by what a person types."""

from __future__ import annotations

import json
import shutil
import uuid
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from promote.adapters.oci.registry import open_registry
from promote.adapters.tracking.ledger import open_ledger
from promote.cli.main import run
from promote.core.history import served_at
from promote.core.review import APPROVED, REJECTED, NotApproved, Review
from promote.core.stages import Promotion, RunRef
from promote.errors import NotFound, Unavailable
from promote.pipeline import Order, deploy, promote_model, review_model, rollback
from promote.pipeline.recalling import recall
from tests.fakes.bundle import TOLERANCE
from tests.fakes.factory import log_run
from tests.fakes.store import FakeStore
from tests.fakes.world import GUARDED, Bench, TroubledServer, bench_of, candidate, fail
from tests.parts.registry import RealRegistry

pytestmark = [pytest.mark.mlflow, pytest.mark.registry]


@pytest.fixture
def name() -> str:
    return f"told-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def bench(registry: RealRegistry, sqlite_uri: str, name: str) -> Bench:
    """A bench whose registry and MLflow are real, without a version yet."""
    store = FakeStore()
    made = bench_of(store, TroubledServer(store), name)
    return replace(made, registry=open_registry(f"http://{registry.host}/told", {}), ledger=open_ledger(sqlite_uri))


def promote(bench: Bench, uri: str, weight: float) -> Promotion:
    """A real run, so that MLflow can make a version of it; its export is of that weight."""
    run_id = log_run(uri, {"ner": "onnx"})
    bench.runs.candidates[run_id] = candidate(run_id, weight, "ner")
    made = promote_model(Order(ref=RunRef(run_id), name=bench.name, tolerances={"fp32": TOLERANCE}), GUARDED, bench)
    assert isinstance(made, Promotion)
    return made


def decide(bench: Bench, version: int, state: str = APPROVED, reason: str = "fine") -> None:
    decision = Review(state=state, by="bob@quay", how="claimed", reason=reason)
    review_model(bench.name, f"v{version}", GUARDED, decision, bench)


def kinds(bench: Bench, **away: Any) -> list[tuple[int, str]]:
    world = replace(bench, **away)
    return [
        (row.event.version, row.event.kind.value) for row in recall(bench.name, world.registry, world.ledger).rows()
    ]


@pytest.mark.slow
def test_each_of_both_tells_the_whole_story_alone_and_who_agreed_to_what_served(
    bench: Bench, sqlite_uri: str, registry: RealRegistry, tmp_path, monkeypatch, capsys
) -> None:
    first = promote(bench, sqlite_uri, 2.0)
    assert isinstance(deploy(bench.name, "v1", GUARDED, "ada@desk", bench), NotApproved)
    assert isinstance(deploy(bench.name, "v1", GUARDED, "ada@desk", bench), NotApproved)  # said once
    decide(bench, 1, reason="the port <b>names</b>")
    assert deploy(bench.name, "v1", GUARDED, "ada@desk", bench).warnings == ()
    promote(bench, sqlite_uri, 3.0)
    decide(bench, 2)
    deploy(bench.name, "v2", GUARDED, "ada@desk", bench)
    rollback(bench.name, GUARDED, "eve@desk", bench)
    story = [
        (1, "built"), (1, "checked"), (1, "pushed"), (1, "requested"), (1, "refused"), (1, "approved"), (1, "deployed"),
        (2, "built"), (2, "checked"), (2, "pushed"), (2, "requested"), (2, "approved"), (2, "deployed"), (1, "rolled-back"),
    ]  # fmt: skip
    recalled = recall(bench.name, bench.registry, bench.ledger)
    assert [fault for version in recalled.versions for fault in version.faults(bench.name)] == []
    assert sorted(kinds(bench)) == sorted(story)
    assert [row.where for row in recalled.rows()].count("mlflow") == 1  # a rollback asks no registry
    away = fail(Unavailable("it does not answer"))
    gone = type("Gone", (), {"versions": staticmethod(away), "tags": staticmethod(away)})()
    assert sorted(kinds(bench, registry=gone)) == sorted(story)
    assert sorted(kinds(bench, ledger=gone)) == sorted(story[:-1])
    with pytest.raises(Unavailable, match="does not answer"):
        recall(bench.name, gone, gone)
    with pytest.raises(NotFound, match="nobody knows"):
        recall(f"{bench.name}-x", bench.registry, bench.ledger)
    # the next deployment brings the registry what it was not asked to take
    deploy(bench.name, "v2", GUARDED, "ada@desk", bench)
    assert (1, "rolled-back") in kinds(bench, ledger=gone)
    typed = _typed(bench, sqlite_uri, registry, tmp_path, monkeypatch, capsys)
    table = typed("history", bench.name).out
    assert [line.split()[2] for line in table.splitlines()[1:]] == [kind for _, kind in [*story, (2, "rolled-back")]]
    now = datetime.now(UTC).isoformat()
    told = typed("history", bench.name, "--target", "desk", "--at", now, "--json").out
    (served,) = json.loads(told)["served"]
    assert (served["version"], served["event"]["by"]) == (2, "ada@desk")
    (at_first,) = served_at(
        (row.event for row in recalled.rows()), "desk", datetime.fromisoformat(bench.store.record[0].since)
    )
    assert (at_first.event.bundle, at_first.approvals[0].reason) == (
        first.release.stored.digest,
        "the port <b>names</b>",
    )
    assert at_first.checked is not None
    assert at_first.checked.more["verdict"] == "compatible"
    assert at_first.event.evidence  # the approval it rests on, by digest
    before = typed("history", bench.name, "--target", "desk", "--at", "2020-01-01", code=3)
    assert "nothing of" in before.err


class Typed:
    def __init__(self, out: str, err: str) -> None:
        self.out, self.err = out, err


def _typed(bench: Bench, uri: str, registry: RealRegistry, folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)  # MLflow sets it itself
    (folder / "promote.toml").write_text(
        f'[mlflow]\ntracking_uri = "{uri}"\n[registry]\nurl = "http://{registry.host}/told"\n'
        '[targets.desk]\ndevice = "cpu"\ntriton = "24.10"\nonnxruntime = "installed"\n'
    )

    def type_(*arguments: str, code: int = 0) -> Typed:
        capsys.readouterr()
        came = run(list(arguments))
        said = capsys.readouterr()
        assert came == code, said
        return Typed(said.out, said.err)

    return type_


@pytest.mark.slow
def test_what_happens_while_both_are_away_is_told_late(bench: Bench, sqlite_uri: str) -> None:
    for version, weight in ((1, 2.0), (2, 3.0)):
        promote(bench, sqlite_uri, weight)
        decide(bench, version)
        deploy(bench.name, f"v{version}", GUARDED, "ada@desk", bench)
    alone = replace(bench, ledger=_Away(), registry=_Away())
    back = rollback(bench.name, GUARDED, "ada@desk", alone)
    assert (back.live.version, "MLflow was not told" in back.warnings[0]) == (1, True)
    assert (1, "rolled-back") not in kinds(bench)
    decide(bench, 1, REJECTED, "no")
    rollback(bench.name, GUARDED, "ada@desk", bench)
    assert [kind for _, kind in kinds(bench)].count("rolled-back") == 2


class _Away:
    def __getattr__(self, name: str):
        return fail(Unavailable("it does not answer"))


@pytest.mark.slow
def test_a_host_that_may_not_write_to_the_registry_tells_mlflow(bench: Bench, sqlite_uri: str) -> None:
    promote(bench, sqlite_uri, 2.0)
    decide(bench, 1)
    reader = _Reader(bench.registry)
    came = deploy(bench.name, "v1", GUARDED, "ada@desk", replace(bench, registry=reader))
    assert came.warnings == ()
    rows = [row for row in recall(bench.name, bench.registry, bench.ledger).rows() if row.event.kind == "deployed"]
    assert [row.where for row in rows] == ["mlflow"]


class _Reader:
    """A registry whose password may read only."""

    def __init__(self, part: Any) -> None:
        self._part = part

    def __getattr__(self, name: str) -> Any:
        from promote.errors import AuthError

        return fail(AuthError("you may not write here")) if name == "attach" else getattr(self._part, name)


@pytest.mark.slow
def test_either_record_is_rebuilt_from_the_other_when_it_is_really_deleted(
    bench: Bench, sqlite_uri: str, registry: RealRegistry, request, tmp_path, monkeypatch, capsys
) -> None:
    promote(bench, sqlite_uri, 2.0)
    promote(bench, sqlite_uri, 3.0)
    decide(bench, 1)
    deploy(bench.name, "v1", GUARDED, "ada@desk", bench)
    before = kinds(bench)
    # MLflow's database is another file, with nothing in it
    database = tmp_path / "mlflow.db"
    shutil.copyfile(request.getfixturevalue("_migrated"), database)
    uri = f"sqlite:///{database}"
    new = replace(bench, ledger=open_ledger(uri))
    typed = _typed(new, uri, registry, tmp_path, monkeypatch, capsys)
    assert "not-in-mlflow" in typed("fsck", bench.name, code=6).out
    assert "no difference" in typed("fsck", bench.name, "--repair").err
    assert kinds(new) == before
    gone = type("Gone", (), {"tags": staticmethod(fail(Unavailable("it does not answer")))})()
    assert kinds(new, registry=gone) == before
    assert new.ledger.versions(bench.name) == (2, 1)
    assert (new.ledger.review(bench.name, 1, "desk").by, new.ledger.desired("desk")[bench.name].version) == (
        "bob@quay",
        1,
    )
    # the registry forgets what refers to the bundles
    folder = registry.storage / "docker/registry/v2/repositories/told" / bench.name
    for tag in (folder / "_manifests/tags").glob("sha256-*"):
        shutil.rmtree(tag)
    assert [line.split()[2] for line in typed("fsck", bench.name, code=6).out.splitlines()[1:]] == ["events", "events"]
    assert "no difference" in typed("fsck", bench.name, "--repair").err
    assert kinds(new) == before
    # and then the bundles too: their bytes do not come from MLflow
    shutil.rmtree(folder)
    told = typed("fsck", bench.name, "--repair", "--json", code=6).out
    assert [one["kind"] for one in json.loads(told)["differences"]] == ["not-in-registry", "not-in-registry"]
    assert kinds(new) == before
