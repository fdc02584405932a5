"""What happened, as events: a promotion, a deployment that a host's record tells, a refusal.

Not here: keeping them (``recording``).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TypeVar

from promote.core.chain import EVENTS_TYPE, read_referrers, withdrawn
from promote.core.events import Actor, Event, Kind, event_of, stamp
from promote.core.facts import Target
from promote.core.gates import GateFailed
from promote.core.review import CLAIMED, NotApproved, Rejected
from promote.core.stages import Deployed, Deployment, Held, Promotion, Release
from promote.core.verdict import Incompatible, Undecided, Verdict
from promote.errors import DeployFailed, Interrupted, PromoteError
from promote.pipeline.recording import bring, keep
from promote.ports import Registry, World

_LOCAL = ("127.", "localhost", "[::1]", "http://127.", "http://localhost")
Refusal = NotApproved | Rejected | GateFailed | Incompatible | Undecided
R = TypeVar("R")


def promoted(promotion: Promotion, identity: str, world: World) -> None:
    """A run became a release: built, checked, pushed, and asked for where the target wants a review.

    Raises:
        PromoteError: the registry did not take the events; the same command writes them.
    """
    release, target = promotion.release, promotion.release.bundle.target
    stored, bundle, actor, now = release.stored, release.bundle, world.actor, _now()
    run = bundle.verdict.subject.export.candidate.run
    built = {"run": run.run_id, "promotion": identity}
    events = [
        event_of(stored, Kind.BUILT, actor, now, more=built, evidence=_passport(stored)),
        event_of(
            stored,
            Kind.CHECKED,
            actor,
            now,
            target=target.name,
            evidence=_passport(stored),
            more=_checked(release, world),
        ),
        event_of(stored, Kind.PUSHED, actor, now, more={"repository": stored.repository}),
    ]
    keep([*events, *_requested(stored, target, actor, now)], world, must=True)


def _checked(release: Release, world: World) -> dict[str, str]:
    verdict = release.bundle.verdict
    worst = verdict.subject.parity.worst.max_absolute if verdict.subject.parity.differences else 0.0
    return {"verdict": verdict.word, "parity": f"{worst:.3g}", "matrix": world.matrix.digest}


def furthered(stored: Held, target: Target, verdict: Verdict[Held], evidence: str, world: World) -> None:
    """A stored bundle was checked for a further target, and is asked for there."""
    actor, now = world.actor, _now()
    more = {"verdict": verdict.word, "matrix": world.matrix.digest}
    checked = event_of(stored, Kind.CHECKED, actor, now, target=target.name, evidence=(evidence,), more=more)
    keep([checked, *_requested(stored, target, actor, now)], world, must=True)


def _requested(stored: Held, target: Target, actor: Actor, now: str) -> list[Event]:
    return [event_of(stored, Kind.REQUESTED, actor, now, target=target.name)] if target.review else []


def pushed(stored: Held, source: Registry, there: Held, world: World) -> None:
    """A bundle came from ``source``, where it is ``there``; what happened to it before comes along.

    Whoever could write there could write an approval there, so none of them counts here.
    """
    told = read_referrers(source.referrers(there, EVENTS_TYPE), there)
    bring(told.lines, stored, world.registry)
    keep([event_of(stored, Kind.PUSHED, world.actor, _now(), more={"repository": stored.repository})], world, must=True)


def served(name: str, target: Target, world: World, *, registry: bool, mlflow: bool = True) -> tuple[str, ...]:
    """Tells what a host's record says of the version that serves and of the one before it; a warning a line.

    Args:
        name: of the model.
        target: whose record it is.
        world: the parts.
        registry: ask it; a rollback does not.
        mlflow: ask it.
    """
    history = world.store.history(name)
    late = {line.promoted for line in world.store.untold(name)}
    near = dict.fromkeys(line.promoted for line in reversed(history))
    warnings: list[str] = []
    for digest in [*near][:2] + [digest for digest in [*near][2:] if digest in late]:
        kept = keep(deployments(history, digest, target), world, registry=registry, mlflow=mlflow)
        if not kept.registry and not kept.mlflow and (registry or mlflow):
            warnings.append(f"no event was written: {'; '.join(kept.why)}; the next promote deploy or sync writes it")
        gone = withdrawn(kept.lines)
        if gone and digest == history[-1].promoted:
            warnings.append(f"{name} v{history[-1].version} was withdrawn by {gone.by}: {gone.reason}")
    return tuple(warnings)


def deployments(history: tuple[Deployed, ...], digest: str, target: Target) -> list[Event]:
    """The events that a host's record tells of one bundle; a version that had served there before was gone back to."""
    events = []
    for at, line in enumerate(history):
        if line.promoted != digest:
            continue
        again = any(before.version == line.version for before in history[:at])
        former = {"former": f"v{history[at - 1].version}"} if at else {}
        events.append(
            Event(
                kind=Kind.ROLLED_BACK if again else Kind.DEPLOYED, at=line.since, by=line.by, how=CLAIMED,
                model=line.name, version=line.version, bundle=line.promoted, target=target.name,
                more={"place": place_of(target, line.by)} | former | ({"variant": line.digest} if line.release else {}),
            )
        )  # fmt: skip
    return events


def place_of(target: Target, by: str) -> str:
    """Which of several hosts of one target: its Triton's address, or the host that speaks to its own."""
    address = target.http or ""
    return by.rpartition("@")[2] if address.startswith(_LOCAL) or not address else address


@contextmanager
def refusals(name: str, reference: str, target: Target, by: str, world: World) -> Iterator[Callable[[R], R]]:
    """Writes down why a deployment of ``reference`` did not come to be: what is called with its outcome, or its failure.

    It never stands in the way of the answer: where it cannot be written, that is said.
    """

    def say(reason: str) -> None:
        with world.progress.stage("note", "why not, in the registry and MLflow") as step:
            try:
                stored = world.registry.find(name, reference)
            except Interrupted:
                raise
            except PromoteError as error:
                step.say(f"failed: {error.message}")
                return
            event = event_of(stored, Kind.REFUSED, Actor(by, CLAIMED), _now(), target=target.name, reason=reason)
            if why := keep([event], world).why:
                step.say("; ".join(why))

    def told(outcome: R) -> R:
        if reference and not isinstance(outcome, Deployment):
            say(_why(outcome))
        return outcome

    try:
        yield told
    except DeployFailed as error:
        if reference:
            say(error.message)
        raise


def _why(refused: object) -> str:
    if isinstance(refused, NotApproved | Rejected | GateFailed):
        return f"{refused.word}: {refused.reason}"
    if isinstance(refused, Incompatible | Undecided):
        gravest = [found for found in refused.findings if found.outcome.value in ("broken", "unknown")]
        return f"{refused.word}: " + "; ".join(f"{found.rule}: {found.has}" for found in gravest[:3])
    return ""


def _passport(stored: Held) -> tuple[str, ...]:
    digest = stored.annotations.get("io.promote.passport", "")
    return (digest,) if digest else ()


def _now() -> str:
    return stamp(datetime.now(UTC))
