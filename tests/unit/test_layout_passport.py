"""The bundle's bytes: the same for the same promotion, a golden configuration, a passport that says it all, no code."""

import dataclasses
import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from promote.core.bundle_files import read_config
from promote.core.facts import Fact, HostFacts, ModelFacts, Target
from promote.core.golden import join
from promote.core.layout import config_of, content, lay_out
from promote.core.parity import compare
from promote.core.passport import canonical, plain, promotion_id, sha256
from promote.core.rules.engine import check
from promote.core.serving import parse_template
from promote.core.stages import Candidate, Export, ExportPlan, Proven, Run, SourceModel
from promote.core.tensors import TensorSpec
from promote.core.verdict import Compatible, Finding, Outcome, judge
from promote.errors import InputError, IntegrityError
from tests.fakes.bundle import TOLERANCE
from tests.unit.test_matrix import MATRIX

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = Path(__file__).parents[1] / "golden"
TEMPLATE = parse_template((ROOT / "model_repo_templates/onnxruntime/template.yaml").read_text(), "template.yaml")
INPUTS = tuple(TensorSpec(name, "INT64", ("batch", "sequence")) for name in ("input_ids", "attention_mask"))
OUTPUTS = (TensorSpec("logits", "FLOAT", ("batch", "sequence", 3)),)
GPU = Target(
    name="calypso",
    host=HostFacts(device=Fact("gpu", "declared in promote.toml"), triton=Fact("26.04", "declared in promote.toml")),
)
MATRIX_DIGEST = "sha256:" + "7" * 64


def measured(value):
    return Fact(value, "model.onnx", measured=True)


FACTS = ModelFacts(
    format=measured("onnx"), ir_version=measured(10), opsets=measured({"": 22}), inputs=measured(INPUTS),
    outputs=measured(OUTPUTS), dtypes=measured(frozenset({"INT64", "FLOAT"})), weights_bytes=measured(12),
    external=measured(()), domains=measured(frozenset({""})), precision=measured("fp32"),
)  # fmt: skip
RUN = Run(
    run_id="4f2a", name="small", experiment="ships", tracking_uri="https://mlflow.example.com", user="ada",
    ended_ms=1_700_000_000_000, params={"seed": "7"}, metrics={"entity_f1": 0.5, "loss": float("nan")},
    tags={"git.commit": "0123abc", "mlflow.user": "ada", "promote.ner": "v1"},
)  # fmt: skip
SOURCE = SourceModel(
    name="ner", flavour="transformers", root="/work/private/copy", files={}, entry="model", digest=sha256(b"source")
)
FILES = {
    "model.onnx": b"weights",
    "model.onnx.data": b"more weights",
    "labels.txt": b"O\nB-SHIP\nI-SHIP\n",
    "tokenizer/tokenizer.json": b"{}",
}
FINDINGS = (
    Finding(rule="onnx-opset", outcome=Outcome.OK, has="opset 22", has_source="model.onnx", needs="opset 25 or lower",
            row="onnxruntime 1.24.4", source="measured"),
    Finding(rule="memory-fit", outcome=Outcome.DEGRADED, has="tight", needs="more", remedy="a smaller batch"),
)  # fmt: skip


def proven(*, files=FILES, run=RUN, source=SOURCE, facts=FACTS):
    logits = {"typical": {"logits": np.array([[[1.0, 2.0, 3.0]]], np.float32)}}
    inputs = {name: np.ones((1, 1), np.int64) for name in ("input_ids", "attention_mask")}
    export = Export(
        candidate=Candidate(run, source, ModelFacts(precision=Fact("fp32", "MLmodel"))),
        plan=ExportPlan(opset=22, ir_version=10, reasons=("opset 22: as the target takes it",)),
        files={path: content(data) for path, data in files.items()},
        facts=facts,
        samples=content(join({"typical": (inputs, logits["typical"])})),
        cases=("typical",),
        tools={"torch": "2.13.0"},
    )
    return Proven(export, compare(logits, logits, TOLERANCE))


def laid_out(subject=None, *, target=GPU, template=TEMPLATE, name="ner", version=3):
    verdict = Compatible(subject or proven(), target.name, FINDINGS)
    return lay_out(verdict, target, template, name, version, MATRIX_DIGEST)


def data_of(bundle):
    return {path: blob.data for path, blob in bundle.files.items()}


