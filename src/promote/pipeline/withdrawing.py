"""A bad version is marked everywhere: in the registry, which stops every deployment, and in MLflow, where people look."""

from dataclasses import dataclass
from datetime import UTC, datetime

from promote.core.chain import withdrawn
from promote.core.events import Actor, Event, Kind, event_of, stamp
from promote.core.history import Served, served_at
from promote.core.stages import Held
from promote.errors import Interrupted, PromoteError
from promote.pipeline.recalling import recall
from promote.pipeline.recording import keep
from promote.ports import Books


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawal:
    """What came of it.

    Args:
        stored: the bundle.
        event: who withdrew it first, when and why.
        serves: where it is live by the events, with what served there before.
        warnings: where it is not shown, a line each.
    """

    stored: Held
    event: Event
    serves: tuple[Served, ...]
    warnings: tuple[str, ...] = ()


def withdraw(name: str, reference: str, actor: Actor, reason: str, books: Books) -> Withdrawal:
    """Withdraws the digest that ``reference`` names now, for every target; one that is withdrawn stays so, for its first reason.

    Raises:
        NotFound, AuthError, Unavailable: as the registry says: then nothing is withdrawn.
    """
    stored = books.registry.find(name, reference)
    event = event_of(stored, Kind.WITHDRAWN, actor, stamp(datetime.now(UTC)), reason=reason)
    kept = keep([event], books, must=True)
    first = withdrawn(kept.lines) or event
    warnings = list(kept.why)
    try:
        books.ledger.withdraw(name, stored.version, first.by, first.reason)
    except Interrupted:
        raise
    except PromoteError as error:
        warnings.append(f"MLflow does not show it: {error.message}; type it again when it answers")
    recalled = recall(name, books.registry, books.ledger)
    live = served_at((row.event for row in recalled.rows()), "", datetime.now(UTC))
    return Withdrawal(
        stored=stored, event=first, serves=tuple(one for one in live if one.event.bundle == stored.digest),
        warnings=tuple(warnings),
    )  # fmt: skip
