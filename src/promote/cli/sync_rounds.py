"""The rounds of ``promote sync``: each opens everything anew, counts what came of it, and keeps what the agent remembers."""

import signal
import time
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from promote.cli.progress import Plain, Silent
from promote.cli.render import CODES
from promote.cli.sync_log import Log
from promote.core.agent import Agent, Event, Remembered
from promote.core.prometheus import Figures, exposition
from promote.errors import Interrupted, PromoteError

if TYPE_CHECKING:
    from promote.wiring import Wiring

_STEADY = frozenset({"in-step", "deployed"})
_TOLD = frozenset({"deployed", "restored", "refused", "failed"})


class Stop:
    """What the first SIGTERM or Ctrl-C does: what is under way is put back, and the agent ends. Further ones change nothing."""

    def __init__(self) -> None:
        self.asked = ""

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """A handler of signals."""
        if not self.asked:
            self.asked = signal.Signals(number).name
            raise Interrupted(f"stopped by {self.asked}")


class Rounds:
    """The rounds of one command, and what is counted of them.

    Args:
        config: ``--config``.
        registry: ``--registry``.
        models: ``--model``.
        log: where events go.
        every: seconds between two rounds, and the first pause after a failure.
    """

    def __init__(self, config: str | None, registry: str, models: tuple[str, ...], log: Log, every: float) -> None:
        from promote.core.names import model_name

        self._config, self._registry, self._models = config, registry, tuple(map(model_name, models))
        self.log, self.every = log, every
        self._figures: dict[str, Figures] = {}
        self._memory: dict[str, dict[str, Remembered]] = {}
        self._served: dict[tuple[str, str], str] = {}

    def open(self, targets: tuple[str, ...]) -> None:
        """Reads what it remembers.

        Raises:
            InputError, NotFound: wrong settings, or no such target; told at once rather than in every round.
        """
        from promote.adapters.agent_memory import read_memory
        from promote.wiring import open_wiring

        wiring = open_wiring(self._config, Silent(), registry=self._registry)
        for name in targets:
            target = wiring.target(name)
            wiring.store(target)
            wiring.server(target)
            self._figures[name] = Figures()
            self._memory[name] = read_memory(self._file(wiring.work_root(), name))
            self.log.line(name, "started", text=f"every {self.every:g} s")

    def round(self, name: str, stop: Stop, *, now: bool) -> int:
        """One round of one target; the gravest exit code of it. ``now``: what waits for its next try does not.

        The settings are read and everything is opened anew, so nothing of a server that was restarted is held on to.
        """
        from promote.adapters.settings import current_user
        from promote.pipeline import sync
        from promote.wiring import open_wiring

        memory, code = self._memory[name], 0
        if now:
            memory.update({model: replace(known, until=0.0) for model, known in memory.items()})
        before = dict(memory)
        try:
            wiring = open_wiring(self._config, Silent() if self.log.as_json else Plain(), registry=self._registry)
            target = wiring.target(name)
            agent = Agent(target=target, by=current_user(), memory=memory, pause=self.every, models=self._models)
            with wiring.world(target) as world:
                for event in sync(agent, world, time.time()):
                    self.log.event(name, event)
                    code = max(code, self._count(name, event))
                    self._tell(wiring, name, event, agent.by)
                    if stop.asked:
                        break
            self.log.through(name)
        except Interrupted:
            raise
        except PromoteError as error:
            self.log.failure(name, error)
            self._figures[name].failures += 1
            code = max(code, error.exit_code)
        finally:
            if memory != before:
                self._keep(name)
        if not code and not stop.asked:
            self._figures[name].success = time.time()
        return code

    def _tell(self, wiring: "Wiring", target: str, event: Event, by: str) -> None:
        """What is new and worth it is told to the webhook; that it did not arrive is a line of the log."""
        if not self.log.new or not event.model or event.kind not in _TOLD:
            return
        from promote.cli.telling import sent

        reason = ": ".join(filter(None, (event.word, event.text)))
        why = sent(
            wiring,
            event.kind,
            event.model,
            target,
            by=by,
            version=event.version,
            reference=event.reference,
            reason=reason,
        )
        if why:
            self.log.line(target, "webhook", text=why)

    def _keep(self, name: str) -> None:
        from promote.adapters.agent_memory import write_memory
        from promote.wiring import open_wiring

        try:
            write_memory(self._file(open_wiring(self._config, Silent()).work_root(), name), self._memory[name])
        except PromoteError as error:
            self.log.failure(name, error)

    @staticmethod
    def _file(work: Path, name: str) -> Path:
        return work / "sync" / f"{name}.json"

    def _count(self, name: str, event: Event) -> int:
        """Takes an event into the figures; its exit code."""
        figures = self._figures[name]
        figures.deploys += event.kind == "deployed"
        figures.restores += event.kind == "restored"
        figures.failures += event.kind == "failed"
        figures.refusals += event.kind == "refused" and self.log.new
        if event.kind == "desired":
            figures.source, figures.desired = event.word, time.time()
        if event.digest:
            figures.served[event.model] = (event.version, event.digest)
            self._served[name, event.model] = event.reference
        if event.model and event.kind in (*_STEADY, "refused", "failed", "waiting"):
            figures.in_step[event.model] = event.kind in _STEADY
        return event.code or CODES.get(event.word, 0)

    def page(self) -> str:
        """The metrics as they are now."""
        return exposition(self._figures, time.time())

    def write(self, path: str) -> None:
        """The metrics into a file; where that cannot be written, the agent goes on."""
        from promote.adapters.agent_memory import write_whole

        try:
            write_whole(Path(path), self.page().encode())
        except PromoteError as error:
            self.log.failure("", error)

    def references(self) -> list[str]:
        """What serves, as far as this command saw."""
        return list(dict.fromkeys(self._served[key] for key in sorted(self._served)))

    def summary(self, name: str) -> dict[str, object]:
        """What was counted of a target."""
        from promote.core.passport import plain

        references = {model: reference for (target, model), reference in self._served.items() if target == name}
        summary: dict[str, object] = plain(self._figures[name])
        return summary | {"served": references}
