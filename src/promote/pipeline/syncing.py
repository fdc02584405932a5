"""A host brought to what is desired of it, one round: what the record says serves, then what MLflow or the registry asks for.

It decides nothing: all goes through ``deploy``, so what the review and the rules do not let pass is not deployed. Each thing
that came of the round is an ``Event``; whoever asks for the next one may stop between two.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import replace

from promote.core.agent import UNAVAILABLE, Agent, Event, Remembered, Wanted
from promote.core.gates import GateFailed
from promote.core.review import NotApproved, Rejected
from promote.core.stages import Deployed, Deployment
from promote.core.standing import READY
from promote.core.verdict import Incompatible, Undecided
from promote.errors import Interrupted, NotFound, PromoteError, Unavailable
from promote.pipeline.deploying import Refused, deploy
from promote.pipeline.desiring import read_desired
from promote.pipeline.switching import switch
from promote.ports import World

_LIVE = "/live"  # beside a model's name, which has no slash: the memory of bringing its live version back


def sync(agent: Agent, world: World, now: float) -> Iterator[Event]:
    """One round; ``now`` is Unix seconds."""
    try:
        version = world.server.require()
    except Unavailable as error:
        yield _unreachable(error)
        return
    yield Event(kind="answers", text=f"Triton {version}")
    if names := world.store.models():
        index = world.server.index()
        for name in names:
            yield from _restore(name, index.get(name, {}), agent, world, now)
    wanted: dict[str, Wanted] = {}
    told = yield from read_desired(wanted, agent, world)
    for name in sorted(wanted):
        yield from _bring(name, wanted[name], agent, world, now)
    if told:
        yield from _report(agent, world)


def _unreachable(error: PromoteError) -> Event:
    return Event(kind="unreachable", text=error.message, code=error.exit_code)


def _restore(name: str, states: Mapping[int, str], agent: Agent, world: World, now: float) -> Iterator[Event]:
    """What the record says is live is all that answers of a model, loaded from the host's own disk where it does not.

    A server that was started anew has nothing loaded; one whose deployment was killed before the former version retired, or into
    which somebody loaded a version by hand, has too much: clients that name no version may be given that one.
    """
    live = world.store.current(name)
    answers = live is not None and world.server.ready(name, live.version)
    beside = [
        version for version, state in sorted(states.items()) if live and state == READY and version != live.version
    ]
    if live is None or (answers and not beside):
        agent.memory.pop(name + _LIVE, None)
        return
    wanted, former = Wanted(version=live.version, reference=live.digest), agent.of(name + _LIVE)
    if former.waits(wanted.reference, now):
        yield _waiting(name, former, now)
        return
    entered = False
    try:
        with world.store.lock(name):
            entered = True
            if world.store.current(name) != live:
                return  # somebody deployed or rolled back since: the next round looks again
            came = switch(live, live, agent.target.keep, world, time.monotonic())
    except Interrupted:
        raise
    except PromoteError as error:
        if entered or not answers:  # else somebody is deploying it: two versions answer meanwhile, as they should
            yield _failed(name + _LIVE, name, wanted, error, agent, now)
    else:
        agent.memory.pop(name + _LIVE, None)
        yield _served("restored", live, came, *(f"v{version} answered beside it" for version in beside))


def _bring(name: str, wanted: Wanted, agent: Agent, world: World, now: float) -> Iterator[Event]:
    live, known = world.store.current(name), agent.of(name)
    if live and live.version == wanted.version and wanted.reference in (f"v{live.version}", live.promoted):
        agent.memory[name] = _live(known, wanted, live)
        yield Event(kind="in-step", model=name, version=live.version, digest=live.digest, reference=_reference(live))
        return
    if known.waits(wanted.reference, now):
        yield _waiting(name, known, now)
        return
    try:
        outcome = deploy(name, wanted.reference, agent.target, agent.by, world, lead=False)
    except Interrupted:
        raise
    except PromoteError as error:
        yield _failed(name, name, wanted, error, agent, now)
        return
    if isinstance(outcome, Deployment):
        agent.memory[name] = _live(known, wanted, outcome.live)
        yield _served("deployed", outcome.live, outcome)
        return
    text = _why(outcome)
    came = known.came(wanted, outcome.word, 0, f"{outcome.word}: {text}")
    if wanted.approved or isinstance(outcome, Incompatible | Undecided):  # every byte may be fetched to find that out
        limit = UNAVAILABLE if isinstance(outcome, NotApproved | Rejected) else 0  # a person may agree meanwhile
        came = replace(
            known.failed(wanted, limit, "", now, agent.pause),
            word=came.word,
            code=0,
            outcome=came.outcome,
            key=came.key,
        )
    agent.memory[name] = came
    yield Event(kind="refused", model=name, version=wanted.version, word=outcome.word, text=text)


def _live(known: Remembered, wanted: Wanted, live: Deployed) -> Remembered:
    """What is wanted serves; the registry's tag that named it is followed."""
    return replace(known.came(wanted, "live", 0, f"live {live.digest}"), tag=live.promoted if known.tag else "")


def _failed(key: str, name: str, wanted: Wanted, error: PromoteError, agent: Agent, now: float) -> Event:
    known = agent.of(key).failed(wanted, error.exit_code, f"failed: {error.message}", now, agent.pause)
    agent.memory[key] = known
    wait = known.until - now
    return Event(
        kind="failed", model=name, version=wanted.version, text=error.message, code=error.exit_code, seconds=wait
    )


def _served(kind: str, live: Deployed, came: Deployment, *more: str) -> Event:
    return Event(
        kind=kind, model=live.name, version=live.version, digest=live.digest, reference=_reference(live),
        text="; ".join((*more, *came.warnings)), seconds=came.seconds,
    )  # fmt: skip


def _reference(live: Deployed) -> str:
    return f"{live.repository}@{live.digest}"


def _waiting(name: str, known: Remembered, now: float) -> Event:
    return Event(
        kind="waiting", model=name, version=known.version, word=known.word, text=known.outcome, code=known.code,
        seconds=known.until - now,
    )  # fmt: skip


def _why(refused: Refused) -> str:
    if isinstance(refused, NotApproved | Rejected | GateFailed):
        return refused.reason
    gravest = [finding for finding in refused.findings if finding.outcome.value in ("broken", "unknown")]
    return "; ".join(f"{finding.rule}: {finding.has}" for finding in gravest[:3])


def _report(agent: Agent, world: World) -> Iterator[Event]:
    """Writes what came of it on the model version, where the reviewer looks: once for each change."""
    for name, known in list(agent.memory.items()):
        if _LIVE in name or not known.key or known.key == known.reported:
            continue
        try:
            world.ledger.report(name, known.version, agent.target.name, agent.by, known.outcome)
        except Interrupted:
            raise
        except NotFound:
            pass  # the version was deleted: nobody looks there
        except PromoteError as error:
            yield _unreachable(error)
            return
        agent.memory[name] = replace(known, reported=known.key)
