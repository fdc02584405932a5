"""What is told to the outside: the webhook of the settings, and the annotations of a job of GitHub Actions.

Neither changes what a command does: a webhook that does not answer is a warning. Not here: their text (``core.notice``).
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from promote.core.names import printable

if TYPE_CHECKING:
    from promote.wiring import Wiring


def annotate(level: str, title: str, text: str) -> None:
    """A line that GitHub shows beside the job; nothing elsewhere."""
    if os.environ.get("GITHUB_ACTIONS") == "true":
        from promote.core.notice import annotation

        click.echo(annotation(level, title, text), err=True)


def warn(text: str) -> None:
    """``warning: ...`` on stderr."""
    click.echo(click.style("warning: ", fg="yellow") + printable(text, 600), err=True)
    annotate("warning", "promote", text)


def tell(
    wiring: Wiring, kind: str, model: str, target: str, *, by: str, version: int = 0, reference: str = "", reason: str = ""
) -> None:  # fmt: skip
    """As ``sent``; where it did not arrive, that is a warning."""
    if why := sent(wiring, kind, model, target, by=by, version=version, reference=reference, reason=reason):
        warn(why)


def sent(
    wiring: Wiring, kind: str, model: str, target: str, *, by: str, version: int = 0, reference: str = "", reason: str = ""
) -> str:  # fmt: skip
    """Tells the webhook, where the settings name one; why it did not arrive, else empty.

    Args:
        wiring: of the command.
        kind: what happened, as ``core.notice.Notice`` names it.
        model: its name.
        target: on or for which.
        by: who.
        version: of the model, where it is known.
        reference: of the bundle, where it is known.
        reason: why, one line.
    """
    if not wiring.settings.events.webhook:
        return ""
    from promote.core.notice import Notice, body

    at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    notice = Notice(
        kind=kind, at=at, model=model, target=target, by=by, version=version, reference=reference, reason=reason
    )
    why = wiring.tell(body(notice))
    return f"events.webhook was not told of {kind}: {why}" if why else ""
