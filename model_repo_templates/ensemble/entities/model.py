"""Logits to entities: a JSON list a text, ``[{"label", "text", "begin", "end", "score"}]``; begin and end are characters.

Labels are IOB2 (``B-PORT``, ``I-PORT``, ``O``): B- begins an entity, an I- of the same class goes on, an I- that continues none
is no entity. The score is the lowest probability of its words.
"""

import json
import sys
from pathlib import Path

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """What Triton's Python backend asks for."""

    def initialize(self, args):
        """Reads the labels beside this file."""
        parameters = {k: v["string_value"] for k, v in json.loads(args["model_config"])["parameters"].items()}
        made, runs = parameters["python"], ".".join(map(str, sys.version_info[:2]))
        if made.split(".")[:2] != runs.split("."):
            raise pb_utils.TritonModelException(f"made for Python {made}, this Triton's Python backend is {runs}")
        self._labels = (Path(__file__).parent / "labels.txt").read_text(encoding="utf-8").splitlines()

    def execute(self, requests):
        """A response for each request."""
        return [self._answer(request) for request in requests]

    def _answer(self, request):
        texts, places, logits = (
            pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in ("TEXT", "PLACES", "LOGITS")
        )
        if logits.shape[-1] != len(self._labels):
            told = f"{logits.shape[-1]} logits a token, and {len(self._labels)} labels"
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(told))
        found = [
            json.dumps(self._entities(text.decode("utf-8"), where, values), ensure_ascii=False).encode()
            for text, where, values in zip(texts.reshape(-1), places, logits, strict=True)
        ]
        answer = np.array(found, dtype=object).reshape(texts.shape)
        return pb_utils.InferenceResponse([pb_utils.Tensor("ENTITIES", answer)])

    def _entities(self, text, places, logits):
        first = places[:, 2] == 1
        shifted = np.exp(logits[first] - logits[first].max(axis=-1, keepdims=True))
        chances = shifted / shifted.sum(axis=-1, keepdims=True)
        entities, kind = [], ""
        for (begin, end, _), chance in zip(places[first].tolist(), chances, strict=True):
            best = int(chance.argmax())
            prefix, _, name = self._labels[best].partition("-")
            if prefix == "I" and kind and name == kind:
                entities[-1].update(end=end, score=min(entities[-1]["score"], float(chance[best])))
                continue
            kind = name if prefix == "B" else ""
            if kind:
                entities.append({"label": kind, "begin": begin, "end": end, "score": float(chance[best])})
        return [{**one, "text": text[one["begin"] : one["end"]], "score": round(one["score"], 4)} for one in entities]
