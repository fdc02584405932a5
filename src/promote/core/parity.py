"""Is the export still the model? The source model's outputs against those of the exact exported bytes.

Fail closed: a missing output, another shape or type, a NaN or infinity, an empty or constant sample set is a failure,
never a skip. Tolerances follow NumPy's ``allclose``: ``|got - want| <= absolute + relative * |want|``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True, slots=True)
class Tolerance:
    """Largest difference allowed, NumPy's meaning."""

    absolute: float
    relative: float


# fp32: accumulation order differs between kernels, seen up to 2e-6 on a DistilBERT of 66 M parameters.
# fp16 and bf16: about one unit in the last place (2**-10 and 2**-7) through a dozen layers.
DEFAULT_TOLERANCES: dict[str, Tolerance] = {
    "fp64": Tolerance(1e-8, 1e-6),
    "fp32": Tolerance(1e-4, 1e-3),
    "fp16": Tolerance(1e-2, 1e-2),
    "bf16": Tolerance(5e-2, 5e-2),
}


# Where one bin of errors ends and the next begins: four a decade, written as literals, as a logarithm is not the same to the
# last bit on every processor and the counts are part of a bundle's bytes.
BIN_EDGES = tuple(float(f"{step}e{decade}") for decade in range(-12, 4) for step in ("1", "1.8", "3.2", "5.6"))


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputDifference:
    """One output in one case; differences are in the output's own units.

    Args:
        case: name of the sample set, ``typical``.
        output: name of the output.
        shape: of the source's output.
        dtype: NumPy name of the source's type.
        max_absolute: largest ``|got - want|``.
        mean_absolute: mean of it.
        max_relative: largest ``|got - want| / |want|`` where ``want`` is not 0.
        mean_relative: mean of it.
        errors: how many values of ``|got - want|`` lie in each bin: ``(bin, count)``, empty bins left out. Bin 0 is from above
            0 to ``BIN_EDGES[0]``, bin N from ``BIN_EDGES[N-1]`` to ``BIN_EDGES[N]``, the last has no end; what is missing
            in the sum is equal.
        fault: why this output fails, or empty.
    """

    case: str
    output: str
    shape: tuple[int, ...]
    dtype: str
    max_absolute: float = 0.0
    mean_absolute: float = 0.0
    max_relative: float = 0.0
    mean_relative: float = 0.0
    errors: tuple[tuple[int, int], ...] = ()
    fault: str = ""


@dataclass(frozen=True, slots=True)
class ParityProven:
    """Every output of every case lies within the tolerance."""

    tolerance: Tolerance
    differences: tuple[OutputDifference, ...]

    @property
    def worst(self) -> OutputDifference:
        """The output with the largest absolute difference."""
        return max(self.differences, key=lambda d: d.max_absolute)


@dataclass(frozen=True, slots=True)
class ParityFailed:
    """At least one output does not; ``reasons`` says which and by how much."""

    tolerance: Tolerance
    differences: tuple[OutputDifference, ...]
    reasons: tuple[str, ...]
    word: str = "parity failed"


def compare(
    want: Mapping[str, "Arrays"], got: Mapping[str, "Arrays"], tolerance: Tolerance, *, constant_ok: bool = False
) -> ParityProven | ParityFailed:
    """Holds two sets of outputs against each other.

    Args:
        want: the source model's outputs: case name -> output name -> array.
        got: those of the exported bytes, same form.
        tolerance: for every floating output; integers and booleans must be equal.
        constant_ok: an output with one value everywhere proves nothing of an export, but a replay of recorded
            answers may meet one.
    """
    differences: list[OutputDifference] = []
    reasons: list[str] = []
    if not want or not any(want.values()):
        reasons.append("no sample was run, so nothing is proven")
    for case, outputs in want.items():
        theirs = got.get(case, {})
        reasons += [f"{case}: the export has an output {extra!r} more" for extra in theirs.keys() - outputs.keys()]
        for name, expected in outputs.items():
            actual = theirs.get(name)
            difference = _difference(case, name, expected, actual, tolerance)
            differences.append(difference)
            if difference.fault:
                reasons.append(f"{case}: output {name!r} {difference.fault}")
    reasons += [] if constant_ok else _constant(want)
    if reasons:
        return ParityFailed(tolerance, tuple(differences), tuple(reasons))
    return ParityProven(tolerance, tuple(differences))


