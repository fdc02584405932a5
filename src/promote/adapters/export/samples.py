"""Sample inputs for parity: the run's own example, and generated ones at the ends of every dynamic axis.

Generated values depend only on the tensor's name and the case, so the same model gets the same samples everywhere.
"""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    Arrays = dict[str, np.ndarray]

TYPICAL_BATCH, TYPICAL_LENGTH = 4, 32


@dataclass(frozen=True, slots=True)
class Axis:
    """A dynamic axis and the extents the samples use."""

    minimum: int
    typical: int
    maximum: int


@dataclass(frozen=True, slots=True)
class InputSpec:
    """One input to make values for.

    Args:
        name: of the tensor.
        dtype: NumPy name.
        shape: extents; a string names an axis.
        high: integers lie in ``[0, high)``.
    """

    name: str
    dtype: str
    shape: tuple[int | str, ...]
    high: int = 2


def generate(specs: list[InputSpec], axes: Mapping[str, Axis]) -> "dict[str, Arrays]":
    """Cases ``minimum``, ``typical`` and ``maximum``; only ``typical`` where no axis is dynamic."""
    if not axes:
        return {"typical": {s.name: _values(s, {}, "typical") for s in specs}}
    ends = {
        "minimum": {name: axis.minimum for name, axis in axes.items()},
        "typical": {name: axis.typical for name, axis in axes.items()},
        "maximum": {name: axis.maximum for name, axis in axes.items()},
    }
    return {case: {s.name: _values(s, extents, case) for s in specs} for case, extents in ends.items()}


def _values(spec: InputSpec, extents: Mapping[str, int], case: str) -> "np.ndarray":
    import numpy as np

    shape = tuple(d if isinstance(d, int) else extents[d] for d in spec.shape)
    rng = np.random.default_rng(zlib.crc32(f"{spec.name}/{case}".encode()))
    dtype = np.dtype(spec.dtype)
    if "mask" in spec.name and np.issubdtype(dtype, np.integer):
        return _mask(shape).astype(dtype)
    if dtype == np.bool_:
        return rng.random(shape) < 0.5
    if np.issubdtype(dtype, np.integer):
        return rng.integers(0, spec.high, shape).astype(dtype)
    return rng.standard_normal(shape).astype(dtype)


def _mask(shape: tuple[int, ...]) -> "np.ndarray":
    """Ones, and padding at the end of every second row: a mask that is all ones would hide a wrong mask."""
    import numpy as np

    mask = np.ones(shape)
    if len(shape) >= 2 and shape[-1] > 3:
        mask[1::2, ..., -(shape[-1] // 4) :] = 0
    return mask
