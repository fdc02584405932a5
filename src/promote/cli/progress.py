"""Progress on stderr: a live bar on a terminal, plain lines elsewhere. The ``Progress`` port.

One line per stage stays on the screen: its name, what it worked on, what came of it, how long it took.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from promote.core.names import printable

if TYPE_CHECKING:  # ports know every stage of a promotion, which most commands need not load
    from rich.console import Console
    from rich.progress import Progress as Bars
    from rich.progress import ProgressColumn, TaskID

    from promote.ports import Step

_PLAIN_EVERY_SECONDS = 10.0


class Silent:
    """Tells nobody: for ``--json`` and ``--quiet``."""

    @contextmanager
    def stage(self, name: str, detail: str = "") -> Iterator[Step]:
        """See ``promote.ports.Progress``."""
        yield _Words()


class Plain:
    """A line when a stage ends, and one now and then in a long one; for CI."""

    @contextmanager
    def stage(self, name: str, detail: str = "") -> Iterator[Step]:
        """See ``promote.ports.Progress``."""
        step = _PlainStep(name, detail)
        started = time.monotonic()
        try:
            yield step
        except BaseException:
            _line(f"{name:<8} {printable(detail)}: failed after {time.monotonic() - started:.1f} s")
            raise
        came = f": {printable(step.text)}" if step.text else ""
        _line(f"{name:<8} {printable(detail)}{came} ({time.monotonic() - started:.1f} s)")


class Live:
    """A spinner or bar for the stage under way, and its line when it ends; for a terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console

    @contextmanager
    def stage(self, name: str, detail: str = "") -> Iterator[Step]:
        """See ``promote.ports.Progress``."""
        from rich.markup import escape
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            SpinnerColumn,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )

        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[words]}"),
        )
        bytes_columns = (DownloadColumn(binary_units=True), TransferSpeedColumn(), TimeRemainingColumn(compact=True))
        started = time.monotonic()
        with Progress(*columns, console=self._console, transient=True) as bars:
            task = bars.add_task(f"[bold]{name:<8}[/] {escape(printable(detail, 60))}", total=None, words="")
            step = _LiveStep(bars, task, bytes_columns)
            try:
                yield step
            except BaseException:
                self._end("[red]✗[/]", name, detail, "failed", started)
                raise
        self._end("[green]✓[/]", name, detail, step.text, started)

    def _end(self, mark: str, name: str, detail: str, text: str, started: float) -> None:
        from rich.markup import escape

        came = f": {escape(printable(text))}" if text else ""
        seconds = f"[dim]{time.monotonic() - started:.1f} s[/]"
        self._console.print(f"{mark} [bold]{name:<8}[/] {escape(printable(detail))}{came} {seconds}", highlight=False)


class _Words:
    """Keeps the last words said."""

    def __init__(self) -> None:
        self.text = ""

    def update(self, done: int, total: int, unit: str = "bytes") -> None:
        """Nothing to show."""

    def say(self, text: str) -> None:
        """The last words stay."""
        self.text = text


class _PlainStep(_Words):
    def __init__(self, name: str, detail: str) -> None:
        super().__init__()
        self._name, self._last = name, time.monotonic()
        self._first: tuple[float, int] | None = None

    def update(self, done: int, total: int, unit: str = "bytes") -> None:
        now = time.monotonic()
        self._first = self._first or (now, done)
        if now - self._last > _PLAIN_EVERY_SECONDS:
            self._last = now
            share = f" ({100 * done // total} %)" if total else ""
            pace = _pace(done, total, done - self._first[1], now - self._first[0]) if unit == "bytes" else ""
            _line(f"{self._name:<8} ... {done:,} of {total:,} {unit}{share}{pace}")


def _pace(done: int, total: int, moved: int, seconds: float) -> str:
    """The rate since the first word of it, and the time left at that rate; nothing while neither can be told."""
    if moved <= 0 or seconds <= 0:
        return ""
    left = int((total - done) * seconds / moved)
    hours, minutes = left // 3600, left % 3600 // 60
    clock = f"{hours}:{minutes:02}:{left % 60:02}" if hours else f"{minutes}:{left % 60:02}"
    return f", {moved / seconds / 2**20:.1f} MiB/s, {clock} left"


class _LiveStep(_Words):
    def __init__(self, bars: Bars, task: TaskID, bytes_columns: tuple[ProgressColumn, ...]) -> None:
        super().__init__()
        self._bars, self._task, self._bytes = bars, task, bytes_columns

    def update(self, done: int, total: int, unit: str = "bytes") -> None:
        if unit == "bytes" and self._bytes:
            self._bars.columns = (*self._bars.columns[:3], *self._bytes)
            self._bytes = ()
        self._bars.update(self._task, completed=done, total=total or None)

    def say(self, text: str) -> None:
        super().say(text)
        self._bars.update(self._task, words=printable(text, 60))


def _line(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - stderr is where progress goes


def choose(quiet: bool) -> Silent | Plain | Live:
    """By what stderr is: nobody, a log, or a terminal."""
    if quiet:
        return Silent()
    if not sys.stderr.isatty():
        return Plain()
    from rich.console import Console

    return Live(Console(stderr=True))
