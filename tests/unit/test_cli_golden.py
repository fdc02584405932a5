"""What commands print, whole: exit code, stdout and stderr; about compatibility on a small matrix that is stale."""

from pathlib import Path

import pytest

from promote.adapters.oci.registry import open_registry
from promote.core.evidence import VERDICT_TYPE, annotations_of
from promote.core.passport import canonical
from promote.core.variants import Kind
from promote.core.verdict import judge
from tests.fakes.registry import Steps, make_bundle
from tests.golden_cli import FOLDER, Golden
from tests.parts.config_cases import (
    STEPS,
    Folder,
    adds,
    ensemble,
    onnx_folder,
    python_folder,
    sample,
    step,
    tensor,
    warm,
)

CPU = ("--target", "proteus")
GPU = ("--target", "calypso")


@pytest.fixture
def golden(request, tmp_path, monkeypatch):
    """A folder with a model repository, model files beside it, and settings that name the small matrix."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PROMOTE_CONFIG", raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    Path("promote.toml").write_text(f'matrix = "{FOLDER / "matrix.yaml"}"\n')
    repository = Path("models")
    repository.mkdir()
    made = STEPS | {
        "both": ensemble(step(gives="y: t"), step("step-of-4", takes="x: t"), batch=4),
        "code": python_folder(),
        "cold": onnx_folder(warm(sample(dims="-1"))),
        "names": onnx_folder(y=tensor("output", "z")),
        "torn": Folder("no_such_field: 1"),
    }
    for name, folder in made.items():
        folder.write(repository, name)
    plan = b"ftrt" + bytes(20) + bytes([10, 13, 3, 9]) + bytes(100)
    for path, data in {"loose/net.onnx": adds(), "loose/yolo.engine": plan}.items():
        Path(path).parent.mkdir(exist_ok=True)
        Path(path).write_bytes(data)
    return Golden(request, tmp_path)


COMMANDS = {
    "check-file": ("check", "loose/net.onnx", *CPU),
    "check-plan": ("check", "loose/yolo.engine", *GPU),
    "check-repository": ("check", ".", *CPU),
    "check-repository-jsonl": ("check", "models", *CPU, "--jsonl"),
    "check-repository-json": ("check", "models", *CPU, "--json"),
    "check-model": ("check", "models/cold", *CPU),
    "check-ensemble-alone": ("check", "models/both", *CPU),
    "check-explain": ("check", "models/cold", *CPU, "--explain", "config-warmup"),
    "check-explain-folder": ("check", "models", *CPU, "--explain", "ensemble-models"),
    "check-explain-json": ("check", "loose/net.onnx", *CPU, "--explain", "onnx-opset", "--json"),
    "check-explain-unknown": ("check", "loose/net.onnx", *CPU, "--explain", "opset"),
    "check-nothing": ("check", "models/code/1", *CPU),
    "matrix-explain": ("matrix", "explain", "config-ensemble"),
    "matrix-show": ("matrix", "show", "triton_releases"),
    "matrix-validate": ("matrix", "validate"),
    "matrix-validate-json": ("matrix", "validate", "--json"),
    "copy-help": ("copy", "--help"),
    "export-help": ("export", "--help"),
    "import-help": ("import", "--help"),
    "push-help": ("push", "--help"),
    "push-both": ("push", "models", "oci:bundles/", "--target", "local", "--from", "oci:x"),
    "push-no-directory": ("push", "none", "oci:bundles/", *CPU, "-q"),
    "status-help": ("status", "--help"),
    "sync-help": ("sync", "--help"),
    "smoke-help": ("smoke", "--help"),
    "bench-help": ("bench", "--help"),
    "pull-help": ("pull", "--help"),
    "diff-help": ("diff", "--help"),
    "resolve-help": ("resolve", "--help"),
    "build-engine-help": ("build-engine", "--help"),
    "verify-help": ("verify", "--help"),
    "list-help": ("list", "--help"),
    "inspect-help": ("inspect", "--help"),
    "history-help": ("history", "--help"),
    "fsck-help": ("fsck", "--help"),
    "withdraw-help": ("withdraw", "--help"),
    "review-help": ("review", "--help"),
    "policy-check-help": ("policy", "check", "--help"),
    "template-help": ("template", "--help"),
    "template-write-help": ("template", "write", "--help"),
    "template-list": ("template", "list"),
    "template-schema": ("template", "schema", "ensemble"),
    "what-if": ("what-if", "loose", *GPU, "--triton", "24.12"),
    "what-if-json": ("what-if", "loose", *GPU, "--triton", "24.12", "--json"),
    "what-if-jsonl": ("what-if", "loose", *GPU, "--triton", "24.12", "--jsonl"),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_commands_print_what_they_did(golden, name):
    golden(name, *COMMANDS[name])


PASSPORT = {
    "schema": "promote.passport/1",
    "verdict": "compatible",
    "target": {"name": "calypso"},
    "findings": [{"outcome": "ok"}, {"outcome": "ok"}],
    "lineage": {"run_id": "4f2a", "experiment": "ships", "metrics": {"f1": 0.93}},
    "parity": {
        "tolerance": {"absolute": 1e-4, "relative": 1e-3},
        "differences": [{"max_absolute": 2e-6, "output": "logits", "case": "typical"}],
    },
    "plan": {"format": "onnx", "reasons": ["opset 20: the highest that both take"]},
    "files": {"model.onnx": {"size": 14}},
}


@pytest.fixture
def bundles(golden):
    """A layout with two versions: nothing refers to the first, two things to the second, one without a date."""
    registry = open_registry("oci:bundles", env={})
    for version in (1, 2):
        bundle = make_bundle({"model.onnx": b"weights of ner"}, version=version, passport=canonical(PASSPORT))
        stored = registry.push(bundle, Steps()).stored
    kinds = [Kind(format="onnx", precision=precision) for precision in ("fp32", "fp16")]
    both = [make_bundle({"model.onnx": kind.label.encode()}, name="both") for kind in kinds]
    pushed = [registry.push(one, Steps(), alone=False).stored for one in both]
    registry.gather(list(zip(kinds, pushed, strict=True)))
    verdict = judge(stored, "proteus", ())
    registry.attach(stored, VERDICT_TYPE, b"{}", annotations_of(verdict, b"{}", "2026-11-24T12:00:00Z"))
    registry.attach(stored, "application/vnd.dev.sigstore.bundle.v0.3+json", b"{}", {"io.promote.target": "a\tb"})


INSPECTED = {
    "inspect": ("inspect", "ner:v2", "--registry", "oci:bundles"),
    "inspect-json": ("inspect", "ner:v2", "--registry", "oci:bundles", "--json"),
    "inspect-alone": ("inspect", "ner:v1", "--registry", "oci:bundles"),
    "inspect-index": ("inspect", "oci:bundles/both:v1"),
    "inspect-index-json": ("inspect", "oci:bundles/both:v1", "--json"),
    "diff": ("diff", "oci:bundles/ner:v1", "oci:bundles/ner:v2"),
    "diff-json": ("diff", "oci:bundles/ner:v1", "oci:bundles/ner:v2", "--json"),
    "diff-nothing": ("diff", "oci:bundles/ner:v2", "oci:bundles/ner:v2"),
    "diff-index": ("diff", "oci:bundles/ner:v2", "oci:bundles/both:v1"),
    "verify-json": ("verify", "oci:bundles/ner:v2", "--json"),
    "list": ("list", "--registry", "oci:bundles"),
    "list-json": ("list", "oci:bundles/ner", "--json"),
    "list-nothing": ("list", "oci:bundles/none"),
    "inspect-nothing": ("inspect", "ner:v3", "--registry", "oci:bundles"),
}


@pytest.mark.parametrize("name", INSPECTED)
def test_inspect_prints_what_it_did(golden, bundles, name):
    golden(name, *INSPECTED[name])


def test_verify_lists_all_that_is_wrong(golden, bundles):
    blobs = Path("bundles/ner/blobs/sha256")
    for digest in ("b45c8a3eedc7", "dd56de413795"):
        (found,) = blobs.glob(f"{digest}*")
        found.unlink() if digest.startswith("b") else found.write_text("other!")
    assert golden("verify", "verify", "oci:bundles/ner:v2", "--quiet") == 6


COPIED = {
    "copy": ("copy", "oci:bundles/ner:v2", "oci:copies/"),
    "copy-other": ("copy", "oci:bundles/ner:v2", "oci:copies/bert"),
    "copy-json": ("copy", "oci:bundles/ner:v1", "oci:copies/ner:v1", "--json"),
    "copy-dry": ("copy", "oci:bundles/ner:v2", "oci:copies/", "--dry-run"),
    "copy-dry-json": ("copy", "oci:bundles/ner:v1", "oci:copies/ner:v1", "--dry-run", "--json"),
    "copy-nothing": ("copy", "oci:bundles/ner:v3", "oci:copies/"),
    "copy-nowhere": ("copy", "oci:bundles/ner:v1", "ftp://copies/ner"),
    "copy-mirror-none": ("copy", "oci:bundles/ner:v1", "hf://acme"),
    "verify-mirror-none": ("verify", "oci:bundles/ner:v1", "s3://bucket"),
}


@pytest.mark.parametrize("name", COPIED)
def test_copy_prints_what_it_did(golden, bundles, name):
    golden(name, *COPIED[name])


def test_export_and_import_print_what_they_did(golden, bundles):
    golden("export", "export", "oci:bundles/ner:v2", "ner.tar")
    golden("export-json", "export", "oci:bundles/ner:v1", "one.tar", "--json")
    golden("import", "import", "ner.tar", "oci:copies/")
    golden("import-again", "import", "ner.tar", "oci:copies/ner:v2", "--json")
    golden("import-nothing", "import", "none.tar", "oci:copies/")
    golden("import-other", "import", "ner.tar", "oci:copies/bert:v2", "-q")


POLICY = """\
schema: promote.policy/1
targets:
  proteus:
    metrics: {f1: {min: 0.95, max_drop: 0.01}}
    parity: {max_absolute: 1.0e-5}
    evidence: [signature]
    licences: [mit]
    freeze: [{start: 2999-12-20T00:00:00Z, end: 3000-01-04T00:00:00Z}]
