"""Remedies worked out of the matrix: the driver, the release or the type with which a rule would pass."""

from collections.abc import Callable

from promote.core.matrix_rows import DtypeSupport, TritonRelease, numbers
from promote.core.rules.case import Case

_WORDS = ("fp16", "bf16", "int8", "fp8", "fp4")


def newest(case: Case, fits: Callable[[TritonRelease], bool], what: str) -> str:
    """``Triton 24.10, the newest release that ...``, or that no release of the matrix does."""
    found = [row.release for row in case.matrix.tables.triton_releases if fits(row)]
    if not found:
        return f"no release in {case.matrix.file} {what}"
    return f"Triton {max(found, key=numbers)}, the newest release in {case.matrix.file} that {what}"


def for_driver(case: Case, driver: str, least: str) -> str:
    """A driver that is new enough, and the release to use until it is installed."""

    def takes(row: TritonRelease) -> bool:
        floor = case.matrix.driver_floor(row.cuda.version) if row.cuda else None
        return floor is not None and numbers(driver) >= numbers(floor.min_driver)

    release = newest(case, takes, f"takes driver {driver}")
    return f"install driver {least} or later on {case.target.name}, or use {release}"


def for_capability(case: Case, capability: str) -> str:
    """The release that still uses a GPU."""

    def uses(row: TritonRelease) -> bool:
        lowest = row.min_compute_capability
        return lowest is not None and numbers(capability) >= numbers(lowest)

    return f"use {newest(case, uses, f'uses compute capability {capability}')}; or another GPU"


def for_types(row: DtypeSupport | None, capability: str) -> str:
    """What the device computes with, and how to give it that."""
    has = [word for word in _WORDS if row is not None and getattr(row, word)]
    convert = "model.float()" + (" or model.half()" if "fp16" in has else "")
    beside = f" (compute capability {capability} has {', '.join(['fp32', *has])})" if row is not None else ""
    return f"log the run again after {convert}, then promote model RUN{beside}"
