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
    bundle = release.bundle
    new, why = None, ""
    figures: tuple[Figures, ...] = ()
    try:
        live = _live(release.stored, bundle.target, world)
        new = compare_told(told_of(release), live) if live else None
        figures = world.figures.of(bundle.target.name, bundle.name)
        why = "" if live else f"nothing else serves on {bundle.target.name}, as far as MLflow knows"
    except PromoteError as error:
        why = f"what serves on {bundle.target.name} is not compared: {error.message}"
    wanted = {release.stored.digest, new.digest if new else ""}
    return Beside(run=run, new=new, why=why, figures=tuple(f for f in figures if f.digest in wanted))


def _live(stored: Held, target: Target, world: World) -> Told | None:
    desired = world.ledger.desired(target.name).get(stored.name)
    if desired is None or desired.digest in ("", stored.digest):
        return None
    return read_told(side_of(speaker(world.registry.find(stored.name, desired.digest), target, world), world.registry))