def _difference(
    case: str, name: str, want: "np.ndarray", got: "np.ndarray | None", tolerance: Tolerance
) -> OutputDifference:
    import numpy as np

    seen = partial(OutputDifference, case=case, output=name, shape=tuple(want.shape), dtype=str(want.dtype))
    if got is None:
        return seen(fault="is missing from the export")
    if got.shape != want.shape:
        return seen(fault=f"has shape {tuple(got.shape)}, expected {tuple(want.shape)}")
    if got.dtype != want.dtype:
        return seen(fault=f"has type {got.dtype}, expected {want.dtype}")
    if want.size == 0:
        return seen(fault="is empty, so nothing is proven")
    for whose, array in (("the source model", want), ("the export", got)):
        if not np.isfinite(array.astype(np.float64)).all():
            return seen(fault=f"holds NaN or infinity in {whose}")
    exact = not np.issubdtype(want.dtype, np.floating)
    wide, other = want.astype(np.float64), got.astype(np.float64)
    absolute = np.abs(other - wide)
    nonzero = np.abs(wide) > 0
    relative = absolute[nonzero] / np.abs(wide[nonzero])
    allowed = 0.0 if exact else tolerance.absolute + tolerance.relative * np.abs(wide)
    outside = int((absolute > allowed).sum())
    fault = (
        f"differs in {outside} of {want.size} values, by up to {absolute.max():.3g} "
        f"(tolerance {tolerance.absolute:g} + {tolerance.relative:g} x value)"
        if outside
        else ""
    )
    return seen(
        max_absolute=float(absolute.max()),
        mean_absolute=float(absolute.mean()),
        max_relative=float(relative.max()) if relative.size else 0.0,
        mean_relative=float(relative.mean()) if relative.size else 0.0,
        errors=_binned(absolute),
        fault=fault,
    )


def _binned(absolute: "np.ndarray") -> tuple[tuple[int, int], ...]:
    import numpy as np

    counts = np.bincount(np.searchsorted(BIN_EDGES, absolute[absolute > 0], side="right"), minlength=1)
    return tuple((at, int(count)) for at, count in enumerate(counts) if count)


def same_decisions(want: Mapping[str, "Arrays"], got: Mapping[str, "Arrays"]) -> tuple[int, int]:
    """Of all decisions, the largest value along the last axis of each floating output, how many are the same, and of how many.

    An output of one value along it decides nothing.
    """
    import numpy as np

    same = every = 0
    for case, outputs in want.items():
        for name, expected in outputs.items():
            if np.issubdtype(expected.dtype, np.floating) and expected.ndim and expected.shape[-1] > 1:
                equal = expected.argmax(-1) == got[case][name].argmax(-1)
                same, every = same + int(np.count_nonzero(equal)), every + int(np.size(equal))
    return same, every


def _constant(want: Mapping[str, "Arrays"]) -> list[str]:
    """An output with one value everywhere in every case would make any export look right."""
    values: dict[str, set[float]] = {}
    sizes: dict[str, int] = {}
    for outputs in want.values():
        for name, array in outputs.items():
            sizes[name] = sizes.get(name, 0) + array.size
            seen = values.setdefault(name, set())
            if len(seen) < 2:
                seen.update(array.reshape(-1)[:4096].astype(float).tolist())
    return [
        f"output {name!r} of the source model is {next(iter(seen)):g} everywhere, so nothing is proven"
        for name, seen in values.items()
        if len(seen) == 1 and sizes[name] > 1
    ]
