"""What a probe came to: kept as JSON, read back with suspicion, and settled against what is declared.

Measured wins; a declared value that says the same in fewer words is no difference. Not here: where the record lies
(``adapters.probe``), and what a host's words mean (``probe``).
"""

import dataclasses
import datetime
import json
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from promote.core.facts import Fact, HostFacts, Probed, Target, settle
from promote.core.manifest import strict_json
from promote.core.matrix import Matrix
from promote.core.matrix_rows import Capability, Release, Version, numbers
from promote.core.names import printable
from promote.core.probe import ssh_host
from promote.core.reviewed_file import problems
from promote.errors import InputError, IntegrityError

OLD_AFTER_DAYS = 30
_VERSIONS = ("driver", "cuda", "tensorrt", "python", "onnxruntime")
_SAME_MEMORY = 0.05  # a 48 GiB card has 49,140 MiB


@dataclass(frozen=True, slots=True)
class Source:
    """One place that facts are read from.

    Args:
        name: ``triton``, ``metrics``, ``nvidia-smi`` or ``image``.
        state: whether it answered.
        told: what it said, or why it did not, in one line.
    """

    name: str
    state: Literal["answered", "failed", "not asked"]
    told: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """What was measured of a target on a day.

    Args:
        target: its name.
        date: the day, ``2026-11-24``, in UTC.
        facts: measured ones only.
        image: the container image that was read, or empty.
        ssh: the host that ``nvidia-smi`` ran on, or empty.
        here: ``nvidia-smi`` ran on this machine, as the target is this one.
        sources: what each said.
    """

    target: str
    date: str
    facts: HostFacts
    image: str = ""
    ssh: str = ""
    here: bool = False
    sources: tuple[Source, ...] = field(default=())

    @property
    def command(self) -> str:
        """What measures it again."""
        parts = [
            f"promote target probe {self.target}",
            f"--image {self.image}" if self.image else "",
            f"--ssh {self.ssh}" if self.ssh else "",
            "--here" if self.here else "",
        ]
        return " ".join(part for part in parts if part)

    @property
    def empty(self) -> bool:
        """Nothing was measured."""
        return not any(dataclasses.astuple(self.facts))


def _day(text: str) -> str:
    datetime.date.fromisoformat(text)
    return text


def _plain(text: str) -> str:
    if printable(text, len(text)) != text:
        raise ValueError("expected one plain line")
    return text


def _host(text: str) -> str:
    try:
        return ssh_host(text) if text else ""
    except InputError as error:
        raise ValueError(error.message) from error


_Line = Annotated[str, Field(max_length=600), AfterValidator(_plain)]
_Image = Annotated[str, Field(pattern=r"^([A-Za-z0-9\[][A-Za-z0-9._/:@\[\]-]{0,400})?$")]


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class _Text(_Row):
    value: Annotated[str, Field(min_length=1, max_length=120), AfterValidator(_plain)]
    source: _Line


class _Version(_Text):
    value: Version


class _Release(_Text):
    value: Release


class _Capability(_Text):
    value: Capability


class _Bytes(_Row):
    value: Annotated[int, Field(gt=0, le=2**50)]
    source: _Line


class _Facts(_Row):
    triton: _Release | None = None
    tensorrt: _Version | None = None
    cuda: _Version | None = None
    python: _Version | None = None
    driver: _Version | None = None
    gpu: _Text | None = None
    compute_capability: _Capability | None = None
    memory_bytes: _Bytes | None = None


class _Source(_Row):
    name: Literal["triton", "metrics", "nvidia-smi", "image"]
    state: Literal["answered", "failed", "not asked"]
    told: _Line


