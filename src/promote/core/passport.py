"""The passport: all that is known of a bundle, as JSON that travels inside it.

Facts with their sources, the verdict with its findings, the parity table, the lineage and every file's digest. It holds
no time of its own making, no path and no host name of the machine that made it, so the same inputs give the same bytes.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any

from promote.core.facts import Fact

if TYPE_CHECKING:  # `check` writes findings with this and needs no stage of a promotion
    from promote.core.facts import Target
    from promote.core.stages import Blob, Proven
    from promote.core.verdict import Compatible

SCHEMA = "promote.passport/1"


def canonical(value: Any) -> bytes:
    """JSON with sorted keys and one form per value, ending with a newline; half a surrogate pair becomes its escape.

    Raises:
        ValueError: NaN or infinity, which JSON has no word for.
    """
    text = json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False)
    return text.encode(errors="backslashreplace") + b"\n"


def sha256(data: bytes) -> str:
    """``sha256:`` and the hex digest of ``data``."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def plain(value: Any) -> Any:
    """Dataclasses, enums, mappings and sets as JSON values; facts that are not known are left out."""
    if isinstance(value, Fact):
        known = {"value": plain(value.value), "source": value.source, "measured": value.measured}
        return known | ({"declared": plain(value.declared)} if value.declared else {})
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        return {name: plain(field) for name, field in fields.items() if field is not None}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): plain(value[key]) for key in sorted(value)}
    if isinstance(value, frozenset | set):
        return sorted((plain(item) for item in value), key=lambda item: json.dumps(item, sort_keys=True))
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def promotion_id(proven: Proven, target: Target, name: str, settings: bytes) -> str:
    """What makes two promotions the same one, so that running twice is resuming.

    All that shapes the bundle takes part: a version's tag never moves, so other bytes must be another version.

    Args:
        proven: the export, by the digests of its files, and what the passport tells of it.
        target: the target, by all that is known of it.
        name: model name.
        settings: canonical bytes of everything else that shapes the bundle (template, matrix digest).
    """
    made_of = {
        "files": {path: blob.digest for path, blob in proven.export.files.items()},
        "samples": proven.export.samples.digest,
        "ended_ms": proven.export.candidate.run.ended_ms,
        "name": name,
        "target": plain(target),
        "settings": sha256(settings),
    }
    return hashlib.sha256(canonical(made_of | _evidence(proven))).hexdigest()[:32]


def write_passport(
    verdict: Compatible[Proven], target: Target, name: str, version: int, files: Mapping[str, Blob], matrix: str
) -> bytes:
    """The passport's bytes.

    Args:
        verdict: of the proven export.
        target: the target as it was judged.
        name: model name.
        version: model version.
        files: every other file of the bundle.
        matrix: digest of the matrix that judged.
    """
    return canonical(
        {
            "schema": SCHEMA,
            "name": name,
            "version": version,
            "target": plain(target),
            "verdict": verdict.word,
            "findings": plain(verdict.findings),
            "matrix": matrix,
            "files": {path: {"digest": blob.digest, "size": blob.size} for path, blob in sorted(files.items())},
        }
        | _evidence(verdict.subject)
    )


def _evidence(proven: Proven) -> dict[str, Any]:
    """What is told of the export and where it came from, whatever its version."""
    export = proven.export
    run = export.candidate.run
    lineage = {
        "run_id": run.run_id,
        "run_name": run.name,
        "experiment": run.experiment,
        "model": export.candidate.model.name,
        "flavour": export.candidate.model.flavour,
        "source_digest": export.candidate.model.digest,
        "params": dict(run.params),
        "metrics": {key: value for key, value in run.metrics.items() if _finite(value)},
        "tags": {key: value for key, value in run.tags.items() if _lineage_tag(key)},
    }
    return {
        "facts": plain(export.facts),
        "declared": plain(export.candidate.facts),
        "plan": plain(export.plan),
        "parity": plain(proven.parity),
        "tools": plain(export.tools),
        "lineage": lineage,
    } | ({"lowered": plain(proven.lowered)} if proven.lowered else {})


def _finite(value: float) -> bool:
    return math.isfinite(value)


def _lineage_tag(key: str) -> bool:
    """What a reviewer needs; not MLflow's own bookkeeping, nor what promote itself wrote on the run."""
    return not key.startswith(("mlflow.", "promote."))
