"""A person's decision about one version for one target, and what it allows.

A decision names the digest it was made about and is void for any other. Only ``approve`` builds an ``Approved``, so
``deploy`` cannot be handed a release that nobody agreed to. MLflow keeps no author of a tag: ``by`` is what the client
said, and the record says so.
"""

from dataclasses import dataclass

from promote.core.facts import Target
from promote.core.stages import Stored

PENDING, APPROVED, REJECTED = "pending", "approved", "rejected"
NOT_REQUIRED = "not required"
"""Of a target that asks for no review."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """What was decided.

    Args:
        state: ``pending``, ``approved`` or ``rejected``.
        digest: the manifest digest the decision is about; empty while pending.
        by: who, as far as the client says; empty where unknown.
        reason: theirs, in their words.
    """

    state: str = PENDING
    digest: str = ""
    by: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Approved:
    """A stored bundle that may be deployed to ``target``, and the decision that allows it."""

    stored: Stored
    target: Target
    review: Review


@dataclass(frozen=True, slots=True)
class NotApproved:
    """Nobody has decided yet, or the decision is about another digest."""

    reason: str
    word: str = "not approved"


@dataclass(frozen=True, slots=True)
class Rejected:
    """A person said no."""

    reason: str
    word: str = "rejected"


def approve(stored: Stored, target: Target, review: Review) -> Approved | NotApproved | Rejected:
    """Whether this digest may serve on this target."""
    if not target.review:
        return Approved(stored, target, Review(state=APPROVED, digest=stored.digest, reason="no review required"))
    who = review.by or "somebody"
    if review.state == REJECTED and review.digest in ("", stored.digest):
        return Rejected(f"{who} rejected {stored.name} v{stored.version} for {target.name}: {review.reason or '-'}")
    if review.state != APPROVED:
        return NotApproved(f"{stored.name} v{stored.version} waits for a review for {target.name}")
    if review.digest != stored.digest:
        return NotApproved(
            f"the approval for {target.name} names {review.digest or 'no digest'}, not {stored.digest}: it is void"
        )
    return Approved(stored, target, review)
