"""The index of variants as bytes: what is written, and what is refused of what comes back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promote.core.manifest import pack, read_manifest
from promote.core.referrers import pack_referrer
from promote.core.stages import Stored
from promote.core.variant_index import MOST_VARIANTS, pack_index, read_variants
from promote.core.variants import Binding, Kind
from promote.errors import InputError, IntegrityError
from tests.fakes.registry import make_bundle

FP32, FP16, BF16 = (Kind(format="onnx", precision=precision) for precision in ("fp32", "fp16", "bf16"))
BOUND = Binding(tensorrt="11.1.0.106", compute_capability="9.0", arch="aarch64")
PLAN = Kind(format="tensorrt", precision="fp16", binding=BOUND)


def stored(kind: Kind, name: str = "ner", version: int = 1) -> Stored:
    bundle = make_bundle({"model.onnx": kind.label.encode()}, name=name, version=version)
    return read_manifest(pack(bundle).manifest.data or b"", f"fake/{name}", name)


def packed(*kinds: Kind) -> bytes:
    return pack_index([(kind, stored(kind)) for kind in kinds]).data or b""


def changed(change: Any, *kinds: Kind) -> bytes:
    value = json.loads(packed(*(kinds or (FP32, PLAN))))
    change(value)
    return json.dumps(value).encode()


@given(st.permutations([FP32, FP16, BF16, PLAN]))
def test_the_order_of_the_variants_changes_nothing(kinds: list[Kind]) -> None:
    assert packed(*kinds) == packed(FP32, FP16, BF16, PLAN)
    index = read_variants(packed(*kinds), "fake/ner", "ner")
    assert [variant.kind for variant in index.variants] == [FP32, BF16, FP16, PLAN]


def test_the_index_says_what_all_its_bundles_say_and_nothing_of_one() -> None:
    index = read_variants(packed(FP32, FP16), "fake/ner", "ner")
    assert index.annotations["io.promote.run-id"] == "4f2a"
    assert index.annotations["io.promote.target"] == "calypso"
    assert not {"io.promote.passport", "io.promote.verdict"} & index.annotations.keys()


def test_a_plan_is_listed_with_all_that_binds_it() -> None:
    plan = json.loads(packed(FP32, PLAN))["manifests"][1]
    assert plan["platform"] == {"architecture": "arm64", "os": "linux"}
    assert plan["annotations"]["io.promote.variant"] == "tensorrt-fp16-11.1.0.106-cc9.0-linux-aarch64"
    assert plan["annotations"]["io.promote.hardware-level"] == "none"
    assert read_variants(packed(FP32, PLAN), "fake/ner", "ner").variants[1].kind.binding == BOUND


@pytest.mark.parametrize(
    "change",
    [
        lambda v: v.update(schemaVersion=1),
        lambda v: v.update(mediaType="application/vnd.oci.image.manifest.v1+json"),
        lambda v: v.pop("artifactType"),
        lambda v: v.update(artifactType="application/vnd.example"),
        lambda v: v.update(manifests=[]),
        lambda v: v.update(manifests=v["manifests"] * (MOST_VARIANTS + 1)),
        lambda v: v.update(manifests=[v["manifests"][0]] * 2),
        lambda v: v.update(layers=[]),
        lambda v: v.update(subject={}),
        lambda v: v["annotations"].update({"io.promote.model": "other"}),
        lambda v: v["annotations"].update({"io.promote.version": "0"}),
        lambda v: v["manifests"][0].update(digest="sha256:../../x"),
        lambda v: v["manifests"][0].update(urls=["https://example.org"]),
        lambda v: v["manifests"][0].update(size=-1),
        lambda v: v["manifests"][0].update(mediaType="application/vnd.oci.image.index.v1+json"),
        lambda v: v["manifests"][0]["annotations"].update({"io.promote.precision": "fp16"}),
        lambda v: v["manifests"][0].update(platform={"architecture": "amd64", "os": "linux"}),
        lambda v: v["manifests"][1].pop("platform"),
        lambda v: v["manifests"][1].update(platform={"architecture": "amd64", "os": "linux"}),
        lambda v: v["manifests"][1]["annotations"].update({"io.promote.tensorrt": "11.1"}),
        lambda v: v["manifests"][1]["annotations"].update({"io.promote.compute-capability": "8.0"}),
        lambda v: v["manifests"][1]["annotations"].update({"io.promote.hardware-level": "any"}),
        lambda v: v["manifests"][1]["annotations"].pop("io.promote.arch"),
    ],
)
def test_an_index_that_is_not_promotes_own_is_refused(change: Any) -> None:
    assert read_variants(changed(lambda _: None), "fake/ner", "ner").version == 1
    with pytest.raises(IntegrityError):
        read_variants(changed(change), "fake/ner", "ner")


@given(st.binary(max_size=200))
def test_bytes_from_anywhere_are_refused_in_one_line(data: bytes) -> None:
    with pytest.raises(IntegrityError) as refused:
        read_variants(data, "fake/ner", "ner")
    assert "\n" not in refused.value.message


def test_variants_are_of_one_version_and_of_different_kinds() -> None:
    for children in (
        [], [(FP32, stored(FP32)), (FP32, stored(FP16))], [(FP32, stored(FP32)), (FP16, stored(FP16, version=2))],
        [(FP32, stored(FP32)), (FP16, stored(FP16, name="other"))],
    ):  # fmt: skip
        with pytest.raises(InputError):
            pack_index(children)


@pytest.mark.parametrize(
    "kind",
    [
        {"format": "onnx", "precision": "fp7"},
        {"format": "pickle", "precision": "fp32"},
        {"format": "tensorrt", "precision": "fp16"},
        {"format": "onnx", "precision": "fp16", "binding": BOUND},
    ],
)
def test_a_kind_that_is_none_cannot_be_made(kind: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError):
        Kind(**kind)


def test_a_decision_about_an_index_names_an_index() -> None:
    index = read_variants(packed(FP32, FP16), "fake/ner", "ner")
    for held, kind in ((index, "index"), (stored(FP32), "manifest")):
        manifest = json.loads(pack_referrer(held, "application/json", b"{}", {}).manifest.data or b"")
        assert manifest["subject"]["mediaType"] == f"application/vnd.oci.image.{kind}.v1+json"
        assert manifest["subject"]["digest"] == held.digest
