"""Where a mirror may lie, and what it must hold."""

import pytest

from promote.core.mirrors import HubPlace, by_size, contents, parse_mirror, versions_in
from promote.core.repository_place import S3Place
from promote.errors import InputError
from tests.fakes.mirrored import whole_bundle
from tests.fakes.registry import FakeRegistry


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("s3://models/mirror", S3Place("models", "mirror")),
        ("s3://models/a/b/", S3Place("models", "a/b")),
        ("hf://acme/ner", HubPlace("acme/ner", "main")),
        ("hf://acme/maritime.ner_2@release/1.0", HubPlace("acme/maritime.ner_2", "release/1.0")),
    ],
)
def test_a_place_is_read(text, place):
    assert parse_mirror(text) == place


@pytest.mark.parametrize(
    "text",
    [
        "s3://models", "s3://models/", "s3://Models/a", "s3://models/../a", "s3://models/a?x=1", "hf://ner", "hf://a/b/c",
        "hf://a--b/c", "hf://acme/ner.git", "hf://acme/..", "hf://acme/ner@", "hf://acme/ner@../main", "hf://acme/ner@-x",
        f"hf://acme/{'n' * 96}", "https://huggingface.co/acme/ner", "ner:v1", "hf://acme/n\ner", "",
    ],
)  # fmt: skip
def test_other_forms_are_told(text):
    with pytest.raises(InputError, match="is no mirror: expected s3://bucket/prefix or hf://org/name"):
        parse_mirror(text)


def test_a_secret_before_the_host_is_not_shown():
    with pytest.raises(InputError) as raised:
        parse_mirror("hf://user:canary-1@acme/ner/x")
    assert "canary" not in raised.value.message


def test_the_manifest_is_sent_first_and_the_config_last():
    stored = whole_bundle(FakeRegistry(), "ner", 3)
    paths = list(contents(stored))
    assert (paths[0], paths[-1]) == ("ner/3/promote/manifest.json", "ner/config.pbtxt")
    assert contents(stored)[paths[0]].digest == stored.digest


def test_versions_are_those_with_a_manifest_in_order():
    held = dict.fromkeys(
        [
            "ner/10/promote/manifest.json",
            "ner/2/promote/manifest.json",
            "ner/3/model.onnx",
            "ner/0/promote/manifest.json",
        ],
        1,
    )
    assert versions_in("ner", held) == (2, 10)
    assert versions_in("n.r", held) == ()


def test_files_of_other_versions_are_no_extras_and_all_others_are():
    stored = whole_bundle(FakeRegistry(), "ner", 3)
    held = {path: blob.size for path, blob in contents(stored).items()}
    more = {"ner/4/model.onnx": 1, "ner/3/x": 1, "ner/labels/x": 1, "ner/batchstrategy.so": 1, "ner/03/x": 1}
    told = [(one.kind, one.path) for one in by_size(stored, held | more)]
    assert told == [("extra", path) for path in ("ner/03/x", "ner/3/x", "ner/batchstrategy.so", "ner/labels/x")]
