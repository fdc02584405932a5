"""What people say of a release, and what that comes to. Not here: what a policy asks beside approvals (``gating``)."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from promote.core.decisions import decision_event, decisions_of
from promote.core.events import Kind, stamp
from promote.core.evidence import TARGET, VERDICT, VERDICT_TYPE
from promote.core.facts import Target
from promote.core.layout import passport_of
from promote.core.passport_summary import verdict_of
from promote.core.review import (
    APPROVED,
    NOT_KNOWN,
    PENDING,
    REJECTED,
    REQUESTED,
    Approved,
    Case,
    NotApproved,
    Rejected,
    Review,
    approve,
    host_words,
    is_request,
)
from promote.core.signed import statement, with_seen
from promote.core.stages import Held, Stored
from promote.errors import NotFound
from promote.pipeline.choosing import weigh
from promote.pipeline.recording import keep
from promote.pipeline.retracting import withdrawn_by
from promote.ports import World

Outcome = Approved | NotApproved | Rejected


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A release that waits for somebody.

    Args:
        name: of the model.
        version: of it.
        target: for which it waits.
        digest: of its bundle.
        state: ``not approved`` or ``rejected``.
        reason: why it does not serve yet.
    """

    name: str
    version: int
    target: str
    digest: str
    state: str
    reason: str


Sign = Callable[[bytes], str]
"""Makes a person's signature of these bytes."""


def review_model(
    name: str, reference: str, target: Target, decision: Review, world: World, sign: Sign | None = None
) -> tuple[Held, Review, Outcome]:
    """Keeps a person's decision about the digest that ``reference`` names now, and what all decisions come to.

    It is attached to the bundle first: where that fails nothing is approved, and MLflow says nothing of it. With ``sign``
    the person's signature of it goes with it.
    """
    stored = world.registry.find(name, reference)
    world.ledger.review(name, stored.version, target.name)  # fails where MLflow does not know the version
    review = replace(
        decision, digest=stored.digest, at=_now(), verdict=_verdict(stored, target, world), host=host_words(target),
        policy=world.policy.digest, matrix=world.matrix.digest,
    )  # fmt: skip
    if sign:
        review = replace(review, signature=sign(statement(stored, target.name, review)))
    _keep(stored, target, review, world)
    outcome = approve(stored, target, replace(case_of(stored, target, world), tag=Review()))
    _show(stored, target, review, outcome, world)
    return stored, review, outcome


def case_of(stored: Held, target: Target, world: World) -> Case:
    """All that was said of a bundle for a target, by MLflow's tags and in the registry."""
    referrers = world.registry.referrers(stored)
    decisions = decisions_of(referrers, stored, target.name)
    authors: frozenset[str] = frozenset()
    if not world.policy.terms.self_approval:
        authors = world.ledger.authors(stored.name, stored.version)
    return Case(
        tag=world.ledger.review(stored.name, stored.version, target.name),
        decisions=tuple(_looked_at(stored, target, decision, world) for _, decision in decisions),
        terms=world.policy.terms,
        authors=authors,
        withdrawn=withdrawn_by(referrers, stored),
        moment=datetime.now(UTC),
    )


def standing(stored: Held, target: Target, world: World, *, meet: bool = False) -> Outcome:
    """Whether people let this digest serve there now.

    Args:
        stored: the bundle.
        target: where to.
        world: the parts.
        meet: take what somebody asked for in MLflow as an approval, where the policy allows that.
    """
    if not target.review:
        gone = withdrawn_by(world.registry.referrers(stored), stored)
        return approve(stored, target, Case(withdrawn=gone, moment=datetime.now(UTC)))
    case = case_of(stored, target, world)
    if meet and case.terms.requests and is_request(case, stored):
        said = case.tag.reason or f"promote.review.{target.name} was set in MLflow"
        asked = Review(
            state=APPROVED, digest=stored.digest, by=NOT_KNOWN, how=REQUESTED, reason=said, at=_now(),
            verdict=_verdict(stored, target, world), host=host_words(target), policy=world.policy.digest,
        )  # fmt: skip
        _keep(stored, target, asked, world)
        case = replace(case, decisions=(*case.decisions, asked))
        outcome = approve(stored, target, case)
        _show(stored, target, asked, outcome, world)
        return outcome
    return approve(stored, target, case)


def waiting(targets: tuple[Target, ...], world: World) -> Iterator[Waiting]:
    """What waits for a review, newest version first; versions before the one that serves are past."""
    for target in targets:
        live = world.ledger.desired(target.name)
        for name, version, digest in world.ledger.asked(target.name):
            if name in live and version <= live[name].version:
                continue
            try:
                outcome = standing(world.registry.find(name, digest), target, world)
            except NotFound as error:
                outcome = NotApproved(f"its bundle is not there: {error.message}")
            if not isinstance(outcome, Approved):
                yield Waiting(
                    name=name, version=version, target=target.name, digest=digest,
                    state=outcome.word, reason=outcome.reason,
                )  # fmt: skip


def _looked_at(stored: Held, target: Target, decision: Review, world: World) -> Review:
    """The decision, with whose signature is on it where the policy names who may sign; looked at anew whenever it counts."""
    if world.policy.terms.signers is None or not decision.signature:
        return decision
    return with_seen(decision, world.signatures.check(statement(stored, target.name, decision), decision.signature))


def _keep(stored: Held, target: Target, review: Review, world: World) -> None:
    event = decision_event(stored, target.name, review)
    asked = replace(event, kind=Kind.REQUESTED, more={}) if review.how == REQUESTED else None
    keep([event] if asked is None else [asked, event], world, must=True)


def _show(stored: Held, target: Target, review: Review, outcome: Outcome, world: World) -> None:
    """MLflow's tags say what the decisions come to; nobody's name stands beside what is not decided."""
    states = {Approved: APPROVED, Rejected: REJECTED}
    state = states.get(type(outcome), PENDING)
    shown = replace(review, state=state)
    if isinstance(outcome, NotApproved):
        shown = Review(reason=outcome.reason)
    world.ledger.decide(stored.name, stored.version, target.name, shown)


def _verdict(stored: Held, target: Target, world: World) -> str:
    """The verdict's word that a reviewer sees: the bundle's own, or the last that was attached for a further target.

    Of several variants it is the word of the one that the target would get, as it is known now.
    """
    if isinstance(stored, Stored):
        word = verdict_of(world.registry.read(stored, passport_of(stored)), target.name)
    else:
        best = weigh(stored, target, world).chosen
        word = best.verdict.word if best else ""
    later = [
        r.annotations.get(VERDICT, "")
        for r in world.registry.referrers(stored, VERDICT_TYPE)
        if r.annotations.get(TARGET) == target.name
    ]
    return later[-1] if later else word


def _now() -> str:
    return stamp(datetime.now(UTC))
