"""How long each stage of a story takes, while its progress is told as before."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from promote.ports import Progress, Step


class Timed:
    """A ``Progress`` that remembers how long each stage took.

    Args:
        progress: tells a person.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str, detail: str = "") -> Iterator[Step]:
        """See ``promote.ports.Progress``; stages of one name are added up."""
        began = time.monotonic()
        with self._progress.stage(name, detail) as step:
            yield step
        self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - began
