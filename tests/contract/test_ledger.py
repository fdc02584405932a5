"""The ``Ledger`` port: one suite over the fake, a SQLite store, and real MLflow servers, on SQLite and on PostgreSQL with S3."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from promote.adapters.tracking.ledger import open_ledger
from promote.core.facts import ModelFacts, Target
from promote.core.load import Cell, Figures, Measured
from promote.core.parity import OutputDifference, ParityProven, Tolerance
from promote.core.promotion_run import Compared
from promote.core.review import Review
from promote.core.stages import Candidate, Proven, Release, Run, SourceModel
from promote.core.standing import Desired
from promote.errors import InputError, IntegrityError, NotFound, Unavailable
from promote.ports import Ledger
from tests.fakes.factory import log_run
from tests.fakes.registry import FakeRegistry, Steps, make_bundle
from tests.fakes.tracking import FakeLedger

REPORT = {"report.html": b"<p>fine</p>", "passport.json": b"{}", "description.md": b"**ner** for calypso"}


@dataclass
class Part:
    """A ledger under test.

    Args:
        open: a new client of it.
        run_id: a run it knows, with one model ``ner``.
        uri: where MLflow is; empty for the fake.
    """

    open: Callable[[], Ledger]
    run_id: str
    uri: str = ""

    def candidate(self) -> Candidate:
        model = SourceModel(
            name="ner", flavour="onnx", root="", files={}, entry="model.onnx", digest="sha256:" + "0" * 64
        )
        return Candidate(Run(run_id=self.run_id), model, ModelFacts())

    def release(
        self, name: str, version: int, *, target: str = "calypso", review: bool = True, data: bytes = b"w"
    ) -> Release:
        bundle = make_bundle({"model.onnx": data}, name=name, version=version, run_id=self.run_id)
        bundle = replace(bundle, target=Target(name=target, review=review))
        return FakeRegistry().push(bundle, Steps())

    def recorded(self, name: str, data: bytes = b"w") -> tuple[int, Release]:
        version = self.open().reserve(name, "id1", self.candidate())
        release = self.release(name, version, data=data)
        self.open().record(release, "id1", REPORT)
        return version, release


@pytest.fixture(scope="module")
def runs_by_store() -> dict[str, str]:
    return {}


STORES = {"sqlite": "sqlite_uri", "http": "mlflow_server", "postgres": "postgres_server"}
REAL = [
    pytest.param(store, marks=[pytest.mark.mlflow, *([pytest.mark.slow] if store == "postgres" else [])])
    for store in STORES
]


@pytest.fixture(params=["fake", *REAL])
def part(request: pytest.FixtureRequest, runs_by_store: dict[str, str]) -> Part:
    if request.param == "fake":
        fake = FakeLedger()
        return Part(lambda: fake, "4f2a")
    return _real(request, runs_by_store)


@pytest.fixture(params=REAL)
def real(request: pytest.FixtureRequest, runs_by_store: dict[str, str]) -> Part:
    """Where a test looks into MLflow itself, beside the port."""
    return _real(request, runs_by_store)


def _real(request: pytest.FixtureRequest, runs_by_store: dict[str, str]) -> Part:
    uri = request.getfixturevalue(STORES[request.param])
    if uri not in runs_by_store:
        runs_by_store[uri] = log_run(uri, {"ner": "onnx"})
    return Part(lambda: open_ledger(uri), runs_by_store[uri], uri)


@pytest.fixture
def name() -> str:
    return f"ner-{uuid.uuid4().hex[:8]}"


def test_the_first_version_is_one_and_asking_writes_nothing(part, name):
    assert part.open().next_version(name, "id1") == 1
    assert part.open().next_version(name, "id1") == 1
    assert part.open().reserve(name, "id1", part.candidate()) == 1


def test_the_same_promotion_gets_its_version_again_and_another_the_next(part, name):
    ledger = part.open()
    assert ledger.reserve(name, "id1", part.candidate()) == 1
    assert ledger.next_version(name, "id2") == 2
    assert ledger.reserve(name, "id2", part.candidate()) == 2
    assert part.open().reserve(name, "id1", part.candidate()) == 1
    assert part.open().next_version(name, "id1") == 1
    assert part.open().next_version(name, "id3") == 3


def test_two_that_race_for_one_promotion_get_one_version(part, name):
    with ThreadPoolExecutor(4) as pool:
        got = list(pool.map(lambda _: part.open().reserve(name, "id1", part.candidate()), range(4)))
    assert set(got) == {1}
    assert part.open().next_version(name, "id1") == 1


def test_promotions_that_race_get_versions_of_their_own(real, name):
    with ThreadPoolExecutor(4) as pool:
        got = list(pool.map(lambda i: real.open().reserve(name, f"id{i}", real.candidate()), range(4)))
    assert len(set(got)) == 4


def test_a_name_that_is_no_model_name_is_refused(part):
    with pytest.raises(InputError, match="is not allowed"):
        part.open().next_version("x' OR name = 'y", "id1")


def test_versions_are_those_that_were_recorded_newest_first(part, name):
    assert part.open().versions(name) == ()
    for promotion in ("id1", "id2", "id3"):
        part.open().reserve(name, promotion, part.candidate())
    for promotion, version in (("id1", 1), ("id2", 2)):
        part.open().record(part.release(name, version), promotion, REPORT)
    assert part.open().versions(name) == (2, 1)


def test_the_models_are_those_of_which_something_was_promoted_also_when_it_was_withdrawn(part, name):
    part.open().reserve(f"{name}-x", "id1", part.candidate())
    part.recorded(name)
    for _ in range(2):
        models = part.open().models()
        assert name in models
        assert f"{name}-x" not in models
        part.open().withdraw(name, 1, "ada", "bad")


def test_a_recorded_version_waits_for_its_review(part, name):
    version = part.open().reserve(name, "id1", part.candidate())
    promotion = part.open().record(part.release(name, version), "id1", REPORT)
    assert promotion.review == "pending"
    assert name in promotion.ui or promotion.ui.startswith("mlflow ui")
    assert part.open().review(name, version, "calypso") == Review()


def test_a_target_without_review_says_so(part, name):
    version = part.open().reserve(name, "id1", part.candidate())
    promotion = part.open().record(part.release(name, version, target="local", review=False), "id1", REPORT)
    assert promotion.review == "not required"
    assert part.open().review(name, version, "local").state == "pending"


def test_a_decision_is_read_back_whole_and_only_for_its_target(part, name):
    version, release = part.recorded(name)
    decision = Review(state="approved", digest=release.stored.digest, by="ada", reason="reads well, F1 ≥ 0.9")
    part.open().decide(name, version, "calypso", decision)
    assert part.open().review(name, version, "calypso") == decision
    assert part.open().review(name, version, "orin") == Review()


def test_a_later_decision_replaces_the_earlier_one(part, name):
    version, release = part.recorded(name)
    part.open().decide(
        name, version, "calypso", Review(state="approved", digest=release.stored.digest, by="ada", reason="yes")
    )
    rejected = Review(state="rejected", digest=release.stored.digest, by="bob", reason="")
    part.open().decide(name, version, "calypso", rejected)
    assert part.open().review(name, version, "calypso") == rejected


def test_recording_again_keeps_the_decision_about_the_same_digest(part, name):
    version, release = part.recorded(name)
    decision = Review(state="approved", digest=release.stored.digest, by="ada", reason="ok")
    part.open().decide(name, version, "calypso", decision)
    assert part.open().record(release, "id1", REPORT).review == "approved"
    assert part.open().review(name, version, "calypso") == decision


def test_recording_another_digest_voids_the_decision(part, name):
    version, release = part.recorded(name)
    part.open().decide(name, version, "calypso", Review(state="approved", digest=release.stored.digest, by="ada"))
    other = part.release(name, version, data=b"other weights")
    assert part.open().record(other, "id1", REPORT).review == "pending"
    assert part.open().review(name, version, "calypso") == Review()


def test_recording_over_another_promotion_is_refused(part, name):
    version, release = part.recorded(name)
    with pytest.raises(IntegrityError, match=f"{name} version {version}"):
        part.open().record(release, "id2", REPORT)


@pytest.mark.parametrize("version", [1, 7])
def test_a_version_that_is_not_there_is_named(part, name, version):
    for ask in (
        lambda: part.open().review(name, version, "calypso"),
        lambda: part.open().decide(name, version, "calypso", Review(state="approved")),
        lambda: part.open().deployed(name, version, "calypso", "sha256:0", "live"),
        lambda: part.open().record(part.release(name, version), "id1", REPORT),
    ):
        with pytest.raises(NotFound, match=f"{name} has no version {version}"):
            ask()


def test_a_word_that_is_no_decision_is_refused(part, name):
    version, _ = part.recorded(name)
    with pytest.raises(InputError, match="maybe"):
        part.open().decide(name, version, "calypso", Review(state="maybe"))


def test_the_registry_page_shows_all_that_was_recorded(real, name):
    import mlflow

    version, release = real.recorded(name)
    shown = mlflow.MlflowClient(real.uri, real.uri).get_model_version(name, str(version))
    assert shown.description == "**ner** for calypso"
    assert shown.run_id == real.run_id
    assert shown.tags == {
        "promote.id": "id1",
        "promote.state": "recorded",
        "promote.digest": release.stored.digest,
        "promote.reference": release.stored.reference,
        "promote.target": "calypso",
        "promote.verdict": "compatible",
        "promote.review.calypso": "pending",
        "promote.target.calypso": "promoted",
        "promote.verdict.calypso": "compatible",
        "promote.run": promotions(real, name, version)[0].info.run_id,
    }


def test_the_training_run_names_what_was_made_of_it(real, name):
    import mlflow

    version, release = real.recorded(name)
    tags = mlflow.MlflowClient(real.uri).get_run(real.run_id).data.tags
    assert tags[f"promote.{name}.v{version}"] == release.stored.reference
    assert tags[f"promote.{name}.v{version}.run"] == promotions(real, name, version)[0].info.run_id


def test_the_report_lies_with_the_promotions_run_and_as_a_page_here(real, name, tmp_path):
    import mlflow

    version = real.open().reserve(name, "id1", real.candidate())
    ledger = open_ledger(real.uri, reports=tmp_path / "reports")
    promotion = ledger.record(real.release(name, version), "id1", REPORT)
    assert promotion.report == str(tmp_path / "reports" / f"{name}-v{version}.html")
    assert Path(promotion.report).read_bytes() == REPORT["report.html"]
    assert [path.name for path in (tmp_path / "reports").iterdir()] == [f"{name}-v{version}.html"]
    (run,) = promotions(real, name, version)
    there = mlflow.MlflowClient(real.uri).list_artifacts(run.info.run_id)
    assert {artifact.path for artifact in there} == set(REPORT)


def promotions(real, name, version):
    """Runs of the promotions of one version, as MLflow tells them."""
    import mlflow

    client = mlflow.MlflowClient(real.uri)
    experiment = client.get_experiment_by_name("promotions")
    where = f"tags.`promote.model` = '{name}' and tags.`promote.version` = '{version}'"
    return client.search_runs([experiment.experiment_id], where) if experiment else []


def test_a_promotion_is_one_run_that_can_be_compared(real, name):
    ledger = open_ledger(real.uri, by="ada@desk")
    version = ledger.reserve(name, "id1", real.candidate())
    release = real.release(name, version)
    differences = (
        OutputDifference(case="typical", output="logits", shape=(1,), dtype="float32", max_absolute=2e-5),
        OutputDifference(case="long", output="../a|b", shape=(1,), dtype="float32", max_absolute=3e-5),
    )
    release = with_parity(release, differences, metrics={"f1": 0.9, "lost": float("nan"), "a/b": 1.0})
    assert ledger.begin(release, "id1") == ledger.begin(release, "id1")
    assert promotions(real, name, version) == []  # what is only begun is in nobody's way
    ledger.record(release, "id1", REPORT, {"find": 1.5, "push": 0.25})
    ledger.record(replace(release, sent=0), "id1", REPORT, {"find": 9.0})
    (run,) = promotions(real, name, version)
    assert run.info.status == "FINISHED"
    assert run.info.run_name == f"{name} v{version} for calypso"
    expected = {
        "model": name, "version": str(version), "target": "calypso", "verdict": "compatible", "format": "onnx",
        "opset": "20", "precision": "fp32", "flavour": "onnx", "digest": release.stored.digest,
        "source_run": real.run_id, "source_digest": release.bundle.verdict.subject.export.candidate.model.digest,
    }  # fmt: skip
    assert run.data.params == expected
    assert run.data.metrics == {
        "parity/max_abs": 3e-5, "parity/output_logits": 2e-5, "parity/output_.._a_b": 3e-5,
        "bytes/size": float(sum(b.size for b in release.bundle.files.values())),
        "bytes/sent": float(release.sent), "bytes/there_already": float(release.skipped),
        "seconds/find": 1.5, "seconds/push": 0.25, "task/f1": 0.9, "task/a_b": 1.0,
    }  # fmt: skip
    assert run.data.tags["promote.by"] == "ada@desk"
    assert run.data.tags["promote.state"] == "recorded"
    assert f"(#/models/{name}/versions/{version})" in run.data.tags["mlflow.note.content"]
    assert run.data.tags["promote.source_run"] == real.run_id


def with_parity(release, differences, **run):
    bundle = release.bundle
    subject = bundle.verdict.subject
    candidate = subject.export.candidate
    candidate = replace(candidate, run=replace(candidate.run, **run))
    subject = Proven(replace(subject.export, candidate=candidate), ParityProven(Tolerance(1e-4, 1e-3), differences))
    return replace(release, bundle=replace(bundle, verdict=replace(bundle.verdict, subject=subject)))


@pytest.mark.slow
@pytest.mark.parametrize("method", ["log_artifacts", "log_batch", "set_terminated", "set_tag", "update_model_version",
                                    "set_model_version_tag"])  # fmt: skip
def test_a_promotion_cut_off_anywhere_is_completed_by_the_next_and_is_one_run(real, name, method, monkeypatch):
    import mlflow
    from mlflow.exceptions import MlflowException
    from mlflow.store.artifact.artifact_repo import ArtifactRepository

    version = real.open().reserve(name, "id1", real.candidate())
    release = real.release(name, version)
    ledger = real.open()
    ledger.begin(release, "id1")

    def away(*args, **kwargs):
        raise MlflowException("the server is away")

    with monkeypatch.context() as patch:
        if method == "log_artifacts":
            for kind in (ArtifactRepository, *_below(ArtifactRepository)):
                patch.setattr(kind, method, away)
        else:
            patch.setattr(mlflow.MlflowClient, method, away)
        with pytest.raises(Unavailable, match="the server is away"):
            ledger.record(release, "id1", REPORT, {"push": 1.0})
        assert real.open().versions(name) in ((), (version,))
        state = mlflow.MlflowClient(real.uri, real.uri).get_model_version(name, str(version)).tags["promote.state"]
        assert state == "reserved"
    real.open().record(release, "id1", REPORT, {"push": 2.0})
    (run,) = promotions(real, name, version)
    assert (run.info.status, run.data.params["digest"]) == ("FINISHED", release.stored.digest)
    assert run.data.metrics["seconds/push"] in (1.0, 2.0)
    client = mlflow.MlflowClient(real.uri, real.uri)
    shown = client.get_model_version(name, str(version))
    assert (shown.tags["promote.state"], shown.tags["promote.run"]) == ("recorded", run.info.run_id)
    assert {artifact.path for artifact in client.list_artifacts(run.info.run_id)} == set(REPORT)


def _below(kind):
    return {sub for direct in kind.__subclasses__() for sub in (direct, *_below(direct))}


def test_promotions_that_race_are_one_run(real, name):
    version = real.open().reserve(name, "id1", real.candidate())
    release = real.release(name, version)
    with ThreadPoolExecutor(4) as pool:
        runs = list(pool.map(lambda _: real.open().begin(release, "id1"), range(4)))
    real.open().record(release, "id1", REPORT)
    (run,) = promotions(real, name, version)
    assert real.open().begin(release, "id1").run_id == run.info.run_id
    assert runs[0].path.endswith(f"/runs/{run.info.run_id}")


def test_a_deleted_experiment_of_promotions_is_told(real, name):
    import mlflow

    client, other = mlflow.MlflowClient(real.uri), f"promotions-{name}"
    client.delete_experiment(client.create_experiment(other))
    version = real.open().reserve(name, "id1", real.candidate())
    with pytest.raises(InputError, match="was deleted"):
        open_ledger(real.uri, promotions=other).record(real.release(name, version), "id1", REPORT)


def test_a_further_target_is_a_row_and_tags_of_the_version_and_stays_when_it_is_recorded_again(real, name):
    import mlflow

    version = real.open().reserve(name, "id1", real.candidate())
    release = real.release(name, version)
    page = {"description.md": b"| target | verdict |\n|---|---|\n| calypso&ensp; | compatible&ensp; |\n"}
    real.open().record(release, "id1", page)
    real.open().judged(name, version, "harbour", "degraded")
    rows = ["| harbour&ensp; | degraded&ensp; |", "| calypso&ensp; | compatible&ensp; |"]
    client = mlflow.MlflowClient(real.uri, real.uri)
    for _ in range(2):
        shown = client.get_model_version(name, str(version))
        assert shown.description.splitlines()[2:] == rows
        assert (shown.tags["promote.verdict.harbour"], shown.tags["promote.target.harbour"]) == ("degraded", "promoted")
        assert (shown.tags["promote.verdict"], shown.tags["promote.verdict.calypso"]) == ("compatible", "compatible")
        real.open().record(release, "id1", page)
    with pytest.raises(NotFound):
        real.open().judged(name, 99, "harbour", "degraded")


def test_figures_under_load_are_added_to_the_run_of_the_very_bundle(part, name):
    version, release = part.recorded(name)
    cell = Measured(
        cell=Cell("grpc", 4, 2),
        seconds=2.0,
        answers=100,
        milliseconds={50: 3.0, 99: 9.0},
        mean=3.5,
        errors={},
        busy=0.1,
    )
    figures = Figures(
        name=name, version=version, digest=release.stored.digest, target="calypso", triton="2.51.0", when="", by="",
        case="typical", seconds=2.0, cells=(cell,),
    )  # fmt: skip
    assert part.open().measured(figures)
    assert not part.open().measured(replace(figures, digest="sha256:" + "0" * 64))
    if part.uri:
        (run,) = promotions(part, name, version)
        assert {key: value for key, value in run.data.metrics.items() if key.startswith("bench_")} == {
            "bench_calypso/grpc_batch4_clients2_per_second": 200.0,
            "bench_calypso/grpc_batch4_clients2_p50_ms": 3.0,
            "bench_calypso/grpc_batch4_clients2_p99_ms": 9.0,
        }
    with pytest.raises(NotFound):
        part.open().measured(replace(figures, version=99))


def test_the_report_is_drawn_anew_for_the_very_bundle_and_all_else_stays(part, name, tmp_path):
    version, release = part.recorded(name)
    ledger = replace(part.open(), reports=tmp_path) if part.uri else part.open()
    figures = Figures(
        name=name, version=version, digest=release.stored.digest, target="calypso", triton="2.51.0", when="", by="",
        case="typical", seconds=2.0, cells=(),
    )  # fmt: skip
    assert ledger.redraw(figures, lambda page: page + b"<p>drawn</p>")
    seen = []
    assert ledger.redraw(figures, lambda page: seen.append(page) or page)
    assert seen == [REPORT["report.html"] + b"<p>drawn</p>"]
    assert not ledger.redraw(replace(figures, digest="sha256:" + "0" * 64), lambda page: b"of another bundle")
    with pytest.raises(NotFound):
        ledger.redraw(replace(figures, version=99), lambda page: page)
    if part.uri:
        assert (tmp_path / f"{name}-v{version}.html").read_bytes() == seen[0]
        import mlflow

        (run,) = promotions(part, name, version)
        there = mlflow.MlflowClient(part.uri).list_artifacts(run.info.run_id)
        assert {artifact.path for artifact in there} == set(REPORT)


def test_a_promotion_for_a_further_target_is_a_run_of_its_own_with_its_report(part, name, tmp_path):
    version, release = part.recorded(name)
    ledger = replace(part.open(), reports=tmp_path) if part.uri else part.open()
    told = Compared(params={"verdict": "degraded", "target": "quay"}, metrics={"parity/max_abs": 1e-5},
                    tags={"promote.model": name, "promote.version": str(version), "promote.target": "quay"})  # fmt: skip
    run_id = ledger.further(release.stored, "quay", told, b"<p>for quay</p>")
    assert run_id
    assert ledger.further(release.stored, "quay", told, b"<p>for quay</p>") == run_id
    ledger.judged(name, version, "quay", "degraded")
    figures = Figures(
        name=name, version=version, digest=release.stored.digest, target="quay", triton="2.51.0", when="", by="",
        case="typical", seconds=2.0, cells=(),
    )  # fmt: skip
    seen = []
    assert ledger.redraw(figures, lambda page: seen.append(page) or page)
    assert ledger.redraw(replace(figures, target="calypso"), lambda page: seen.append(page) or page)
    assert seen == [b"<p>for quay</p>", REPORT["report.html"]]
    with pytest.raises(NotFound):
        ledger.further(replace(release.stored, version=99), "quay", told, b"")
    if part.uri:
        import mlflow

        runs = {run.data.params["target"]: run for run in promotions(part, name, version)}
        assert set(runs) == {"calypso", "quay"}
        assert runs["quay"].info.run_id == run_id
        assert runs["quay"].data.metrics == {"parity/max_abs": 1e-5}
        page = mlflow.MlflowClient(part.uri, part.uri).get_model_version(name, str(version))
        assert page.tags["promote.run.quay"] == run_id
        assert (tmp_path / f"{name}-v{version}-for-quay.html").read_bytes() == b"<p>for quay</p>"


def test_the_alias_of_the_target_follows_the_live_version(real, name):
    import mlflow

    ledger = real.open()
    first, second = (ledger.reserve(name, identity, real.candidate()) for identity in ("id1", "id2"))
    ledger.deployed(name, first, "calypso", "sha256:1", "live")
    ledger.deployed(name, second, "calypso", "sha256:2", "live")
    ledger.deployed(name, first, "calypso", "sha256:1", "kept")
    client = mlflow.MlflowClient(real.uri, real.uri)
    assert int(client.get_model_version_by_alias(name, "calypso").version) == second
    assert client.get_model_version(name, str(first)).tags["promote.deployed.calypso"] == "kept sha256:1"
    assert client.get_model_version(name, str(second)).tags["promote.deployed.calypso"] == "live sha256:2"


def test_desired_is_the_version_with_the_targets_alias_and_its_review_of_this_digest(part, name):
    ledger, target = part.open(), f"t-{name}"[:40]
    version, release = part.recorded(name)
    digest = release.stored.digest
    assert ledger.desired(target) == {}
    ledger.deployed(name, version, target, digest, "kept")
    assert ledger.desired(target) == {}
    ledger.deployed(name, version, target, digest, "live")
    assert part.open().desired(target) == {name: Desired(version, digest, "pending")}
    for review, word in (
        (Review(state="approved", digest=digest, by="ada", reason="yes"), "approved"),
        (Review(state="approved", digest="sha256:" + "1" * 64, by="ada", reason="another"), "pending"),
        (Review(state="rejected", digest=digest, by="ada", reason="no"), "rejected"),
        (Review(state="rejected", digest="sha256:" + "1" * 64, by="ada", reason="another"), "pending"),
    ):
        ledger.decide(name, version, target, review)
        assert ledger.desired(target) == {name: Desired(version, digest, word)}


def test_the_alias_stays_where_it_is_when_the_one_who_deploys_follows_it(part, name):
    ledger, target = part.open(), f"t-{name}"[:40]
    first, _ = part.recorded(name)
    second = ledger.reserve(name, "id2", part.candidate())
    ledger.record(part.release(name, second, data=b"x"), "id2", REPORT)
    ledger.deployed(name, second, target, "sha256:2", "live")
    ledger.deployed(name, first, target, "sha256:1", "live", alias=False)
    assert ledger.desired(target)[name].version == second


def test_what_agents_say_is_a_tag_for_each_host_and_leaves_everything_else_alone(real, name):
    import mlflow

    ledger = real.open()
    version, _ = real.recorded(name)
    client = mlflow.MlflowClient(real.uri, real.uri)
    before = client.get_model_version(name, str(version)).tags
    ledger.report(name, version, "calypso", "root@host-1", "failed: out of\nmemory")
    ledger.report(name, version, "calypso", "root@host 2/x", "live sha256:1")
    after = client.get_model_version(name, str(version)).tags
    assert {key: value for key, value in after.items() if before.get(key) != value} == {
        "promote.sync.calypso.host-1": "failed: out of\\u000amemory",
        "promote.sync.calypso.host-2-x": "live sha256:1",
    }
    with pytest.raises(NotFound):
        ledger.report(name, 99, "calypso", "root@host-1", "x")


def test_what_is_asked_for_is_of_this_target_newest_first(part, name):
    target = f"t-{name}"[:40]
    ledger = part.open()
    digests = {}
    for number, (identity, goal, review) in enumerate(
        (("id1", target, True), ("id2", target, False), ("id3", "elsewhere", True), ("id4", target, True)), 1
    ):
        version = ledger.reserve(name, identity, part.candidate())
        release = part.release(name, version, target=goal, review=review, data=identity.encode())
        ledger.record(release, identity, REPORT)
        digests[number] = release.stored.digest
    ledger.reserve(name, "id5", part.candidate())  # not recorded yet
    assert [row for row in part.open().asked(target) if row[0] == name] == [
        (name, 4, digests[4]),
        (name, 1, digests[1]),
    ]


def test_a_tag_set_by_hand_is_read_as_that_and_names_nobody(real, name):
    import mlflow

    version, _ = real.recorded(name)
    client = mlflow.MlflowClient(real.uri, real.uri)
    client.set_model_version_tag(name, str(version), "promote.review.calypso", "approved")
    assert real.open().review(name, version, "calypso") == Review(state="approved")


def test_the_authors_are_who_trained_and_who_promoted(real, name):
    import mlflow

    ledger = open_ledger(real.uri, by="ada@desk")
    version = ledger.reserve(name, "id1", real.candidate())
    ledger.record(real.release(name, version), "id1", REPORT)
    trained = mlflow.MlflowClient(real.uri).get_run(real.run_id).data.tags["mlflow.user"]
    assert trained
    assert real.open().authors(name, version) == {"ada@desk", trained}


def test_an_alias_that_others_use_for_models_of_their_own_is_left_out(real, name):
    import mlflow

    client = mlflow.MlflowClient(real.uri, real.uri)
    client.create_registered_model(name)
    client.create_model_version(name, f"runs:/{real.run_id}/x", run_id=real.run_id)
    client.set_registered_model_alias(name, f"t-{name}"[:40], "1")
    assert real.open().desired(f"t-{name}"[:40]) == {}


@pytest.mark.parametrize("target", ["latest", "v2", "edge.site-1"])
def test_a_target_whose_name_is_no_alias_can_be_noted(real, name, target):
    import mlflow

    version = real.open().reserve(name, "id1", real.candidate())
    real.open().deployed(name, version, target, "sha256:1", "live")
    model = mlflow.MlflowClient(real.uri, real.uri).get_registered_model(name)
    assert list(model.aliases) == [target.replace(".", "-") if "." in target else f"target-{target}"]


def test_the_address_of_the_page_is_the_servers_own_and_holds_no_credentials(real, name):
    uri = real.uri.replace("http://", "http://ada:hunter2@")
    ledger = open_ledger(uri)
    version = ledger.reserve(name, "id1", real.candidate())
    promotion = ledger.record(real.release(name, version), "id1", REPORT)
    expected = (
        f"{real.uri}/#/models/{name}/versions/1"
        if real.uri.startswith("http")
        else f"mlflow ui --backend-store-uri {real.uri}"
    )
    assert promotion.ui == expected


def test_where_a_bundle_lies_now_is_noted_and_what_was_recorded_is_told(part, name):
    assert part.open().reserve(name, "id1", part.candidate()) == 1
    assert part.open().recorded(name, 1) == ""
    version, release = part.recorded(name)
    assert part.open().recorded(name, version) == release.stored.digest
    part.open().located(replace(release.stored, repository=f"ghcr.io/acme/{name}"))
    assert part.open().recorded(name, version) == release.stored.digest
    with pytest.raises(NotFound):
        part.open().recorded(name, 9)


def test_the_page_names_where_the_bundle_lies_now(real, name):
    import mlflow

    version, release = real.recorded(name)
    said = {"description.md": f"**ner**, bundle: `{release.stored.reference}`".encode()}
    real.open().record(release, "id1", said)
    there = replace(release.stored, repository=f"ghcr.io/acme/{name}")
    real.open().located(there)
    seen = mlflow.MlflowClient(real.uri, registry_uri=real.uri).get_model_version(name, str(version))
    assert seen.tags["promote.reference"] == there.reference
    assert seen.description == f"**ner**, bundle: `{there.reference}`"


def test_events_are_kept_each_under_its_own_key_and_two_writers_lose_nothing(part, name):
    version, _ = part.recorded(name)
    assert part.open().events(name, version) == {}
    lines = {f"20261124T10000{n}.000000Z.{n:016x}": f"event {n} <b>" for n in range(8)}
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda one: part.open().keep_events(name, version, dict([one])), lines.items()))
    part.open().keep_events(name, version, dict([next(iter(lines.items()))]))
    assert part.open().events(name, version) == lines
    with pytest.raises(NotFound):
        part.open().events(name, version + 1)
    with pytest.raises(NotFound):
        part.open().keep_events(name, version + 1, lines)


def test_an_event_may_be_long(part, name):
    version, _ = part.recorded(name)
    part.open().keep_events(name, version, {"20261124T100000.000000Z.0": "x" * 60_000})
    assert len(part.open().events(name, version)["20261124T100000.000000Z.0"]) == 60_000


def test_a_withdrawn_version_is_rejected_for_every_target_and_stays_so(part, name):
    version, release = part.recorded(name)
    part.open().decide(name, version, "calypso", Review(state="approved", digest=release.stored.digest, by="bob"))
    part.open().withdraw(name, version, "ada@desk", "drops <b>ships</b>")
    part.open().record(release, "id1", REPORT)
    for target in ("calypso", "orin"):
        said = part.open().review(name, version, target)
        assert (said.state, said.by, said.reason) == ("rejected", "ada@desk", "withdrawn: drops <b>ships</b>")
    assert part.open().versions(name) == (version,)
    with pytest.raises(NotFound):
        part.open().withdraw(name, version + 1, "ada@desk", "no such")


def test_mlflows_page_says_that_a_version_is_withdrawn(real, name):
    version, release = real.recorded(name)
    real.open().withdraw(name, version, "ada@desk", "drops ships")
    real.open().record(release, "id1", REPORT)
    from mlflow import MlflowClient

    tags = MlflowClient(real.uri, real.uri).get_model_version(name, str(version)).tags
    assert (tags["promote.state"], tags["promote.withdrawn"]) == ("withdrawn", "drops ships")


@pytest.mark.parametrize("at", ["ghcr.io/acme/ner", "oci:/srv/bundles/ner"])
def test_a_version_that_was_lost_is_made_again_under_its_number(part, name, at):
    stored = replace(part.release(name, 3).stored, repository=at)
    part.open().remake(stored, "id3", "Made anew from `<b>`")
    part.open().remake(stored, "id3", "Made anew")
    assert part.open().versions(name) == (3,)
    assert part.open().recorded(name, 3) == stored.digest
    assert part.open().next_version(name, "id3") == 3
    assert part.open().next_version(name, "id4") == 4
    with pytest.raises(IntegrityError, match="another promotion"):
        part.open().remake(stored, "id9", "")


def test_a_number_that_mlflow_counted_past_is_not_given_twice(real, name):
    real.open().remake(real.release(name, 3).stored, "id3", "")
    with pytest.raises(IntegrityError, match="gives no number twice"):
        real.open().remake(real.release(name, 2).stored, "id2", "")
    assert real.open().versions(name) == (3,)
