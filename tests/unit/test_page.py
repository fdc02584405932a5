"""The reviewer's page and description: whatever a run is called, they stay text, and every finding is on them."""

import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promote.core.comparison import compare_told, read_told
from promote.core.description import with_verdict
from promote.core.load import Cell, Figures, Measured
from promote.core.page import DESCRIPTION, PASSPORT, REPORT, Beside, report_files, with_load
from promote.core.parity import OutputDifference, ParityProven, Tolerance
from promote.core.passport_summary import summary
from promote.core.promotion_run import PromotionRun
from promote.core.stages import Release, Stored
from promote.core.verdict import Finding, Outcome
from promote.errors import IntegrityError
from promote.pipeline.comparing import side_of
from tests.fakes.registry import FakeRegistry, Steps
from tests.unit.test_layout_passport import FILES, FINDINGS, GPU, RUN, SOURCE, laid_out, proven

HOSTILE = (
    "<script>alert(1)</script>",
    "</style><script>alert(1)</script>",
    "</td></table><img src=x onerror=alert(1)>",
    "\"' onmouseover=alert(1) x='",
    "a|b|c",
    "`rm -rf /`",
    "[click](javascript:alert(1))",
    "![x](https://evil.example/x.png)",
    "**bold** _under_ ~~gone~~ # head",
    "one\n\n# two\r\n- three",
    "\x00\x07\x1b[31mred\x1b[0m",
    "\u202egnirts\u2066\ufeff",
    "&lt;b&gt; &amp; ]]> <!-- --> <![CDATA[",
    "\ud800 half a pair",
)
VOID = {"meta", "br", "img", "hr", "input", "link"}
TAGS = {
    "html",
    "head",
    "meta",
    "title",
    "style",
    "body",
    "div",
    "section",
    "h1",
    "h2",
    "p",
    "span",
    "table",
    "tr",
    "th",
    "td",
    "meter",
    "figure",
    "figcaption",
    "strong",
    "svg",
    "text",
    "line",
    "rect",
    "h3",
    "pre",
    "code",
}


class Page(HTMLParser):
    """The tree of a page: its tags, attributes and text, and whether every element is closed in its turn."""

    def __init__(self, data: bytes) -> None:
        super().__init__(convert_charrefs=True)
        self.tags, self.attributes, self.rows, self.open = [], set(), [], []
        self.feed(data.decode())
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "td" in self.open or "th" in self.open:
            self.rows[-1][-1] += data

    def handle_comment(self, data):
        raise AssertionError(f"a comment: {data}")


def release(text="", findings=FINDINGS, differences=None, **target):
    """A release in which everything that comes from outside says ``text``."""
    named = text or "plain"
    run = replace(RUN, name=named, experiment=named, params={named: named}, metrics={named: 0.5}, tags={named: named})
    subject = proven(run=replace(run, user=named), source=replace(SOURCE, task=named))
    subject = replace(subject, export=replace(subject.export, tools={"torch": named}))
    if differences is not None:
        subject = replace(subject, parity=ParityProven(Tolerance(1e-4, 1e-3), differences))
    goal = replace(GPU, description=named, notes=(named,), **target)
    bundle = replace(laid_out(subject, target=goal), created="2026-01-01T00:00:00Z")
    verdict = replace(bundle.verdict, findings=findings)
    stored = Stored(
        repository="ghcr.io/acme/ner", digest="sha256:" + "1" * 64, name="ner", version=3, files=bundle.files,
        annotations={}, manifest=b"{}",
    )  # fmt: skip
    return Release(bundle=replace(bundle, verdict=verdict), stored=stored, sent=1, skipped=0)


def said(text, outcome=Outcome.DEGRADED):
    return Finding(rule=text, outcome=outcome, has=text, has_source=text, needs=text, row=text, source=text)


def differs(text):
    return OutputDifference(case=text, output=text, shape=(1, 2), dtype=text, max_absolute=5e-5)


def spoiled(text):
    return release(text, findings=(said(text),), differences=(differs(text),))


def test_the_three_files_are_recorded_and_the_passport_is_the_bundles_own():
    made = release()
    files = report_files(made)
    assert files.keys() == {REPORT, DESCRIPTION, PASSPORT}
    assert files[PASSPORT] == made.bundle.passport


def test_the_page_is_one_tree_of_plain_elements():
    data = report_files(release())[REPORT]
    assert data.startswith(b"<!doctype html>\n<html")
    page = Page(data)
    assert set(page.tags) <= TAGS
    assert page.tags.count("html") == page.tags.count("body") == 1
    assert not {a for a in page.attributes if a.startswith("on") or a in ("href", "src", "style")}


