"""A bundle brought from one registry to another, byte for byte: built where models run, pushed where credentials are."""

from dataclasses import dataclass

from promote.core.facts import Target
from promote.core.manifest import config_blob
from promote.core.review import Approved, NotApproved, Rejected
from promote.core.stages import Received, Stored
from promote.errors import IntegrityError
from promote.pipeline.happening import pushed
from promote.pipeline.reviewing import Outcome, standing
from promote.ports import Registry, World


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """What came of it.

    Args:
        received: how the registry holds it now.
        standing: whether it may be deployed to the target.
    """

    received: Received
    standing: Outcome

    @property
    def state(self) -> str:
        """``approved`` (also where the target asks for no review), ``pending`` or ``rejected``."""
        words = {Approved: "approved", NotApproved: "pending", Rejected: "rejected"}
        return words[type(self.standing)]


def push_bundle(stored: Stored, source: Registry, target: Target, folder: str, world: World) -> Pushed:
    """Pushes what ``source`` holds to the world's registry, and notes in MLflow where it lies now.

    Args:
        stored: as ``source`` holds it.
        source: where it comes from.
        target: whose review is asked after.
        folder: where its files may lie meanwhile.
        world: where it goes.

    Raises:
        IntegrityError: MLflow recorded another digest for this version, or none: nothing is sent.
    """
    recorded = world.ledger.recorded(stored.name, stored.version)
    if recorded != stored.digest:
        raise IntegrityError(
            f"{stored.name} version {stored.version} is {recorded or 'no bundle'} in MLflow, not {stored.digest}",
            hint="promote model records what it makes; only that is pushed",
        )
    with world.progress.stage("fetch", f"from {stored.repository}") as step:
        files = source.fetch(stored, folder, step)
        config = source.read(stored, config_blob(stored))
    with world.progress.stage("push", f"{stored.name} v{stored.version}") as step:
        received = world.registry.receive(stored, files, config, step)
        step.say(f"{received.sent:,} bytes sent, {received.skipped:,} there already")
    with world.progress.stage("record", "in MLflow") as step:
        world.ledger.located(received.stored)
        pushed(received.stored, source, stored, world)
        step.say(f"{stored.name} version {stored.version} lies in {received.stored.repository}")
    return Pushed(received=received, standing=standing(received.stored, target, world))
