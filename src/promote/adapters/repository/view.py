"""A space through which a model is looked at once while its lock is held: a switch then asks a few times, not thirty.

All that this process changes is noted, or looked at anew; what somebody else changes meanwhile, in spite of the lock, is met
by the record's condition and by digests, as it would be without. Not here: looking (``Space.glance``).
"""

from collections.abc import Iterator
from contextlib import contextmanager

from promote.adapters.repository.space import Held, Space, View


class Views:
    """Reads through what was seen of the models that are held on to, and straight from the space of all others."""

    def __init__(self, space: Space) -> None:
        self._space = space
        self._held: dict[str, View | None] = {}  # None: to be looked at when something is asked

    @contextmanager
    def holding(self, name: str) -> Iterator[None]:
        """Within the block the model is looked at once."""
        outer = name in self._held
        self._held.setdefault(name, None)
        try:
            yield
        finally:
            if not outer:
                del self._held[name]

    def forget(self, name: str) -> None:
        """More of it changed than was noted."""
        if name in self._held:
            self._held[name] = None

    def read(self, key: str) -> Held | None:
        """A small file of a model: its record, its notes, its ``config.pbtxt`` in the root."""
        view = self._view(key)
        return self._space.read(key) if view is None else view.small.get(key)

    def sizes(self, folder: str) -> dict[str, int]:
        """As ``Space.sizes``, of a model's folder in the root or one below."""
        view = self._view(folder)
        if view is None:
            return self._space.sizes(folder)
        return view.below("".join(folder.split("/", 2)[2:]), self._space.shown_key(folder))

    def write(self, key: str, data: bytes) -> None:
        """As ``Space.write``."""
        self._note(key, self._space.write(key, data))

    def swap(self, key: str, data: bytes, former: Held | None) -> None:
        """As ``Space.swap``."""
        self._note(key, self._space.swap(key, data, former))

    def holds(self, name: str) -> bool:
        """Whether it is held on to; then the repository is known to be there."""
        return name in self._held

    def _note(self, key: str, held: Held) -> None:
        if (view := self._held.get(_model(key))) is not None:
            view.small[key] = held

    def _view(self, key: str) -> View | None:
        name = _model(key)
        if name not in self._held:
            return None
        if (view := self._held[name]) is None:
            view = self._held[name] = self._space.glance(name)
        return view


def _model(key: str) -> str:
    """The model that ``state/models/NAME/...`` or ``root/NAME/...`` is about."""
    return key.split("/")[2 if key.startswith("state/") else 1]
