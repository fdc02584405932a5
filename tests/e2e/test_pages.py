"""What a reviewer looks at, in a real browser: the report, and MLflow's pages of a version and of a promotion.

Pictures lie in ``PROMOTE_PICTURES`` where that is set, to be looked at.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import mlflow
import pytest

from promote.adapters.tracking.ledger import open_ledger
from promote.core.comparison import compare_told, told_of
from promote.core.facts import ModelFacts
from promote.core.load import Cell, Figures, Measured
from promote.core.page import REPORT, Beside, report_files
from promote.core.parity import OutputDifference, ParityProven, Tolerance
from promote.core.promotion_run import PromotionRun
from promote.core.stages import Candidate, Release, Run, SourceModel
from promote.core.verdict import Finding, Outcome
from tests.fakes.factory import log_run
from tests.fakes.registry import FakeRegistry, Steps
from tests.parts.browser import browser as browser
from tests.parts.browser import looking
from tests.unit.test_layout_passport import FILES, FINDINGS, GPU, RUN, laid_out, proven

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
LOOKS = [(width, scheme) for width in ("wide", "narrow") for scheme in ("light", "dark")]
LONG = "onnx_export_of_the_training_run_of_november_with_a_name_that_has_no_blank_in_it_anywhere"


def released(
    version: int, metrics: dict[str, float], files: dict[str, bytes], run: Run = RUN, name: str = "ner"
) -> Release:
    run = replace(run, metrics=metrics, params={"learning_rate": "3e-05", LONG: LONG}, tags={"git.commit": "0123abc"})
    subject = proven(run=run, files=files)
    differences = tuple(
        OutputDifference(
            case=case, output=output, shape=(8, 128, 9), dtype="float32", max_absolute=most, mean_absolute=most / 20,
            max_relative=3e-4, errors=bins,
        )
        for output, case, most, bins in (
            ("logits", "typical", 4e-6, ((20, 41), (21, 1800), (22, 3100), (23, 900), (24, 40), (26, 2))),
            ("logits", "longest sequence of the training data", 1.1e-5, ((20, 80), (22, 2900), (25, 31), (29, 1))),
            ("scores", "typical", 3e-5, ((21, 7), (27, 3), (30, 1))),
            ("ids", "typical", 0.0, ()),
        )
    )  # fmt: skip
    subject = replace(subject, parity=ParityProven(Tolerance(1e-4, 1e-3), differences))
    target = replace(GPU, description="The GPU server in the cellar, behind a tunnel")
    bundle = laid_out(subject, target=target, version=version, name=name)
    unknown = Finding(rule="driver-floor", outcome=Outcome.UNKNOWN, has="driver of calypso is not known",
                      needs="580 or later for CUDA 13.2.1", remedy="promote target probe calypso", row="CUDA 13.2.1",
                      source="https://docs.nvidia.com/cuda/cuda-toolkit-release-notes/index.html#id7")  # fmt: skip
    bundle = replace(bundle, verdict=replace(bundle.verdict, findings=(*FINDINGS, unknown)))
    return FakeRegistry().push(bundle, Steps())


def loaded(release: Release, faster: float) -> Figures:
    cells = tuple(
        Measured(
            cell=Cell("grpc", batch, clients), seconds=5.0, answers=int(900 * faster / batch),
            milliseconds={50: 4.0 * batch / faster, 90: 6.0 * batch, 95: 7.0 * batch, 99: 12.0 * batch / faster},
            mean=4.4, errors={}, busy=0.2,
        )
        for batch in (1, 8)
        for clients in (1, 4)
    )  # fmt: skip
    return Figures(
        name=release.bundle.name, version=release.bundle.version, digest=release.stored.digest, target="calypso", triton="2.68.0",
        when="2026-11-24T10:00:00Z", by="ada@dgx", case="typical", seconds=5.0, cells=cells,
    )  # fmt: skip


def both(run: Run = RUN, name: str = "ner") -> tuple[Release, Release]:
    """A release, and the one that serves before it."""
    now = released(2, {"entity_f1": 0.9563, "loss": 0.01268, "test_f1_ship": 0.9521}, FILES, run, name)
    labels = FILES | {"labels.txt": b"O\nB-SHIP\n"}
    return now, released(1, {"entity_f1": 0.9413, "loss": 0.02, "gone": 1.0}, labels, run, name)


def beside(now: Release, then: Release, run: PromotionRun) -> Beside:
    figures = (loaded(now, 1.4), loaded(then, 1.0))
    return Beside(run=run, new=compare_told(told_of(now), told_of(then)), figures=figures)


def report() -> bytes:
    now, then = both()
    return report_files(now, beside(now, then, PromotionRun("7f" * 16, "#/experiments/9/runs/7f")))[REPORT]


def pictured(name: str) -> Path | None:
    folder = os.environ.get("PROMOTE_PICTURES")
    return Path(folder, f"{name}.png") if folder else None


@pytest.mark.parametrize(("width", "scheme"), LOOKS)
def test_the_report_is_read_at_any_width_in_both_themes_and_asks_nobody(browser, tmp_path, width, scheme):
    path = tmp_path / "report.html"
    path.write_bytes(report())
    with looking(browser, path.as_uri(), width, scheme) as seen:
        if picture := pictured(f"report-{width}-{scheme}"):
            seen.shoot(picture)
        assert seen.overflow <= 0
        assert seen.overlaps() == []
        assert seen.errors == []
        assert seen.requests == [path.as_uri()]
        ground = seen.page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert ground == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(18, 22, 28)")


def test_the_report_is_printed_dark_on_white_whatever_the_theme(browser, tmp_path):
    path = tmp_path / "report.html"
    path.write_bytes(report())
    with looking(browser, path.as_uri(), "wide", "dark") as seen:
        seen.page.emulate_media(media="print")
        ink, ground = (
            seen.page.evaluate(f"getComputedStyle(document.body).{which}") for which in ("color", "backgroundColor")
        )
        assert (ink, ground) == ("rgb(0, 0, 0)", "rgb(255, 255, 255)")
        data = seen.page.pdf(format="A4", print_background=True)
        assert data.startswith(b"%PDF")
        if picture := pictured("report-printed"):
            picture.with_suffix(".pdf").write_bytes(data)


def test_what_is_wrong_with_a_page_is_seen(browser, tmp_path):
    """The twin: a page that is too wide, whose texts lie on each other, which fetches and fails."""
    path = tmp_path / "bad.html"
    path.write_text(
        "<p style='position:absolute;top:0;margin:0'>one word</p><p style='position:absolute;top:2px;margin:0'>another</p>"
        "<div style='width:3000px'>wide</div><img src='missing.png'><script>undefined.x</script>"
    )
    with looking(browser, path.as_uri(), "narrow", "light") as seen:
        assert seen.overflow > 0
        assert seen.overlaps()
        assert len(seen.errors) == 2
        assert len(seen.requests) == 2


@pytest.fixture(scope="module")
def recorded(mlflow_server):
    """Two promotions in a real MLflow: address, name, ids of the training run and of the second promotion's run."""
    run_id = log_run(mlflow_server, {"ner": "onnx"})
    name = "pages-ner"
    model = SourceModel(name="ner", flavour="onnx", root="", files={}, entry="model.onnx", digest="sha256:" + "0" * 64)
    client = mlflow.MlflowClient(mlflow_server)
    trained = client.get_run(run_id)
    run = replace(RUN, run_id=run_id, experiment_id=trained.info.experiment_id, experiment="tests")
    ledger = open_ledger(mlflow_server, by="ada@desk")
    now, then = both(run, name)
    made = []
    for identity, release in (("a1", then), ("a2", now)):
        assert ledger.reserve(name, identity, Candidate(run, model, ModelFacts())) == release.bundle.version
        made.append(ledger.begin(release, identity))
        around = beside(now, then, made[-1]) if release is now else Beside(run=made[-1])
        ledger.record(release, identity, report_files(release, around), {"find": 0.7, "export": 12.5, "push": 1.25})
    ledger.measured(loaded(now, 1.4))
    return mlflow_server, name, run, made[-1]