def test_every_file_lies_where_triton_looks_and_is_named_by_its_digest():
    bundle = laid_out()
    assert list(bundle.files) == [
        "ner/3/labels.txt",
        "ner/3/model.onnx",
        "ner/3/model.onnx.data",
        "ner/3/promote/golden.safetensors",
        "ner/3/promote/passport.json",
        "ner/3/tokenizer/tokenizer.json",
        "ner/config.pbtxt",
    ]
    for blob in bundle.files.values():
        assert (blob.digest, blob.size) == (sha256(blob.data), len(blob.data))
    assert (bundle.name, bundle.version, bundle.created) == ("ner", 3, "2023-11-14T22:13:20Z")
    assert bundle.files["ner/3/promote/passport.json"].data == bundle.passport


def test_the_same_promotion_gives_the_same_bytes_whatever_the_order_of_its_parts():
    turned = proven(
        files=dict(reversed(FILES.items())),
        run=replace(RUN, tags=dict(reversed(RUN.tags.items())), metrics=dict(reversed(RUN.metrics.items()))),
        source=replace(SOURCE, root="/another/private/copy"),
    )
    assert data_of(laid_out(turned)) == data_of(laid_out())


@pytest.mark.parametrize(
    ("name", "target", "facts", "files"),
    [
        ("gpu", GPU, FACTS, FILES),
        ("cpu", Target(name="local", host=HostFacts(device=Fact("cpu", "test")), max_batch_size=4), FACTS,
         {"model.onnx": b"weights"}),
        ("unbatched", GPU, replace(FACTS, inputs=measured((TensorSpec("x", "FLOAT16", (1, "n")),)),
                                   outputs=measured((TensorSpec("y", "BFLOAT16", (2,)),))), {"model.onnx": b"weights"}),
    ],
)  # fmt: skip
def test_the_configuration_is_the_golden_one(request, name, target, facts, files):
    text = laid_out(proven(files=files, facts=facts), target=target).files["ner/config.pbtxt"].data.decode()
    golden = GOLDEN / f"config.{name}.pbtxt"
    if request.config.getoption("--update-golden"):
        golden.write_text(text)
    assert text == golden.read_text()


def test_the_configuration_is_read_back_as_it_was_judged_and_passes_every_rule():
    subject = proven()
    config = read_config(laid_out(subject).files["ner/config.pbtxt"].data, "ner")
    assert config == config_of(subject.export, GPU, TEMPLATE, "ner", 3)
    verdict = judge(0, "calypso", check(FACTS, GPU, MATRIX, config=config, name="ner", version=3))
    assert not [f for f in verdict.findings if f.outcome is Outcome.BROKEN]
    assert [o.label_filename for o in config.output] == ["3/labels.txt"]


def test_the_passport_holds_facts_findings_parity_lineage_and_every_files_digest():
    bundle = laid_out()
    passport = json.loads(bundle.passport)
    assert passport["schema"] == "promote.passport/1"
    assert (passport["name"], passport["version"], passport["matrix"]) == ("ner", 3, MATRIX_DIGEST)
    assert passport["verdict"] == "degraded"
    assert [(f["rule"], f["outcome"]) for f in passport["findings"]] == [
        ("onnx-opset", "ok"),
        ("memory-fit", "degraded"),
    ]
    assert passport["facts"]["opsets"] == {"value": {"": 22}, "source": "model.onnx", "measured": True}
    assert passport["facts"]["dtypes"]["value"] == ["FLOAT", "INT64"]
    assert "arch" not in passport["facts"]
    assert passport["declared"]["precision"]["source"] == "MLmodel"
    assert passport["target"]["host"]["triton"]["value"] == "26.04"
    assert passport["plan"]["opset"] == 22
    assert passport["parity"]["tolerance"] == {"absolute": 1e-4, "relative": 1e-3}
    assert passport["parity"]["differences"][0]["output"] == "logits"
    assert passport["tools"] == {"torch": "2.13.0"}
    assert passport["lineage"] == {
        "run_id": "4f2a", "run_name": "small", "experiment": "ships", "model": "ner", "flavour": "transformers",
        "source_digest": sha256(b"source"), "params": {"seed": "7"}, "metrics": {"entity_f1": 0.5},
        "tags": {"git.commit": "0123abc"},
    }  # fmt: skip
    listed = {path: (file["digest"], file["size"]) for path, file in passport["files"].items()}
    others = {path: (blob.digest, blob.size) for path, blob in bundle.files.items() if "passport" not in path}
    assert listed == others


def test_the_passport_names_no_folder_of_this_machine():
    text = laid_out().passport.decode()
    assert "/work/private" not in text
    assert str(ROOT) not in text


def test_a_drifting_fact_keeps_what_was_declared():
    fact = Fact("575", "nvidia-smi", measured=True, declared=Fact("580", "promote.toml"))
    assert plain(fact) == {
        "value": "575",
        "source": "nvidia-smi",
        "measured": True,
        "declared": {"value": "580", "source": "promote.toml", "measured": False},
    }


