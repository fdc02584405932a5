"""Whether what a policy asks beside approvals holds, each answer with what was found and what was asked. Pure.

What is not known does not pass. Not here: what may be asked (``core.policy``), nor approvals (``core.review``).
"""

import datetime
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from promote.core.decisions import REVIEW_TYPE
from promote.core.evidence import VERDICT_TYPE
from promote.core.layout import GOLDEN
from promote.core.manifest import DIRECTORY
from promote.core.names import printable
from promote.core.policy import EVIDENCE, Terms, Threshold, Window
from promote.errors import IntegrityError

_SIGNATURE = "application/vnd.dev.sigstore.bundle.v0.3+json"
KINDS = dict(zip(EVIDENCE, (REVIEW_TYPE, VERDICT_TYPE, _SIGNATURE), strict=True))
"""Short names of kinds of evidence; any other is a media type."""


@dataclass(frozen=True, slots=True)
class Gate:
    """One thing that the policy asks.

    Args:
        rule: what it is about, ``metrics.f1 min``.
        holds: whether it does.
        has: what was found.
        needs: what was asked.
    """

    rule: str
    holds: bool
    has: str
    needs: str


@dataclass(frozen=True, slots=True)
class GateFailed:
    """The policy does not let it pass; ``gates`` are all of them, those that hold too."""

    gates: tuple[Gate, ...]
    word: str = "gate failed"

    @property
    def reason(self) -> str:
        """Those that do not hold, in one line."""
        return "; ".join(f"{g.rule}: {g.has}, needs {g.needs}" for g in self.gates if not g.holds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a passport tells a gate.

    Args:
        version: of the model.
        metrics: of the training run.
        parity: largest absolute and relative difference of each output.
        origin: ``directory`` where no run made it, else empty.
        samples: golden samples are in it.
        licence: as the run's tag ``license`` says; empty where it says none.
    """

    version: int
    metrics: Mapping[str, float]
    parity: tuple[tuple[float, float], ...]
    licence: str
    origin: str = ""
    samples: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What the terms are held against.

    Args:
        told: by the release's passport.
        live: by that of the version that serves; ``None``: none does, or it is this very one.
        kinds: artifact types of what refers to the bundle.
        probed: day of the target's last probe; empty: never.
        collected: day on which the matrix was collected.
        moment: now.
    """

    told: Told
    live: Told | None
    kinds: frozenset[str]
    probed: str
    collected: str
    moment: datetime.datetime


def asks(terms: Terms) -> bool:
    """Whether these terms ask for anything beside approvals."""
    ages, parity = terms.max_age_days, terms.parity
    numbers = (ages.probe, ages.matrix, parity.max_absolute, parity.max_relative)
    return bool(terms.metrics or terms.evidence or terms.licences or terms.freeze) or any(
        n is not None for n in numbers
    )


def read_passport(passport: bytes) -> Told:
    """What a gate needs of a passport.

    Raises:
        IntegrityError: these bytes are no passport of promote.
    """
    try:
        told: dict[str, Any] = json.loads(passport)
        lineage, differences = told["lineage"], told["parity"]["differences"]
        tags = lineage.get("tags", {})
        return Told(
            version=int(told["version"]),
            metrics={str(name): float(value) for name, value in lineage["metrics"].items()},
            parity=tuple((float(d["max_absolute"]), float(d["max_relative"])) for d in differences),
            licence=str(tags.get("license") or tags.get("licence") or ""),
            origin=str(told.get("origin", "")),
            samples=any(str(path).endswith(f"/{GOLDEN}") for path in told.get("files", {})),
        )
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise IntegrityError(f"the passport is not one of promote's: {type(error).__name__}") from error


def gates(terms: Terms, found: Found) -> tuple[Gate, ...]:
    """Every gate of the terms, in the order of the file's keys."""
    metrics = [gate for name, wanted in terms.metrics.items() for gate in _metric(name, wanted, found)]
    evidence = [_evidence(name, found) for name in terms.evidence]
    frozen = [_freeze(window, found) for window in terms.freeze]
    return (
        *_directory(terms, found),
        *metrics,
        *_parity(terms, found),
        *evidence,
        *_ages(terms, found),
        *_licence(terms, found),
        *frozen,
    )


def _directory(terms: Terms, found: Found) -> list[Gate]:
    """Nothing is said of what a run made; of what no run made nobody knows whether it answers as a trained model does."""
    if found.told.origin != DIRECTORY:
        return []
    has = "golden samples" if found.told.samples else "none, so nothing could be asked of a server that loaded it"
    return [
        Gate(
            "directories",
            terms.directories,
            "pushed from a directory: no parity was proven",
            "a run, or directories: true",
        ),
        Gate("samples", found.told.samples, has, "golden samples"),
    ]


def _evidence(name: str, found: Found) -> Gate:
    there = KINDS.get(name, name) in found.kinds
    return Gate(f"evidence {name}", there, "attached" if there else "not attached", "it attached to the bundle")


def _freeze(window: Window, found: Found) -> Gate:
    within = window.holds(found.moment)
    why = f" ({printable(window.reason)})" if window.reason else ""
    return Gate("freeze", not within, f"{'within' if within else 'outside'} {window.shown}{why}", "a time outside it")


def _metric(name: str, wanted: Threshold, found: Found) -> list[Gate]:
    shown, value, rows = f"metrics.{printable(name, 80)}", found.told.metrics.get(name), []
    has = "not logged" if value is None else f"{value:.6g}"
    for word, bound, sign in (("min", wanted.min, 1), ("max", wanted.max, -1)):
        if bound is not None:
            holds = value is not None and sign * (value - bound) >= 0
            rows.append(Gate(f"{shown} {word}", holds, has, f"{'at least' if sign > 0 else 'at most'} {bound:g}"))
    for word, most, sign in (("max_drop", wanted.max_drop, -1), ("max_rise", wanted.max_rise, 1)):
        if most is not None:
            rows.append(_against_live(f"{shown} {word}", name, (value, has), most, sign, found.live))
    return rows


def _against_live(
    rule: str, name: str, now: tuple[float | None, str], most: float, sign: int, live: Told | None
) -> Gate:
    value, has = now
    needs = f"{'a rise' if sign > 0 else 'a drop'} of {most:g} at most"
    if live is None:
        return Gate(rule, value is not None, f"{has}, and no other version serves", needs)
    before = live.metrics.get(name)
    if before is None:
        return Gate(rule, False, f"{has}, and v{live.version} that serves has none", needs)
    # Decimal figures as people write them: 0.9 - 0.89 is a hair more than 0.01 in binary.
    holds = value is not None and round(sign * (value - before), 12) <= most
    return Gate(rule, holds, f"{has} after {before:.6g} of v{live.version} that serves", needs)


def _parity(terms: Terms, found: Found) -> list[Gate]:
    bounds = (("max_absolute", terms.parity.max_absolute, 0), ("max_relative", terms.parity.max_relative, 1))
    rows = []
    for word, most, at in bounds:
        if most is not None:
            worst = max((pair[at] for pair in found.told.parity), default=None)
            has = "not measured" if worst is None else f"{worst:.3g}"
            rows.append(Gate(f"parity {word}", worst is not None and worst <= most, has, f"at most {most:g}"))
    return rows


def _ages(terms: Terms, found: Found) -> list[Gate]:
    rows = []
    for what, most, day in (
        ("probe", terms.max_age_days.probe, found.probed),
        ("matrix", terms.max_age_days.matrix, found.collected),
    ):
        if most is None:
            continue
        try:
            age = (found.moment.date() - datetime.date.fromisoformat(day)).days
        except ValueError:
            rows.append(Gate(f"max_age_days {what}", False, "never made", f"at most {most} days"))
            continue
        holds = 0 <= age <= most  # a day to come is a clock that is wrong
        rows.append(Gate(f"max_age_days {what}", holds, f"{age} days old ({day})", f"at most {most} days"))
    return rows


def _licence(terms: Terms, found: Found) -> list[Gate]:
    if not terms.licences:
        return []
    has = found.told.licence
    holds = has.casefold() in {licence.casefold() for licence in terms.licences}
    return [
        Gate("licences", holds, printable(has, 80) or "not told by the run's tag license", ", ".join(terms.licences))
    ]
