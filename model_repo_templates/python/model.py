"""Serves a document conversion: each document of a request becomes Markdown. The conversion itself is in conversion.py.

Not here: what a document is. A document that cannot be converted is answered with its reason, and the server goes on.
"""

import json
import sys

import numpy as np
import triton_python_backend_utils as pb_utils
from conversion import convert


class TritonPythonModel:
    """What Triton's Python backend asks for."""

    def initialize(self, args):
        """Reads the settings; a Python other than the environment was made of keeps the model out."""
        parameters = {k: v["string_value"] for k, v in json.loads(args["model_config"])["parameters"].items()}
        made, runs = parameters["python"], ".".join(map(str, sys.version_info[:2]))
        if made.split(".")[:2] != runs.split("."):
            raise pb_utils.TritonModelException(f"made for Python {made}, this Triton's Python backend is {runs}")
        self._most = int(parameters["max_document_bytes"])

    def execute(self, requests):
        """A response for each request: Markdown of the documents' shape, or the reason why there is none."""
        return [self._answer(request) for request in requests]

    def _answer(self, request):
        documents = pb_utils.get_input_tensor_by_name(request, "DOCUMENT").as_numpy()
        try:
            converted = [self._convert(document) for document in documents.reshape(-1)]
        except ValueError as error:
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(str(error)))
        answer = np.array(converted, dtype=object).reshape(documents.shape)
        return pb_utils.InferenceResponse([pb_utils.Tensor("MARKDOWN", answer)])

    def _convert(self, document):
        if len(document) > self._most:
            raise ValueError(f"a document of {len(document)} bytes, the most is {self._most}")
        return convert(document).encode()
