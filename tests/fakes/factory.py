"""Small runs in a real MLflow: a transformers model of random weights, an ONNX file, an exported program, a pickle."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from tests.fakes.bundle import times
from tests.parts.mlflow_server import EXPERIMENT

LABELS = ("O", "B-SHIP")
TEXT = "Nordlys left Tromso"


@contextmanager
def tracking(uri: str) -> Iterator[Any]:
    """MLflow set to ``uri`` and quiet, and put back after."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    import mlflow

    logging.getLogger("mlflow").setLevel(logging.CRITICAL)
    before = mlflow.get_tracking_uri(), mlflow.get_registry_uri()
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    try:
        mlflow.set_experiment(EXPERIMENT)
        yield mlflow
    finally:
        mlflow.set_tracking_uri(before[0])
        mlflow.set_registry_uri(before[1])


def log_run(
    uri: str, models: Mapping[str, str], *, texts: Mapping[str, str] | None = None, status: str = "FINISHED"
) -> str:
    """A run with these models (name -> kind, one of ``KINDS``) and text artifacts; its id."""
    with tracking(uri) as mlflow:
        with mlflow.start_run(run_name="small") as run:
            mlflow.log_params({"seed": 7})
            mlflow.log_metric("entity_f1", 0.5)
            mlflow.set_tag("git.commit", "0123abc")
            for path, text in (texts or {}).items():
                mlflow.log_text(text, path)
            for name, kind in models.items():
                KINDS[kind](mlflow, name)
        if status != "FINISHED":
            mlflow.MlflowClient().set_terminated(run.info.run_id, status=status)
    return str(run.info.run_id)


def _transformers(mlflow: Any, name: str, *, width: int = 32, layers: int = 1, head: int | None = None) -> None:
    """With ``head``, the body is always the same, and the head is that seed's, of a size that is worth a file."""
    import torch
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers

    transformers.utils.logging.disable_progress_bar()
    transformers.logging.set_verbosity_error()
    words = {word: i for i, word in enumerate(["[UNK]", "[PAD]", *TEXT.split()])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]", model_max_length=32
    )
    labels = LABELS if head is None else tuple(f"B-{number}" for number in range(12))
    config = transformers.DistilBertConfig(
        vocab_size=len(words), dim=width, hidden_dim=width, n_layers=layers, n_heads=2, max_position_embeddings=32,
        id2label=dict(enumerate(labels)), label2id={label: i for i, label in enumerate(labels)},
    )  # fmt: skip
    if head is not None:
        torch.manual_seed(0)
    model = transformers.DistilBertForTokenClassification(config).eval()
    if head is not None:
        torch.manual_seed(head)
        torch.nn.init.normal_(model.classifier.weight)
    pipeline = transformers.pipeline("token-classification", model=model, tokenizer=fast)
    mlflow.transformers.log_model(pipeline, name=name, input_example=[TEXT], pip_requirements=["torch"])


def _onnx(mlflow: Any, name: str) -> None:
    import onnx

    model = onnx.load_from_string(times(2.0))
    mlflow.onnx.log_model(model, name=name, input_example=_ROWS[4], pip_requirements=["onnx"])


def _wide(mlflow: Any, name: str) -> None:
    """12 MB of weights that no compression makes smaller, most of them in one tensor."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    chance, widths = np.random.default_rng(7), (4, 1700, 1700, 4)
    weights = [
        numpy_helper.from_array(chance.normal(0, (1 / rows) ** 0.5, (rows, columns)).astype(np.float32), f"w{n}")
        for n, (rows, columns) in enumerate(pairwise(widths))
    ]
    names = ["x", "h0", "h1", "y"]
    nodes = [helper.make_node("MatMul", [names[n], f"w{n}"], [names[n + 1]]) for n in range(3)]
    ends = [helper.make_tensor_value_info(end, TensorProto.FLOAT, ["batch", 4]) for end in "xy"]
    graph = helper.make_graph(nodes, "wide", ends[:1], ends[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    mlflow.onnx.log_model(model, name=name, input_example=_ROWS[4], pip_requirements=["onnx"])


def _program(mlflow: Any, name: str) -> None:
    import torch

    mlflow.pytorch.log_model(
        torch.nn.Linear(2, 2), name=name, input_example=_ROWS[2], serialization_format="pt2", pip_requirements=["torch"]
    )


def _pickled(mlflow: Any, name: str) -> None:
    import torch

    mlflow.pytorch.log_model(
        torch.nn.Linear(2, 2),
        name=name,
        input_example=_ROWS[2],
        serialization_format="pickle",
        pip_requirements=["torch"],
    )


def _pyfunc(mlflow: Any, name: str) -> None:
    class Doubled(mlflow.pyfunc.PythonModel):
        def predict(self, model_input: list[float]) -> list[float]:
            return [2 * value for value in model_input]

    mlflow.pyfunc.log_model(python_model=Doubled(), name=name, pip_requirements=["mlflow"])


_ROWS = {width: np.ones((2, width), np.float32) for width in (2, 4)}
KINDS: Mapping[str, Callable[[Any, str], None]] = {
    "transformers": _transformers,
    "first head": partial(_transformers, width=512, layers=2, head=1),
    "second head": partial(_transformers, width=512, layers=2, head=2),
    "onnx": _onnx,
    "wide": _wide,
    "program": _program,
    "pickled": _pickled,
    "pyfunc": _pyfunc,
}
