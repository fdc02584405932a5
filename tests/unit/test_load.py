"""Percentiles, rates, what is measured in which order, what is compared, and how it is drawn."""

import json
import random
import re
import statistics
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from promote.adapters.figures import FiguresFolder
from promote.core.load import PERCENTILES, Cell, Figures, Measured, beside, nearest_rank, summed
from promote.core.load_page import load_page
from promote.errors import InputError, IntegrityError, Unavailable
from promote.pipeline import Loads, bench
from tests.unit.test_pipeline import DESK
from tests.unit.test_pipeline import bench as world

__all__ = ["world"]  # the fixture
LOADS = Loads(protocols=("grpc",), batches=(1, 4), clients=(1, 2), seconds=0.5)


@pytest.mark.parametrize(("percent", "value"), [(50, 50), (90, 90), (95, 95), (99, 99), (100, 100), (1, 1)])
def test_of_the_numbers_to_100_a_percentile_is_its_own_number(percent, value):
    assert nearest_rank([float(n) for n in range(1, 101)], percent) == value


def test_percentiles_of_few_values_are_values_that_were_measured():
    assert [nearest_rank([15.0, 20.0, 35.0, 40.0, 50.0], p) for p in (5, 30, 40, 50, 100)] == [15, 20, 20, 35, 50]
    assert nearest_rank([7.0], 99) == 7.0


@given(st.lists(st.floats(0.0001, 10, allow_nan=False), min_size=1, max_size=300))
def test_a_percentile_is_numpys_inverted_cdf(values):
    made = summed(Cell("grpc", 1, 1), 1.0, values, {}, 0.0)
    for percent in PERCENTILES:
        expected = 1000 * float(np.percentile(values, percent, method="inverted_cdf"))
        assert made.milliseconds[percent] == pytest.approx(expected)


def test_a_rate_counts_rows_and_errors_are_apart():
    values = [0.01] * 150
    random.Random(1).shuffle(values)
    made = summed(Cell("http", 8, 2), 3.0, values, {"out of memory": 2, "gone": 1}, 0.2)
    assert (made.answers, made.rate, made.failed, made.sure) == (150, 400.0, 3, True)
    assert made.mean == pytest.approx(10.0)
    assert summed(Cell("http", 0, 1), 2.0, [0.5] * 4, {}, 0.1).rate == 2.0  # no batch: requests
    assert not summed(Cell("http", 0, 1), 2.0, [0.5] * 4, {}, 0.1).sure
    assert summed(Cell("http", 1, 1), 2.0, [], {"gone": 3}, 0.1).milliseconds == {}


class FakeLoad:
    """Answers at once; ``asked`` is what was measured, in order."""

    def __init__(self, most=8, rate=10):
        self.most, self.count, self.asked = most, rate, []
        self.errors = {}

    def largest_batch(self, name, version):
        return self.most

    def measure(self, name, version, inputs, cell, seconds):
        self.asked.append((version, cell, {k: v.shape for k, v in inputs.items()}, seconds))
        return summed(cell, 1.0, [0.01] * self.count, self.errors, 0.1)


@pytest.fixture
def loaded(world, tmp_path):
    world.load, world.figures = FakeLoad(), FiguresFolder(tmp_path / "bench")
    world.up(2.0, 3.0)
    return world


def run(world, loads=LOADS):
    return bench("times", loads, DESK, "ada@desk", world)


def test_each_load_is_asked_with_golden_rows_repeated_to_its_batch(loaded):
    made = run(loaded)
    assert [(cell.batch, cell.clients, shapes["x"]) for _, cell, shapes, _ in loaded.load.asked] == [
        (1, 1, (1, 4)), (1, 2, (1, 4)), (4, 1, (4, 4)), (4, 2, (4, 4)),
    ]  # fmt: skip
    assert {version for version, *_ in loaded.load.asked} == {2}
    assert (made.figures.version, made.figures.case, made.former, made.faults) == (2, "typical", None, ())


def test_a_batch_beyond_the_models_is_left_out_and_told_and_none_that_fits_is_bad_input(loaded):
    made = run(loaded, Loads(protocols=("grpc",), batches=(4, 16, 32), clients=(1,), seconds=1))
    assert [m.cell.batch for m in made.figures.cells] == [4]
    assert made.notes[0] == "batch 16, 32 is left out: times takes up to 8"
    with pytest.raises(InputError, match="takes batches of up to 8"):
        run(loaded, Loads(protocols=("grpc",), batches=(16,), clients=(1,), seconds=1))


def test_a_model_without_batches_is_asked_its_golden_input_as_it_is(loaded):
    loaded.load.most = 0
    made = run(loaded)
    assert [m.cell for m in made.figures.cells] == [Cell("grpc", 0, 1), Cell("grpc", 0, 2)]
    assert loaded.load.asked[0][2] == {"x": (2, 4)}


