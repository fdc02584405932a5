"""A ``World`` to deploy in: runs, export, registry and MLflow in memory; store and server in memory or real."""

from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from promote.adapters.repository_file import read_model
from promote.core.bundle_files import read_config
from promote.core.events import Actor
from promote.core.facts import Fact, HostFacts, ModelFacts, Target
from promote.core.golden import join
from promote.core.layout import content
from promote.core.matrix import Matrix
from promote.core.parity import DEFAULT_TOLERANCES
from promote.core.policy import Policy
from promote.core.serving import Template
from promote.core.signed import Seen
from promote.core.stages import Candidate, Export, Promotion, Run, RunRef, SourceModel
from promote.pipeline import Order, deploy, promote_model
from promote.ports import Examined, Outputs
from tests.fakes.bundle import TOLERANCE, X, Y, samples, times
from tests.fakes.registry import FakeRegistry
from tests.fakes.store import FakeStore
from tests.fakes.tracking import FakeLedger, FakeRuns
from tests.fakes.triton import FakeServer
from tests.unit.test_matrix import MATRIX

DESK = Target(
    name="desk",
    host=HostFacts(**{key: Fact(value, "test") for key, value in {
        "device": "cpu", "arch": "x86_64", "triton": "24.12", "memory_bytes": 2**34,
    }.items()}),
    review=False,
)  # fmt: skip
GUARDED = replace(DESK, review=True)


def fact(value):
    return Fact(value, "model.onnx", measured=True)


FACTS = ModelFacts(
    format=fact("onnx"), ir_version=fact(8), opsets=fact({"": 17}), inputs=fact((X,)), outputs=fact((Y,)),
    dtypes=fact(frozenset({"FLOAT"})), weights_bytes=fact(4), external=fact(()), domains=fact(frozenset({""})),
    precision=fact("fp32"),
)  # fmt: skip


class Logged:
    """A port that writes down what is asked of it before it answers."""

    def __init__(self, part, name, log):
        self._part, self._name, self._log = part, name, log

    def __getattr__(self, method):
        real = getattr(self._part, method)
        if not callable(real):
            return real

        def asked(*args, **kwargs):
            self._log.append(f"{self._name}.{method}")
            return real(*args, **kwargs)

        return asked


class Story:
    """A ``Progress`` that remembers its stages and what was said."""

    def __init__(self):
        self.told: list[str] = []

    @contextmanager
    def stage(self, name, detail=""):
        self.told.append(f"{name}: {detail}")
        yield self

    def say(self, text):
        self.told.append(text)

    def update(self, done, total, unit="bytes"):
        pass


class Times:
    """An ``Exporter`` of models that multiply: each run by the weight in its params.

    ``off`` spoils the exported outputs, ``instead`` the bytes of a model: then its golden answers are not its own.
    """

    def __init__(self):
        self.off, self.off_lower, self.facts = 0.0, 0.001, FACTS
        self.instead: dict[float, bytes] = {}

    def export(self, candidate, plan, step):
        weight = float(candidate.run.params["weight"])
        cases = samples(weight)
        source = {case: outputs for case, (_, outputs) in cases.items()}
        exported = {case: {"y": out["y"] + np.float32(self.off)} for case, out in source.items()}
        model = content(self.instead.get(weight) or times(weight))
        export = Export(
            candidate=candidate, plan=plan, files={"model.onnx": model}, facts=self.facts,
            samples=content(join(cases)), cases=tuple(cases),
        )  # fmt: skip
        return export, Outputs(source, exported)

    def lower(self, export, plan, step):
        """A model that multiplies in fp16, its answers a little off; of ``plan.precision`` by its facts."""
        weight = float(export.candidate.run.params["weight"])
        cases = samples(weight)
        source = {case: outputs for case, (_, outputs) in cases.items()}
        exported = {case: {"y": out["y"] + np.float32(self.off_lower)} for case, out in source.items()}
        golden = {case: (inputs, exported[case]) for case, (inputs, _) in cases.items()}
        model = content(times(weight) + plan.precision.encode())
        word = {"fp16": "FLOAT16", "bf16": "BFLOAT16"}[plan.precision]
        made = replace(
            export, plan=plan, files={"model.onnx": model}, samples=content(join(golden)),
            facts=replace(self.facts, dtypes=fact(frozenset({"FLOAT", word})), precision=fact(plan.precision)),
        )  # fmt: skip
        return made, Outputs(source, exported)


