"""A Triton backend named `onnxruntime`, written in Python: serves model.onnx by the installed `onnxruntime` wheel.

Triton imports this file for every model whose config says `backend: "onnxruntime"`, in a process of its own per model
instance. It is a stand-in for the C++ backend on a machine that has none: the config is read unchanged and checked
alike, but the runtime that answers is the wheel of the Python environment, on the CPU. It does not complete a config
that leaves out inputs and outputs.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import triton_python_backend_utils as pb_utils  # type: ignore[import-not-found]
from ort_batch import Array, Job, answer
from ort_checks import Config, Refused, check_inputs, check_outputs, check_served_here, config_dims, declared
from ort_session import model_file, open_session, ort_error


class TritonPythonModel:
    """One model instance, in Triton's words for it (python_backend, `TritonPythonModel` interface)."""

    def initialize(self, args: dict[str, str]) -> None:
        """Opens the session. Raises `TritonModelException` with the text of the load error."""
        config: Config = json.loads(args["model_config"])
        try:
            if int(np.__version__.partition(".")[0]) >= 2:
                # The stub of this release was built before NumPy 2 and would hand over zeros without a word.
                raise Refused(f"this backend needs NumPy below 2 beside the Python stub, found {np.__version__}")
            if args["model_instance_kind"] == "GPU":
                raise Refused(f"model '{config['name']}': this backend runs on the CPU, not on KIND_GPU")
            check_served_here(config)
            # `model_repository` is the folder of this model, not of the whole repository.
            path = model_file(config, Path(args["model_repository"]), args["model_version"])
            self.session = open_session(path, config)
            inputs = declared(self.session.get_inputs())
            overridable = declared(self.session.get_overridable_initializers())
            outputs = declared(self.session.get_outputs())
            check_inputs(config, inputs, overridable)
            check_outputs(config, outputs)
        except Refused as refusal:
            raise pb_utils.TritonModelException(str(refusal)) from None
        self.batching = int(config["max_batch_size"]) > 0
        self.scalar_inputs = {name for name, tensor in {**inputs, **overridable}.items() if not tensor.dims}
        # A scalar has no dims in the model and needs [1] in a config; the client gets what the config says.
        self.scalar_outputs = {t["name"]: config_dims(t) for t in config["output"] if not outputs[t["name"]].dims}
        pb_utils.Logger.log_info(
            f"Created session for instance: {args['model_instance_name']} (version {args['model_version']}, "
            f"onnxruntime {onnxruntime.__version__})"
        )

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """One response per request, in order; a request that fails carries its own error."""
        jobs: list[Job] = []
        places: list[int] = []
        responses: list[Any] = [None] * len(requests)
        for place, request in enumerate(requests):
            try:
                jobs.append(self._job(request))
                places.append(place)
            except ValueError as error:
                responses[place] = _failure(str(error))
        for place, job, outcome in zip(places, jobs, answer(jobs, self._run, batching=self.batching), strict=True):
            responses[place] = (
                _failure(ort_error(outcome)) if isinstance(outcome, Exception) else _response(job, outcome)
            )
        return responses

    def finalize(self) -> None:
        """Called at unload; the process ends right after."""
        del self.session

    def _job(self, request: Any) -> Job:
        feeds: dict[str, Array] = {}
        for tensor in request.inputs():
            array = tensor.as_numpy()
            if array.dtype == np.object_:
                array = _to_text(tensor.name(), array)
            feeds[tensor.name()] = array.reshape(()) if tensor.name() in self.scalar_inputs else array
        return Job(feeds, tuple(request.requested_output_names()))

    def _run(self, wanted: Sequence[str], feeds: dict[str, Array]) -> Sequence[Array]:
        outputs = self.session.run(list(wanted), feeds)
        return [
            output.reshape(self.scalar_outputs[name]) if name in self.scalar_outputs else output
            for name, output in zip(wanted, outputs, strict=True)
        ]


def _to_text(name: str, array: Array) -> Array:
    """Triton gives TYPE_STRING as bytes; ONNX Runtime takes text. Raises ValueError on bytes that are not UTF-8."""
    try:
        texts = [item.decode() if isinstance(item, bytes) else str(item) for item in array.ravel()]
    except UnicodeDecodeError as error:
        raise ValueError(f"input '{name}' holds a string that is not UTF-8: {error}") from None
    return np.array(texts, dtype=np.object_).reshape(array.shape)


def _response(job: Job, outputs: Sequence[Array]) -> Any:
    tensors = [pb_utils.Tensor(name, output) for name, output in zip(job.wanted, outputs, strict=True)]
    return pb_utils.InferenceResponse(output_tensors=tensors)


def _failure(message: str) -> Any:
    return pb_utils.InferenceResponse(output_tensors=[], error=pb_utils.TritonError(message))
