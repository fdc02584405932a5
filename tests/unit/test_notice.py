"""What is told to the outside: one line each, no markup and no command in it."""

import json

import pytest

from promote.core.notice import Notice, annotation, body, sentence

HOSTILE = "a\n::error::x %0A <!channel> <https://e|b> \u202e & \x1b[31m"
DIGEST = "sha256:" + "1" * 64


def notice(**more):
    given = {
        "kind": "deployed", "at": "2026-11-24T13:05:02Z", "model": "ner", "target": "calypso", "by": "ada@desk",
        "version": 3, "reference": f"ghcr.io/acme/ner@{DIGEST}",
    }  # fmt: skip
    return Notice(**(given | more))


def test_a_notice_is_json_that_says_all_of_it():
    assert json.loads(body(notice(reason="why"))) == {
        "schema": "promote.notice/1", "type": "promote.deployed", "timestamp": "2026-11-24T13:05:02Z",
        "text": "ner v3 deployed on calypso by ada@desk: why",
        "data": {
            "kind": "deployed", "model": "ner", "version": 3, "target": "calypso", "by": "ada@desk",
            "reference": f"ghcr.io/acme/ner@{DIGEST}", "digest": DIGEST, "reason": "why",
        },
    }  # fmt: skip


def test_what_is_not_known_is_left_out():
    told = json.loads(body(notice(version=0, reference="", by="")))
    assert told["data"] == {"kind": "deployed", "model": "ner", "target": "calypso"}
    assert told["text"] == "ner deployed on calypso"


def test_nothing_from_outside_is_markup_or_a_call_to_everybody():
    told = json.loads(body(notice(reason=HOSTILE, by=HOSTILE)))
    assert not set("<>\n\x1b\u202e") & set(told["text"])
    assert "&lt;!channel&gt;" in told["text"]
    assert not set("\n\x1b\u202e") & set(told["data"]["reason"] + told["data"]["by"])
    assert len(body(notice(reason="x" * 10**6))) < 10_000
    assert json.loads(body(notice(reason="half \ud800 pair")))


@pytest.mark.parametrize("text", [HOSTILE, "::add-mask::x", "100 %", "a\r\n##[error]x"])
def test_an_annotation_is_one_line_and_one_command(text):
    line = annotation("error", text, text)
    assert line.startswith("::error title=")
    assert len(line.splitlines()) == 1
    # Between the title and the text stands the only `::` that GitHub reads; a `%` is no escape of somebody else's.
    head, _, said = line.removeprefix("::error title=").partition("::")
    assert not set(":,") & set(head)
    assert said.count("%") == said.count("%25") == text.count("%")


def test_an_annotation_says_what_the_sentence_says():
    assert annotation("warning", "promote", "a: b") == "::warning title=promote::a: b"
    assert sentence(notice(kind="rolled-back")) == "ner v3 rolled-back on calypso by ada@desk"
