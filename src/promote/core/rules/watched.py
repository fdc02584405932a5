"""Facts that note which of them a rule reads. Not here: what is made of that (``memory``, ``core.answers``)."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from promote.core.facts import Fact, HostFacts, ModelFacts, Target

_HOST = "host."


class Watched:
    """Facts of a model, a target or a host. Of a host's fact it is noted what of it was read: few rules read its source.

    Args:
        subject: the facts.
        read: gathers the names of those that were read.
        prefix: before each name.
    """

    __slots__ = ("_known", "_prefix", "_read", "_subject", "host")

    def __init__(self, subject: ModelFacts | Target | HostFacts, read: set[str], prefix: str = "") -> None:
        self._subject, self._read, self._prefix = subject, read, prefix
        self._known = _FIELDS[type(subject)]
        if isinstance(subject, Target):
            self.host = Watched(subject.host, read, _HOST)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._subject, name)
        if name not in self._known:  # whatever is no fact, the list of the facts itself among it, may read them all
            self._read.update(_ALL[type(self._subject)])
        elif not self._prefix:
            self._read.add(name)
        elif value is None:
            self._read.add(_HOST + name)
        else:
            return _WatchedFact(value, self._read, _HOST + name)
        return value


class _WatchedFact:
    """A fact of a host that notes whether its value, its source or the rest was read."""

    __slots__ = ("_fact", "_name", "_read")

    def __init__(self, fact: Fact[Any], read: set[str], name: str) -> None:
        read.add(name)
        self._fact, self._read, self._name = fact, read, name

    def __getattr__(self, name: str) -> Any:
        self._read.update([f"{self._name}.{one}" for one in ((name,) if name in _OF_FACT else _OF_FACT)])
        return getattr(self._fact, name)

    def __str__(self) -> str:
        return f"{self.value} ({self.source})"


def noted(target: Target) -> Mapping[str, Any]:
    """All that ``Watched`` may note of ``target`` -> its value; a rule can tell two targets apart by nothing else."""
    said = {name: getattr(target, name) for name in _FIELDS[Target]}
    for name in _FIELDS[HostFacts]:
        fact = getattr(target.host, name)
        said[_HOST + name] = fact is not None
        said |= {f"{_HOST}{name}.{one}": getattr(fact, one, None) for one in _OF_FACT}
    return said


_OF_FACT = (*(f.name for f in dataclasses.fields(Fact)), "confidence")
_FIELDS = {
    cls: frozenset(f.name for f in dataclasses.fields(cls) if f.name != "host")
    for cls in (ModelFacts, Target, HostFacts)
}
_ALL = {
    ModelFacts: _FIELDS[ModelFacts],
    Target: _FIELDS[Target],
    HostFacts: frozenset(
        f"{_HOST}{name}{end}" for name in _FIELDS[HostFacts] for end in ("", *(f".{one}" for one in _OF_FACT))
    ),
}
