"""What is desired of a host: by the alias in MLflow, or by a tag of the registry while MLflow is away.

Not here: bringing it there (``syncing``).
"""

from collections.abc import Generator, Iterator
from dataclasses import replace

from promote.core.agent import Agent, Event, Wanted, tag_of
from promote.core.review import APPROVED
from promote.errors import Interrupted, NotFound, PromoteError
from promote.pipeline.noting import catch_up
from promote.ports import World


def read_desired(wanted: dict[str, Wanted], agent: Agent, world: World) -> Generator[Event, None, bool]:
    """Fills ``wanted`` by model; gives back whether MLflow answered."""
    try:
        late = catch_up(agent.target, world)
        desired = world.ledger.desired(agent.target.name)
    except Interrupted:
        raise
    except PromoteError as error:
        yield Event(kind="desired", word="registry", text=error.message)
        yield from _tags(wanted, agent, world)
        return False
    yield Event(kind="desired", word="mlflow")
    for name in late:
        yield Event(kind="caught-up", model=name)
    for name, one in desired.items():
        wanted[name] = Wanted(version=one.version, reference=f"v{one.version}", approved=one.review == APPROVED)
    for name, known in list(agent.memory.items()):
        agent.memory[name] = replace(known, tag="")
    return True


def _tags(wanted: dict[str, Wanted], agent: Agent, world: World) -> Iterator[Event]:
    """What the registry's tags name. A tag as it was when MLflow went away is older than what MLflow said, and not followed."""
    names = sorted({*world.store.models(), *agent.models})
    for name in names:
        try:
            stored = world.registry.find(name, tag_of(agent.target.name))
            there = stored.digest
        except NotFound:
            stored, there = None, "-"
        except Interrupted:
            raise
        except PromoteError as error:
            yield Event(kind="unreachable", model=name, text=error.message, code=error.exit_code)
            continue
        known = agent.of(name)
        if not known.tag and world.store.current(name):
            agent.memory[name] = known = replace(known, tag=there)
        if stored and there != known.tag:
            wanted[name] = Wanted(version=stored.version, reference=there)