"""
GATED = {
    "policy-check": POLICY,
    "policy-check-json": POLICY,
    "policy-check-none": "schema: promote.policy/1\ntargets: {}\n",
    "policy-check-wrong": POLICY.replace("licences", "licenses"),
}


@pytest.mark.parametrize("name", GATED)
def test_policy_check_prints_what_it_did(golden, monkeypatch, name):
    import promote.adapters.tracking.ledger as tracking
    from tests.fakes.tracking import FakeLedger

    monkeypatch.setattr(tracking, "open_ledger", lambda *_, **__: FakeLedger())
    worst = PASSPORT["parity"]["differences"][0] | {"max_relative": 2e-5}
    parity = PASSPORT["parity"] | {"differences": [worst]}
    passport = canonical(PASSPORT | {"version": 1, "parity": parity})
    bundle = make_bundle({"model.onnx": b"weights of ner"}, version=1, passport=passport)
    open_registry("oci:bundles", env={}).push(bundle, Steps())
    with Path("promote.toml").open("a") as settings:
        settings.write("[targets.proteus]\nreview = false\n")
    Path("promotion_policy.yaml").write_text(GATED[name])
    golden(name, "policy", "check", "ner:v1", *CPU, *(("--json",) if name.endswith("json") else ()))


def test_every_golden_file_has_its_command():
    assert {path.stem for path in FOLDER.glob("*.txt")} >= {*COMMANDS, *INSPECTED, *GATED}
