"""What a person says of a release."""

from promote.core.facts import Target
from promote.core.review import Review
from promote.core.stages import Stored
from promote.ports import World


def review_model(name: str, reference: str, target: Target, decision: Review, world: World) -> tuple[Stored, Review]:
    """Writes a person's decision about the digest that ``reference`` names now."""
    stored = world.registry.resolve(name, reference)
    review = Review(state=decision.state, digest=stored.digest, by=decision.by, reason=decision.reason)
    world.ledger.decide(name, stored.version, target.name, review)
    return stored, review
