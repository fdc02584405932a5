"""The example's NER model, trained, promoted and deployed, then asked with text: the ensemble says what its client says."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from examples.ner_baseline.ask import ask_triton
from examples.ner_baseline.ask import entities as by_hand
from examples.ner_baseline.grammar import generate
from tests.e2e.project import Project, clean
from tests.parts.triton import Served, new_name

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.mlflow, pytest.mark.triton]
ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.timeout(900)
def test_text_goes_in_and_the_entities_of_the_trained_model_come_out(tmp_path: Path, triton: Served) -> None:
    import tritonclient.http as client
    from tokenizers import Tokenizer

    train = [sys.executable, ROOT / "examples/ner_baseline/train.py", "--epochs", "3", "--sentences", "600"]
    done = subprocess.run(train, cwd=tmp_path, capture_output=True, text=True, env=clean(), check=True, timeout=600)
    project, name = Project(tmp_path, f"sqlite:///{tmp_path}/mlflow.db"), new_name("ner")
    endpoints = f'http = "{triton.triton.http}"\ngrpc = "{triton.triton.grpc}"\n'
    project.write(local=f'{endpoints}model_repository = "{triton.repository}"\n')
    project("model", done.stdout.split()[-1], "--target", "local", "--name", name)
    project("deploy", f"{name}:v1", "--target", "local")
    at = triton.repository / name / "1"
    project("template", "write", "ensemble", "--target", "local", "--from", str(at), "--out", "parts")
    for part in ("tokenizer", "entities", "text"):
        shutil.move(tmp_path / f"parts/{name}-{part}", triton.repository / f"{name}-{part}")

    server = client.InferenceServerClient(triton.triton.http, network_timeout=60)
    server.load_model(f"{name}-text")
    sentences = [" ".join(sentence.words) for sentence in generate("train", 40, seed=5)]
    said: list[list[tuple[str, str]]] = []
    for first in range(0, len(sentences), 8):
        batch = np.array([[text] for text in sentences[first : first + 8]], dtype=object)
        asked = client.InferInput("TEXT", batch.shape, "BYTES")
        asked.set_data_from_numpy(batch)
        answer = server.infer(f"{name}-text", [asked]).as_numpy("ENTITIES")
        said += [[(one["label"], one["text"]) for one in json.loads(row[0])] for row in answer]

    tokenizer = Tokenizer.from_file(str(at / "tokenizer/tokenizer.json"))
    labels = (at / "labels.txt").read_text().split()
    for text, found in zip(sentences, said, strict=True):
        words = text.split()
        encoded = tokenizer.encode(words, is_pretokenized=True)
        logits = ask_triton(triton.triton.http, name, "1", encoded.ids)
        assert found == [(one.label, one.text) for one in by_hand(words, encoded.word_ids, logits, labels)]
    assert sum(map(len, said)) > 5  # it learned something, so the answers say something

    smoked = project("smoke", name, "--target", "local", "--text", sentences[0], "--json").json
    assert smoked["answers"] == "right"
    assert [(one["label"], one["text"]) for one in json.loads(smoked["read"])] == said[0]