@pytest.mark.mlflow
@pytest.mark.parametrize(("width", "scheme"), LOOKS)
def test_mlflow_shows_the_version_with_its_tables_and_its_links(browser, recorded, width, scheme):
    address, name, run, promotion = recorded
    with looking(browser, f"{address}/#/models/{name}/versions/2", width, scheme) as seen:
        told = seen.page.get_by_text("as promote checked it")
        told.wait_for(timeout=60_000)
        seen.page.wait_for_timeout(1500)
        if picture := pictured(f"mlflow-version-{width}-{scheme}"):
            seen.shoot(picture)
        assert seen.overflow <= 0
        told.evaluate(
            "node => { node.closest('div').id = 'ours' }"
        )  # how MLflow places its own words is its own affair
        assert seen.overlaps("#ours") == []
        assert seen.page.get_by_role("cell", name="entity_f1").count() >= 1
        assert seen.page.get_by_text("promote review approve pages-ner:v2 --target calypso").count() >= 1
        links = {link.get_attribute("href") for link in seen.page.get_by_role("link").all()}
        assert any(link and link.endswith(f"#/experiments/{run.experiment_id}/runs/{run.run_id}") for link in links)
        assert any(link and link.endswith(promotion.path) for link in links)
        assert "promote.verdict.calypso" in seen.page.content()
        assert [url for url in seen.requests if not url.startswith((address, "data:", "blob:"))] == []