def under(version, digest, **more):
    cell = Measured(
        cell=Cell("grpc", 8, 2), seconds=2.0, answers=400, milliseconds={50: 3.0, 90: 4.0, 95: 5.0, 99: 9.0}, mean=3.5,
        errors={}, busy=0.1,
    )  # fmt: skip
    told = {"target": "calypso", "triton": "2.68.0", "when": "2026-11-24T10:00:00Z", "by": "ada@dgx", "case": "typical"}
    return Figures(name="ner", version=version, digest=digest, seconds=2.0, cells=(cell,), **told | more)


def test_what_is_measured_later_is_drawn_in_the_report_that_is_there_and_nothing_else_changes():
    made = release()
    whole, digest = report_files(made)[REPORT], made.stored.digest
    assert b"Under load" not in whole
    drawn = with_load(whole, (under(3, digest, by="<script>eve</script>"),), digest)
    assert drawn == report_files(made, Beside(figures=(under(3, digest, by="<script>eve</script>"),)))[REPORT]
    assert b"Under load on calypso" in drawn
    assert drawn.count(b"<svg") == whole.count(b"<svg") + 1
    assert b"<script" not in drawn
    again = with_load(drawn, (under(3, digest, when="2026-11-25T10:00:00Z"), under(2, "sha256:" + "2" * 64)), digest)
    assert again.count(b"Under load on calypso") == 1
    assert b"2026-11-25T10:00:00Z" in again
    assert b"eve" not in again
    assert b"beside" in again


def test_a_report_of_a_former_release_gets_its_place_and_another_page_none():
    made = release()
    former = report_files(made)[REPORT].replace(b'<section id="load"></section>', b"")
    drawn = with_load(former, (under(3, made.stored.digest),), made.stored.digest)
    assert drawn == with_load(report_files(made)[REPORT], (under(3, made.stored.digest),), made.stored.digest)
    assert with_load(b"<p>mine</p>", (under(3, made.stored.digest),), made.stored.digest) == b"<p>mine</p>"


def test_the_page_fetches_nothing_and_takes_no_style_but_its_own():
    data = report_files(release())[REPORT].decode()
    (policy,) = re.findall(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)"', data)
    style = re.search(r"<style>(.*?)</style>", data, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    assert not re.search(r"https?://|url\(|@import", style)


def safe(data: bytes, plain: bytes) -> Page:
    """Asserts that the page has the very elements of a plain one, and no character that hides or turns text."""
    page, other = Page(data), Page(plain)
    assert page.tags == other.tags
    assert page.attributes == other.attributes
    assert b"<script" not in data.lower()
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]", data.decode())
    return page


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_names_stay_text_on_the_page(text):
    page = safe(report_files(spoiled(text))[REPORT], report_files(spoiled("plain"))[REPORT])
    if text.isprintable():
        shown = [cell for row in page.rows for cell in row]
        assert sum(text in cell for cell in shown) >= 8  # params, tools, findings, parity


anything = st.lists(st.one_of(st.sampled_from(HOSTILE), st.text(min_size=1, max_size=20)), min_size=1, max_size=3)


@given(anything)
@settings(max_examples=60, deadline=None)
def test_any_names_stay_text(parts):
    text = "".join(parts)
    files, plain = report_files(spoiled(text)), report_files(spoiled("plain"))
    safe(files[REPORT], plain[REPORT])
    assert files[DESCRIPTION].count(b"\n") == plain[DESCRIPTION].count(b"\n")


MARKUP = re.compile(r"(?<!\\)(?:\\\\)*[`*\[\]<>|#~]")


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_names_stay_text_in_the_description(text):
    made = report_files(spoiled(text))[DESCRIPTION].decode()
    plain = report_files(spoiled("plain"))[DESCRIPTION].decode()
    assert len(made.splitlines()) == len(plain.splitlines())
    for line, other in zip(made.splitlines(), plain.splitlines(), strict=True):
        assert MARKUP.findall(line) == MARKUP.findall(other)
        assert not re.search("[\x00-\x1f\x7f-\x9f\u202e\u2066\ufeff]", line)


def test_all_findings_are_shown_each_with_its_mark_and_who_says_so():
    findings = (*(said(f"rule {o.value}", o) for o in Outcome), Finding(rule="quiet", outcome=Outcome.OK, has="fine"))
    page = Page(report_files(release(findings=findings))[REPORT])
    rows = {row[1]: row for row in page.rows if len(row) == 5}
    for finding in findings:
        assert finding.has in rows[finding.rule][2]
    assert [rows[f"rule {o.value}"][0] for o in Outcome] == ["✗", "?", "!", "✓"]
    assert rows["rule ok"][2:] == ["rule ok (rule ok)", "rule ok", "rule ok; rule ok"]
    assert rows["quiet"][2:] == ["fine", "", ""]


