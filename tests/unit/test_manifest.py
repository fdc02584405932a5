"""The manifest of a bundle: the same bytes for the same bundle, a golden one, and everything else refused."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promote.core.manifest import (
    CONFIG_TYPE,
    DOC,
    FILE_PATH,
    LARGEST_MANIFEST,
    TITLE,
    WEIGHT,
    WEIGHT_CONFIG,
    layer_type,
    pack,
    read_manifest,
    strict_json,
)
from promote.core.passport import sha256
from promote.core.stages import Stored
from promote.errors import IntegrityError
from tests.fakes.registry import make_bundle

GOLDEN = Path(__file__).parents[1] / "golden" / "manifest.json"
REPOSITORY = "ghcr.io/acme/ner"
TAGS = {
    "mlflow.source.git.repoURL": "https://github.com/acme/ner.git",
    "mlflow.source.git.commit": "0123456789abcdef0123456789abcdef01234567",
}
PLAIN = {"model.onnx": b"weights", "labels.txt": b"O\nB-PER\n", "tokenizer/tokenizer.json": b"{}"}


def manifest(**changes: Any) -> dict[str, Any]:
    """A right manifest as JSON, some of its keys replaced."""
    return json.loads(pack(make_bundle(PLAIN)).manifest.data or b"") | changes


def read(value: object) -> Stored:
    return read_manifest(json.dumps(value).encode(), REPOSITORY, "ner")


def with_layer(**changes: Any) -> dict[str, Any]:
    value = manifest()
    value["layers"][0] |= changes
    return value


def with_path(path: str, title: str | None = None) -> dict[str, Any]:
    return with_layer(annotations={FILE_PATH: path, TITLE: path if title is None else title})


def test_the_manifest_and_config_are_the_golden_ones(request: pytest.FixtureRequest) -> None:
    packed = pack(make_bundle(PLAIN, tags=TAGS))
    parts = {"manifest": packed.manifest, "config": packed.config}
    shown = json.dumps({k: json.loads(b.data or b"") for k, b in parts.items()}, indent=2, sort_keys=True) + "\n"
    if request.config.getoption("--update-golden"):
        GOLDEN.write_text(shown)
    assert shown == GOLDEN.read_text()
    for blob in parts.values():
        assert (sha256(blob.data or b""), len(blob.data or b"")) == (blob.digest, blob.size)


FILES = st.dictionaries(
    st.from_regex(r"[a-z]{1,8}(/[a-z]{1,8})?\.(onnx|json|bin|txt)", fullmatch=True), st.binary(max_size=20), max_size=6
)


@given(FILES, st.integers(1, 9_999_999_999), st.randoms())
def test_any_bundle_packs_to_the_same_bytes_in_any_order_and_reads_back(files, version, random) -> None:  # type: ignore[no-untyped-def]
    bundle = make_bundle(files, version=version)
    packed = pack(bundle)
    shuffled = list(bundle.files.items())
    random.shuffle(shuffled)
    assert packed == pack(replace(bundle, files=dict(shuffled)))
    stored = read_manifest(packed.manifest.data or b"", REPOSITORY, "ner")
    assert (stored.name, stored.version, stored.digest) == ("ner", version, packed.manifest.digest)
    assert {p: (b.digest, b.size) for p, b in stored.files.items()} == {
        p: (b.digest, b.size) for p, b in bundle.files.items()
    }
    assert stored.reference == f"{REPOSITORY}@{packed.manifest.digest}"


@pytest.mark.parametrize(
    "other",
    [
        make_bundle(PLAIN | {"model.onnx": b"Weights"}),
        make_bundle(PLAIN, version=2),
        make_bundle(PLAIN, name="ner2"),
        make_bundle(PLAIN, run_id="other"),
        make_bundle(PLAIN, passport=b"{}"),
    ],
    ids=["file", "version", "name", "run", "passport"],
)
def test_another_bundle_has_another_digest(other) -> None:  # type: ignore[no-untyped-def]
    assert pack(other).manifest.digest != pack(make_bundle(PLAIN)).manifest.digest


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("ner/config.pbtxt", WEIGHT_CONFIG),
        ("ner/1/model.onnx", WEIGHT),
        ("ner/1/model.onnx.data", WEIGHT),
        ("ner/1/labels.txt", WEIGHT_CONFIG),
        ("ner/1/tokenizer/anything", WEIGHT_CONFIG),
        ("ner/1/promote/passport.json", DOC),
        ("ner/1/promote/golden.safetensors", DOC),
        ("ner/1/README.md", DOC),
        ("promote/config.pbtxt", WEIGHT_CONFIG),
    ],
)
def test_every_file_has_its_modelpack_type(path: str, kind: str) -> None:
    assert layer_type(path) == kind


@pytest.mark.parametrize(
    "url",
    [
        "https://user:canary@github.com/acme/ner",
        "https://canary@github.com/acme/ner.git",
        "https://github.com/acme/ner?token=canary",
        "git@github.com:acme/canary",
        "/home/canary/ner",
    ],
)
def test_an_address_of_code_that_may_hold_a_credential_is_left_out(url: str) -> None:
    packed = pack(make_bundle(PLAIN, tags={"mlflow.source.git.repoURL": url, "mlflow.source.git.commit": "main; rm"}))
    for blob in (packed.manifest, packed.config):
        assert b"canary" not in (blob.data or b"")
        assert b"rm" not in (blob.data or b"").replace(b"format", b"")


def test_a_manifest_of_another_tool_may_carry_more_annotations_and_a_subject() -> None:
    value = manifest(subject={"mediaType": "application/x", "digest": f"sha256:{'0' * 64}", "size": 1})
    value["annotations"]["com.example.seen"] = "yes"
    assert read(value).annotations["com.example.seen"] == "yes"


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (with_layer(urls=["https://evil.example/blob"]), "urls"),
        (manifest(manifests=[]), "manifests"),
        (manifest(mediaType="application/vnd.oci.image.index.v1+json"), "mediaType"),
        (manifest(artifactType="application/vnd.example"), "artifactType"),
        (manifest(schemaVersion=1), "schemaVersion"),
        (manifest(schemaVersion="2"), "schemaVersion"),
        (manifest(layers=[]), "layers"),
        (manifest(layers=None), "layers"),
        (manifest(annotations=None), "annotations"),
        ({k: v for k, v in manifest().items() if k != "config"}, "config"),
        (manifest(config={"mediaType": CONFIG_TYPE, "digest": "sha256:../../x", "size": 1}), "not a digest"),
        (manifest(config={"mediaType": "application/x", "digest": f"sha256:{'0' * 64}", "size": 1}), "mediaType"),
        (with_layer(size=-1), "size"),
        (with_layer(size=2**50 + 1), "size"),
        (with_layer(size=True), "size"),
        (with_layer(size=1.5), "size"),
        (with_layer(digest="sha256:../../etc"), "not a digest"),
        (with_layer(digest=f"sha256:{'A' * 64}"), "not a digest"),
        (with_layer(digest=f"md5:{'0' * 32}"), "not a digest"),
        (with_layer(mediaType="application/vnd.oci.image.layer.v1.tar+gzip"), "mediaType"),
        (with_layer(annotations={}), "not a plain relative path"),
        (with_path("ner/config.pbtxt", "other/config.pbtxt"), "two names"),
        (with_path("../config.pbtxt"), "not a plain relative path"),
        (with_path("/etc/passwd"), "not a plain relative path"),
        (with_path("ner/1/../../x"), "not a plain relative path"),
        (with_path("ner\\1"), "not a plain relative path"),
        (with_path("ner/1/model.onnx"), "share one name"),
        (with_path("ner/1/MODEL.onnx"), "share one name"),
        (with_path("ner/1"), "lies under a name that is a file"),
        ([], "not a bundle"),
        ("text", "not a bundle"),
        (None, "not a bundle"),
    ],
)
def test_what_is_not_a_bundle_is_refused_with_the_place(value: object, why: str) -> None:
    with pytest.raises(IntegrityError, match=re.escape(why)) as refused:
        read(value)
    assert "\n" not in refused.value.message


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        ("io.promote.model", "other", "of model 'other', expected 'ner'"),
        ("io.promote.model", "", "of model ''"),
        ("io.promote.version", "0", "version '0'"),
        ("io.promote.version", "-1", "version"),
        ("io.promote.version", "01", "version"),
        ("io.promote.version", "1.0", "version"),
        ("io.promote.version", "\u0661", "version"),
        ("io.promote.version", "1\n", "version"),
        ("io.promote.version", "9" * 11, "version"),
        ("io.promote.version", "", "version"),
    ],
)
def test_another_model_or_no_version_is_refused(key: str, value: str, why: str) -> None:
    changed = manifest()
    changed["annotations"][key] = value
    with pytest.raises(IntegrityError, match=re.escape(why)):
        read(changed)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"\xff",
        b'{"a":1,"a":2}',
        b'{"a":{"b":1,"b":1}}',
        b'{"a":NaN}',
        b'{"a":-Infinity}',
        b'{"a":"\\ud800"}',
        b"[" * 100_000,
        b'{"a":' * 5000 + b"1" + b"}" * 5000,
        b" " * (LARGEST_MANIFEST + 1),
    ],
    ids=["empty", "cut", "utf-8", "twice", "twice within", "nan", "infinity", "surrogate", "deep", "nested", "huge"],
)
def test_json_that_can_be_read_in_two_ways_is_refused(data: bytes) -> None:
    with pytest.raises(IntegrityError):
        strict_json(data, "the manifest")
    with pytest.raises(IntegrityError):
        read_manifest(data, REPOSITORY, "ner")


@given(st.integers(0, 10_000), st.binary(max_size=3))
def test_no_damage_is_read_as_the_same_bundle(place: int, new: bytes) -> None:
    data = pack(make_bundle(PLAIN)).manifest.data or b""
    place %= len(data)
    damaged = data[:place] + new + data[place + 1 :]
    try:
        stored = read_manifest(damaged, REPOSITORY, "ner")
    except IntegrityError:
        return
    assert stored.digest == sha256(damaged)
    assert (stored.digest == sha256(data)) == (damaged == data)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(JSON, st.sampled_from([*manifest(), "layers.0"]))
def test_any_json_in_any_place_is_refused_or_read_but_never_a_crash(value: object, key: str) -> None:
    changed = manifest()
    if key == "layers.0":
        changed["layers"][0] = value
    else:
        changed[key] = value
    try:
        stored = read(changed)
    except IntegrityError:
        return
    assert stored.name == "ner"
