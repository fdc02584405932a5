"""From what a registry holds under a version to the one bundle that a host gets: itself, or the best variant of an index.

What people decide about is the whole; what is fetched and served is the one bundle. Not here: the order (``core.ranking``).
"""

from dataclasses import dataclass

from promote.core.facts import ModelFacts, Target
from promote.core.layout import passport_of
from promote.core.model_config import parse_config
from promote.core.passport_reading import FactReader, read_passport
from promote.core.ranking import Ranking, Variant, rank
from promote.core.stages import Held, Stored
from promote.core.variant_index import StoredIndex
from promote.core.variants import Kind
from promote.core.verdict import Incompatible, Undecided
from promote.errors import IntegrityError
from promote.ports import Registry, World


@dataclass(frozen=True, slots=True)
class Chosen:
    """The bundle for a host.

    Args:
        bundle: what is fetched and served.
        label: of the variant; empty where the bundle is the version's only one.
        cost: what it lacks of a better variant that does not fit; empty where none is better.
    """

    bundle: Stored
    label: str = ""
    cost: str = ""


def choose(found: Held, target: Target, world: World) -> Chosen | Incompatible | Undecided:
    """The bundle of ``found`` that the target gets; which variants fit is judged by their passports, nothing is fetched.

    Args:
        found: a bundle, or an index of several.
        target: as it is known to be; it is completed by the rules.
        world: the parts.

    Raises:
        IntegrityError: a variant is not what its index says.
    """
    if isinstance(found, Stored):
        return Chosen(found)
    with world.progress.stage("choose", f"of {len(index_of(found).variants)} variants for {target.name}") as step:
        ranking = weigh(found, target, world)
        best = ranking.chosen
        if best is None:
            step.say(f"none fits: {ranking.refusal.word}")
            return ranking.refusal
        step.say(f"{best.variant.kind.label}, {best.verdict.word}")
    stored = world.registry.resolve(found.name, best.variant.digest)
    return Chosen(stored, best.variant.kind.label, ranking.cost)


def weigh(found: Held, target: Target, world: World) -> Ranking:
    """Every variant judged for the target, by the facts in its passport and its configuration; a bundle is the only one.

    Raises:
        IntegrityError: a variant is not what its index says.
    """
    if isinstance(found, Stored):
        return rank([_variant(found, found, None, world.registry)], target, world.matrix)
    index = index_of(found)
    children = [(world.registry.resolve(index.name, listed.digest), listed.kind) for listed in index.variants]
    variants = [_variant(index, stored, kind, world.registry) for stored, kind in children]
    return rank(variants, target, world.matrix)


def speaker(found: Held, target: Target, world: World) -> Stored:
    """The bundle whose passport tells of ``found``: of an index the variant for the target, else the first, a portable one."""
    if isinstance(found, Stored):
        return found
    best = weigh(found, target, world).chosen
    digest = best.variant.digest if best else index_of(found).variants[0].digest
    return world.registry.resolve(found.name, digest)


def first_of(found: Held, registry: Registry) -> Stored:
    """The bundle itself, or the first of an index, which is a portable one: for what all of them say."""
    return found if isinstance(found, Stored) else registry.resolve(found.name, index_of(found).variants[0].digest)


def index_of(found: Held) -> StoredIndex:
    """What is no bundle is an index; there is no third thing."""
    if isinstance(found, StoredIndex):
        return found
    raise IntegrityError(f"{found.reference} is neither a bundle nor an index of variants")


def _variant(whole: Held, stored: Stored, kind: Kind | None, registry: Registry) -> Variant:
    """One of them; ``kind`` is what the index says of it, ``None`` of a bundle alone."""
    where = stored.reference if kind is None else f"{stored.reference}, a variant of {whole.digest[:19]},"
    passport = read_passport(registry.read(stored, passport_of(stored)), where)
    if {(stored.name, stored.version), (passport.name, passport.version)} != {(whole.name, whole.version)}:
        raise IntegrityError(f"{where} is of another version than {whole.name} v{whole.version}")
    facts, _ = FactReader().read(passport.facts, where)
    if kind is None:
        kind = Kind(format="onnx", precision=facts.precision.value if facts.precision else "fp32")
    else:
        _agrees(kind, facts, where)
    path = f"{stored.name}/config.pbtxt"
    if path not in stored.files:
        raise IntegrityError(f"{where} has no {path}")
    return Variant(
        digest=stored.digest, kind=kind, facts=facts, name=whole.name, version=whole.version,
        size=sum(blob.size for blob in stored.files.values()),
        config=parse_config(registry.read(stored, stored.files[path]), path),
    )  # fmt: skip


def _agrees(kind: Kind, facts: ModelFacts, where: str) -> None:
    """The index says of the variant what its own passport says: only that decides, and a reader of either must not be misled."""
    said = {"format": kind.format}
    if kind.binding:
        bound = kind.binding
        said |= {"tensorrt": bound.tensorrt, "compute_capability": bound.compute_capability, "os": bound.os}
        said |= {"arch": bound.arch, "hardware_level": bound.level}
    for name, value in said.items():
        fact = getattr(facts, name)
        if (fact.value if fact else None) != value:
            raise IntegrityError(f"{where} is of {name} {value} by its index, and its passport does not say so")


__all__ = ["Chosen", "choose", "first_of", "index_of", "speaker", "weigh"]
