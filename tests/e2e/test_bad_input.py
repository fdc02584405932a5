"""What goes wrong is one clear line, a hint and its own exit code, and leaves nothing half-written."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.e2e.project import PROMOTE, Project, clean
from tests.fakes.factory import log_run, tracking

pytestmark = [pytest.mark.e2e, pytest.mark.mlflow]


@pytest.fixture(scope="module")
def onnx_run(sqlite_uri):
    return log_run(sqlite_uri, {"ner": "onnx"})


@pytest.fixture
def project(tmp_path, sqlite_uri):
    made = Project(tmp_path, sqlite_uri)
    made.write(local='model_repository = "models"\nhttp = "127.0.0.1:1"\ngrpc = "127.0.0.1:1"')
    return made


@pytest.fixture
def untouched(project):
    """Nothing but what was there before is there after."""
    before = project.tree()
    yield project
    after = {path: size for path, size in project.tree().items() if not path.endswith(".log")}  # of a failed export
    assert after == before


def test_an_unknown_run(untouched):
    typed = untouched("model", "0" * 32, "--target", "local", code=3)
    assert f"error: run '{'0' * 32}' is not in sqlite:" in typed.err


def test_a_run_id_that_is_none(untouched):
    assert "is no run id" in untouched("model", "../../etc/passwd", "--target", "local", code=2).err


def test_a_run_without_a_model(untouched, sqlite_uri):
    run = log_run(sqlite_uri, {})
    assert f"run {run} has no model" in untouched("model", run, "--target", "local", code=3).err


def test_several_models_in_one_run(untouched, sqlite_uri):
    run = log_run(sqlite_uri, {"ner": "onnx", "pos": "onnx"})
    typed = untouched("model", run, "--target", "local", code=2)
    assert "has several models: ner, pos" in typed.err
    assert "--model ner" in typed.err


def test_a_tracking_server_that_is_down(untouched):
    began = time.monotonic()
    typed = untouched(
        "model", "0" * 32, "--target", "local", code=5, env={"MLFLOW_TRACKING_URI": "http://ada:secret@127.0.0.1:1"}
    )
    assert "tracking server http://127.0.0.1:1 does not answer: connection refused" in typed.err
    assert "secret" not in typed.err
    assert time.monotonic() - began < 20


def test_a_missing_artifact(untouched, sqlite_uri):
    run = log_run(sqlite_uri, {"ner": "onnx"})
    with tracking(sqlite_uri) as mlflow:
        client = mlflow.MlflowClient()
        model = client.get_logged_model(client.get_run(run).outputs.model_outputs[0].model_id)
    folder = Path(model.artifact_location.removeprefix("file://"))
    (folder / "model.onnx").unlink()
    assert "model.onnx" in untouched("model", run, "--target", "local", code=3).err


BRANCHING = """
import torch

