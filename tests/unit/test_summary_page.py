"""What a workflow shows and hands on: nothing from outside is markup, and no value is two outputs."""

import pytest

from promote.cli.handing import Handing, state_of
from promote.core.summary_page import output_lines, reasons_page, verdict_page
from promote.core.verdict import Finding, Outcome
from promote.errors import InputError

HOSTILE = "a | b\n| x | <img src=x onerror=alert(1)> [go](javascript:1) `id` ![i](http://e) @all #1 ::error::x"


def finding(**more):
    return Finding(rule="onnx-opset", outcome=Outcome.BROKEN, has="opset 23", needs="opset 22 or lower", **more)


def test_every_finding_is_a_row():
    page = verdict_page("incompatible", "calypso", [finding(remedy="--opset 22")], {"run": "4f2a", "empty": ""})
    assert page.splitlines() == [
        "### incompatible with calypso", "", "- **run**: 4f2a", "", "| | rule | has | needs | do |", "|---|---|---|---|---|",
        "| ❌ | onnx-opset | opset 23 | opset 22 or lower | --opset 22 |",
    ]  # fmt: skip
    assert "|" not in verdict_page("compatible", "calypso", [], {})


def test_nothing_from_outside_is_markup():
    page = verdict_page(HOSTILE, HOSTILE, [finding(remedy=HOSTILE)], {HOSTILE: HOSTILE}) + reasons_page("w", [HOSTILE])
    rows = [line for line in page.splitlines() if line.startswith("| ❌")]
    assert len(rows) == 1
    assert rows[0].count("|") == 6
    assert not set("<>`[]()@:") & set(page.replace("|---|", "").replace("**:", "**"))
    assert not [line for line in page.splitlines() if line.startswith("::")]


def test_a_value_is_one_output():
    assert output_lines({"digest": "sha256:1", "state": "a\nverdict=compatible"}) == (
        "digest=sha256:1\nstate=a\\u000averdict=compatible\n"
    )
    with pytest.raises(ValueError, match="no names"):
        output_lines({"a\nb": "1"})


def test_both_files_are_appended_and_one_that_cannot_be_is_named(tmp_path):
    path = tmp_path / "out"
    path.write_text("before=1\n")
    Handing(outputs=str(path)).give(state="pending")
    Handing(outputs=str(path)).verdict("compatible", "calypso", [], {})  # nowhere asked for
    assert path.read_text() == "before=1\nstate=pending\n"
    with pytest.raises(InputError, match="cannot be written"):
        Handing(summary=str(tmp_path)).reasons("parity failed", ["y"])


def test_no_review_required_is_a_release_that_may_be_deployed():
    assert [state_of(word) for word in ("not required", "approved", "pending", "rejected")] == [
        "approved", "approved", "pending", "rejected",
    ]  # fmt: skip
