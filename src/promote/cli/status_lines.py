"""How ``promote status`` looks: a table and its drift, one JSON object, or a line for each change."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from promote.cli.render import print_json, print_table, say
from promote.core.names import printable
from promote.errors import IntegrityError, PromoteError, Unavailable

if TYPE_CHECKING:
    from promote.core.facts import Target
    from promote.pipeline import Serving, Status

_HEADERS = ["model", "version", "state", "desired", "digest", "since", "by", "requests", "failed", "mean ms"]


@dataclass(frozen=True, slots=True)
class Row:
    """A target: what it is like, or why that cannot be told."""

    target: "Target"
    status: "Status | None"
    error: PromoteError | None = None


def code_of(rows: Sequence[Row]) -> int:
    """The exit code: drift before what does not answer."""
    codes = [row.error.exit_code for row in rows if row.error]
    drifts = [drift for row in rows if row.status for model in row.status.models for drift in model.drift]
    codes += [Unavailable.exit_code if drift.kind == "not-ready" else IntegrityError.exit_code for drift in drifts]
    return IntegrityError.exit_code if IntegrityError.exit_code in codes else max(codes, default=0)


def print_statuses(rows: Sequence[Row], code: int, *, single: bool) -> None:
    """One JSON object: of one target its own keys, of several a list of such."""
    if single:
        print_json("status", code, **_data(rows[0]))
    else:
        print_json("status", code, targets=[_data(row) for row in rows])


def _data(row: Row) -> dict[str, Any]:
    from promote.core.passport import plain

    data: dict[str, Any] = {"target": row.target.name}
    if row.status is None:
        return data | {"error": {"message": row.error.message, "hint": row.error.hint} if row.error else None}
    models = [plain(model) | {"desired_known": not row.status.unknown} for model in row.status.models]
    return data | {
        "triton": row.status.triton, "models": models, "others": list(row.status.others), "unknown": row.status.unknown,
    }  # fmt: skip


def print_status(rows: Sequence[Row], *, single: bool) -> None:
    """The table on stdout; what is wrong, and what to do about it, on stderr."""
    cells = [
        ([] if single else [row.target.name]) + _cells(model, known=not row.status.unknown)
        for row in rows
        if row.status
        for model in row.status.models
    ]
    print_table(([] if single else ["target"]) + _HEADERS, cells)
    for row in rows:
        say()
        if row.status is None:
            say(click.style(f"{row.target.name}: ", bold=True) + printable(row.error.message if row.error else ""))
            continue
        say(f"{row.target.name}: Triton {row.status.triton} at {row.target.http}")
        if row.status.unknown:
            say(f"{row.target.name}: what is desired is not known: {printable(row.status.unknown, 300)}")
        if row.status.others:
            say(f"{row.target.name}: not deployed by promote: {printable(', '.join(row.status.others), 300)}")
        for model in row.status.models:
            _say_replicas(model)
            _say_drift(model)


def _say_replicas(model: "Serving") -> None:
    for replica in model.replicas:
        state = "ready" if replica.ready else "no answer" if replica.unanswered else "NOT READY"
        loaded = (
            ", ".join(f"v{version} {word}" for version, word in sorted(replica.versions.items())) or "nothing loaded"
        )
        numbers = f"{replica.statistics.get('requests', 0):.0f} requests"
        say(f"{model.name} at {replica.at}: {state}, {numbers}" + ("" if replica.ready else f", {loaded}"))


def _say_drift(model: "Serving") -> None:
    for drift in model.drift:
        say(f"{click.style('drift', fg='red', bold=True)} {model.name} {drift.kind}: {printable(drift.has, 400)}")
        say(f"      {click.style('do', dim=True)} {printable(drift.remedy, 400)}")


def _cells(model: "Serving", *, known: bool) -> list[str]:
    live, numbers = model.deployed, model.statistics
    desired = f"v{model.desired.version}" if model.desired else "-" if known else "?"
    if live is None:
        return [model.name, "-", "not deployed", desired, *["-"] * 6]
    return [
        model.name, f"v{live.version}", _state(model), desired, live.digest[:19], live.since, live.by,
        f"{numbers.get('requests', 0):.0f}", f"{numbers.get('failures', 0):.0f}", f"{numbers.get('mean_ms', 0):.1f}",
    ]  # fmt: skip


def _state(model: "Serving") -> str:
    if not model.ready:
        return "NOT READY"
    return "DRIFT" if any(drift.kind != "not-deployed" for drift in model.drift) else "ready"


def words(rows: Sequence[Row]) -> Mapping[tuple[str, str], str]:
    """What can change: target and model -> version, state, what is desired, and drift; no numbers."""
    found: dict[tuple[str, str], str] = {}
    for row in rows:
        if row.status is None:
            found[row.target.name, ""] = printable(row.error.message if row.error else "", 300)
            continue
        found[row.target.name, ""] = f"Triton {row.status.triton} answers"
        for model in row.status.models:
            _, version, state, desired, digest, *_ = _cells(model, known=not row.status.unknown)
            drift = "; ".join(f"{one.kind}: {one.has}" for one in model.drift)
            said = f"{version} {state} desired {desired} {digest}" + (f" drift {drift}" if drift else "")
            found[row.target.name, model.name] = said
    return found


def as_data(rows: Sequence[Row], key: tuple[str, str]) -> dict[str, Any]:
    """The JSON of one target, with the one model that changed."""
    data = next(_data(row) for row in rows if row.target.name == key[0])
    if key[1]:
        data["models"] = [model for model in data.get("models", ()) if model["name"] == key[1]]
    return data


def print_change(key: tuple[str, str], text: str, data: Mapping[str, Any] | None) -> None:
    """A line on stdout, at once."""
    time = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if data is not None:
        print_json("status", 0, time=time, changed=list(key), **data)
    else:
        click.echo(f"{time} {' '.join(part for part in key if part)}: {printable(text, 600)}")
