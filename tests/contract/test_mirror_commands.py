"""`promote copy REF MIRROR` and `promote verify REF MIRROR` as they are typed: what they print, exit codes, no secret told."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from promote.adapters.oci.registry import open_registry
from promote.cli.main import run
from promote.core.passport import canonical
from promote.core.stages import Stored
from promote.core.variants import Kind
from tests.fakes.hub import TOKEN, Hub
from tests.fakes.mirrored import whole_bundle
from tests.parts.s3_server import S3, VARIABLES
from tests.unit.test_cli_golden import PASSPORT

Typed = Callable[..., tuple[int, str, str]]


@pytest.fixture
def typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Typed:
    """Types a command in a folder of its own: exit code, stdout, stderr. No secret is in either."""
    monkeypatch.chdir(tmp_path)
    Path("promote.toml").write_text("")

    def type_it(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = run(list(arguments))
        said = capsys.readouterr()
        for secret in (TOKEN, VARIABLES["AWS_SECRET_ACCESS_KEY"], "canary"):
            assert secret not in said.out + said.err
        assert "Traceback" not in said.err
        return code, said.out, said.err

    return type_it


@pytest.fixture
def stored(typed: Typed) -> Stored:
    return whole_bundle(open_registry("oci:bundles", env={}), "ner", 1, passport=canonical(PASSPORT))


@pytest.fixture
def bucket(s3: S3) -> str:
    return f"s3://{s3.bucket()}/mirror"


def test_a_bundle_is_copied_to_a_bucket_and_held_against_the_manifest(
    typed: Typed, stored: Stored, bucket: str, s3: S3
) -> None:
    reference, digest = "oci:bundles/ner:v1", stored.digest
    code, out, err = typed("verify", reference, bucket, "--json")
    assert code == 6
    assert {one["kind"] for one in json.loads(out)["faults"]} == {"missing"}
    code, out, err = typed("copy", reference, bucket, "--dry-run", "--json")
    dry = json.loads(out)
    assert (code, dry["bytes"]["missing"], dry["bytes"]["there"]) == (0, sum(dry["files"].values()), 0)
    assert s3.client.list_objects_v2(Bucket=bucket.split("/")[2])["KeyCount"] == 0
    code, out, err = typed("copy", reference, bucket)
    assert code == 0, err
    assert out == f"oci:{Path.cwd()}/bundles/ner@{digest}\n"
    assert f"ner v1 is copied to {bucket}" in err
    assert "serves  version 1" in err
    code, out, err = typed("copy", reference, bucket, "--json")
    told = json.loads(out)
    assert (code, told["mirror"], told["served"], told["digest"]) == (0, bucket, 1, digest)
    assert told["bytes"]["sent"] == 0
    assert told["bytes"]["skipped"] == dry["bytes"]["missing"]
    code, out, err = typed("copy", reference, bucket, "--dry-run")
    assert (code, out) == (0, "")
    assert "missing  0 bytes in 0 files" in err
    code, out, err = typed("verify", reference, bucket)
    assert (code, out) == (0, f"oci:{Path.cwd()}/bundles/ner@{digest}\n")
    name = bucket.removeprefix("s3://").partition("/")[0]
    s3.client.put_object(Bucket=name, Key="mirror/ner/1/model.onnx", Body=b"other")
    code, out, err = typed("verify", reference, bucket)
    assert code == 6
    assert "ner/1/model.onnx  is 5 bytes, expected" in out
    assert "1 file is not as" in err
    assert list(Path(".promote").glob("work-*")) == []


def test_a_bundle_is_copied_to_the_hub(typed: Typed, stored: Stored, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    reference = f"oci:bundles/ner@{stored.digest}"
    code, _, err = typed("copy", reference, "hf://acme/ner")
    assert code == 4  # private or not there, and no token
    assert "401: Repository not found; it is private or not there, and HF_TOKEN is not set" in err
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    code, _, err = typed("copy", reference, "hf://acme/ner")
    assert code == 3
    assert "create it on the Hub first" in err
    hub.repo("acme/ner")
    code, out, err = typed("copy", reference, "hf://acme/ner")
    assert code == 0, err
    assert out.endswith(f"@{stored.digest}\n")
    assert hub.repos["acme/ner"].titles[-1] == f"ner version 1, {stored.digest}"
    assert typed("verify", reference, "hf://acme/ner")[0] == 0
    left = [path for path in Path().rglob("*") if path.is_file()]
    assert left
    assert not [path for path in left if TOKEN.encode() in path.read_bytes()]
    hub.put("acme/ner", {"ner/1/evil.so": b"\x7fELF"})
    code, out, _ = typed("verify", reference, "hf://acme/ner")
    assert code == 6
    assert "ner/1/evil.so  is no file of the bundle (4 bytes)" in out


def test_of_an_index_the_portable_variant_is_copied_and_a_digest_names_any(typed: Typed, bucket: str) -> None:
    registry = open_registry("oci:bundles", env={})
    kinds = [Kind(format="onnx", precision=precision) for precision in ("fp16", "fp32")]
    half, full = (whole_bundle(registry, "both", 1, weight, alone=False) for weight in (3.0, 2.0))
    index = registry.gather(list(zip(kinds, (half, full), strict=True)))
    portable = registry.resolve("both", index.named("").digest)
    other = half if portable.digest == full.digest else full
    code, out, err = typed("copy", "oci:bundles/both:v1", bucket)
    assert code == 0, err
    assert out.endswith(f"@{portable.digest}\n")
    assert typed("verify", "oci:bundles/both:v1", bucket)[0] == 0
    assert typed("verify", f"oci:bundles/both@{other.digest}", bucket)[0] == 6
    code, _, err = typed("copy", f"oci:bundles/both@{other.digest}", bucket)
    assert code == 6
    assert f"holds version 1 of both as {portable.digest}, not {other.digest}" in err


def test_a_mirror_is_no_source(typed: Typed, stored: Stored, bucket: str) -> None:
    assert typed("copy", "oci:bundles/ner:v1", bucket)[0] == 0
    for verb in (("pull", f"{bucket}/ner:v1", "out"), ("copy", f"{bucket}/ner:v1", "oci:other/")):
        code, _, err = typed(*verb)
        assert code == 2, verb
        assert "s3:// is no registry or layout" in err or "names no" in err