def test_a_param_a_metric_and_a_tool_of_one_name_are_all_shown():
    subject = proven(run=replace(RUN, params={"f1": "asked"}, metrics={"f1": 0.25}))
    bundle = laid_out(subject)
    made = replace(release(), bundle=bundle)
    rows = [row for row in Page(report_files(made)[REPORT]).rows if row[0] == "f1"]
    assert rows == [["f1", "asked"], ["f1", "0.25"]]


def test_every_output_and_every_file_is_shown():
    differences = (differs("one"), differs("two"))
    made = release(differences=differences)
    page = Page(report_files(made)[REPORT])
    assert [row[-1].split()[0] for row in page.rows if len(row) == 7][1:] == ["50", "50"]
    assert [row[0] for row in page.rows if len(row) == 3][1:] == list(made.bundle.files)


def test_the_description_says_how_to_approve_only_where_a_review_is_asked():
    asked = report_files(release())[DESCRIPTION].decode()
    assert "**degraded** with **calypso**" in asked
    assert "promote review approve ner:v3 --target calypso" in asked
    assert "`ghcr.io/acme/ner@sha256:1" in asked
    assert "`promote deploy ner:v3 --target calypso`" in asked
    assert "`promote rollback ner --target calypso`" in asked
    assert "promote review" not in report_files(release(review=False))[DESCRIPTION].decode()


def test_the_description_has_the_parity_of_each_output_worst_first():
    one = differs("ports")
    many = tuple(replace(one, case=f"case {at}", max_absolute=at * 1e-6) for at in range(25))
    lines = report_files(release(differences=many))[DESCRIPTION].decode().splitlines()
    table = [line for line in lines if line.startswith("|")][3:]
    assert table[2] == "| case 24&ensp; | ports&ensp; | 2.4e-05&ensp; | 0&ensp; | 0&ensp; |"
    assert table[-1] == "| and 5 more | | | | |"
    assert len(table) == 2 + 20 + 1
    assert "more" not in report_files(release(differences=many[:20]))[DESCRIPTION].decode()


def test_the_summary_tells_the_overall_scores_before_those_by_class():
    metrics = {"zz": 1.0, "test_f1_ship": 0.1, "f1": 0.9, "weighted_f1": 0.8, "seconds": 3.0}
    subject = proven(run=replace(RUN, metrics=metrics))
    facts = summary(laid_out(subject).passport)
    assert list(facts) == ["run", "verdict", "metrics", "parity", "export", "size"]
    assert facts["metrics"] == "f1 0.9, weighted_f1 0.8, test_f1_ship 0.1"
    assert facts["verdict"] == "degraded with calypso: 1 ok, 1 degraded"
    assert facts["run"] == "4f2a (ships)"


def test_a_run_without_metrics_says_so():
    assert summary(laid_out(proven(run=replace(RUN, metrics={}))).passport)["metrics"] == "none logged"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda p: p.pop("parity"),
        lambda p: p.pop("lineage"),
        lambda p: p["parity"].update(differences=[]),
        lambda p: p["parity"].update(differences=7),
        lambda p: p.update(files=[]),
        lambda p: p.update(findings=None),
        lambda p: p["lineage"].update(metrics={"f1": "high"}),
        lambda p: p.update(target="calypso"),
        lambda p: p["parity"]["tolerance"].update(absolute="small"),
        lambda p: p.update(plan={"reasons": [1]}),
        lambda p: p["lineage"].update(metrics={"f1": 10**400}),
    ],
)
def test_a_passport_of_another_form_is_refused(spoil):
    passport = json.loads(laid_out().passport)
    spoil(passport)
    with pytest.raises(IntegrityError, match="not one of promote's"):
        summary(json.dumps(passport).encode())


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"7", b"null", b"\xff", b"[" * 100_000])
def test_bytes_that_are_no_passport_are_refused(data):
    with pytest.raises(IntegrityError, match="not one of promote's"):
        summary(data)


def served(version=2, files=FILES, run=RUN):
    """A release as a registry gives it back, and what it says of itself."""
    bundle = laid_out(proven(files=files, run=run), version=version)
    made = FakeRegistry()
    pushed = made.push(bundle, Steps())
    return pushed, read_told(side_of(made.resolve("ner", f"v{version}"), made))


