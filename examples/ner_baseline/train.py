"""Trains a DistilBERT that finds maritime entities, and logs to MLflow a run worth promoting.

    python examples/ner_baseline/train.py                     small: under a minute on two CPU cores
    python examples/ner_baseline/train.py --size full         66 M parameters, for a DGX (bf16 where the GPU has it)

Progress goes to stderr; the last line of stdout is the run id.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from examples.ner_baseline.grammar import LABELS, Sentence, digest, generate
from examples.ner_baseline.host import git_commit, host_facts
from examples.ner_baseline.scoring import Score, score
from examples.ner_baseline.tokenization import align, train_tokenizer

SIZES: dict[str, dict[str, int]] = {
    "small": {"n_layers": 2, "dim": 128, "hidden_dim": 512, "n_heads": 4, "max_position_embeddings": 512},
    "full": {"n_layers": 6, "dim": 768, "hidden_dim": 3072, "n_heads": 12, "vocab_size": 30522},
}
EXAMPLE = "The trawler Nordlys left Tromso on 3 May 2026 with 12 tonnes of cod under the flag of Norway ."


@dataclass
class Training:
    """What one training saw and made."""

    model: Any
    tokenizer: Any
    device: str
    history: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0
    samples: int = 0
    tokens: int = 0


def main() -> int:
    """Trains, logs, prints the run id."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tracking-uri", default=os.environ.get("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db"))
    parser.add_argument("--experiment", default="maritime-ner")
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--sentences", type=int, default=6000, help="in the training split (%(default)s)")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--learning-rate", type=float, default=None, help="1.5e-3 for small, 5e-5 for full")
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()
    args.learning_rate = args.learning_rate or (1.5e-3 if args.size == "small" else 5e-5)
    _quiet()
    train = generate("train", args.sentences, args.seed)
    validation, test = (generate("held_out", 400, args.seed + n) for n in (1, 2))
    training = _train(args, train, validation)
    print(_log(args, training, test, digest(train=train, validation=validation, test=test)))
    return 0


def _quiet() -> None:
    """A newcomer watches: only what matters is said."""
    warnings.filterwarnings("ignore")
    logging.getLogger("mlflow").setLevel(logging.ERROR)  # before and after: importing MLflow sets its own level
    logging.getLogger("alembic").setLevel(logging.ERROR)
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()


def _train(args: argparse.Namespace, train: list[Sentence], held_out: list[Sentence]) -> Training:
    import torch

    torch.manual_seed(args.seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    tokenizer = train_tokenizer(train)
    training = Training(untrained(args.size, len(tokenizer)).to(device), tokenizer, device)
    alike = sorted(train, key=lambda s: len(s.text))  # sentences of like length in a batch: little padding
    batches = _batches(tokenizer, alike, args.batch_size)
    optimizer = torch.optim.AdamW(training.model.parameters(), lr=args.learning_rate)
    steps = max(1, args.epochs * len(batches))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, args.learning_rate, total_steps=steps, pct_start=0.1)
    for epoch in range(args.epochs):
        loss = _epoch(training, batches, optimizer, schedule, args.seed + epoch)
        overall, _ = _score(training, held_out, args.batch_size)
        training.history.append({"loss": loss, "entity_f1": overall.f1})
        rate = training.samples / training.seconds
        print(
            f"epoch {epoch + 1}/{args.epochs}  loss {loss:.4f}  entity F1 {overall.f1:.3f} on unseen names  "
            f"{rate:,.0f} samples/s",
            file=sys.stderr,
            flush=True,
        )
    return training


def untrained(size: str, pieces: int) -> Any:
    """The model of a size with random weights; ``full`` keeps DistilBERT's own vocabulary size, and so its 66 M."""
    from transformers import DistilBertConfig, DistilBertForTokenClassification

    names = dict(enumerate(LABELS))
    shape = {"vocab_size": pieces} | SIZES[size]
    config = DistilBertConfig(**shape, id2label=names, label2id={name: i for i, name in names.items()})
    return DistilBertForTokenClassification(config)