def test_a_version_that_answers_wrongly_is_not_measured_and_nothing_is_kept(loaded):
    loaded.server.twists["times", 2] = lambda answer: {"y": answer["y"] + np.float32(1)}
    made = run(loaded)
    assert made.faults[0].startswith("grpc, batch 1: golden: output 'y' differs")
    assert loaded.load.asked == []
    assert loaded.figures.of("desk", "times") == ()


def test_figures_are_beside_those_of_the_version_that_served_before(loaded):
    second = run(loaded)
    assert second.former is None
    loaded.promote(5.0)
    loaded.deploy(3)
    loaded.load.count = 20
    third = run(loaded)
    assert third.former == second.figures
    cell = third.figures.cells[0]
    assert (beside(cell, third.former).rate, cell.rate) == (10.0, 20.0)
    assert beside(cell, None) is None
    assert [f.version for f in loaded.figures.of("desk", "times")] == [2, 3]
    again = run(loaded)  # the last of each version is kept, and a version is not compared with itself
    assert again.former == second.figures
    assert [f.version for f in loaded.figures.of("desk", "times")] == [2, 3]


def test_errors_few_answers_and_a_busy_client_are_told(loaded):
    loaded.load.errors = {"infer: too slow": 3}
    notes = run(loaded).notes
    assert notes[0] == "12 requests failed: infer: too slow"
    assert "fewer than 100 answers" in notes[1]


def test_what_is_kept_comes_back_the_same_and_anything_else_is_refused(loaded, tmp_path):
    made = run(loaded).figures
    assert loaded.figures.of("desk", "times") == (made,)
    [path] = (tmp_path / "bench/desk/times").iterdir()
    kept = json.loads(path.read_text())
    for spoiled in ({**kept, "schema": "promote.bench/2"}, {**kept, "seconds": "NaN"}, {**kept, "digest": "../x"}, []):
        path.write_text(json.dumps(spoiled))
        with pytest.raises(IntegrityError, match="holds no figures"):
            loaded.figures.of("desk", "times")
        loaded.load.asked.clear()
        with pytest.raises(IntegrityError, match="holds no figures"):
            run(loaded)
        assert loaded.load.asked == []  # told before anything is measured


def test_a_disk_that_says_no_is_unavailable(loaded, tmp_path):
    (tmp_path / "bench").write_text("a file")
    with pytest.raises(Unavailable, match="cannot keep the figures"):
        run(loaded)


def figures(version, count, name="ner"):
    rng = random.Random(version)
    cells = []
    for protocol in ("grpc", "http"):
        for batch in (1, 4):
            for clients in (1, 2):
                times = [rng.lognormvariate(-5 + batch / 8, 0.3) for _ in range(count)]
                cells.append(
                    summed(Cell(protocol, batch, clients), statistics.mean(times) * count / clients, times, {}, 0.5)
                )
    return Figures(
        name=name, version=version, digest="sha256:" + f"{version}" * 64, target="local", triton="2.51.0",
        when="2026-11-24T10:00:00Z", by="ada@dgx", case="typical", seconds=5.0, cells=tuple(cells),
    )  # fmt: skip


def test_the_page_has_a_chart_a_protocol_with_a_bar_and_a_range_for_each_load():
    page = load_page(figures(3, 200), figures(2, 150), ("a note",)).decode()
    tree = ET.fromstring(re.sub("<meta [^>]*>", "", page.removeprefix("<!doctype html>\n")))
    charts = tree.findall(".//svg")
    assert len(charts) == 2
    for chart in charts:
        assert len(chart.findall("rect[@class='now']")) == len(chart.findall("rect[@class='then']")) == 4
        assert len(chart.findall("g/line[@class='range']")) == 4
        widths = [float(r.get("width")) for r in chart.findall("rect")]
        assert max(widths) == 300
        assert all(w > 0 for w in widths)
    assert "a note" in page
    assert page.count("v2, measured 2026-11-24T10:00:00Z") == 2  # a legend a chart
    assert "<script" not in page
    assert "http://" not in page
    assert "nearest rank" in page


def test_a_bar_is_as_long_as_its_rate_and_a_range_ends_at_its_p99():
    made = figures(3, 200)
    page = load_page(made, None, ()).decode()
    cells = [m for m in made.cells if m.cell.protocol == "grpc"]
    fastest, slowest = max(m.rate for m in cells), max(m.milliseconds[99] for m in cells)
    for measured in cells:
        assert f'width="{300 * measured.rate / fastest:.1f}"' in page
        assert f'x2="{150 + 300 + 110 + 300 / slowest * measured.milliseconds[99] + 1:.1f}"' in page
    assert 'class="then"' not in page


def test_what_comes_from_outside_is_escaped():
    page = load_page(figures(3, 120), None, ("<script>alert(1)</script>",)).decode()
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_a_load_without_one_answer_is_drawn_without_figures():
    empty = Measured(cell=Cell("grpc", 1, 1), seconds=1, answers=0, milliseconds={}, mean=0, errors={"gone": 4}, busy=0)
    made = figures(3, 120)
    page = load_page(
        Figures(**{f: getattr(made, f) for f in Figures.__slots__ if f != "cells"}, cells=(empty,)), None, ()
    )
    assert b"<svg" in page
