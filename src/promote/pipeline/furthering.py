"""A bundle that is there already, promoted for a further target: its digest stays, and the verdict is attached to it.

Not here: from a run to a bundle (``promoting``).
"""

from dataclasses import dataclass

from promote.core.evidence import VERDICT_TYPE, annotations_of, same_evidence, write_verdict
from promote.core.facts import Target
from promote.core.further_page import further_report, further_told
from promote.core.promotion_run import compared_further
from promote.core.review import NOT_REQUIRED, PENDING, Review
from promote.core.stages import Held
from promote.core.verdict import Compatible
from promote.pipeline.beside import beside_told, told_by
from promote.pipeline.dating import now
from promote.pipeline.happening import furthered
from promote.ports import World


@dataclass(frozen=True, slots=True, kw_only=True)
class Further:
    """A bundle promoted for a further target.

    Args:
        verdict: of the bundle on that target.
        evidence: digest of the referrer that holds the verdict.
        new: it was not there before.
        review: ``pending``, ``not required``, or the decision that this very digest has already for that target.
    """

    verdict: Compatible[Held]
    evidence: str
    new: bool
    review: str


def promote_further(verdict: Compatible[Held], target: Target, world: World) -> Further:
    """Attaches the verdict to the bundle it is about, whose digest stays, and asks for a review where the target wants one.

    Running it twice is running it once; a decision about this very digest is kept.
    """
    stored = verdict.subject
    # First, since it fails where MLflow does not know the version: nobody would see what was attached.
    review = world.ledger.review(stored.name, stored.version, target.name)
    evidence = write_verdict(verdict, target, world.matrix.digest)
    with world.progress.stage("attach", f"to {stored.digest}") as step:
        there = [r for r in world.registry.referrers(stored, VERDICT_TYPE) if same_evidence(r, evidence)]
        told = annotations_of(verdict, evidence, now())
        digest = there[0].digest if there else world.registry.attach(stored, VERDICT_TYPE, evidence, told)
        step.say("was there already" if there else digest)
    furthered(stored, target, verdict, digest, world)
    decided = review.state != PENDING and review.digest == stored.digest
    state = (review.state if decided else PENDING) if target.review else NOT_REQUIRED
    with world.progress.stage("record", "in MLflow") as step:
        _compared(verdict, target, world)
        world.ledger.judged(stored.name, stored.version, target.name, verdict.word)
        if state == PENDING:
            world.ledger.decide(stored.name, stored.version, target.name, Review(state=PENDING, digest=stored.digest))
        step.say(f"{stored.name} version {stored.version}, review {state} for {target.name}")
    return Further(verdict=verdict, evidence=digest, new=not there, review=state)


def _compared(verdict: Compatible[Held], target: Target, world: World) -> None:
    """A run of its own beside those of other promotions, and a report: what the first target has."""
    stored = verdict.subject
    told = told_by(stored, target, world)
    report = further_report(verdict, told, beside_told(stored, told, target, None, world))
    params = compared_further(further_told(stored, told), verdict.word, target.name, world.matrix.digest)
    world.ledger.further(stored, target.name, params, report)
