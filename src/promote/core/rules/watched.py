"""Facts that note which of them a rule reads. Not here: what is made of that (``memory``, ``core.answers``)."""

import dataclasses
from typing import Any

from promote.core.facts import HostFacts, ModelFacts, Target

HOST = "host."
"""How the facts of a target's host are noted, before their names."""


class Watched:
    """Facts of a model, a target or a host.

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
            self.host = Watched(subject.host, read, HOST)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._subject, name)
        if name in self._known:
            self._read.add(self._prefix + name)
        else:  # whatever is no fact, the list of the facts itself among it, may read them all
            self._read.update([self._prefix + known for known in self._known])
        return value


_FIELDS = {
    cls: frozenset(f.name for f in dataclasses.fields(cls) if f.name != "host")
    for cls in (ModelFacts, Target, HostFacts)
}
