"""How ``promote what-if`` answers: a table with a line a model and rule, one JSON object, or one object a line.

What is the same for all models of a group is made once, so a million lines cost little more than writing them.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

import click

from promote.cli.render import SCHEMA, say
from promote.core.names import printable
from promote.errors import EXIT_CODES

if TYPE_CHECKING:
    from promote.core.what_if import Change, Host, Shift

_HEAD = ("model", "target", "verdict", "effect", "rule", "outcome", "has")
_CHUNK = 1024


Named = tuple[str, int, str]
"""A model's name and version, and where it lies; of a model file, its path and 0."""


@dataclass(slots=True)
class Judged:
    """What came of it: models in groups of equal facts, so that a hundred thousand take little memory.

    Args:
        groups: by a key that is equal for equal facts: the changes, one a host, and the models they hold for.
        faults: where a bundle is damaged, and how.
    """

    groups: "dict[bytes, tuple[tuple[Change, ...], list[Named]]]" = field(default_factory=dict)
    faults: list[tuple[str, str]] = field(default_factory=list)

    def knows(self, key: bytes, model: Named) -> bool:
        """Whether these facts were judged before; then the model is noted among them."""
        group = self.groups.get(key)
        if group is not None:
            group[1].append(model)
        return group is not None

    def add(self, key: bytes, model: Named, changes: "tuple[Change, ...]") -> None:
        """Facts judged for the first time, and the first model that has them."""
        self.groups[key] = (changes, [model])

    def join(self, other: "Judged") -> None:
        """What another process found."""
        for key, (changes, models) in other.groups.items():
            self.groups.setdefault(key, (changes, []))[1].extend(models)
        self.faults = sorted(self.faults + other.faults)

    def models(self) -> Iterator[tuple[str, int, str, int]]:
        """Name, version, where and group of each, by name and version."""
        rows = ((*model, place) for place, (_, models) in enumerate(self.groups.values()) for model in models)
        yield from sorted(rows)


def counts(judged: "Judged") -> Counter[str]:
    """Effect -> how many combinations of a model and a host; and ``rebuild``."""
    total: Counter[str] = Counter()
    for changes, models in judged.groups.values():
        for change in changes:
            total[change.effect] += len(models)
            total["rebuild"] += len(models) * change.rebuild
    return total


