"""A run that trained only the head: the second promotion sends little, and the real Triton serves what is pulled."""

from __future__ import annotations

import numpy as np
import pytest

from tests.e2e.project import Project
from tests.fakes.factory import log_run

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.mlflow, pytest.mark.registry, pytest.mark.triton]


def stored(folder):
    """Bytes that the registry keeps, by its own files."""
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())


def logits(triton, name, version):
    import tritonclient.http as client

    server = client.InferenceServerClient(triton.triton.http)
    inputs = [client.InferInput(tensor, [1, 3], "INT64") for tensor in ("input_ids", "attention_mask")]
    for given, values in zip(inputs, ([[1, 2, 3]], [[1, 1, 1]]), strict=True):
        given.set_data_from_numpy(np.array(values, dtype=np.int64))
    return server.infer(name, inputs, model_version=version).as_numpy("logits")


def test_only_the_head_is_sent_and_both_versions_are_served(tmp_path, sqlite_uri, registry, triton):
    project, name = Project(tmp_path, sqlite_uri), "tuned-ner"
    where = f'http = "{triton.triton.http}"\ngrpc = "{triton.triton.grpc}"\nmodel_repository = "{triton.repository}"\n'
    project.write(local=where)
    base = f"{registry.host}/tuned"

    def promote(run):
        asked = ("model", run, "--target", "local", "--name", name, "--registry", base, "--json")
        before = stored(registry.storage)
        return project(*asked).json, stored(registry.storage) - before

    run = log_run(sqlite_uri, {"ner": "first head"})
    first, grew = promote(run)
    assert first["bytes"]["sent"] > 12 * 2**20
    assert grew > 12 * 2**20
    assert promote(run)[0]["bytes"]["sent"] == 0
    tuned, grew = promote(log_run(sqlite_uri, {"ner": "second head"}))
    assert tuned["version"] == 2
    everything = tuned["bytes"]["sent"] + tuned["bytes"]["skipped"]
    assert 24 * 1024 < tuned["bytes"]["sent"] < 0.02 * everything
    assert grew < 0.02 * everything

    answers = []
    for version in ("1", "2"):
        project("deploy", f"{name}:v{version}", "--target", "local", "--registry", base)
        assert (triton.repository / name / version / "weights/0001.data").is_file()
        answers.append(logits(triton, name, version))
    assert answers[0].shape == (1, 3, 12)
    assert np.abs(answers[0] - answers[1]).max() > 1e-3
