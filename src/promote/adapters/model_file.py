"""Facts of a model file of either kind: which reader it is for, by its name and its first bytes.

Not here: what the readers do (``onnx_file``, ``plan_file``).
"""

import os

from promote.adapters.onnx_file import facts_of, opened
from promote.adapters.plan_file import MAGIC, read_plan
from promote.core.facts import ModelFacts

PLANS = (".plan", ".engine")
SUFFIXES = (".onnx", *PLANS)


def read_facts(path: str, source: str = "") -> ModelFacts:
    """Facts of a TensorRT plan, which its name or its first bytes tell, or of an ONNX model.

    Args:
        path: the file.
        source: what the facts of an ONNX model call it; empty: its name.

    Raises:
        NotFound: no such file.
        InputError: a folder, an empty file, or it cannot be read.
        IntegrityError: damaged, or it says something impossible.
    """
    if path.endswith(PLANS):
        return read_plan(path)
    with opened(path) as handle:
        if os.pread(handle, len(MAGIC), 0) != MAGIC:
            return facts_of(handle, path, source)
    return read_plan(path)
