"""The example's training by its own command: what a reviewer needs is in the run, and `--size full` is the 66 M model."""

import json
import math
import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest

from examples.ner_baseline.grammar import CLASSES, LABELS, digest, generate
from examples.ner_baseline.host import ABSENT
from examples.ner_baseline.train import EXAMPLE, untrained

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.mlflow]
ROOT = Path(__file__).resolve().parents[2]
SENTENCES = 96


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A client of the store, the run, and the folder of its model."""
    mlflow = pytest.importorskip("mlflow")
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("training")
    uri = f"sqlite:///{folder}/mlflow.db"
    command = f"--tracking-uri {uri} --experiment ner-test --epochs 1 --sentences {SENTENCES} --seed 11".split()
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples/ner_baseline/train.py"), *command],
        cwd=folder, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"[0-9a-f]{32}", done.stdout.splitlines()[-1]), done.stdout
    client = mlflow.MlflowClient(uri)
    run = client.get_run(done.stdout.splitlines()[-1])
    [output] = run.outputs.model_outputs
    location = client.get_logged_model(output.model_id).artifact_location
    return client, run, Path(location.removeprefix("file://")), done


def test_the_run_id_alone_is_on_stdout_and_the_epochs_on_stderr(trained):
    *_, done = trained
    assert len(done.stdout.splitlines()) == 1
    assert re.search(
        r"^epoch 1/1  loss [0-9.]+  entity F1 [0-9.]+ on unseen names  [0-9,]+ samples/s$", done.stderr, re.M
    )


def test_the_parameters_of_the_training_are_logged(trained):
    _, run, *_ = trained
    expected = {"size": "small", "epochs": "1", "sentences": str(SENTENCES), "batch_size": "16", "seed": "11"}
    expected |= {"learning_rate": "0.0015", "n_layers": "2", "dim": "128", "labels": str(len(LABELS))}
    assert expected.items() <= run.data.params.items()


def test_each_epoch_has_its_loss_and_entity_f1(trained):
    client, run, *_ = trained
    loss = client.get_metric_history(run.info.run_id, "loss")
    assert [entry.step for entry in loss] == [1]
    assert 0 < loss[0].value < 2 * math.log(len(LABELS))
    f1 = client.get_metric_history(run.info.run_id, "entity_f1")
    assert [entry.step for entry in f1] == [1, 2]  # the epoch on validation, then the test split
    assert all(0 <= entry.value <= 1 for entry in f1)


def test_the_test_split_is_scored_by_class(trained):
    _, run, *_ = trained
    assert {f"test_f1_{name.lower()}" for name in CLASSES} <= set(run.data.metrics)


def test_throughput_run_time_and_size_are_logged(trained):
    _, run, *_ = trained
    told = run.data.metrics
    assert told["train_seconds"] > 0
    assert told["train_samples_per_second"] * told["train_seconds"] == pytest.approx(SENTENCES)
    tokens = told["train_tokens_per_second"] * told["train_seconds"]
    assert tokens > sum(len(s.words) for s in generate("train", SENTENCES, 11))  # a word is at least a piece
    small = sum(p.numel() for p in untrained("small", 700).parameters())
    assert told["parameters"] == pytest.approx(small, rel=0.2)


def test_the_dataset_and_the_code_are_named(trained):
    _, run, *_ = trained
    tags = run.data.tags
    splits = {"train": generate("train", SENTENCES, 11)}
    splits |= {"validation": generate("held_out", 400, 12), "test": generate("held_out", 400, 13)}
    assert tags["dataset.digest"] == digest(**splits)
    assert tags["dataset.kind"] == "synthetic"
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert tags["git.commit"].removesuffix("-dirty") == (head.stdout.strip() or ABSENT)


def test_the_host_is_described_and_what_it_lacks_is_said_to_be_absent(trained):
    import torch

    _, run, *_ = trained
    told = {name.removeprefix("host."): value for name, value in run.data.tags.items() if name.startswith("host.")}
    assert set(told) == {"arch", "os", "python", "torch", "gpu", "compute_capability", "cuda", "driver"}
    assert (told["arch"], told["torch"]) == (platform.machine(), torch.__version__)
    assert all(told.values())
    if not torch.cuda.is_available():
        assert (told["gpu"], told["compute_capability"]) == (ABSENT, ABSENT)
    if torch.version.cuda is None:
        assert told["cuda"] == ABSENT


def test_the_model_comes_with_example_labels_and_tokenizer(trained, tmp_path):
    client, run, model, _ = trained
    files = {path.relative_to(model).as_posix() for path in model.rglob("*") if path.is_file()}
    assert any(name.endswith("model.safetensors") for name in files)
    assert not [name for name in files if name.endswith((".pkl", ".bin", ".pt", ".pth"))]
    [tokenizer] = [name for name in files if name.endswith("tokenizer.json")]
    assert "##" in (model / tokenizer).read_text(encoding="utf-8")
    [example] = [name for name in files if name == "input_example.json"]
    assert EXAMPLE in json.dumps(json.loads((model / example).read_text()))
    [config] = [name for name in files if name.endswith("/config.json")]
    names = json.loads((model / config).read_text())["id2label"]
    assert [names[str(i)] for i in range(len(names))] == list(LABELS)
    labels = client.download_artifacts(run.info.run_id, "labels.txt", str(tmp_path))
    assert Path(labels).read_text().splitlines() == list(LABELS)


def test_full_is_the_66_million_parameters_of_distilbert():
    torch = pytest.importorskip("torch")
    with torch.device("meta"):
        model = untrained("full", 700)
    assert 66e6 < sum(parameter.numel() for parameter in model.parameters()) < 67e6
    assert (model.config.n_layers, model.config.dim, model.config.n_heads) == (6, 768, 12)
    assert model.config.num_labels == len(LABELS)