class _Record(_Row):
    schema_: Annotated[Literal["promote.probe/1"], Field(alias="schema")]
    target: str
    date: Annotated[str, Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"), AfterValidator(_day)]
    facts: _Facts
    image: _Image = ""
    ssh: Annotated[str, AfterValidator(_host)] = ""
    here: bool = False
    sources: list[_Source] = Field(default_factory=list, max_length=8)


def write_record(probe: Probe) -> bytes:
    """The probe as JSON for a reader: indented, keys in order."""
    facts = {name: getattr(probe.facts, name) for name in _Facts.model_fields}
    record = {
        "schema": "promote.probe/1",
        "target": probe.target,
        "date": probe.date,
        "image": probe.image,
        "ssh": probe.ssh,
        "here": probe.here,
        "facts": {name: {"value": fact.value, "source": fact.source} for name, fact in facts.items() if fact},
        "sources": [dataclasses.asdict(source) for source in probe.sources],
    }
    return json.dumps(record, indent=2, ensure_ascii=False).encode() + b"\n"


def read_record(data: bytes, target: str, origin: str) -> Probe:
    """The probe that ``write_record`` wrote.

    Raises:
        IntegrityError: it is damaged, or of another target; the message names ``origin`` and the first wrong field.
    """
    hint = f"promote target probe {target} measures anew and replaces the file"
    try:
        record = _Record.model_validate(strict_json(data, origin))
    except ValidationError as error:
        raise IntegrityError(f"{origin} is no result of a probe: {problems(error)[0]}", hint=hint) from error
    except IntegrityError as error:
        raise IntegrityError(error.message, hint=hint) from error
    if record.target != target:
        raise IntegrityError(f"{origin} is of target {printable(record.target, 60)!r}, expected {target!r}", hint=hint)
    rows = {name: getattr(record.facts, name) for name in _Facts.model_fields}
    facts: dict[str, Any] = {name: Fact(row.value, row.source, measured=True) for name, row in rows.items() if row}
    return Probe(
        target=target,
        date=record.date,
        facts=HostFacts(**facts),
        image=record.image,
        ssh=record.ssh,
        here=record.here,
        sources=tuple(Source(s.name, s.state, s.told) for s in record.sources),
    )


def settled(target: Target, measured: HostFacts, matrix: Matrix) -> Target:
    """``target`` with what was measured of it, completed anew by what a measured release or GPU implies.

    What the declared release or GPU implied goes, where another was measured; what was declared itself stays and differs.
    """
    host = target.host
    implied = set()
    for name, row in (
        ("triton", matrix.release(host.triton.value) if host.triton else None),
        ("gpu", matrix.gpu(host.gpu.value) if host.gpu else None),
    ):
        found: Fact[str] | None = getattr(measured, name)
        if found and row and not _agree(name, getattr(host, name).value, found.value, matrix):
            implied.add(matrix.cite(row.label))
    facts: dict[str, Any] = {}
    for name in HostFacts.__dataclass_fields__:
        declared, found = getattr(host, name), getattr(measured, name)
        if declared and declared.source in implied and not declared.measured:
            declared = None
        if declared and found and _agree(name, declared.value, found.value, matrix):
            declared = None
        facts[name] = settle(declared, found)
    return matrix.complete(dataclasses.replace(target, host=HostFacts(**facts)))


def _agree(name: str, declared: Any, measured: Any, matrix: Matrix) -> bool:
    """The two say the same, one perhaps in fewer words."""
    if declared == measured:
        return True
    if name == "gpu":
        row = matrix.gpu(declared)
        return row is not None and row == matrix.gpu(measured)
    if name == "memory_bytes":
        return bool(abs(declared - measured) <= _SAME_MEMORY * declared)
    if name in _VERSIONS:
        return numbers(measured)[: len(numbers(declared))] == numbers(declared)
    return False


def probed(probe: Probe, today: datetime.date) -> Probed:
    """That it was probed, as seen ``today``; a probe of the future is as little worth as one of long ago."""
    days = (today - datetime.date.fromisoformat(probe.date)).days
    return Probed(probe.date, not -1 <= days <= OLD_AFTER_DAYS, probe.command)


__all__ = ["OLD_AFTER_DAYS", "Probe", "Source", "probed", "read_record", "settled", "write_record"]