class Branching(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(2, 2)

    def forward(self, x):
        y = self.linear(x)
        return y if y.sum() > 0 else -y
"""


def test_a_model_whose_control_flow_depends_on_its_input(untouched, sqlite_uri, tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("branching")
    (folder / "branching.py").write_text(BRANCHING)
    monkeypatch.syspath_prepend(str(folder))
    import branching
    import cloudpickle
    import numpy as np

    cloudpickle.register_pickle_by_value(branching)
    with tracking(sqlite_uri) as mlflow, mlflow.start_run() as run:
        mlflow.pytorch.log_model(
            branching.Branching(),
            name="ner",
            input_example=np.ones((2, 2), np.float32),
            serialization_format="pickle",
            pip_requirements=["torch"],
        )
    typed = untouched("model", run.info.run_id, "--target", "local", "--allow-pickle", code=7)
    assert "control flow depends on its input's values" in typed.err


def test_nan_weights(untouched, sqlite_uri):
    import numpy as np
    import torch

    broken = torch.nn.Linear(2, 2)
    with torch.no_grad():
        broken.weight[0, 0] = float("nan")
    with tracking(sqlite_uri) as mlflow, mlflow.start_run() as run:
        mlflow.pytorch.log_model(
            broken, name="ner", input_example=np.ones((2, 2), np.float32), serialization_format="pt2",
            pip_requirements=["torch"],
        )  # fmt: skip
    typed = untouched("model", run.info.run_id, "--target", "local", code=7)
    assert "weight 'weight' holds NaN or infinity" in typed.err


@pytest.mark.slow
def test_an_export_that_answers_otherwise(untouched, transformers_run):
    text = (untouched.folder / "promote.toml").read_text()
    (untouched.folder / "strict.toml").write_text(text + "\n[parity.fp32]\nabsolute = 0.0\nrelative = 0.0\n")
    try:
        typed = untouched("--config", "strict.toml", "model", transformers_run, "--target", "local", code=12)
    finally:
        (untouched.folder / "strict.toml").unlink()
    assert "output 'logits' differs in" in typed.err
    assert "tolerance 0 + 0 x value" in typed.err


def test_an_unknown_target(untouched, onnx_run):
    typed = untouched("model", onnx_run, "--target", "calipso", code=3)
    assert "no target 'calipso'" in typed.err
    assert "did you mean calypso?" in typed.err


def test_a_malformed_matrix_names_the_wrong_field(project, onnx_run):
    text = (Path(__file__).resolve().parents[2] / "compat_matrix.yaml").read_text()
    (project.folder / "m.yaml").write_text(text.replace('triton: "26.04"', "triton: soon"))
    typed = project("targets", code=2, env={"PROMOTE_MATRIX": "m.yaml"})
    assert "m.yaml: targets.calypso.triton: " in typed.err
    assert "got 'soon'" in typed.err


@pytest.mark.parametrize("name", ["a/b", "..", "Maritime-NER", "n" * 300, "-x", "", "a b", "ñ"])
def test_model_names_that_are_none(untouched, onnx_run, name):
    typed = untouched("model", onnx_run, "--target", "local", f"--name={name}", code=0 if not name else 2)
    if name:
        assert "is not allowed: 1 to 64 of a-z 0-9 . _ -" in typed.err
        assert len(typed.err) < 800
    else:
        shutil.rmtree(untouched.folder / "bundles")  # an empty --name is the name it was logged with
        shutil.rmtree(untouched.folder / ".promote")


@pytest.mark.registry
def test_a_registry_that_refuses_the_credentials(untouched, onnx_run, htpasswd_registry):
    base = f"{htpasswd_registry.host}/acme"
    typed = untouched("model", onnx_run, "--target", "local", "--registry", base, code=4)
    assert htpasswd_registry.host in typed.err
    assert f"docker login {htpasswd_registry.host}" in typed.err


def test_a_registry_that_is_down(untouched, onnx_run):
    typed = untouched("model", onnx_run, "--target", "local", "--registry", "127.0.0.1:1/acme", code=5)
    assert "127.0.0.1:1" in typed.err


@pytest.mark.parametrize("size", ["64k", "1m"])
def test_a_disk_that_is_full(project, sqlite_uri, size, tmp_path):
    """64 KiB do not take the fetched model; 1 MiB does, and not what the export makes of it."""
    import numpy as np
    import torch

    class Large(torch.nn.Module):
        def forward(self, x):
            return x.repeat(1, 100_000)

    with tracking(sqlite_uri) as mlflow, mlflow.start_run() as run:
        mlflow.pytorch.log_model(
            Large(), name="ner", input_example=np.ones((2, 2), np.float32), serialization_format="pt2",
            pip_requirements=["torch"],
        )  # fmt: skip
    work = project.folder / ".promote"
    work.mkdir()
    typed = f"exec {PROMOTE} model {run.info.run_id} --target local"
    mount = f"mount -t tmpfs -o size={size} tmpfs {work} && cd {project.folder} && {typed}"
    unshare = ["unshare", "--map-root-user", "--mount", "sh", "-c"]
    if subprocess.run([*unshare, f"mount -t tmpfs tmpfs {work}"], capture_output=True, check=False).returncode:
        pytest.skip("this kernel gives no user namespace to mount a small disk in")
    done = subprocess.run([*unshare, mount], capture_output=True, text=True, env=clean(), timeout=120, check=False)
    assert done.returncode == 5, done.stderr
    assert "o space left" in done.stderr or "disk is full" in done.stderr or "bytes free" in done.stderr
    assert "hint: " in done.stderr
    assert "Traceback" not in done.stderr
    assert not (project.folder / "bundles").exists()


STAGES = ["", "find", "plan", "export", "parity", "check", "push"]
LONG = {"plan", "export", "push"}  # stopped in a real export, or run again to the end


@pytest.mark.parametrize(
    "after", [pytest.param(stage, marks=[pytest.mark.slow] if stage in LONG else []) for stage in STAGES]
)
def test_control_c_in_each_stage(project, onnx_run, transformers_run, after):
    name = f"stopped-after-{after or 'nothing'}"
    run = transformers_run if after == "plan" else onnx_run  # an export that takes its time, to be stopped in it
    process = subprocess.Popen(
        [PROMOTE, "model", run, "--target", "local", "--name", name], cwd=project.folder, env=clean(),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    seen = []
    if after:
        for line in process.stderr:
            seen.append(line)
            if line.startswith(after + " "):
                break
    else:
        time.sleep(0.8)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    err = "".join(seen) + err
    assert process.returncode in (130, 0), err  # 0: it was through before the signal came
    assert "Traceback" not in err
    if process.returncode == 130:
        assert "error: interrupted" in err
        assert out == ""
    assert list((project.folder / ".promote").glob("work-*")) == []
    assert project("model", run, "--target", "local", "--name", name, "--json").json["version"] == 1


@pytest.fixture(scope="module")
def transformers_run(sqlite_uri):
    return log_run(sqlite_uri, {"ner": "transformers"})


def test_triton_that_is_not_running(project, onnx_run):
    project("model", onnx_run, "--target", "local", "--name", "nobody")
    (project.folder / "models").mkdir()
    typed = project("deploy", "nobody:v1", "--target", "local", code=5)
    assert "127.0.0.1:1" in typed.err
    assert not (project.folder / "models" / "nobody").exists()
    assert "127.0.0.1:1" in project("status", "--target", "local", code=5).err


@pytest.mark.slow
@pytest.mark.triton
def test_a_model_that_is_none_never_reaches_triton_and_one_that_triton_refuses_shows_its_own_reason(
    project, onnx_run, triton
):
    """The bytes of a released model are replaced, in releases of their own with right digests."""
    name = "refused"
    project.write(
        local=f'http = "{triton.triton.http}"\ngrpc = "{triton.triton.grpc}"\nmodel_repository = "{triton.repository}"'
    )
    project("model", onnx_run, "--target", "local", "--name", name)
    project("deploy", f"{name}:v1", "--target", "local")
    second = altered(project, name, 2, lambda data: b"no model")
    typed = project("deploy", f"{name}@{second}", "--target", "local", code=6)
    assert "model.onnx is no ONNX model" in typed.err
    third = altered(project, name, 3, contradicting)
    typed = project("deploy", f"{name}@{third}", "--target", "local", code=15)
    assert "onnx runtime error" in typed.err
    assert "restore" in typed.err
    status = project("status", "--target", "local", "--json").json
    row = next(m for m in status["models"] if m["name"] == name)
    assert (row["deployed"]["version"], row["ready"]) == (1, True)
    assert sorted(p.name for p in (triton.repository / name).iterdir()) == ["1", "config.pbtxt"]


def contradicting(data):
    """The model with a product of shapes that do not fit, which only the runtime's own shape inference sees."""
    import onnx

    model = onnx.load_from_string(data)
    for side, rows in (("left", 3), ("right", 5)):
        model.graph.initializer.append(
            onnx.helper.make_tensor(side, onnx.TensorProto.FLOAT, [rows, 2], [0.0] * 2 * rows)
        )
    model.graph.node.add(op_type="MatMul", input=["left", "right"], output=["none"])
    return model.SerializeToString()


def altered(project, name, version, change):
    """Pushes a version of ``name``: version 1 with another model.onnx; its digest."""
    from promote.adapters.oci.registry import open_registry
    from promote.cli.progress import Silent
    from promote.core.layout import content
    from tests.fakes.registry import make_bundle

    registry = open_registry(f"oci:{project.folder}/bundles", {})
    stored = registry.resolve(name, "v1")
    with Silent().stage("fetch") as step:
        paths = registry.fetch(stored, str(project.folder / "fetched"), step)
    files = {}
    for path, where in paths.items():
        data = Path(where).read_bytes()
        if path.endswith("config.pbtxt"):
            data = data.replace(b"versions: 1", f"versions: {version}".encode())
        data = change(data) if path.endswith(".onnx") else data
        files[path.replace(f"{name}/1/", f"{name}/{version}/")] = content(data)
    with Silent().stage("push") as step:
        return registry.push(replace(make_bundle(name=name, version=version), files=files), step).stored.digest