class TroubledServer(FakeServer):
    """``trouble`` is called with the versions of each load before it happens."""

    def __init__(self, store):
        super().__init__(store)
        self.trouble = lambda versions: None

    def load(self, name):
        self.trouble(self.store.policy.get(name, ()))
        super().load(name)


class Signers:
    """A ``Signatures`` of ``tests``: the signature is the signer's name and the statement; nobody else may sign."""

    def __init__(self, *names):
        self.names = names

    def check(self, statement, signature):
        name, _, said = signature.partition(":")
        if said != content(statement).digest:
            return Seen(doubt="it is not of this decision")
        return Seen(signer=name) if name in self.names else Seen(doubt=f"nobody lets {name} sign")

    @staticmethod
    def key(name):
        return lambda statement: f"{name}:{content(statement).digest}"


class NoFigures:
    """A ``FiguresBook`` of a machine where nothing was measured."""

    def of(self, target, name):
        return ()


@dataclass
class Bench:
    """A ``World`` of parts in memory; ``log`` is what was asked of those that touch something, in order."""

    runs: Any
    exporter: Any
    registry: Any
    ledger: Any
    store: Any
    server: Any
    log: list[str]
    name: str = "times"
    matrix: Matrix = MATRIX
    template: Template = field(default_factory=Template)
    progress: Story = field(default_factory=Story)
    now: Target = DESK
    policy: Policy = field(default_factory=Policy)
    figures: Any = field(default_factory=NoFigures)
    signatures: Any = field(default_factory=Signers)
    actor: Actor = field(default_factory=lambda: Actor("ada@desk", "claimed"))

    def measured(self):
        """As the target is ``now``."""
        return self.now

    def examine(self, stored, files):
        """As the target is ``now``; the model's facts are those that its export had."""
        self.log.append("examine")
        path = Path(files[f"{stored.name}/config.pbtxt"])
        config = read_config(path.read_bytes(), stored.name)
        return Examined(self.now, self.exporter.facts, config, read_model(str(path.parent)))

    def promote(self, weight=2.0, target=DESK, **order):
        """A run of that weight, promoted under the bench's name."""
        run_id = f"run-{weight:g}"
        self.runs.candidates.setdefault(run_id, candidate(run_id, weight, self.name))
        return promote_model(
            Order(ref=RunRef(run_id), tolerances=DEFAULT_TOLERANCES | {"fp32": TOLERANCE}, **order), target, self
        )

    def deploy(self, version, target=DESK):
        return deploy(self.name, f"v{version}", target, "ada@desk", self)

    def up(self, *weights, target=DESK):
        """Promotes and deploys a version for each weight, one after the other."""
        for at, weight in enumerate(weights, 1):
            assert isinstance(self.promote(weight), Promotion)
            self.deploy(at, target)
        self.log.clear()

    def answers(self):
        """Version -> what it makes of 1, of all versions loaded now."""
        one = samples(1.0)["minimum"][0]["x"]
        loaded = sorted(version for name, version in self.server.loaded if name == self.name)
        return {v: float(self.server.infer(self.name, v, {"x": one}, "http")["y"][0, 0]) for v in loaded}

    def untouched(self):
        return not self.registry.manifests and not self.ledger.versions_of and not self.store.placed


def candidate(run_id, weight, name="times", *, flavour="onnx", facts=ModelFacts()):  # noqa: B008
    digest = content(f"{run_id} {weight}".encode()).digest
    model = SourceModel(name=name, flavour=flavour, root="", files={}, entry="model.onnx", digest=digest)
    return Candidate(Run(run_id=run_id, experiment="ships", params={"weight": str(weight)}), model, facts)


def in_memory():
    """A bench all of whose parts are in memory."""
    store = FakeStore()
    return bench_of(store, TroubledServer(store))


def fail(error):
    """A method that raises."""

    def raising(*args, **kwargs):
        raise error

    return raising


def bench_of(store, server, name="times"):
    """A bench whose other parts are in memory."""
    log: list[str] = []
    return Bench(
        runs=Logged(FakeRuns(), "runs", log),
        exporter=Logged(Times(), "exporter", log),
        registry=Logged(FakeRegistry(), "registry", log),
        ledger=Logged(FakeLedger(), "ledger", log),
        store=store,
        server=server,
        log=log,
        name=name,
    )
