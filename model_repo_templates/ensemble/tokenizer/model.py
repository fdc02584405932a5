"""Text to tokens, as the network was trained: words between blanks, then the tokenizer that travels with the model.

A word has the label of its first token, so the place of each token is (begin of its word, end of it, 1 for its first token);
special tokens and padding have (0, 0, 0). Places are characters of the text.
"""

import json
import re
import sys
from pathlib import Path

import numpy as np
import triton_python_backend_utils as pb_utils
from tokenizers import Tokenizer


class TritonPythonModel:
    """What Triton's Python backend asks for."""

    def initialize(self, args):
        """Reads the tokenizer beside this file."""
        config = json.loads(args["model_config"])
        parameters = {k: v["string_value"] for k, v in config["parameters"].items()}
        made, runs = parameters["python"], ".".join(map(str, sys.version_info[:2]))
        if made.split(".")[:2] != runs.split("."):
            raise pb_utils.TritonModelException(f"made for Python {made}, this Triton's Python backend is {runs}")
        self._most = int(parameters["max_tokens"])
        self._outputs = [output["name"] for output in config["output"] if output["name"] != "PLACES"]
        self._tokenizer = Tokenizer.from_file(str(Path(__file__).parent / "tokenizer.json"))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    def execute(self, requests):
        """A response for each request: arrays of [texts, tokens], shorter texts padded and masked."""
        return [self._answer(request) for request in requests]

    def _answer(self, request):
        texts = pb_utils.get_input_tensor_by_name(request, "TEXT").as_numpy().reshape(-1)
        try:
            encoded = [self._encode(text.decode("utf-8")) for text in texts]
        except ValueError as error:  # UnicodeDecodeError is one
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(f"a text that cannot be read: {error}"))
        long = max(len(one["input_ids"]) for one in encoded)
        tensors = []
        for name in [*self._outputs, "PLACES"]:
            rows = [one[name] + [[0, 0, 0] if name == "PLACES" else 0] * (long - len(one[name])) for one in encoded]
            tensors.append(pb_utils.Tensor(name, np.array(rows, dtype=np.int64)))
        return pb_utils.InferenceResponse(tensors)

    def _encode(self, text):
        words = [(found.start(), found.end()) for found in re.finditer(r"\S+", text)]
        encoding = self._tokenizer.encode([text[begin:end] for begin, end in words], is_pretokenized=True)
        if len(encoding.ids) > self._most:
            raise ValueError(f"{len(encoding.ids)} tokens, the most is {self._most}")
        places, before = [], None
        for word in encoding.word_ids:
            places.append([0, 0, 0] if word is None else [*words[word], int(word != before)])
            before = word
        return {
            "input_ids": encoding.ids,
            "attention_mask": encoding.attention_mask,
            "token_type_ids": encoding.type_ids,
            "PLACES": places,
        }
