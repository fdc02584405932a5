"""Either record rebuilt from the other: what is missing is put where it is missing, and nothing is taken away or overwritten.

Bytes of a bundle do not come from MLflow: the run promoted again gives the same ones, or they are lost.
"""

import json
from dataclasses import replace
from datetime import UTC, datetime

from promote.core.chain import key_of, withdrawn
from promote.core.decisions import review_of
from promote.core.events import Kind
from promote.core.facts import Target
from promote.core.history import served_at
from promote.core.layout import passport_of
from promote.core.passport_summary import summary
from promote.core.review import PENDING, Review, last_words
from promote.pipeline.auditing import promotion_of
from promote.pipeline.choosing import first_of
from promote.pipeline.happening import deployments
from promote.pipeline.recalling import Recalled, Version
from promote.pipeline.recording import bring, keep
from promote.ports import Books, Store


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


def mend_host(name: str, target: Target, store: Store, books: Books) -> None:
    """Writes the events that a host's record tells and nobody was told of."""
    history = store.history(name)
    for digest in dict.fromkeys(deployed.digest for deployed in history):
        keep(deployments(history, digest, target), books)
