"""Either record rebuilt from the other: what is missing is put where it is missing, and nothing is taken away or overwritten.

Bytes of a bundle do not come from MLflow: a host that has them gives them back, or the run promoted again.
"""

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from promote.core.chain import key_of, withdrawn
from promote.core.config_again import config_again
from promote.core.decisions import review_of
from promote.core.events import Kind
from promote.core.facts import Target
from promote.core.history import served_at
from promote.core.layout import passport_of
from promote.core.manifest import read_manifest
from promote.core.passport_summary import summary
from promote.core.review import PENDING, Review, last_words
from promote.errors import IntegrityError, Interrupted, NotFound, PromoteError
from promote.pipeline.auditing import promotion_of
from promote.pipeline.choosing import first_of
from promote.pipeline.happening import deployments
from promote.pipeline.recalling import Recalled, Version
from promote.pipeline.recording import bring, keep
from promote.ports import Books, Registry, Step, Store


def mend(recalled: Recalled, books: Books) -> None:
    """Makes MLflow's versions anew where they are gone, copies events both ways, and shows what is withdrawn."""
    lost = [v for v in recalled.versions if v.stored and v.mlflow is None and "mlflow" not in recalled.away]
    for version in lost:
        _remake(recalled.name, version, books)
    for version in recalled.versions:
        lines = version.chain(recalled.name).lines
        if version.stored and version.registry is not None and lines:
            here = {line.digest for line in version.registry.lines}
            bring([line for line in lines if line.digest not in here], version.stored, books.registry)
        if "mlflow" not in recalled.away and (version.mlflow is not None or version in lost):
            books.ledger.keep_events(recalled.name, version.number, {key_of(line): line.text for line in lines})
            if gone := withdrawn(lines):
                books.ledger.withdraw(recalled.name, version.number, gone.by, gone.reason)
    if lost:
        _serving_again(recalled, books)


def _remake(name: str, version: Version, books: Books) -> None:
    """The version under its number, with what its bundle and its events tell."""
    stored = version.stored
    if stored is None:
        return
    first = first_of(stored, books.registry)
    told = summary(books.registry.read(first, passport_of(first)))
    page = "\n".join(f"- **{key}**: {json.dumps(value)[1:-1]}" for key, value in told.items())
    text = f"Made anew from `{stored.reference}`, whose passport says:\n\n{page}\n"
    books.ledger.remake(stored, promotion_of(version, name), text)
    lines = version.chain(name).lines
    for target in sorted({line.event.target for line in lines if line.event.target}):
        said = [line for line in lines if line.event.target == target]
        words = last_words(
            (review_of(line) for line in said if line.event.kind in (Kind.APPROVED, Kind.REJECTED)), stored.digest
        )
        asked = any(line.event.kind is Kind.REQUESTED for line in said)
        if words or asked:
            refused = next((word for word in words if word.state == "rejected"), None)
            shown = refused or (words[-1] if words else Review(state=PENDING))
            books.ledger.decide(name, version.number, target, replace(shown, host={}))


def _serving_again(recalled: Recalled, books: Books) -> None:
    """What serves on each target by the events, and the alias that follows it."""
    events = [row.event for row in recalled.rows()]
    for one in served_at(events, "", datetime.now(UTC)):
        event = one.event
        books.ledger.deployed(recalled.name, event.version, event.target, event.bundle, "live")


@dataclass(frozen=True, slots=True)
class Found:
    """A version that a host has and the registry had not.

    Args:
        version: which.
        digest: of its bundle.
        why: why it could not be sent; empty where it was.
    """

    version: int
    digest: str
    why: str = ""


def lost(name: str, store: Store, registry: Registry) -> tuple[tuple[int, str], ...]:
    """Version and digest of what served on the host and is not in the registry any more; variants of an index are left out."""
    gone = []
    for version, digest in dict.fromkeys((d.version, d.digest) for d in store.history(name) if not d.release):
        try:
            registry.find(name, digest)
        except NotFound:
            gone.append((version, digest))
    return tuple(gone)


def bring_back(name: str, store: Store, registry: Registry, step: Step) -> tuple[Found, ...]:
    """Sends what the registry lost from the host's disk, where every byte is what the manifest says.

    The digest is that of the manifest, so what comes back is what served, or nothing does.
    """
    found = []
    for version, digest in lost(name, store, registry):
        try:
            manifest, passport, files = store.kept(name, version)
            stored = read_manifest(manifest, "this host", name)
            if (stored.digest, stored.version) != (digest, version):
                raise IntegrityError(f"the host keeps {stored.digest} as version {version}, its record says {digest}")
            registry.receive(stored, files, config_again(stored, passport), step)
        except Interrupted:
            raise
        except PromoteError as error:
            found.append(Found(version, digest, error.message))
        else:
            found.append(Found(version, digest))
    return tuple(found)


def mend_host(name: str, target: Target, store: Store, books: Books) -> None:
    """Writes the events that a host's record tells and nobody was told of."""
    history = store.history(name)
    for digest in dict.fromkeys(deployed.digest for deployed in history):
        keep(deployments(history, digest, target), books)
