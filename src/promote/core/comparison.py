"""A release beside the version that serves on its target now: what ``bundle_diff`` finds, and how good each is. Pure.

What serves was read from a registry, so it is hostile until ``read_told`` took it. Not here: how it is shown (``page_live``,
``description``), and what a policy makes of it (``gates``).
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass

from promote.core.bundle_diff import Difference, Side, differ
from promote.core.model_config import parse_config
from promote.core.stages import Release
from promote.errors import IntegrityError


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What one version says of itself.

    Args:
        side: its files, configuration and passport.
        metrics: of the training run; only finite ones.
        parity: largest absolute difference.
    """

    side: Side
    metrics: Mapping[str, float]
    parity: float

    @property
    def version(self) -> int:
        """Of the model."""
        return self.side.stored.version


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """What is new in a version beside another.

    Args:
        version: the other one.
        digest: its bundle's.
        difference: from the other to this one.
        metrics: name, then, now; of both, by name.
        parity: largest absolute difference then, and now.
    """

    version: int
    digest: str
    difference: Difference
    metrics: tuple[tuple[str, float | None, float | None], ...]
    parity: tuple[float, float]


def read_told(side: Side) -> Told:
    """What the bundle says of itself.

    Raises:
        IntegrityError: its passport is none of promote's.
    """
    try:
        said = json.loads(side.passport)
        metrics = {str(key): float(value) for key, value in said["lineage"]["metrics"].items()}
        parity = max((float(d["max_absolute"]) for d in said["parity"]["differences"]), default=0.0)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise IntegrityError(
            f"the passport of {side.stored.reference} is not one of promote's: {type(error).__name__}"
        ) from error
    kept = {key: value for key, value in metrics.items() if math.isfinite(value)}
    return Told(side=side, metrics=kept, parity=parity)


def told_of(release: Release) -> Told:
    """What a release says of itself."""
    bundle = release.bundle
    path = f"{bundle.name}/config.pbtxt"
    return read_told(Side(release.own, parse_config(bundle.files[path].data or b"", path), bundle.passport))


def compare_told(now: Told, then: Told) -> Compared:
    """``now`` beside ``then``.

    Raises:
        IntegrityError: a passport that holds what is no text.
    """
    names = sorted({*now.metrics, *then.metrics})
    return Compared(
        version=then.version,
        digest=then.side.stored.digest,
        difference=differ(then.side, now.side),
        metrics=tuple((name, then.metrics.get(name), now.metrics.get(name)) for name in names),
        parity=(then.parity, now.parity),
    )


def change(then: float | None, now: float | None) -> str:
    """``+0.012``, in the metric's own unit; empty where there are not both."""
    return "" if then is None or now is None else ("0" if now == then else f"{now - then:+.3g}")
