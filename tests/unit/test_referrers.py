"""The form of a referrer and of the list it stands in. How they are kept is in ``tests/contract/test_referrers.py``."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promote.core.manifest import MANIFEST_TYPE, pack, read_manifest
from promote.core.passport import sha256
from promote.core.referrers import (
    FALLBACK_TAG,
    INDEX_TYPE,
    entry_of,
    fallback_tag,
    pack_referrer,
    read_index,
    referrers_of,
    with_entries,
)
from promote.core.stages import Blob
from promote.errors import IntegrityError
from tests.fakes.registry import make_bundle

STORED = read_manifest(pack(make_bundle()).manifest.data, "fake/ner", "ner")
KIND = "application/vnd.promote.verdict.v1+json"


def entry(number, **more):
    return {"mediaType": MANIFEST_TYPE, "digest": sha256(b"%d" % number), "size": number} | more


def test_the_tag_is_the_digest_with_a_hyphen():
    tag = fallback_tag(STORED.digest)
    assert tag == STORED.digest.replace(":", "-")
    assert FALLBACK_TAG.fullmatch(tag)
    for wrong in ("sha256:../x", "v1", tag):
        with pytest.raises(IntegrityError):
            fallback_tag(wrong)


def test_the_same_referrer_is_the_same_bytes():
    one, two = (pack_referrer(STORED, KIND, b"{}", {"b": "1", "a": "2"}).manifest for _ in range(2))
    assert one == two
    assert one.digest != pack_referrer(STORED, KIND, b"{ }", {"b": "1", "a": "2"}).manifest.digest


@pytest.mark.parametrize(
    ("manifest", "kind"),
    [
        ({"artifactType": KIND}, KIND),
        ({"artifactType": ""}, "application/config"),
        ({}, "application/config"),
    ],
)
@pytest.mark.parametrize("annotations", [{"a": "b", "c": ""}, {}, None])
def test_an_entry_has_the_artifact_type_or_the_configs_and_all_annotations(manifest, kind, annotations):
    value = {"mediaType": MANIFEST_TYPE, "config": {"mediaType": "application/config"}} | manifest
    data = json.dumps(value | ({} if annotations is None else {"annotations": annotations})).encode()
    found = entry_of(Blob(sha256(data), len(data), data=data))
    assert found["artifactType"] == kind
    assert found.get("annotations") == (annotations or None)
    assert (found["digest"], found["size"], found["mediaType"]) == (sha256(data), len(data), MANIFEST_TYPE)


@settings(deadline=None)
@given(st.lists(st.integers(0, 30)), st.lists(st.integers(0, 30)))
def test_a_list_has_each_entry_once_loses_none_and_is_the_same_in_any_order(first, second):
    one = with_entries(None, [entry(n) for n in first], "x")
    both = with_entries(one.data, [entry(n) for n in second], "x") or one
    assert [e["digest"] for e in read_index(both.data, "x")][: len(set(first))] == [
        e["digest"] for e in read_index(one.data, "x")
    ]
    found = sorted(r.size for r in referrers_of(read_index(both.data, "x")))
    assert found == sorted({*first, *second})
    assert with_entries(both.data, [entry(n) for n in first + second], "x") is None
    assert with_entries(None, [entry(n) for n in reversed(first)], "x") == one


def test_nothing_of_a_foreign_list_is_changed():
    theirs = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "annotations": {"a": "b"}, "x": [1]}
    theirs["manifests"] = [entry(1, platform={"os": "linux"}, urls=["u"])]
    new = json.loads(with_entries(json.dumps(theirs).encode(), [entry(2)], "x").data)
    assert new == theirs | {"manifests": [*theirs["manifests"], entry(2)]}


def test_a_list_that_would_not_fit_is_not_made():
    large = [entry(n, annotations={"a": "x" * 1000}) for n in range(4300)]
    with pytest.raises(IntegrityError, match="more than fits"):
        with_entries(None, large, "x")
    assert with_entries(None, large[:3400], "x").size < 4 * 1024 * 1024


@pytest.mark.parametrize("wrong", [True, "7", 4 * 1024 * 1024 + 1, 1.0])
def test_a_size_is_a_number_of_bytes_of_a_manifest(wrong):
    data = json.dumps({"schemaVersion": 2, "manifests": [entry(1) | {"size": wrong}]}).encode()
    with pytest.raises(IntegrityError, match="no image index"):
        read_index(data, "x")


def test_annotations_that_are_null_are_none():
    assert (
        referrers_of(
            read_index(json.dumps({"schemaVersion": 2, "manifests": [entry(1, annotations=None)]}).encode(), "x")
        )[0].annotations
        == {}
    )
