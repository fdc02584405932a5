"""Where registry, MLflow and a host's record do not tell the same of a model: each difference with its remedy. Pure.

Not here: asking them (``pipeline.auditing``), and mending (``pipeline.mending``).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from promote.core.chain import Chain, Told, withdrawn
from promote.core.events import Line


class Kind(StrEnum):
    """What can differ."""

    NOT_IN_MLFLOW = "not-in-mlflow"  # the registry has the bundle, MLflow no such version
    NOT_IN_REGISTRY = "not-in-registry"  # MLflow recorded it, the registry has no such bundle
    TWO_DIGESTS = "two-digests"  # one version, two bundles
    UNREADABLE = "unreadable"  # the registry's bundle or its list cannot be read
    EVENTS = "events"  # events lie in one of both alone
    BROKEN = "broken"  # an event was changed, removed, or is of another bundle
    FORK = "fork"  # two were written at once
    NOT_SHOWN = "not-shown"  # withdrawn, and MLflow does not say so
    NO_WITNESS = "no-witness"  # MLflow's tags say what no event does
    UNTOLD = "untold"  # a host served what no event tells
    UNKNOWN_TO_HOST = "unknown-to-host"  # an event tells of a host what its record does not
    RECORD = "record"  # the host's record cannot be read


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference.

    Args:
        kind: which.
        about: ``ner v3``.
        has: what was seen, one line.
        remedy: a command, or a sentence.
        mendable: ``--repair`` ends it.
    """

    kind: Kind
    about: str
    has: str
    remedy: str
    mendable: bool = False

    @property
    def counts(self) -> bool:
        """It is more than a note: a fork loses nothing and ends by itself."""
        return self.kind is not Kind.FORK


REPAIR = "promote fsck --repair"


def of_events(about: str, registry: Told, mlflow: Told) -> Iterable[Difference]:
    """Events that one of both has alone."""
    here, there = ({line.digest: line for line in told.lines} for told in (registry, mlflow))
    for alone, where, other in (
        ([here[d] for d in here if d not in there], "the registry", "MLflow"),
        ([there[d] for d in there if d not in here], "MLflow", "the registry"),
    ):
        if alone:
            has = f"{_words(alone)} in {where} and not in {other}"
            yield Difference(Kind.EVENTS, about, has, f"{REPAIR} copies them", mendable=True)


def of_chain(about: str, chain: Chain, registry: Told | None, mlflow: Told | None) -> Iterable[Difference]:
    """Lines that cannot be, and those that were written at once."""
    for told, where in ((registry, "in the registry"), (mlflow, "in MLflow")):
        for fault in told.faults if told else ():
            look = "the other copy tells what was said, if it is whole: promote history --json; nobody mends this but a person"
            yield Difference(Kind.BROKEN, about, f"{fault.about[:40]} {where}: {fault.what}", look)
    for fault in chain.faults:
        look = "no copy has what is missing: somebody removed or forged events; see who may write to the registry"
        yield Difference(Kind.BROKEN, about, f"event {fault.about[:19]}: {fault.what}", look)
    if len(chain.ends) > 1:
        ends = ", ".join(end[:19] for end in chain.ends)
        yield Difference(
            Kind.FORK, about, f"written at once: {ends}", "nothing is lost; the next event follows all of them"
        )


def of_withdrawal(about: str, reference: str, lines: Iterable[Line], shown: bool) -> Iterable[Difference]:
    """Withdrawn by an event and not shown, or shown without an event."""
    gone = withdrawn(lines)
    if gone and not shown:
        has = f"withdrawn by {gone.by}, and MLflow does not show it"
        yield Difference(Kind.NOT_SHOWN, about, has, f"{REPAIR} shows it", mendable=True)
    if shown and not gone:
        has = "MLflow shows it as withdrawn, and no event tells who did that"
        yield Difference(Kind.NO_WITNESS, about, has, f"promote withdraw {reference} --reason '...', or remove the tag")


def _words(lines: list[Line]) -> str:
    kinds = [line.event.kind.value for line in lines]
    few = ", ".join(kinds[:4]) + (", ..." if len(kinds) > 4 else "")
    return f"{len(kinds)} events ({few}) lie" if len(kinds) > 1 else f"the event {few} lies"
