"""``promote history``: all that happened to a model's versions, or what served at a time, who approved it, on what evidence."""

import re
from typing import TYPE_CHECKING, Any

import click

from promote.cli import options
from promote.cli.progress import Silent
from promote.cli.render import print_facts, print_json, print_table, say
from promote.core.names import model_name, printable
from promote.errors import InputError, NotFound

if TYPE_CHECKING:
    from promote.core.events import Event
    from promote.core.history import Served
    from promote.pipeline.recalling import Recalled

_HOW = {"mlflow": "as MLflow's authentication says", "github": "as GitHub says", "claimed": "as that machine said"}


@click.command()
@click.argument("model")
@click.option("--target", "target_name", metavar="NAME", default="", help="Of this target, and what is about all.")
@click.option("--at", "when", metavar="TIME", default="", help="What served then: 2026-11-24 or 2026-11-24T12:00Z.")
@options.registry
@options.as_json
@click.pass_obj
def command(config: str | None, model: str, target_name: str, when: str, registry: str, as_json: bool) -> int:
    """Tell what happened to MODEL or MODEL:vN, newest last; with --at what served then, who approved it, on what evidence.

    Events lie in the registry and in MLflow; when one of them does not answer the other tells, and that is said.
    """
    from promote.core.history import parse_time, served_at
    from promote.core.passport import plain
    from promote.pipeline.recalling import recall
    from promote.wiring import open_wiring

    name, only = split_model(model)
    moment = parse_time(when) if when else None
    wiring = open_wiring(config, Silent(), registry=registry or options.split_base(model))
    recalled = recall(name, wiring.registry, wiring.ledger, only)
    rows = [row for row in recalled.rows() if target_name in ("", row.event.target) or not row.event.target]
    _say_doubts(recalled)
    if moment is not None:
        found = served_at((row.event for row in rows), target_name, moment)
        if not found:
            where = f" on {target_name}" if target_name else ""
            raise NotFound(
                f"nothing of {printable(model)} served{where} at {when}", hint=f"promote history {printable(model)}"
            )
        if as_json:
            print_json("history", 0, at=moment.isoformat(), away=recalled.away, served=[_object(one) for one in found])
            return 0
        for one in found:
            _print_served(one)
            click.echo(f"{name}@{one.event.bundle}")
        return 0
    if as_json:
        told = [plain(row.event) | {"digest": row.digest, "where": row.where} for row in rows]
        faults = [f"v{v.number}: {fault.what}" for v in recalled.versions for fault in v.faults(name)]
        print_json("history", 0, model=name, away=recalled.away, faults=faults, events=told)
        return 0
    print_table(
        ("when", "version", "event", "target", "by", "how", "kept", "what"),
        [
            (
                e.at[:19] + "Z", f"v{e.version}", e.kind.value, e.target or "-", e.by, e.how or "-", row.where, _what(e)
            )
            for row in rows
            for e in (row.event,)
        ],
    )  # fmt: skip
    return 0


def split_model(text: str) -> tuple[str, int | None]:
    """``ner`` or ``ner:v3``, a registry before it allowed.

    Raises:
        InputError: neither.
    """
    name, version = options.split_reference(text, newest=True)
    if version and not re.fullmatch(r"v[1-9][0-9]{0,9}", version):
        raise InputError(f"{printable(text, 60)!r} names no version by its number", hint="MODEL or MODEL:vN")
    return model_name(name), int(version[1:]) if version else None


def _say_doubts(recalled: "Recalled") -> None:
    names = {"registry": "the registry", "mlflow": "MLflow"}
    for where, why in recalled.away.items():
        say(click.style("warning: ", fg="yellow") + f"{names[where]} does not tell: {printable(why, 400)}")
    for version in recalled.versions:
        for fault in version.faults(recalled.name):
            about = f"{recalled.name} v{version.number}: {fault.what} ({fault.about[:19]})"
            say(click.style("warning: ", fg="yellow") + printable(about, 400))


def _what(event: "Event") -> str:
    """A few words for the table: the reason, else what is particular to its kind."""
    more = event.more
    told = {
        "built": f"run {more.get('run', '?')}",
        "checked": f"{more.get('verdict', '?')}" + (f", parity {more['parity']}" if "parity" in more else ""),
        "pushed": more.get("repository", ""),
        "deployed": f"at {more['place']}" if more.get("place") else "",
        "rolled-back": f"from {more.get('former', '?')} at {more.get('place', '?')}",
    }
    return printable(event.reason or told.get(event.kind.value, "") or "-", 100)


def _print_served(one: "Served") -> None:
    event, checked = one.event, one.checked
    who = f"{event.by} ({_HOW.get(event.how, 'not known how')})"
    facts = {
        "digest": event.bundle,
        "since": f"{event.at}, {event.kind.value} by {who}",
        "until": one.until or "now, as far as events tell",
    }
    for number, approval in enumerate(one.approvals, start=1):
        key = "approved" if len(one.approvals) == 1 else f"approved {number}"
        how = _HOW.get(approval.how, "not known how")
        facts[key] = f"{approval.at} by {approval.by or 'not known'} ({how}): {approval.reason or '-'}"
        if policy := approval.more.get("policy"):
            facts["policy"] = policy
    if not one.approvals:
        facts["approved"] = "by nobody"
    if checked:
        for key in ("verdict", "parity", "matrix"):
            if key in checked.more:
                facts[key] = checked.more[key] + (f" with {checked.target}" if key == "verdict" else "")
    if one.withdrawn:
        facts["withdrawn"] = f"{one.withdrawn.at} by {one.withdrawn.by}: {one.withdrawn.reason}"
    place = event.more.get("place")
    print_facts(f"{event.model} v{event.version} served on {event.target}{f' at {place}' if place else ''}", facts)


def _object(one: "Served") -> dict[str, Any]:
    from promote.core.passport import plain

    told: dict[str, Any] = plain(one)
    return told | {
        "model": one.event.model,
        "version": one.event.version,
        "digest": one.event.bundle,
        "target": one.event.target,
    }
