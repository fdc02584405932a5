"""A bundle copied with all that refers to it: read where it lies, taken where it shall lie, its digest the same.

Nothing is asked of MLflow and nothing is recorded there: a copy is the same bundle. Not here: a bundle that goes to
the registry that is deployed from (``pushing``).
"""

from dataclasses import dataclass

from promote.core.cargo import Cargo, Lacking, Landed, same_goal
from promote.core.references import Reference
from promote.ports import Goal, Origin, Place, Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    """What was copied, and where it lies now."""

    cargo: Cargo
    landed: Landed


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighed:
    """What would be copied, and what of it the place has not."""

    cargo: Cargo
    lacking: Lacking


def copy_bundle(origin: Origin, source: Reference, goal: Goal, wanted: Reference, progress: Progress) -> Copied:
    """Copies what ``source`` names; what the goal has already is not read.

    Args:
        origin: where it lies.
        source: its reference there.
        goal: where it goes.
        wanted: what was typed of it; the name and version in it must be the bundle's own.
        progress: how a person is told.

    Raises:
        InputError: the goal is for another model or version.
        NotFound, IntegrityError, AuthError, Unavailable: as the words say; what arrived is kept.
    """
    with progress.stage("collect", str(source)) as step:
        cargo = origin.collect(source.name, source.version)
        same_goal(cargo, wanted)
        step.say(told(cargo))
    with progress.stage("copy", f"{cargo.name} v{cargo.version}") as step:
        landed = goal.take(cargo, step)
        step.say(f"{landed.sent:,} bytes sent, {landed.skipped:,} there already")
    return Copied(cargo=cargo, landed=landed)


def weigh_copy(origin: Origin, source: Reference, place: Place, wanted: Reference, progress: Progress) -> Weighed:
    """What ``copy_bundle`` would send; nothing is written.

    Args:
        origin, source, place, wanted, progress: as of ``copy_bundle``.

    Raises:
        InputError, NotFound, IntegrityError, AuthError, Unavailable: as ``copy_bundle``.
    """
    with progress.stage("collect", str(source)) as step:
        cargo = origin.collect(source.name, source.version)
        same_goal(cargo, wanted)
        step.say(told(cargo))
    with progress.stage("compare", f"{cargo.name} v{cargo.version}") as step:
        lacking = place.lacks(cargo, step)
        step.say(f"{lacking.size:,} bytes to send, {cargo.size - lacking.size:,} there already")
    return Weighed(cargo=cargo, lacking=lacking)


def told(cargo: Cargo) -> str:
    """How much it is, in a few words."""
    several = f"{len(cargo.bundles)} variants, " if len(cargo.bundles) > 1 else ""
    gone = f", {len(cargo.gone)} listed and not there" if cargo.gone else ""
    return f"{several}{cargo.size:,} bytes in {len(cargo.blobs)} blobs, {len(cargo.attached)} referrers{gone}"