def test_canonical_json_has_one_form_and_no_word_for_nan():
    assert canonical({"b": 1, "a": "é"}) == '{\n "a": "é",\n "b": 1\n}\n'.encode()
    assert json.loads(canonical({"a": "\ud800"})) == {"a": "\ud800"}
    with pytest.raises(ValueError, match="JSON"):
        canonical({"x": float("nan")})


def test_the_promotion_id_is_the_same_for_the_same_promotion():
    ids = {promotion_id(proven(files=files), GPU, "ner", b"s") for files in (FILES, dict(reversed(FILES.items())))}
    assert len(ids) == 1
    assert len(ids.pop()) == 32


def test_the_promotion_id_changes_with_everything_that_shapes_the_bundle():
    subject = proven()
    resampled = replace(subject, export=replace(subject.export, samples=content(b"others")))
    ids = [
        promotion_id(subject, GPU, "ner", b"s"),
        promotion_id(proven(files=FILES | {"model.onnx": b"weighty"}), GPU, "ner", b"s"),
        promotion_id(proven(files=FILES | {"extra.txt": b""}), GPU, "ner", b"s"),
        promotion_id(proven(run=replace(RUN, run_id="5f2a")), GPU, "ner", b"s"),
        promotion_id(proven(source=replace(SOURCE, digest=sha256(b"changed"))), GPU, "ner", b"s"),
        promotion_id(subject, replace(GPU, name="nereid"), "ner", b"s"),
        promotion_id(subject, GPU, "ner2", b"s"),
        promotion_id(resampled, GPU, "ner", b"s"),
        promotion_id(subject, GPU, "ner", b"t"),
    ]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize(
    ("changes", "target"),
    [
        ({}, replace(GPU, max_batch_size=16)),
        ({}, replace(GPU, host=replace(GPU.host, device=Fact("cpu", "declared in promote.toml")))),
        ({}, replace(GPU, host=replace(GPU.host, triton=Fact("26.05", "declared in promote.toml")))),
        ({"run": replace(RUN, tags={"git.commit": "4567def"})}, GPU),
        ({"run": replace(RUN, metrics={"entity_f1": 0.6})}, GPU),
        ({"run": replace(RUN, ended_ms=1_700_000_099_000)}, GPU),
        ({"facts": replace(FACTS, producer=measured("pytorch 2.13.0"))}, GPU),
    ],
)
def test_what_changes_the_bundle_changes_its_promotion_id_as_a_versions_tag_never_moves(changes, target):
    changed, former = laid_out(proven(**changes), target=target), laid_out()
    assert (data_of(changed), changed.created) != (data_of(former), former.created)
    assert promotion_id(proven(**changes), target, "ner", b"s") != promotion_id(proven(), GPU, "ner", b"s")


@pytest.mark.parametrize(
    "path",
    ["libtriton_x.so", "a/b.so.1", "model.py", "run.sh", "weights.pkl", "model.plan", "config.pbtxt", "../up.txt",
     "/abs.txt", "a\\b.txt", "LABELS.txt", "labels.txt/x", "new\nline.txt"],
)  # fmt: skip
def test_a_file_that_may_not_be_in_a_bundle_is_refused(path):
    with pytest.raises(IntegrityError):
        laid_out(proven(files=FILES | {path: b"x"}))


def test_a_bundle_without_a_model_is_refused():
    with pytest.raises(IntegrityError, match=r"no ner/3/model\.onnx"):
        laid_out(proven(files={"labels.txt": b"O\n"}))


@pytest.mark.parametrize("version", [0, -1])
def test_a_version_below_one_is_refused(version):
    with pytest.raises(IntegrityError, match="expected 1 or more"):
        laid_out(version=version)


@pytest.mark.parametrize("name", ["", "Ner", "../ner", "ner/x", "-ner"])
def test_a_name_that_is_none_is_refused(name):
    with pytest.raises(InputError, match="model name"):
        laid_out(name=name)


def test_a_type_that_triton_does_not_carry_is_refused():
    facts = replace(FACTS, inputs=measured((TensorSpec("x", "COMPLEX64", ("batch",)),)))
    with pytest.raises(InputError, match="COMPLEX64, which Triton cannot carry"):
        laid_out(proven(facts=facts))


def test_every_field_of_the_facts_reaches_the_passport():
    passport = json.loads(laid_out().passport)
    known = {f.name for f in dataclasses.fields(FACTS) if getattr(FACTS, f.name) is not None}
    assert passport["facts"].keys() == known
    assert hashlib.sha256(laid_out().passport).hexdigest() == laid_out().files["ner/3/promote/passport.json"].digest[7:]