def print_page(judged: "Judged", hosts: "Sequence[Host]", everything: bool) -> None:
    """The table on stdout; what was supposed, what each rule says to do, and the sums on stderr."""
    for host in hosts:
        told = ", ".join(
            f"{name} {printable(a, 60)} -> {printable(b, 60)}" for name, (a, b) in host.differences().items()
        )
        say(f"{host.name}: {told or 'nothing differs'}")
    say()
    tails = [[_rows(change, host, everything) for change, host in zip(changes, hosts, strict=True)]
             for changes, _ in judged.groups.values()]  # fmt: skip
    if any(rows for group in tails for rows in group):
        widths = [
            max(map(len, column))
            for column in zip(_HEAD[1:], *(r for g in tails for rows in g for r in rows), strict=True)
        ]
        shown = [["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for rows in g for row in rows]
                 for g in tails]  # fmt: skip
        labels = [(_label(name, version), place) for name, version, _, place in judged.models() if shown[place]]
        width = max(len(_HEAD[0]), *(len(label) for label, _ in labels))
        head = "  ".join(h.upper().ljust(w) for h, w in zip(_HEAD, (width, *widths), strict=True)).rstrip()
        click.echo(head)
        _write(_each(f"{label:<{width}}  ", shown[place]) for label, place in labels)
    _sums(judged, hosts)


def _rows(change: "Change", host: "Host", everything: bool) -> list[tuple[str, ...]]:
    verdict = change.after if change.before == change.after else f"{change.before} -> {change.after}"
    effect = "rebuild" if change.rebuild else change.effect
    if not change.shifts:
        return [(host.name, verdict, effect, "-", "-", "-")] if everything else []
    return [
        (host.name, verdict, effect, shift.rule, f"{shift.before or '-'} -> {shift.after or '-'}",
         printable(shift.finding.has, 120) + (f", needs {printable(shift.finding.needs, 120)}" if shift.finding.needs else ""))
        for shift in change.shifts
    ]  # fmt: skip


@cache
def _label(name: str, version: int) -> str:
    return f"{name}:v{version}" if version else printable(name, 200)


def _each(head: str, tails: list[str]) -> str:
    """A line for each, ``head`` before it; joined, as there may be a million."""
    return head + f"\n{head}".join(tails) + "\n"


def _write(lines: Iterator[str]) -> None:
    """In pieces: a write a line would take longer than the judging."""
    piece: list[str] = []
    for line in lines:
        piece.append(line)
        if len(piece) == _CHUNK:
            click.echo("".join(piece), nl=False)
            piece.clear()
    click.echo("".join(piece), nl=False)


def _sums(judged: "Judged", hosts: "Sequence[Host]") -> None:
    rules: Counter[tuple[str, str, str]] = Counter()
    remedies: dict[tuple[str, str, str], set[str]] = {}
    for changes, models in judged.groups.values():
        for change, host in zip(changes, hosts, strict=True):
            for shift in change.shifts:
                key = (host.name, shift.effect, shift.rule)
                rules[key] += len(models)
                if shift.finding.remedy and shift.effect != "improves":
                    remedies.setdefault(key, set()).add(shift.finding.remedy)
    say()
    for (target, effect, rule), number in sorted(
        rules.items(), key=lambda item: (item[0][0], _order(item[0][1]), -item[1])
    ):
        said = remedies.get((target, effect, rule), set())
        remedy = f"; do: {printable(min(said), 200)}" if len(said) == 1 else ""
        remedy = f"; do: promote matrix explain {rule}" if len(said) > 1 else remedy
        say(f"{target}: {rule} {effect}: {number:,}{remedy}")
    total, models_ = counts(judged), sum(len(models) for _, models in judged.groups.values())
    rebuilt = f" ({total['rebuild']:,} must be rebuilt)" if total["rebuild"] else ""
    say(
        f"{models_:,} models on {len(hosts)} hosts, different facts {len(judged.groups):,}: {total['breaks']:,} break{rebuilt}, "
        f"{total['undecided']:,} become undecided, {total['degrades']:,} degrade, {total['improves']:,} improve, "
        f"{total['same']:,} stay"
    )  # fmt: skip


def _order(effect: str) -> int:
    from promote.core.what_if import EFFECTS

    return EFFECTS.index(effect)


def print_lines(judged: "Judged", hosts: "Sequence[Host]", everything: bool) -> None:
    """One JSON object a line, damaged bundles last, with ``error`` in place of a verdict."""
    _write(f"{lines}\n" for lines in _objects(judged, hosts, everything, "\n"))
    _write(f"{line}\n" for line in _damaged(judged))


def print_json_page(judged: "Judged", hosts: "Sequence[Host]", code: int, everything: bool, stale: bool) -> None:
    """One JSON object, written as it is made; ``stale``: the matrix is."""
    total = counts(judged)
    head: dict[str, Any] = {
        "schema": SCHEMA,
        "command": "what-if",
        "exit": {"code": code, "reason": EXIT_CODES[code]},
        "matrix_stale": stale,
        "targets": [
            {"name": h.name, "supposed": {k: {"before": a, "after": b} for k, (a, b) in h.differences().items()}}
            for h in hosts
        ],
        "counts": {name: total[name] for name in ("breaks", "rebuild", "undecided", "degrades", "improves", "same")},
    }
    click.echo(json.dumps(head, ensure_ascii=False)[:-1] + ', "damaged": [' + ", ".join(_damaged(judged)), nl=False)
    click.echo('], "models": [', nl=False)
    _write(_joined(_objects(judged, hosts, everything, ", ")))
    click.echo("]}")


def _joined(parts: Iterator[str]) -> Iterator[str]:
    for place, part in enumerate(parts):
        yield f", {part}" if place else part


def _damaged(judged: "Judged") -> Iterator[str]:
    for where, fault in judged.faults:
        yield json.dumps({"path": where, "error": printable(fault, 400)})


def _objects(judged: "Judged", hosts: "Sequence[Host]", everything: bool, between: str) -> Iterator[str]:
    """Those of each model, one a host, joined by ``between``: one by one a million would take longer than the judging."""
    told = _Told()
    tails = [
        [told.tail(c, h.name) for c, h in zip(changes, hosts, strict=True) if everything or c.shifts]
        for changes, _ in judged.groups.values()
    ]
    for name, version, where, place in judged.models():
        if tails[place]:
            own = {"path": where} | ({"model": name, "version": version} if version else {})
            head = f"{json.dumps(own)[:-1]}, "
            yield head + f"{between}{head}".join(tails[place])


class _Told:
    """Changes as JSON: what is equal in many, the same object in all of them, is written once."""

    def __init__(self) -> None:
        self._tails: dict[tuple[int, str], str] = {}
        self._shifts: dict[int, str] = {}

    def tail(self, change: "Change", target: str) -> str:
        """All of the line after the model."""
        key = (id(change), target)  # what is told is held by its group, so no other has its id
        if key not in self._tails:
            head = {"target": target, "before": change.before, "after": change.after, "effect": change.effect,
                    "rebuild": change.rebuild}  # fmt: skip
            rules = ", ".join(map(self._shift, change.shifts))
            self._tails[key] = f'{json.dumps(head)[1:-1]}, "rules": [{rules}]}}'
        return self._tails[key]

    def _shift(self, shift: "Shift") -> str:
        from promote.core.passport import plain

        if id(shift) not in self._shifts:
            told = {"rule": shift.rule, "before": shift.before, "after": shift.after, "effect": shift.effect,
                    "finding": plain(shift.finding)}  # fmt: skip
            self._shifts[id(shift)] = json.dumps(told)
        return self._shifts[id(shift)]
