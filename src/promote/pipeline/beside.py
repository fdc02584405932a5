"""What a reviewer is told beside a release: what serves on its target now, and what was measured there under load."""

from promote.core.comparison import Told, compare_told, read_told, told_of
from promote.core.facts import Target
from promote.core.load import Figures
from promote.core.page import Beside
from promote.core.promotion_run import PromotionRun
from promote.core.stages import Held, Release
from promote.errors import PromoteError
from promote.pipeline.choosing import speaker
from promote.pipeline.comparing import side_of
from promote.ports import World


def beside(release: Release, run: PromotionRun, world: World) -> Beside:
    """All of it, as far as it can be read: a report is written without it too, and says why.

    Nothing serves as far as MLflow knows where no version carries the target's alias.
    """
    return beside_told(release.stored, told_of(release), release.bundle.target, run, world)


def beside_told(stored: Held, told: Told, target: Target, run: PromotionRun | None, world: World) -> Beside:
    """The same of a bundle that is stored; ``told`` is what it says of itself."""
    new, why = None, ""
    figures: tuple[Figures, ...] = ()
    try:
        live = _live(stored, target, world)
        new = compare_told(told, live) if live else None
        figures = world.figures.of(target.name, stored.name)
        why = "" if live else f"nothing else serves on {target.name}, as far as MLflow knows"
    except PromoteError as error:
        why = f"what serves on {target.name} is not compared: {error.message}"
    wanted = {stored.digest, new.digest if new else ""}
    return Beside(run=run, new=new, why=why, figures=tuple(f for f in figures if f.digest in wanted))


def told_by(stored: Held, target: Target, world: World) -> Told:
    """What a stored bundle says of itself, or the variant of it that the target would get.

    Raises:
        IntegrityError: its passport is none of promote's.
    """
    return read_told(side_of(speaker(stored, target, world), world.registry))


def _live(stored: Held, target: Target, world: World) -> Told | None:
    desired = world.ledger.desired(target.name).get(stored.name)
    if desired is None or desired.digest in ("", stored.digest):
        return None
    return told_by(world.registry.find(stored.name, desired.digest), target, world)
