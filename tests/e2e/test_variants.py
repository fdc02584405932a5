"""Several variants of one version on real parts: made, proven in ONNX Runtime, ranked, served by the real Triton on the CPU."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.e2e.project import Project
from tests.fakes.factory import log_run

pytestmark = [pytest.mark.e2e, pytest.mark.mlflow, pytest.mark.slow]

NAME = "variants-ner"
# Triton 26.05 of a GPU host that is declared only: nothing is asked of it.
GPU = 'http = "gpu.example:8000"\ngrpc = "gpu.example:8001"\ndevice = "gpu"\narch = "x86_64"\ntriton = "26.05"\n'
GPU += 'driver = "580.95.05"\ngpu = "RTX 4090"\nmemory_gib = 24\n'


@pytest.fixture(scope="module")
def project(tmp_path_factory, sqlite_uri, triton):
    made = Project(tmp_path_factory.mktemp("project"), sqlite_uri)
    here = f'http = "{triton.triton.http}"\ngrpc = "{triton.triton.grpc}"\nmodel_repository = "{triton.repository}"\n'
    careful = 'device = "cpu"\nonnxruntime = "installed"\ntriton = "24.10"\n' + here
    made.write(local=here, careful=careful, box=GPU)
    return made


@pytest.fixture(scope="module")
def run(project):
    return log_run(project.uri, {"ner": "transformers"})


@pytest.fixture(scope="module")
def promoted(project, run):
    return project("model", run, "--target", "careful", "--name", NAME, "--variant", "fp16")


def model_of(project: Project, digest: str) -> Path:
    """The layout's ``model.onnx`` of the bundle of that digest."""
    blobs = project.folder / "bundles" / NAME / "blobs/sha256"
    manifest = json.loads((blobs / digest.removeprefix("sha256:")).read_text())
    layer = next(
        one for one in manifest["layers"] if one["annotations"]["org.cncf.model.filepath"].endswith("model.onnx")
    )
    return blobs / layer["digest"].removeprefix("sha256:")


def types(path: Path) -> tuple[set[int], set[int]]:
    """Element types of the inner weights, and of inputs and outputs."""
    graph = onnx.load(str(path)).graph
    ends = {value.type.tensor_type.elem_type for value in (*graph.input, *graph.output)}
    return {one.data_type for one in graph.initializer}, ends


def ask(triton, ids):
    """Logits of the live version, as any client gets them: it does not know which variant answers."""
    import tritonclient.http as client

    inputs = [client.InferInput(name, ids.shape, "INT64") for name in ("input_ids", "attention_mask")]
    for tensor, data in zip(inputs, (ids, np.ones_like(ids)), strict=True):
        tensor.set_data_from_numpy(data)
    return client.InferenceServerClient(triton.triton.http).infer(NAME, inputs).as_numpy("logits")


@pytest.mark.triton
def test_the_version_is_an_index_and_each_variant_is_proven(project, promoted):
    assert "choose" not in promoted.err
    assert "parity   source model against onnx-fp16: largest difference" in promoted.err
    assert "decisions the same" in promoted.err
    repository, _, digest = promoted.last.partition("@")
    ranked = project("resolve", f"{NAME}:v1", "--target", "careful", "--json").json
    assert ranked["release"] == promoted.last
    assert [one["variant"] for one in ranked["variants"]] == ["onnx-fp32", "onnx-fp16"]
    assert [one["verdict"] for one in ranked["variants"]] == ["compatible", "degraded"]
    assert ranked["reference"] == f"{repository}@{ranked['variants'][0]['digest']}"
    wide, half = (types(model_of(project, one["digest"])) for one in ranked["variants"])
    assert onnx.TensorProto.FLOAT16 in half[0]
    assert onnx.TensorProto.FLOAT16 not in wide[0]
    assert wide[1] == half[1]  # the same inputs and outputs: a client sees no difference
    for one in ranked["variants"]:
        onnx.checker.check_model(str(model_of(project, one["digest"])), full_check=True)
    assert digest.startswith("sha256:")


