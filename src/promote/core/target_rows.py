"""Targets as data: of ``compat_matrix.yaml``, and of ``[targets.NAME]`` in ``promote.toml`` on top of it.

Not here: what follows from a Triton release or a GPU's name (``Matrix.complete``).
"""

import dataclasses
import difflib
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from promote.core.access import header_name, variable_name
from promote.core.endpoint import EXPECTED, parse_endpoint
from promote.core.facts import Fact, HostFacts, Target
from promote.core.matrix_rows import Capability, Count, Release, Version
from promote.core.names import printable
from promote.core.repository_place import EXPECTED as PLACES
from promote.core.repository_place import parse_place
from promote.core.reviewed_file import problems, refuse
from promote.errors import InputError

_TARGET_NAME = r"^[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?$"
# What an image or a card fixes: named anew with a new one, unless it was measured.
_OF_RELEASE = ("onnxruntime", "tensorrt", "cuda", "python")
_OF_GPU = ("compute_capability",)
_HOST = ("os", "version_compatible_plans", "device", "arch", "triton", "driver", "gpu", *_OF_RELEASE, *_OF_GPU)
INSTALLED = "installed"


def _endpoint(protocol: str) -> AfterValidator:
    def check(text: str) -> str:
        if text:
            try:
                parse_endpoint(text, protocol)
            except InputError as error:
                raise ValueError(EXPECTED[protocol]) from error
        return text

    return AfterValidator(check)


def _distinct(headers: dict[str, str]) -> dict[str, str]:
    if len({name.lower() for name in headers}) != len(headers):
        raise ValueError("names a header twice")
    return headers


def _repository(text: str) -> str:
    try:
        parse_place(text)
    except InputError as error:
        raise ValueError(PLACES) from error
    return text


HttpEndpoint = Annotated[str, _endpoint("http")]
GrpcEndpoint = Annotated[str, _endpoint("grpc")]
Headers = Annotated[
    dict[Annotated[str, AfterValidator(header_name)], Annotated[str, AfterValidator(variable_name)]],
    AfterValidator(_distinct),
]
TargetName = Annotated[str, Field(pattern=_TARGET_NAME)]


class ReplicaRow(BaseModel):
    """A further Triton of a target; it serves from the same model repository."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    http: Annotated[HttpEndpoint, Field(min_length=1)]
    grpc: Annotated[GrpcEndpoint, Field(min_length=1)]


class TargetRow(BaseModel):
    """What may be said of a target; ``null`` or absent is not known.

    ``onnxruntime: installed`` says that models run here, with the runtime installed on this machine: the target is local
    and nothing of a container image holds for it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    description: str = ""
    device: Literal["gpu", "cpu"] | None = None
    arch: Literal["x86_64", "aarch64"] | None = None
    triton: Release | None = None
    onnxruntime: Version | Literal["installed"] | None = None
    tensorrt: Version | None = None
    cuda: Version | None = None
    driver: Version | None = None
    gpu: str | None = None
    compute_capability: Capability | None = None
    memory_gib: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    python: Version | None = None
    os: Literal["linux", "windows"] | None = None
    version_compatible_plans: bool | None = None
    http: HttpEndpoint = ""
    grpc: GrpcEndpoint = ""
    metrics: HttpEndpoint | None = None
    replicas: Annotated[tuple[ReplicaRow, ...], Field(max_length=64)] = ()
    headers_env: Headers = Field(default_factory=dict)
    headers_in_clear: bool = False
    ca_file: str = ""
    client_certificate: str = ""
    client_key: str = ""
    model_repository: Annotated[str, AfterValidator(_repository)] = ""
    review: bool = True
    max_batch_size: Count = 8
    max_sequence: Count | None = None
    keep: Annotated[int, Field(ge=1, le=1000)] = 3
    notes: tuple[str, ...] = ()


def as_target(name: str, row: TargetRow, source: str) -> Target:
    """The target a row describes; its facts say ``source``."""
    return _onto(Target(name=name), row, set(TargetRow.model_fields), source)


