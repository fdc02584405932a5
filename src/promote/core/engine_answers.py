"""What a plan answered and has, as ``trtexec`` writes it to JSON: outputs, and the names of inputs and outputs. Pure.

Source: NVIDIA/TensorRT ``samples/common/sampleReporting.cpp`` exportJSONOutput: a list of ``name``, ``dimensions`` (``1x4``) and
``values``, six digits each; ``--exportLayerInfo`` of an engine: ``{"Layers": [...], "Bindings": [names]}`` (issue 4020).
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from promote.core.names import printable
from promote.core.tensors import NUMPY_OF_ONNX, TensorSpec
from promote.errors import IntegrityError

if TYPE_CHECKING:
    import numpy as np

_DIMENSIONS = re.compile(r"[0-9]{1,10}(x[0-9]{1,10}){0,7}")
_NOT_FINITE = re.compile(r"[\[,]\s*-?(nan|inf)\b")


def read_outputs(data: bytes, outputs: Sequence[TensorSpec]) -> "dict[str, np.ndarray]":
    """Output -> its values, in the types that the source model has.

    Raises:
        IntegrityError: no such JSON, an output missing, twice or unknown, values that are no numbers or do not fill the shape.
    """
    entries = _json(data, "the answers")
    wanted = {tensor.name: tensor for tensor in outputs}
    if not isinstance(entries, list):
        raise IntegrityError("the answers of the plan are no list")
    made: dict[str, np.ndarray] = {}
    for entry in entries:
        name = entry.get("name") if isinstance(entry, dict) else None
        if not isinstance(name, str) or name not in wanted or name in made:
            raise IntegrityError(
                f"the plan answers with {printable(repr(name), 80)}, expected {', '.join(wanted)} once each"
            )
        made[name] = _array(wanted[name], entry)
    missing = sorted(set(wanted) - set(made))
    if missing:
        raise IntegrityError(f"the plan gives no output {printable(missing[0], 80)!r}")
    return made


def _array(tensor: TensorSpec, entry: Mapping[str, Any]) -> "np.ndarray":
    import numpy as np

    shape, values = entry.get("dimensions"), entry.get("values")
    where = f"output {printable(tensor.name, 80)!r} of the plan"
    if not isinstance(shape, str) or (shape and not _DIMENSIONS.fullmatch(shape)) or not isinstance(values, list):
        raise IntegrityError(f"{where} has no dimensions and values")
    if not all(isinstance(value, int | float) for value in values):
        raise IntegrityError(f"{where} holds what is no number")
    extents = tuple(int(part) for part in shape.split("x")) if shape else ()
    kind = NUMPY_OF_ONNX.get(tensor.dtype)
    if kind is None:
        raise IntegrityError(f"{where} is {tensor.dtype}, which NumPy has no type for")
    if len(values) != int(np.prod(extents, dtype=np.float64)):
        raise IntegrityError(f"{where} has {len(values)} values, expected {shape or 'one'}")
    try:
        return np.array(values, dtype=kind).reshape(extents)
    except (OverflowError, ValueError) as error:
        raise IntegrityError(f"{where} does not fit into {kind}") from error


def read_bindings(data: bytes) -> frozenset[str]:
    """Names of the plan's inputs and outputs.

    Raises:
        IntegrityError: no such JSON.
    """
    told = _json(data, "what the plan has")
    names = told.get("Bindings") if isinstance(told, dict) else None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise IntegrityError("what the plan has is told without Bindings, the names of its inputs and outputs")
    return frozenset(names)


def require_bindings(told: frozenset[str], inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> None:
    """Passes when the plan has the source model's inputs and outputs.

    Raises:
        IntegrityError: it has others.
    """
    wanted = {tensor.name for tensor in (*inputs, *outputs)}
    lacks, more = sorted(wanted - told), sorted(told - wanted)
    if lacks or more:
        what = f"lacks {printable(lacks[0], 80)!r}" if lacks else f"has {printable(more[0], 80)!r} more"
        raise IntegrityError(f"the plan {what}, of the source model's inputs and outputs")


def _json(data: bytes, what: str) -> Any:
    text = data.decode(errors="replace")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        if _NOT_FINITE.search(text):
            raise IntegrityError(f"{what} of the plan hold NaN or infinity") from error
        raise IntegrityError(f"{what} of the plan: no JSON") from error


__all__ = ["read_bindings", "read_outputs", "require_bindings"]
