"""A ``Server`` in memory that serves what a ``FakeStore`` holds; ``tests/contract/test_server.py`` keeps it honest.

It knows no ONNX: it answers golden inputs, and batches of their rows, with the golden outputs of the version asked for.
"""

from collections.abc import Callable, Iterable, Mapping

import numpy as np
from tritonclient.grpc.model_config_pb2 import ModelConfig

from promote.core.bundle_files import read_config
from promote.core.golden import as_served, split
from promote.core.names import model_name
from promote.errors import DeployFailed, InputError, Unavailable
from tests.fakes.bundle import BROKEN
from tests.fakes.store import FakeStore

Tensors = Mapping[str, np.ndarray]


class FakeServer:
    """Turn ``down``, ``refuses``, ``hangs`` or ``twists`` to have it fail; ``asked`` is what was asked of it, in order.

    Args:
        store: the repository it reads.
    """

    def __init__(self, store: FakeStore) -> None:
        self.store = store
        self.down = False
        self.explicit = True
        self.refuses: dict[tuple[str, int], str] = {}
        self.hangs: set[tuple[str, int]] = set()
        self.twists: dict[tuple[str, int], Callable[[Tensors], Tensors]] = {}
        self.asked: list[tuple[str, ...]] = []
        self.loaded: dict[tuple[str, int], dict[str, float]] = {}

    def require(self) -> str:
        self._hear("require")
        return "2.51.0"

    def load(self, name: str) -> None:
        self._hear("load", model_name(name))
        self._control()
        if name not in self.store.policy:
            raise DeployFailed(f"load {name}: failed to poll from model repository")
        wanted = {(name, version) for version in self.store.policy[name]}
        refused = {key: why for key in sorted(wanted - self.loaded.keys()) if (why := self._refusal(key))}
        if refused:  # all or none; what was loaded before stays, also what the policy no longer names
            why = "; ".join(f"version {v}: {why}" for (_, v), why in refused.items())
            raise DeployFailed(f"load {name}: {why}", versions=frozenset(v for _, v in refused))
        for key in sorted(wanted - self.loaded.keys() - self.hangs):
            self.loaded[key] = {"requests": 0.0, "failures": 0.0, "mean_ms": 0.0}
        for key in [key for key in self.loaded if key[0] == name and key not in wanted]:
            del self.loaded[key]

    def unload(self, name: str) -> None:
        self._hear("unload", model_name(name))
        self._control()
        for key in [key for key in self.loaded if key[0] == name]:
            del self.loaded[key]

    def await_ready(self, name: str, version: int, seconds: float) -> None:
        self._hear("await_ready", name, str(version))
        if (name, version) not in self.loaded:
            why = self._refusal((name, version)) or f"not ready after {seconds:g} s"
            raise DeployFailed(f"{name} version {version} did not become ready: {why}")

    def ready(self, name: str, version: int) -> bool:
        self._hear("ready", model_name(name), str(version))
        return (name, version) in self.loaded

    def infer(self, name: str, version: int, inputs: Tensors, protocol: str) -> Tensors:
        self._hear("infer", name, str(version), protocol)
        if protocol not in ("http", "grpc"):
            raise InputError(f"protocol {protocol!r} is neither http nor grpc")
        if (name, version) not in self.loaded:
            raise DeployFailed(f"{name} version {version} is not at ready state")
        statistics = self.loaded[(name, version)]
        cases = split(self.store.golden(name, version)[0]).values()
        for known, outputs in cases:
            if known.keys() == inputs.keys() and all(_same(known[key], inputs[key]) for key in known):
                statistics["requests"] += 1
                statistics["mean_ms"] = 1.0
                return self.twists.get((name, version), lambda answer: answer)(as_served(outputs))
        if (rows := _by_rows(cases, inputs)) is not None:
            statistics["requests"] += 1
            return self.twists.get((name, version), lambda answer: answer)(rows)
        raise DeployFailed(f"{name} version {version}: inputs that are no golden ones")

    def statistics(self, name: str) -> Mapping[int, Mapping[str, float]]:
        self._hear("statistics", model_name(name))
        return {version: dict(numbers) for (model, version), numbers in self.loaded.items() if model == name}

    def index(self) -> Mapping[str, Mapping[int, str]]:
        self._hear("index")
        states: dict[str, dict[int, str]] = {}
        for name, version in self.loaded:
            states.setdefault(name, {})[version] = "READY"
        return states

    def config(self, name: str) -> ModelConfig:
        self._hear("config", name)
        versions = [version for model, version in self.loaded if model == name]
        if not versions:
            raise DeployFailed(f"{name} is not loaded")
        return read_config(self.store.placed[name, max(versions)][1][f"{name}/config.pbtxt"], name)

    def each(self) -> Mapping[str, "FakeServer"]:
        return {"": self}

    def _hear(self, *words: str) -> None:
        self.asked.append(words)
        if self.down:
            raise Unavailable("no Triton answers", hint="is it running?")

    def _control(self) -> None:
        if not self.explicit:
            raise DeployFailed(
                "Triton does not load on request", hint="start Triton with --model-control-mode=explicit"
            )

    def _refusal(self, key: tuple[str, int]) -> str:
        if key not in self.store.placed:
            return "not in the repository"
        model = self.store.placed[key][1].get(f"{key[0]}/{key[1]}/model.onnx")
        return "no model" if model == BROKEN else self.refuses.get(key, "")


def _by_rows(cases: Iterable[tuple[Tensors, Tensors]], inputs: Tensors) -> Tensors | None:
    """A batch of golden rows is answered by the rows of the golden answers."""
    count = {len(array) for array in inputs.values() if array.ndim}
    made: list[dict[str, np.ndarray]] = []
    for row in range(count.pop() if len(count) == 1 else 0):
        one = {name: array[row] for name, array in inputs.items()}
        for known, outputs in cases:
            if known.keys() != one.keys() or any(array.ndim == 0 for array in (*known.values(), *outputs.values())):
                continue
            found = [
                at for at in range(len(next(iter(known.values())))) if all(_same(known[n][at], one[n]) for n in one)
            ]
            if found:
                made.append({name: array[found[0]] for name, array in outputs.items()})
                break
        else:
            return None
    return {name: np.stack([row[name] for row in made]) for name in made[0]} if made else None


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    return one.dtype == other.dtype and np.array_equal(one, other)