def with_settings(target: Target, overrides: Mapping[str, object], origin: str) -> Target:
    """``target`` with what ``promote.toml`` says of it instead.

    A new ``triton`` drops what the former release fixed, a new ``gpu`` its compute capability; ``Matrix.complete`` fills
    them anew. A measured fact stays measured, and remembers the declared one where they differ.

    Args:
        target: of the matrix.
        overrides: the table, as TOML gave it.
        origin: for messages and as the facts' source, ``promote.toml: targets.calypso``.

    Raises:
        InputError: an unknown key, or a value of the wrong form; the message names it.
    """
    row = _settings(overrides, origin)
    given = set(row.model_fields_set)
    dropped = set()
    if "triton" in given:
        dropped |= set(_OF_RELEASE)
    if "gpu" in given:
        dropped |= set(_OF_GPU)
    kept = {name: None for name in dropped - given if not _measured(target.host, name)}
    emptied = dataclasses.replace(target, host=dataclasses.replace(target.host, **kept))
    return _onto(emptied, row, given, f"declared in {origin}")


def new_target(name: str, mapping: Mapping[str, object], origin: str) -> Target:
    """A target that only ``promote.toml`` knows.

    Raises:
        InputError: the name is not one, an unknown key, a value of the wrong form, or no ``device``.
    """
    if not re.fullmatch(_TARGET_NAME, name):
        raise InputError(
            f"{origin}: target name {printable(name, 60)!r} is not allowed: 1 to 64 of a-z 0-9 . _ -, "
            "beginning and ending with a letter or digit"
        )
    row = _settings(mapping, origin)
    if row.device is None:
        raise InputError(
            f'{origin}: device: expected "gpu" or "cpu"', hint="a new target says at least what models run on"
        )
    return as_target(name, row, f"declared in {origin}")


def _settings(mapping: Mapping[str, object], origin: str) -> TargetRow:
    unknown = [key for key in mapping if key not in TargetRow.model_fields]
    if unknown:
        close = difflib.get_close_matches(unknown[0], TargetRow.model_fields, n=1)
        hint = f"did you mean {close[0]}?" if close else "keys: " + ", ".join(TargetRow.model_fields)
        raise InputError(f"{origin}: {printable(unknown[0], 60)}: unknown key", hint=hint)
    try:
        return TargetRow.model_validate(dict(mapping))
    except ValidationError as error:
        raise refuse(origin, problems(error), "see docs/reference/matrix.md") from error


def _onto(target: Target, row: TargetRow, given: set[str], source: str) -> Target:
    """``target`` with the ``given`` fields of ``row``."""
    facts: dict[str, Any] = {name: getattr(row, name) for name in _HOST if name in given}
    local = target.local
    if "onnxruntime" in given:
        local = row.onnxruntime == INSTALLED
        facts["onnxruntime"] = None if local else row.onnxruntime
    if "memory_gib" in given:
        facts["memory_bytes"] = None if row.memory_gib is None else int(row.memory_gib * 2**30)
    host = {name: _declare(getattr(target.host, name), value, source) for name, value in facts.items()}
    plain = given & {
        "description",
        "http",
        "grpc",
        "metrics",
        "model_repository",
        "review",
        "max_batch_size",
        "max_sequence",
        "keep",
        "notes",
        "headers_in_clear",
        "ca_file",
        "client_certificate",
        "client_key",
    }
    fields: dict[str, Any] = {name: getattr(row, name) for name in plain}
    if "headers_env" in given:
        fields["headers_env"] = tuple(sorted(row.headers_env.items()))
    if "replicas" in given:
        fields["replicas"] = tuple((one.http, one.grpc) for one in row.replicas)
    return dataclasses.replace(target, host=dataclasses.replace(target.host, **host), local=local, **fields)


def _declare(former: "Fact[Any] | None", value: object, source: str) -> "Fact[Any] | None":
    if value is None:
        return former if former is not None and former.measured else None
    declared = Fact(value, source)
    if former is None or not former.measured:
        return declared
    return dataclasses.replace(former, declared=declared if former.value != value else None)


def _measured(host: HostFacts, name: str) -> bool:
    fact: Fact[Any] | None = getattr(host, name)
    return fact is not None and fact.measured
