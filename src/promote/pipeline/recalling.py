"""All events of a model, as the registry and MLflow tell them; either alone will do. Not here: mending them (``comparing``)."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from promote.core.chain import Chain, Fault, Told, chain_of, read_referrers, read_texts
from promote.core.decisions import first_form_events
from promote.core.events import Event, moment
from promote.core.history import Row
from promote.core.stages import Held
from promote.errors import AuthError, IntegrityError, Interrupted, NotFound, PromoteError, Unavailable
from promote.ports import Ledger, Registry

_VERSION = re.compile(r"v[1-9][0-9]{0,9}")


@dataclass(slots=True, kw_only=True)
class Version:
    """What is known of one version.

    Args:
        number: of it.
        stored: as the registry holds it; ``None`` where it does not.
        digest: as MLflow recorded it; empty where it did not.
        registry: the events that lie with the bundle; ``None`` where it is not there.
        mlflow: the events that lie on the version; ``None`` where it is not there.
        older: decisions of the first form.
        fault: why the registry's bundle cannot be read; empty where it can, or is not there.
    """

    number: int
    stored: Held | None = None
    digest: str = ""
    registry: Told | None = None
    mlflow: Told | None = None
    older: tuple[Event, ...] = ()
    fault: str = ""

    @property
    def bundle(self) -> str:
        """Its digest by the registry, else by MLflow."""
        return self.stored.digest if self.stored else self.digest

    def chain(self, name: str) -> Chain:
        """All events, from wherever they came."""
        lines = {line.digest: line for told in (self.registry, self.mlflow) if told for line in told.lines}
        return chain_of(lines.values(), (name, self.number, self.bundle))

    def faults(self, name: str) -> tuple[Fault, ...]:
        """What cannot be, of lines and of how they hang together."""
        told = [fault for one in (self.registry, self.mlflow) if one for fault in one.faults]
        return (*told, *self.chain(name).faults)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recalled:
    """All that is known of a model.

    Args:
        name: of it.
        versions: oldest first.
        away: why the registry or MLflow does not tell, by ``registry`` and ``mlflow``.
    """

    name: str
    versions: tuple[Version, ...]
    away: dict[str, str] = field(default_factory=dict)

    def rows(self) -> tuple[Row, ...]:
        """Every event, in the order in which it happened."""
        found = [row for version in self.versions for row in _rows(self.name, version, self.away)]
        return tuple(sorted(found, key=lambda row: (moment(row.event.at), moment(row.event.noted))))


def _rows(name: str, version: Version, away: dict[str, str]) -> Iterator[Row]:
    here = {line.digest for line in version.registry.lines} if version.registry else set()
    there = {line.digest for line in version.mlflow.lines} if version.mlflow else set()
    for line in version.chain(name).lines:
        both = line.digest in here and line.digest in there
        yield Row(
            event=line.event,
            digest=line.digest,
            where="both" if both else "registry" if line.digest in here else "mlflow",
        )
    for event in version.older:
        yield Row(event=event, digest="", where="registry")


def recall(name: str, registry: Registry, ledger: Ledger, only: int | None = None) -> Recalled:
    """Everything that is known of a model, or of one version.

    Args:
        name: of the model.
        registry: where its bundles lie.
        ledger: MLflow.
        only: this version alone.

    Raises:
        NotFound: neither knows it.
        AuthError, Unavailable: neither tells.
    """
    versions: dict[int, Version] = {}
    away: dict[str, str] = {}
    first: PromoteError | None = None
    sides: tuple[tuple[str, Iterable[Version]], ...] = (
        ("registry", _registry(name, registry, only)), ("mlflow", _mlflow(name, ledger, only)),
    )  # fmt: skip
    for where, side in sides:
        try:
            for found in side:
                _put(versions.setdefault(found.number, Version(number=found.number)), found)
        except (AuthError, NotFound, Unavailable) as error:  # not found: a database that is gone
            away[where] = error.message
            first = first or error
    if len(away) == 2 and first:
        raise first
    if not versions:
        what = f"{name} v{only}" if only else name
        raise NotFound(
            f"{'; '.join(f'{where} is away ({why}), and' for where, why in away.items())} nobody knows {what}".strip(),
            hint="promote model RUN makes a version; --registry names another registry",
        )
    return Recalled(name=name, versions=tuple(versions[number] for number in sorted(versions)), away=away)


def _put(whole: Version, part: Version) -> None:
    for name in ("stored", "digest", "registry", "mlflow", "older", "fault"):
        if value := getattr(part, name):
            setattr(whole, name, value)


def _registry(name: str, registry: Registry, only: int | None) -> Iterator[Version]:
    numbers = [int(tag[1:]) for tag in registry.tags(name) if _VERSION.fullmatch(tag)]
    for number in _chosen(numbers, only):
        try:
            stored = registry.find(name, f"v{number}")
            referrers = registry.referrers(stored)
        except (Interrupted, AuthError, Unavailable):
            raise
        except (NotFound, IntegrityError) as error:
            yield Version(number=number, fault=error.message)
            continue
        yield Version(
            number=number,
            stored=stored,
            registry=read_referrers(referrers, stored),
            older=first_form_events(referrers, stored),
        )


def _mlflow(name: str, ledger: Ledger, only: int | None) -> Iterator[Version]:
    for number in _chosen(ledger.versions(name), only):
        yield Version(
            number=number, digest=ledger.recorded(name, number), mlflow=read_texts(ledger.events(name, number))
        )


def _chosen(numbers: Iterable[int], only: int | None) -> list[int]:
    return [number for number in numbers if only in (None, number)]
