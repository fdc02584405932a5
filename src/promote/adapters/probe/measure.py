"""Asks each source of a host's facts in turn; one that fails is told in a line and hides none of the others.

Not here: what their words mean (``core.probe``), and how an image is read (passed in, as the registry is another room).
"""

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from promote.adapters.probe.nvidia_smi import cards_of
from promote.adapters.probe.triton import get
from promote.core.access import OPEN, Access
from promote.core.endpoint import parse_endpoint
from promote.core.facts import Fact, HostFacts, Target
from promote.core.matrix import Matrix
from promote.core.names import printable
from promote.core.probe import (
    Card,
    Metrics,
    of_cards,
    of_image,
    of_metrics,
    read_environment,
    read_metrics,
    release_of,
    server_version,
    used_by,
)
from promote.core.probe_record import Probe, Source
from promote.errors import IntegrityError, PromoteError

ReadImage = Callable[[str, str], tuple[str, Iterable[str]]]
"""Image and architecture -> how to cite it, and its environment."""

METRICS_PORT = 8002


@dataclass
class _Asking:
    """One probe under way; later sources know what earlier ones said."""

    target: Target
    matrix: Matrix
    date: str
    device: str
    image: str
    ssh: str
    here: bool
    read_image: ReadImage | None
    access: Access
    facts: HostFacts = field(default_factory=HostFacts)
    metrics: Metrics | None = None
    memory: HostFacts = field(default_factory=HostFacts)  # by the metrics; nvidia-smi knows better

    def cite(self, what: str) -> str:
        return f"{what}, {self.date}"

    def learn(self, facts: HostFacts) -> None:
        """An earlier source's fact stays."""
        new = {
            name: getattr(facts, name)
            for name in HostFacts.__dataclass_fields__
            if getattr(facts, name) is not None and getattr(self.facts, name) is None
        }
        self.facts = dataclasses.replace(self.facts, **new)

    def ask_triton(self) -> str | None:
        endpoint = self.target.http
        if not endpoint:
            return None
        version = server_version(get(endpoint, "/v2", self.access))
        release = release_of(version, self.matrix)
        if not release:
            return f"server {version} at {endpoint}: {self.matrix.file} has no release of it"
        self.learn(HostFacts(triton=Fact(release, self.cite(f"Triton at {endpoint}"), measured=True)))
        return f"server {version} at {endpoint}, release {release}"

    def ask_metrics(self) -> str | None:
        endpoint = self.target.metrics or _beside(self.target.http)
        if not endpoint:
            return None
        self.metrics = read_metrics(get(endpoint, "/metrics", self.access).decode(errors="replace"))
        self.memory = of_metrics(self.metrics, self.device, self.cite(f"metrics of Triton at {endpoint}"))
        if self.device == "cpu":
            return f"host memory at {endpoint}" if self.metrics.host else f"{endpoint} tells no host memory"
        if not self.metrics.gpus:
            return f"Triton at {endpoint} counts no GPU: is its driver too old, or are its GPU metrics off?"
        return f"{len(self.metrics.gpus)} GPU(s) at {endpoint}, {self.metrics.used / 2**30:.1f} GiB in use"

    def ask_nvidia_smi(self) -> str | None:
        if self.device == "cpu" or not (self.ssh or self.here or self.target.local):
            self.learn(self.memory)
            return None
        where = self.ssh or "this machine"
        try:
            cards = used_by(cards_of(self.ssh), self.metrics)
        except PromoteError:
            self.learn(self.memory)
            raise
        self.learn(of_cards(cards, self.cite(f"nvidia-smi on {where}")))
        if any(card.cut for card in cards):
            return f"{_counted(cards)} on {where}, cut into MIG instances: the memory of one is not known"
        self.learn(self.memory)
        return f"{_counted(cards)} on {where}"

    def ask_image(self) -> str | None:
        if not self.image or self.read_image is None or self.target.local:
            return None
        arch = self.target.host.arch.value if self.target.host.arch else "x86_64"
        name, environment = self.read_image(self.image, arch)
        lines = tuple(environment)
        facts = of_image(lines, self.cite(f"image {name}"), self.matrix)
        running = self.facts.triton
        if running and facts.triton and running.value != facts.triton.value:
            raise IntegrityError(
                f"{name} holds Triton {facts.triton.value}, and the server that answers is {running.value}: nothing was taken"
            )
        self.learn(facts)
        libraries = read_environment(lines).get("CUDA_DRIVER_VERSION", "")
        return name + (f", compatibility libraries of driver {printable(libraries, 40)}" if libraries else "")


def _beside(http: str) -> str:
    """Nothing is known beside a way through TLS: it leads to one port."""
    at = parse_endpoint(http, "http") if http else None
    return f"{at.host}:{METRICS_PORT}" if at and not at.tls else ""


def _counted(cards: tuple[Card, ...]) -> str:
    names = [card.name or "a GPU without a name" for card in cards]
    return ", ".join(f"{names.count(name)} x {name}" for name in dict.fromkeys(names))


def measure(
    target: Target,
    matrix: Matrix,
    date: str,
    read_image: ReadImage | None = None,
    *,
    access: Access = OPEN,
    image: str = "",
    ssh: str = "",
    here: bool = False,
) -> Probe:
    """What each source says of ``target`` on ``date``; those that fail or are not asked are told of.

    Args:
        target: as declared.
        matrix: says which release a server version is of.
        date: the day, ``2026-11-24``.
        read_image: reads a container image's environment; ``None``: images are not read.
        access: what lets us in to its Triton.
        image: the container image that runs there; empty: not read.
        ssh: where ``nvidia-smi`` runs; empty: see ``here``.
        here: ``nvidia-smi`` runs on this machine.
    """
    device = target.host.device.value if target.host.device else ""
    asking = _Asking(target, matrix, date, device, image, ssh, here, read_image, access)
    no_gpu = "models run on the CPU there" if device == "cpu" else "--ssh HOST runs it there, --here on this machine"
    no_image = "a local target runs no container" if target.local else "--image REF reads the container's versions"
    no_http = "the target has no http endpoint"
    no_metrics = no_http if not target.http else "of a target behind TLS, metrics names their endpoint"
    sources = (
        _told("triton", asking.ask_triton, no_http),
        _told("metrics", asking.ask_metrics, no_metrics),
        _told("nvidia-smi", asking.ask_nvidia_smi, no_gpu),
        _told("image", asking.ask_image, no_image),
    )
    return Probe(target=target.name, date=date, facts=asking.facts, image=image, ssh=ssh, here=here, sources=sources)


def _told(name: str, ask: Callable[[], str | None], otherwise: str) -> Source:
    try:
        told = ask()
    except PromoteError as error:
        return Source(name, "failed", printable(error.message, 400))
    return Source(name, "answered", printable(told, 400)) if told else Source(name, "not asked", otherwise)