@pytest.mark.triton
def test_the_whole_is_approved_and_the_best_for_the_host_serves(project, promoted, triton):
    project("deploy", f"{NAME}:v1", "--target", "careful", code=13)
    shown = project("review", "show", f"{NAME}:v1", "--target", "careful")
    assert "onnx-fp32, onnx-fp16" in shown.out + shown.err
    project("review", "approve", f"{NAME}:v1", "--target", "careful", "--reason", "looked at both")
    chosen = project("resolve", f"{NAME}:v1", "--target", "careful").last
    project(
        "deploy", chosen.rpartition("/")[2], "--target", "careful", code=13
    )  # a child alone is not what was approved
    deployed = project("deploy", f"{NAME}:v1", "--target", "careful", "--json").json
    assert (deployed["variant"], deployed["reference"]) == ("onnx-fp32", chosen)
    assert deployed["release"] == promoted.last.partition("@")[2]
    models = project("status", "--target", "careful", "--json", code=None).json["models"]  # other tests' too
    row = next(m for m in models if m["name"] == NAME)
    assert row["drift"] == []
    assert row["deployed"]["release"] == deployed["release"]


@pytest.mark.triton
def test_the_fp16_variant_answers_in_the_real_triton_on_the_cpu(project, promoted, run, triton):
    ids = np.array([[1, 2, 3, 4]], dtype=np.int64)
    project("model", run, "--target", "local", "--name", NAME, "--variant", "fp16")  # judged for another target: v2
    ranked = project("resolve", f"{NAME}:v2", "--target", "local", "--json").json
    half = next(one for one in ranked["variants"] if one["variant"] == "onnx-fp16")
    wide = project("deploy", f"{NAME}:v2", "--target", "local", "--json").json
    assert wide["variant"] == "onnx-fp32"
    before = ask(triton, ids)
    # By its own digest it is a bundle like any; a version of its own, as v2 serves by other bytes here.
    other = log_run(project.uri, {"ner": "transformers"})
    project("model", other, "--target", "local", "--name", NAME, "--variant", "fp16")
    ranked = project("resolve", f"{NAME}:v3", "--target", "local", "--json").json
    half = next(one for one in ranked["variants"] if one["variant"] == "onnx-fp16")
    served = project("deploy", f"{NAME}@{half['digest']}", "--target", "local", "--json").json
    assert served["digest"] == half["digest"]
    assert max(replay["max_absolute"] for replay in served["replays"]) <= 1e-2
    answer = ask(triton, ids)
    assert answer.dtype == np.float32
    assert answer.shape == before.shape
    onnxruntime = pytest.importorskip("onnxruntime")
    full = onnxruntime.InferenceSession(str(model_of(project, ranked["variants"][0]["digest"])))
    want = full.run(None, {"input_ids": ids, "attention_mask": np.ones_like(ids)})[0]
    off = np.abs(answer - want).max()
    assert 0 < off < 1e-2  # it is fp16 that answers, and it is right
    back = project("rollback", NAME, "--target", "local", "--json").json
    assert back["digest"] == wide["digest"]
    np.testing.assert_allclose(ask(triton, ids), before, atol=1e-5)


@pytest.mark.triton
def test_a_gpu_gets_fp16_and_a_host_without_one_gets_none_of_them(project, run):
    made = project("model", run, "--target", "box", "--name", NAME, "--variant", "fp16")
    reference = f"{NAME}@{made.last.partition('@')[2]}"
    box = project("resolve", reference, "--target", "box")
    assert [line.split()[:2] for line in box.out.splitlines()[1:3]] == [
        ["onnx-fp16", "chosen"],
        ["onnx-fp32", "accepted"],
    ]
    here = project("resolve", reference, "--target", "local", code=10)
    assert "incompatible with local" in here.err  # a configuration for a GPU serves nobody without one
