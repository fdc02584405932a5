"""Facts of a model file of either kind: which reader it is for, by its name and its first bytes.

Not here: what the readers do (``onnx_file``, ``plan_file``).
"""

import os

from promote.adapters.onnx_file import read_facts as read_onnx
from promote.adapters.plan_file import MAGIC, read_plan
from promote.core.facts import ModelFacts

PLANS = (".plan", ".engine")
SUFFIXES = (".onnx", *PLANS)


def read_facts(path: str) -> ModelFacts:
    """Facts of a TensorRT plan, which its name or its first bytes tell, or of an ONNX model.

    Raises:
        NotFound: no such file.
        InputError: a folder, an empty file, or it cannot be read.
        IntegrityError: damaged, or it says something impossible.
    """
    return read_plan(path) if path.endswith(PLANS) or _head(path) == MAGIC else read_onnx(path)


def _head(path: str) -> bytes:
    """The first bytes; none where it cannot be read, which the reader then says. A pipe is not waited for."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (OSError, ValueError):
        return b""
    try:
        return os.read(handle, len(MAGIC))
    except OSError:
        return b""
    finally:
        os.close(handle)
