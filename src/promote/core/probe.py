"""What a host's own words say of it: Triton's metadata and metrics, ``nvidia-smi``, a container image's environment.

Pure, and suspicious: each text comes from another machine. What is unreadable is refused, what is not said stays unknown.
Not here: how the texts are fetched (``adapters.probe``), and what is kept of them (``probe_record``).
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from promote.core.facts import Fact, HostFacts
from promote.core.manifest import strict_json
from promote.core.matrix import Matrix
from promote.core.matrix_rows import numbers
from promote.core.names import printable
from promote.errors import InputError, IntegrityError

FULL_QUERY = ("name", "driver_version", "memory.total", "compute_cap", "mig.mode.current", "uuid")
SHORT_QUERY = ("name", "driver_version", "memory.total", "uuid")  # nvidia-smi before 510 has no compute_cap

_MOST_CARDS = 64
_LARGEST_MEMORY = 2**50
_VERSION = re.compile(r"[0-9]{1,6}(\.[0-9]{1,6}){0,3}")
_CAPABILITY = re.compile(r"[0-9]{1,2}\.[0-9]")
_UUID = re.compile(r"(GPU|MIG)-[0-9A-Za-z/-]{1,80}")
_METRIC = re.compile(
    r'^(nv_gpu_memory_(?:total|used)_bytes)\{gpu_uuid="([0-9A-Za-z/-]{1,90})"\} ([0-9]{1,20}(?:\.[0-9]{1,10})?)\s*$',
    re.M,
)
_HOST_MEMORY = re.compile(r"^nv_cpu_memory_total_bytes ([0-9]{1,20}(?:\.[0-9]{1,10})?)\s*$", re.M)
# A host, or user@host, as ssh takes it; what begins with - would be an option.
_SSH_HOST = re.compile(r"([A-Za-z_][A-Za-z0-9._-]{0,63}@)?[A-Za-z0-9][A-Za-z0-9._-]{0,252}")


@dataclass(frozen=True, slots=True)
class Card:
    """A GPU as ``nvidia-smi`` tells it; ``None`` or empty: it does not say.

    Args:
        name: as printed, ``NVIDIA RTX 6000 Ada Generation``.
        driver: the host's.
        memory_bytes: of the whole card; not known where it is cut into instances (MIG) or shares the host's memory.
        capability: ``8.9``.
        uuid: ``GPU-...``.
        cut: multi-instance mode (MIG) is on.
    """

    name: str
    driver: str = ""
    memory_bytes: int | None = None
    capability: str = ""
    uuid: str = ""
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Metrics:
    """Memory as Triton's metrics tell it, in bytes.

    Args:
        gpus: total by the uuid of each GPU that Triton uses; 0 where it does not know.
        used: in use, all GPUs together.
        host: the host's own; ``None``: not told.
    """

    gpus: Mapping[str, int]
    used: int = 0
    host: int | None = None


def ssh_host(text: str) -> str:
    """The host itself when it is ``host`` or ``user@host`` and cannot be taken for an option of ssh.

    Raises:
        InputError: another form.
    """
    if _SSH_HOST.fullmatch(text):
        return text
    raise InputError(
        f"--ssh {printable(text, 60)!r}: expected host or user@host",
        hint="ports, keys and jumps belong into ~/.ssh/config, under a host name of your own",
    )


def read_cards(text: str, query: tuple[str, ...] = FULL_QUERY) -> tuple[Card, ...]:
    """The GPUs in what ``nvidia-smi --query-gpu=... --format=csv,noheader,nounits`` printed.

    Raises:
        IntegrityError: no line, too many, or one of another form.
    """
    lines = [line for line in text.splitlines() if line.strip()]
    if not 0 < len(lines) <= _MOST_CARDS:
        raise IntegrityError(f"nvidia-smi prints {len(lines)} lines, expected one a GPU")
    return tuple(_card(line, query) for line in lines)


def _card(line: str, query: tuple[str, ...]) -> Card:
    cells = [cell.strip() for cell in line.rsplit(",", len(query) - 1)]
    if len(cells) != len(query) or not cells[0] or len(line) > 1000:
        raise IntegrityError(
            f"nvidia-smi prints {printable(line, 80)!r}, expected {len(query)} values: {', '.join(query)}"
        )
    said = dict(zip(query, cells, strict=True))
    cut = said.get("mig.mode.current", "") == "Enabled"
    mib = said["memory.total"]
    known = re.fullmatch(r"[0-9]{1,9}", mib) is not None and int(mib) > 0 and not cut
    return Card(
        name=_unless_unknown(printable(said["name"], 80)),
        driver=_matching(_VERSION, said["driver_version"]),
        memory_bytes=int(mib) * 2**20 if known else None,
        capability=_matching(_CAPABILITY, said.get("compute_cap", "")),
        uuid=_matching(_UUID, said["uuid"]),
        cut=cut,
    )


def _unless_unknown(text: str) -> str:
    return "" if text.startswith("[") or text in ("N/A", "Unknown Error") else text


def _matching(grammar: re.Pattern[str], text: str) -> str:
    return text if grammar.fullmatch(text) else ""


def of_cards(cards: tuple[Card, ...], source: str) -> HostFacts:
    """What the GPUs come to together: Triton puts an instance of a model on each, so the weakest counts.

    A value that one of several GPUs does not tell is not known of all of them.
    """
    weakest = min(cards, key=lambda card: (numbers(card.capability), card.memory_bytes or 0))
    capabilities, drivers = {card.capability for card in cards}, {card.driver for card in cards}
    names = {card.name for card in cards}
    memories = [card.memory_bytes for card in cards if card.memory_bytes is not None]
    # Without capabilities, which of two different cards is the weaker one is not known.
    told = weakest.name if "" not in capabilities or len(names) == 1 else ""
    return HostFacts(
        gpu=_measured(told, source),
        driver=_measured(drivers.pop() if len(drivers) == 1 else "", source),
        compute_capability=_measured("" if "" in capabilities else weakest.capability, source),
        memory_bytes=Fact(min(memories), source, measured=True) if len(memories) == len(cards) else None,
    )


def _measured(value: str, source: str) -> Fact[str] | None:
    return Fact(value, source, measured=True) if value else None


def used_by(cards: tuple[Card, ...], metrics: Metrics | None) -> tuple[Card, ...]:
    """The cards that Triton uses, where its metrics say which.

    Raises:
        IntegrityError: it uses others, so these are those of another host.
    """
    if metrics is None or not metrics.gpus or not all(card.uuid for card in cards):
        return cards
    used = tuple(card for card in cards if card.uuid in metrics.gpus)
    if not used:
        raise IntegrityError("nvidia-smi lists none of the GPUs that Triton's metrics name: it ran on another host")
    return used


def read_metrics(text: str) -> Metrics:
    """GPUs and memory in Triton's metrics, which are Prometheus text.

    Raises:
        IntegrityError: it holds none of Triton's metrics, or a memory that no machine has.
    """
    if not re.search(r"^nv_[a-z_]+[ {]", text, re.M):
        raise IntegrityError("no metrics of a Triton: no line begins with nv_")
    totals: dict[str, int] = {}
    used: dict[str, int] = {}
    for name, uuid, value in _METRIC.findall(text):
        (totals if "total" in name else used).setdefault(uuid, _bytes(value))
    host = _HOST_MEMORY.search(text)
    if len(totals) > _MOST_CARDS:
        raise IntegrityError(f"metrics of {len(totals)} GPUs, expected at most {_MOST_CARDS}")
    return Metrics(totals, sum(used.values()), _bytes(host[1]) if host else None)


def _bytes(text: str) -> int:
    size = int(float(text))
    if size > _LARGEST_MEMORY:
        raise IntegrityError(f"metrics name a memory of {printable(text, 30)} bytes")
    return size


def of_metrics(metrics: Metrics, device: str, source: str) -> HostFacts:
    """Memory that models may use: the smallest GPU's, or the host's where they run on the CPU."""
    if device == "cpu":
        return HostFacts(memory_bytes=Fact(metrics.host, source, measured=True) if metrics.host else None)
    smallest = min(metrics.gpus.values(), default=0)  # 0: one that does not tell
    return HostFacts(memory_bytes=Fact(smallest, source, measured=True) if smallest else None)


def server_version(data: bytes) -> str:
    """The version in the answer of ``GET /v2``.

    Raises:
        IntegrityError: no Triton's metadata.
    """
    told = strict_json(data, "the metadata")
    version = told.get("version") if isinstance(told, dict) else None
    if not isinstance(version, str) or not _VERSION.match(version) or told.get("name") != "triton":
        raise IntegrityError("what answers is no Triton: its metadata names no version of one")
    found = _VERSION.match(version)  # a build of one's own adds letters
    return found[0] if found else ""


def release_of(server: str, matrix: Matrix) -> str:
    """The container release ``YY.MM`` of a server version, or empty where the matrix has not exactly one row for it."""
    rows = [row.release for row in matrix.tables.triton_releases if row.server == server]
    return rows[0] if len(rows) == 1 else ""


def of_image(environment: Iterable[str], source: str, matrix: Matrix) -> HostFacts:
    """What a Triton container's environment says of the versions inside.

    ``CUDA_DRIVER_VERSION`` is that of the compatibility libraries in the image, not the host's driver, and no fact of it.

    Raises:
        IntegrityError: it names no Triton.
    """
    said = read_environment(environment)
    release = said.get("NVIDIA_TRITON_SERVER_VERSION", "")
    if not re.fullmatch(r"[0-9]{2}\.[0-9]{2}", release):
        release = release_of(said.get("TRITON_SERVER_VERSION", ""), matrix)
    if not release and "TRITON_SERVER_VERSION" not in said:
        raise IntegrityError("no image of a Triton: its environment has no TRITON_SERVER_VERSION")

    def fact(name: str) -> Fact[str] | None:
        version = said.get(name, "").partition("+")[0]  # 8.5.3.1+cuda11.8.0.089
        return _measured(_matching(_VERSION, version), source)

    return HostFacts(
        triton=_measured(release, source),
        tensorrt=fact("TRT_VERSION"),
        cuda=fact("CUDA_VERSION"),
        python=fact("PYTHON_VERSION"),
    )


def read_environment(environment: Iterable[str]) -> dict[str, str]:
    """``NAME=value`` lines as a mapping; the last of a name counts, as in a shell."""
    return dict(line.partition("=")[::2] for line in environment if "=" in line)


__all__ = [
    "FULL_QUERY", "SHORT_QUERY", "Card", "Metrics", "of_cards", "of_image", "of_metrics", "read_cards", "read_environment",
    "read_metrics", "release_of", "server_version", "ssh_host", "used_by",
]  # fmt: skip