def versions():
    """A release, and the version that serves before it."""
    run = replace(RUN, metrics={"entity_f1": 0.25, "gone": 1.0}, params={"seed": "8"})
    return served(3), served(2, FILES | {"labels.txt": b"O\n", "old.txt": b"x"}, run)[1]


def test_what_serves_is_compared_in_metrics_files_configuration_and_facts():
    (_, now), live = versions()
    new = compare_told(now, live)
    assert {file.path: file.word for file in new.difference.files} == {
        "config.pbtxt": "changed", "N/labels.txt": "changed", "N/old.txt": "removed", "N/promote/passport.json": "changed",
    }  # fmt: skip
    assert new.metrics == (("entity_f1", 0.25, 0.5), ("gone", 1.0, None))
    assert new.parity == (0.0, 0.0)
    assert "params.seed" in {fact.name for fact in new.difference.facts}
    assert compare_told(live, live).difference.files == ()


def test_the_report_and_the_description_show_what_is_new_beside_the_version_that_serves():
    (now, told), live = versions()
    files = report_files(now, Beside(new=compare_told(told, live), run=PromotionRun("77", "#/experiments/9/runs/77")))
    rows = Page(files[REPORT]).rows
    assert ["gone", "1", "", ""] in rows
    assert ["entity_f1", "0.25", "0.5", "+0.25"] in rows
    assert ["N/old.txt", "1", "", "removed"] in rows
    assert ["params.seed", "8", "7", "changed"] in rows
    assert any(row[1:3] == ["2/labels.txt", "3/labels.txt"] for row in rows)
    assert not [row for row in rows if row[0].startswith("metrics.")]
    text = files[DESCRIPTION].decode()
    assert "Against version 2, which serves on calypso now:" in text
    assert "| entity\\_f1&ensp; | 0.25&ensp; | 0.5&ensp; | +0.25&ensp; |" in text
    assert "[this promotion](#/experiments/9/runs/77)" in text
    assert "**files that differ**: N/labels.txt (changed), N/old.txt (removed)" in text


def test_where_nothing_serves_the_report_says_why():
    why = "nothing else serves on calypso, as far as MLflow knows"
    assert why.encode() in report_files(release(), Beside(why=why))[REPORT]


def hostile(word):
    now, told = served(3)
    there = served(2, run=replace(RUN, metrics={word: 1.0}, params={word: word}))[1]
    return report_files(now, Beside(new=compare_told(told, there)))


def test_a_passport_that_holds_what_is_no_text_is_not_compared():
    with pytest.raises(IntegrityError, match="no JSON"):
        hostile(HOSTILE[-1])


@pytest.mark.parametrize("text", HOSTILE[:-1])
def test_a_hostile_version_that_serves_stays_text(text):
    made, other = hostile(text), hostile("plain one")
    page, plain = Page(made[REPORT]), Page(other[REPORT])
    assert set(page.tags) <= TAGS
    assert page.attributes == plain.attributes
    assert made[DESCRIPTION].count(b"\n") == other[DESCRIPTION].count(b"\n")


@pytest.mark.parametrize("spoil", ["lineage", "parity"])
def test_a_passport_of_another_form_is_not_compared(spoil):
    _, told = served()
    said = json.loads(told.side.passport)
    said[spoil] = 7
    with pytest.raises(IntegrityError, match="not one of promote's"):
        read_told(replace(told.side, passport=json.dumps(said).encode()))


def test_a_further_targets_verdict_is_a_row_of_its_own_and_replaced_by_the_next():
    text = report_files(release())[DESCRIPTION].decode()
    both = with_verdict(text, "harbour|x", "degraded")
    assert both.count("\n") == text.count("\n") + 1
    assert r"| harbour\|x&ensp; | degraded&ensp; |" in both.splitlines()
    again = with_verdict(both, "harbour|x", "compatible")
    assert r"| harbour\|x&ensp; | compatible&ensp; |" in again.splitlines()
    assert again.count("\n") == both.count("\n")
    assert "| calypso&ensp; | degraded&ensp; |" in again.splitlines()


def test_errors_are_drawn_for_each_output_and_the_worst_case_is_named():
    one = OutputDifference(
        case="long", output="logits", shape=(10, 100), dtype="float32", max_absolute=5e-5, errors=((20, 7), (31, 2))
    )
    same = OutputDifference(case="typical", output="ids", shape=(4,), dtype="int64")
    data = report_files(release(differences=(replace(one, case="typical", max_absolute=1e-6), one, same)))[
        REPORT
    ].decode()
    page = Page(data.encode())
    assert page.tags.count("svg") == 1
    assert "largest error 5e-05, in case long; 1,982 of 2,000 values equal" in data
    assert "14 values: " in data
    assert "all 4 values are equal" in data
