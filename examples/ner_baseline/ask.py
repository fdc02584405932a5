"""Asks the served model for the entities of a sentence, and the trained model itself for comparison.

What a client of the served model does: tokenize with the tokenizer that travels in the bundle, send ids and mask, take the
likeliest label of each token, join the tokens of an entity. Not a benchmark, and not part of promote.

    python examples/ner_baseline/ask.py "The trawler Nordlys left Tromso ." --triton 127.0.0.1:8000 \
        --model maritime-ner --version 1 --bundle models/maritime-ner/1 --run RUN_ID
"""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from examples.ner_baseline.scoring import spans


@dataclass(frozen=True, slots=True)
class Entity:
    """A span of the sentence and its class."""

    text: str
    label: str


def main() -> int:
    """Prints both answers side by side; 0 when they agree."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sentence")
    parser.add_argument("--triton", required=True, metavar="HOST:PORT", help="Triton's HTTP endpoint")
    parser.add_argument("--model", required=True)
    parser.add_argument("--version", default="")
    parser.add_argument("--bundle", type=Path, required=True, help="the version directory: tokenizer/ and labels.txt")
    parser.add_argument("--run", default="", help="MLflow run of the trained model, to compare with")
    args = parser.parse_args()

    from tokenizers import Tokenizer

    words = args.sentence.split()
    tokenizer = Tokenizer.from_file(str(args.bundle / "tokenizer/tokenizer.json"))
    encoded = tokenizer.encode(words, is_pretokenized=True)
    labels = (args.bundle / "labels.txt").read_text().split()
    served = ask_triton(args.triton, args.model, args.version, encoded.ids)
    answer = entities(words, encoded.word_ids, served, labels)
    print(f"  {args.sentence}\n")
    for entity in answer:
        print(f"  {entity.label:<10} {entity.text}")
    if not args.run:
        return 0
    own = ask_run(args.run, encoded.ids)
    same = entities(words, encoded.word_ids, own, labels) == answer
    worst = abs(served - own).max()
    print(
        f"\n  the trained model itself says {'the same' if same else 'SOMETHING ELSE'}; largest difference of a logit {worst:.2g}"
    )
    return 0 if same else 1


def ask_triton(address: str, model: str, version: str, ids: list[int]) -> np.ndarray:
    """Logits [tokens, labels] from the live server."""
    import numpy as np
    import tritonclient.http as triton

    client = triton.InferenceServerClient(address)
    arrays = {"input_ids": np.array([ids]), "attention_mask": np.ones((1, len(ids)), dtype=np.int64)}
    inputs = []
    for name, array in arrays.items():
        tensor = triton.InferInput(name, array.shape, "INT64")
        tensor.set_data_from_numpy(array.astype(np.int64))
        inputs.append(tensor)
    answer: np.ndarray = client.infer(model, inputs, model_version=version).as_numpy("logits")[0]
    return answer


def ask_run(run_id: str, ids: list[int]) -> np.ndarray:
    """Logits [tokens, labels] from the model that the run logged, in torch."""
    import logging

    import mlflow
    import torch

    logging.getLogger("mlflow").setLevel(logging.ERROR)
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    run = mlflow.MlflowClient().get_run(run_id)
    model_id = run.outputs.model_outputs[0].model_id
    folder = Path(mlflow.artifacts.download_artifacts(f"models:/{model_id}"))

    import transformers

    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    model = transformers.AutoModelForTokenClassification.from_pretrained(folder / "model", local_files_only=True).eval()
    with torch.inference_mode():
        logits: np.ndarray = model(input_ids=torch.tensor([ids])).logits[0].numpy()
    return logits


def entities(words: list[str], word_ids: list[int | None], logits: np.ndarray, labels: list[str]) -> list[Entity]:
    """The spans of the sentence; a word has the label of its first piece, as in training."""
    firsts = {word: at for at, word in reversed(list(enumerate(word_ids))) if word is not None}
    said = [labels[int(logits[firsts[word]].argmax())] for word in range(len(words))]
    return [Entity(" ".join(words[begin:end]), kind) for kind, begin, end in sorted(spans(said), key=lambda s: s[1])]


if __name__ == "__main__":
    sys.exit(main())
