"""The page that the Hub shows of a bundle."""

import json

import pytest
import yaml

from promote.core.model_card import MARK, may_write, write_card
from promote.core.passport import canonical
from tests.fakes.mirrored import whole_bundle
from tests.fakes.registry import FakeRegistry
from tests.unit.test_cli_golden import PASSPORT


def card(tags=None, passport=None, **lineage):
    told = PASSPORT | {"lineage": PASSPORT["lineage"] | {"tags": tags or {}} | lineage}
    stored = whole_bundle(FakeRegistry(), "ner", 3)
    return stored, write_card(stored, canonical(told) if passport is None else passport).decode()


def head(text):
    return yaml.safe_load(text.split("---\n")[1])


def rows(text):
    return dict(line.strip("| ").split(" | ", 1) for line in text.splitlines() if line.startswith("| ") and "`" in line)


def test_it_tells_what_a_reader_asks_for():
    stored, text = card({"license": "Apache-2.0"})
    told = rows(text)
    assert told["verdict"] == "`compatible with calypso: 2 ok`"
    assert told["parity"] == "`largest difference 2e-06 (logits, typical), allowed 0.0001 + 0.001 x value`"
    assert told["metrics"] == "`f1 0.93`"
    assert (told["version"], told["licence"], told["bundle"]) == ("`3`", "`Apache-2.0`", f"`{stored.digest}`")
    assert head(text) == {"library_name": "onnx", "license": "apache-2.0", "tags": ["promote", "triton", "onnx"]}
    assert stored.repository not in text


@pytest.mark.parametrize(
    ("tags", "fields"),
    [
        ({}, {}),
        ({"licence": "MIT"}, {"license": "mit"}),
        ({"license": "Acme: internal"}, {"license": "other", "license_name": "Acme: internal"}),
        ({"license": "x\n---\ngated: true"}, {"license": "other", "license_name": "x\\u000a---\\u000agated: true"}),
    ],
)
def test_a_licence_is_the_hub_s_word_or_other_and_never_guessed(tags, fields):
    text = card(tags)[1]
    assert {key: value for key, value in head(text).items() if key.startswith("license")} == fields
    assert ("not told" in rows(text)["licence"]) == (not tags)


@pytest.mark.parametrize(
    "evil",
    [
        "` <script>alert(1)</script> `", "a | b\n\n# owned", "![x](https://evil/x.png)", "@everyone https://evil.example",
        "\\`", "\u202egnp.exe", "\\|", "``` x",
    ],
)  # fmt: skip
def test_what_the_passport_tells_is_shown_as_code(evil):
    text = card(experiment=evil)[1]
    row = next(line for line in text.splitlines() if line.startswith("| run |"))
    assert row.startswith("| run | `")
    assert row.endswith("` |")
    inside = row.removeprefix("| run | `").removesuffix("` |")
    assert "`" not in inside
    assert "|" not in inside.replace("\\|", "")
    assert len(text.splitlines()) == len(card(experiment="plain")[1].splitlines())


@pytest.mark.parametrize("passport", [b"", b"{}", b"[]", b"\xff", b'{"lineage": {"tags": 3}}', b"[" * 100_000])
def test_a_passport_of_another_form_tells_nothing(passport):
    text = card(passport=passport)[1]
    assert rows(text)["passport"] == "`of another form than this version of promote reads`"
    assert json.dumps(head(text))


def test_words_of_a_person_stay():
    text = card()[1]
    assert may_write(None)
    assert may_write(text.encode())
    assert not may_write(text.replace(MARK, "").encode())
    assert not may_write(b"# Our model\n")
