"""What a policy asks beside approvals, held against what is there now."""

from datetime import UTC, datetime

from promote.core.decisions import kinds_of
from promote.core.facts import Target
from promote.core.gates import Found, Gate, GateFailed, Told, asks, gates, read_passport
from promote.core.layout import passport_of
from promote.core.manifest import from_directory
from promote.core.stages import Held, Stored
from promote.pipeline.choosing import speaker
from promote.ports import World


def gate(
    stored: Held, target: Target, world: World, *, at_target: bool = False, bundle: Stored | None = None
) -> tuple[Gate, ...]:
    """Every gate of the target's policy; nothing is asked of anybody where it has none, but of a bundle that no run made.

    Args:
        stored: the release.
        target: where to.
        world: the parts.
        at_target: what serves is asked of the target's own record, which a reviewer's machine cannot read; else MLflow
            says it, where a person may have moved the alias.
        bundle: the variant of it that the target gets, where that is known; else it is chosen as the target is known.

    Raises:
        NotFound: what serves there is not in the registry, so nothing can be held against it.
    """
    terms = world.policy.terms
    if not asks(terms) and not any(from_directory(one) for one in (stored, bundle or stored)):
        return ()
    compares = any(t.max_drop is not None or t.max_rise is not None for t in terms.metrics.values())
    found = Found(
        told=_told(bundle or speaker(stored, target, world), world),
        live=_live(stored, target, world, at_target) if compares else None,
        kinds=kinds_of(world.registry.referrers(stored), stored) if terms.evidence else frozenset(),
        probed=target.probed.date if target.probed else "",
        collected=world.matrix.tables.collected,
        moment=datetime.now(UTC),
    )
    return gates(terms, found)


def closed(stored: Held, bundle: Stored, target: Target, world: World) -> GateFailed | None:
    """The gates, where one does not hold for ``bundle``, which is ``stored`` or a variant of it."""
    all_of_them = gate(stored, target, world, at_target=True, bundle=bundle)
    return None if all(g.holds for g in all_of_them) else GateFailed(all_of_them)


def _live(stored: Held, target: Target, world: World, at_target: bool) -> Told | None:
    """Of the version that serves, unless it is this one."""
    if at_target:
        now = world.store.current(stored.name)
        digest = now.digest if now else ""
        whole = now.promoted if now else ""
    else:
        desired = world.ledger.desired(target.name).get(stored.name)
        digest = whole = desired.digest if desired else ""
    if digest == "" or stored.digest in (digest, whole):
        return None
    return _told(speaker(world.registry.find(stored.name, digest), target, world), world)


def _told(stored: Stored, world: World) -> Told:
    return read_passport(world.registry.read(stored, passport_of(stored)))