@pytest.mark.mlflow
@pytest.mark.parametrize(("width", "scheme"), LOOKS)
def test_mlflow_shows_the_promotion_as_a_run(browser, recorded, width, scheme):
    address, name, _, promotion = recorded
    with looking(browser, f"{address}/{promotion.path}", width, scheme) as seen:
        seen.page.get_by_text(f"{name} v2 for calypso").first.wait_for(timeout=60_000)
        seen.page.get_by_text("parity/max_abs").first.wait_for(timeout=60_000)
        seen.page.wait_for_timeout(1500)
        if picture := pictured(f"mlflow-run-{width}-{scheme}"):
            seen.shoot(picture)
        assert seen.overflow <= 0
        assert seen.page.get_by_role("link", name=f"{name} version 2").count() >= 1
        assert [url for url in seen.requests if not url.startswith((address, "data:", "blob:"))] == []


@pytest.mark.mlflow
def test_the_links_of_the_versions_page_lead_to_both_runs(browser, recorded):
    address, name, run, _ = recorded
    with looking(browser, f"{address}/#/models/{name}/versions/2", "wide", "light") as seen:
        for text, title in (("this promotion", f"{name} v2 for calypso"), (run.run_id, "small")):
            link = seen.page.get_by_role("link", name=text).first
            link.wait_for(timeout=60_000)
            with seen.page.context.expect_page(timeout=10_000) as opened:
                link.click()
            opened.value.get_by_text(title).first.wait_for(timeout=60_000)
            opened.value.close()


@pytest.mark.mlflow
def test_mlflow_lists_promotions_side_by_side(browser, recorded):
    address, name, _, promotion = recorded
    experiment = promotion.path.split("/")[2]
    with looking(browser, f"{address}/#/experiments/{experiment}/runs", "wide", "light") as seen:
        for version in (1, 2):
            seen.page.get_by_text(f"{name} v{version} for calypso").first.wait_for(timeout=60_000)
        seen.page.wait_for_timeout(1500)
        if picture := pictured("mlflow-promotions"):
            seen.shoot(picture)


@pytest.mark.mlflow
def test_mlflow_shows_the_report_among_the_artifacts(browser, recorded):
    address, name, _, promotion = recorded
    with looking(browser, f"{address}/{promotion.path}/artifacts/report.html", "wide", "light") as seen:
        inside = seen.page.frame_locator("iframe")
        inside.get_by_role("heading", name=f"{name} v2").wait_for(timeout=60_000)
        seen.page.wait_for_timeout(1000)
        if picture := pictured("mlflow-report"):
            seen.shoot(picture)
        assert inside.locator("svg").count() == 3
