"""The few facts of a passport that a person looks at first. Pure; a passport is hostile until read here."""

import json
import re
from typing import Any

from promote.core.manifest import DIRECTORY
from promote.errors import IntegrityError

OUTCOMES = ("ok", "degraded", "unknown", "broken")


def summary(passport: bytes) -> dict[str, str]:
    """The few facts a reviewer looks at first, in order.

    Raises:
        IntegrityError: these bytes are no passport of promote.
    """
    try:
        return _summary(json.loads(passport))
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise IntegrityError(f"the passport is not one of promote's: {type(error).__name__}") from error


def verdict_of(passport: bytes, target: str) -> str:
    """The verdict's word in a passport that is about ``target``; empty where it is about another.

    Raises:
        IntegrityError: these bytes are no passport of promote.
    """
    try:
        told = json.loads(passport)
        return str(told["verdict"]) if told["target"]["name"] == target else ""
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise IntegrityError(f"the passport is not one of promote's: {type(error).__name__}") from error


def _summary(passport: dict[str, Any]) -> dict[str, str]:
    lineage, parity = passport["lineage"], passport["parity"]
    metrics = {name: float(value) for name, value in lineage["metrics"].items()}
    chosen = first_metrics(list(metrics))
    tolerance, unproven = parity["tolerance"], passport.get("origin") == DIRECTORY
    worst = {} if unproven else max(parity["differences"], key=lambda d: d["max_absolute"])
    outcomes = [finding["outcome"] for finding in passport["findings"]]
    counts = ", ".join(f"{outcomes.count(o)} {o}" for o in OUTCOMES if o in outcomes)
    files = passport["files"].values()
    experiment = f" ({lineage['experiment']})" if lineage["experiment"] else ""
    return {
        "run": "none: it comes from a directory" if unproven else f"{lineage['run_id']}{experiment}",
        "verdict": f"{passport['verdict']} with {passport['target']['name']}: {counts}",
        "metrics": ", ".join(f"{name} {metrics[name]:.4g}" for name in chosen) or "none logged",
        "parity": "not proven"
        if unproven
        else f"largest difference {worst['max_absolute']:.2g} ({worst['output']}, {worst['case']}), "
        f"allowed {tolerance['absolute']:g} + {tolerance['relative']:g} x value",
        "export": "; ".join(passport["plan"]["reasons"]) or passport["plan"]["format"],
        "size": f"{sum(file['size'] for file in files):,} bytes in {len(files)} files",
    }


def first_metrics(names: list[str], most: int = 6) -> list[str]:
    """What a reviewer asks for first: the scores, the one without a suffix (the overall one) before those by class."""
    scores = [name for name in names if re.search(r"f1|accuracy|auc|precision|recall|loss", name)]
    return sorted(scores, key=lambda name: (name.startswith("test_"), name))[:most] or sorted(names)[:most]
