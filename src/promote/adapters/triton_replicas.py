"""Several Tritons that serve from one model repository, spoken to as one: what is asked of it is asked of each, at once.

One that does not answer, refuses or is not ready speaks for all: a version is ready where every replica has it ready. Which of
them it was stands in the message. Not here: what follows from that (``pipeline``), and one of them alone (``triton_server``).
"""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from promote.adapters.triton_server import TritonServer
from promote.core.standing import READY
from promote.errors import DeployFailed, PromoteError

if TYPE_CHECKING:
    import numpy as np

    Tensors = Mapping[str, np.ndarray]

R = TypeVar("R")


class TritonReplicas:
    """A ``Server``.

    Args:
        servers: by their addresses; the first one is the target's own endpoint.
    """

    def __init__(self, servers: Mapping[str, TritonServer]) -> None:
        self._servers = dict(servers)

    def each(self) -> Mapping[str, TritonServer]:
        """See ``Server``."""
        return self._servers

    def require(self) -> str:
        """See ``Server``; of different versions all."""
        return ", ".join(dict.fromkeys(self._all(lambda server: server.require()).values()))

    def load(self, name: str) -> None:
        """See ``Server``."""
        self._all(lambda server: server.load(name))

    def unload(self, name: str) -> None:
        """See ``Server``."""
        self._all(lambda server: server.unload(name))

    def await_ready(self, name: str, version: int, seconds: float) -> None:
        """See ``Server``."""
        self._all(lambda server: server.await_ready(name, version, seconds))

    def ready(self, name: str, version: int) -> bool:
        """Whether each of them answers for it."""
        return all(self._all(lambda server: server.ready(name, version)).values())

    def infer(self, name: str, version: int, inputs: "Tensors", protocol: str) -> "Tensors":
        """What the first one answers; for the others see ``each``."""
        return self._first.infer(name, version, inputs, protocol)

    def index(self) -> Mapping[str, Mapping[int, str]]:
        """A version that one of them has ready is ready here: clients may be given it."""
        merged: dict[str, dict[int, str]] = {}
        for states in self._all(lambda server: server.index()).values():
            for name, versions in states.items():
                known = merged.setdefault(name, {})
                known |= {v: state for v, state in versions.items() if known.get(v) != READY}
        return merged

    def config(self, name: str) -> Any:
        """That of the first one."""
        return self._first.config(name)

    def statistics(self, name: str) -> Mapping[int, Mapping[str, float]]:
        """Those of the first one."""
        return self._first.statistics(name)

    @property
    def _first(self) -> TritonServer:
        return next(iter(self._servers.values()))

    def _all(self, ask: Callable[[TritonServer], R]) -> dict[str, R]:
        """The answers by address.

        Raises:
            PromoteError: one or several gave none; a refusal comes before a server that is away.
        """
        with ThreadPoolExecutor(len(self._servers)) as pool:
            asked = {at: pool.submit(ask, server) for at, server in self._servers.items()}
        failed = {at: error for at, future in asked.items() if (error := future.exception())}
        if not failed:
            return {at: future.result() for at, future in asked.items()}
        raise _told(failed)


def _told(failed: Mapping[str, BaseException]) -> BaseException:
    """One error for all; a fault of ours stays what it is."""
    gravest: BaseException = next(iter(failed.values()))
    refusals = [error for error in failed.values() if isinstance(error, DeployFailed)]
    gravest = next(
        (e for e in failed.values() if not isinstance(e, PromoteError)), refusals[0] if refusals else gravest
    )
    if not isinstance(gravest, PromoteError):
        return gravest
    message = "; ".join(f"at {at}: {error}" for at, error in failed.items())
    if refusals:
        versions = frozenset[int]().union(*(error.versions for error in refusals))
        return DeployFailed(message, hint=refusals[0].hint, versions=versions)
    return type(gravest)(message, hint=gravest.hint)