def _batches(tokenizer: Any, sentences: list[Sentence], size: int) -> list[dict[str, Any]]:
    import torch

    ids = {label: i for i, label in enumerate(LABELS)}
    batches = []
    for start in range(0, len(sentences), size):
        part = sentences[start : start + size]
        encoded = tokenizer([list(s.words) for s in part], is_split_into_words=True, padding=True, return_tensors="pt")
        labels = [align(encoded.word_ids(i), [ids[label] for label in s.labels]) for i, s in enumerate(part)]
        batches.append({**encoded, "labels": torch.tensor(labels)})
    return batches


def _epoch(training: Training, batches: list[dict[str, Any]], optimizer: Any, schedule: Any, seed: int) -> float:
    import torch

    order = torch.randperm(len(batches), generator=torch.Generator().manual_seed(seed)).tolist()
    training.model.train()
    bf16 = training.device == "cuda" and torch.cuda.is_bf16_supported()
    total, started = 0.0, time.perf_counter()
    for i in order:
        batch = {name: tensor.to(training.device) for name, tensor in batches[i].items()}
        with torch.autocast(training.device, dtype=torch.bfloat16, enabled=bf16):
            loss = training.model(**batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(training.model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        total += loss.item()
        training.samples += len(batch["labels"])
        training.tokens += int(batch["attention_mask"].sum())
    training.seconds += time.perf_counter() - started
    return total / len(batches)


def _score(training: Training, sentences: list[Sentence], size: int) -> tuple[Score, dict[str, Score]]:
    """Over all entities and by class, on sentences whose names training never saw."""
    import torch

    training.model.eval()
    guesses = []
    for batch in _batches(training.tokenizer, sentences, size):
        labels = batch.pop("labels")
        with torch.inference_mode():
            best = training.model(**{n: t.to(training.device) for n, t in batch.items()}).logits.argmax(-1).cpu()
        for row, mask in zip(best, labels >= 0, strict=True):
            guesses.append([LABELS[i] for i in row[mask].tolist()])
    return score([s.labels for s in sentences], guesses)


def _log(args: argparse.Namespace, training: Training, test: list[Sentence], corpus: str) -> str:
    """Logs the run; returns its id."""
    import mlflow
    import transformers

    logging.getLogger("mlflow").setLevel(logging.ERROR)
    print("logging to MLflow", file=sys.stderr, flush=True)
    mlflow.set_tracking_uri(args.tracking_uri)
    mlflow.set_experiment(args.experiment)
    training.model.to("cpu")
    training.device = "cpu"
    overall, by_class = _score(training, test, args.batch_size)
    with mlflow.start_run() as run:
        mlflow.log_params({**vars(args), "tracking_uri": None, "labels": len(LABELS), **SIZES[args.size]})
        for step, metrics in enumerate(training.history, 1):
            mlflow.log_metrics(metrics, step=step)
        mlflow.log_metrics({f"test_f1_{kind.lower()}": value.f1 for kind, value in by_class.items()})
        seconds = training.seconds or 1.0
        mlflow.log_metrics(
            {
                "entity_f1": overall.f1,
                "parameters": sum(p.numel() for p in training.model.parameters()),
                "train_seconds": training.seconds,
                "train_samples_per_second": training.samples / seconds,
                "train_tokens_per_second": training.tokens / seconds,
            },
            step=len(training.history) + 1,
        )
        mlflow.set_tags(
            {"dataset.digest": corpus, "dataset.kind": "synthetic", "git.commit": git_commit(), **host_facts()}
        )
        mlflow.log_text("".join(f"{label}\n" for label in LABELS), "labels.txt")
        mlflow.transformers.log_model(
            transformers.pipeline("token-classification", model=training.model.eval(), tokenizer=training.tokenizer),
            name="ner",
            input_example=[EXAMPLE],
            pip_requirements=[f"transformers=={transformers.__version__}", "torch"],
        )
    return str(run.info.run_id)


if __name__ == "__main__":
    sys.exit(main())
