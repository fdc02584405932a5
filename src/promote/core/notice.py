"""What is told to the outside when something happened: a webhook's body, a sentence for chat, a line for GitHub. Pure.

Everything in it may come from outside: no text is markup, and none is a command. Not here: sending it.
"""

import json
from dataclasses import dataclass

from promote.core.names import printable

SCHEMA = "promote.notice/1"
GRAVE = frozenset({"refused", "failed", "rejected", "withdrawn"})
_LONGEST = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something that happened.

    Args:
        kind: ``pushed``, ``requested``, ``checked``, ``approved``, ``rejected``, ``deployed``, ``rolled-back``, ``restored``,
            ``withdrawn``, ``refused`` or ``failed``.
        at: when, RFC 3339 UTC.
        model: its name.
        target: on or for which; empty where it is about all.
        by: who, as far as that is known.
        version: of the model; 0: not known.
        reference: ``repository@sha256:...``, or empty.
        reason: one line.
    """

    kind: str
    at: str
    model: str
    target: str
    by: str = ""
    version: int = 0
    reference: str = ""
    reason: str = ""


def sentence(notice: Notice) -> str:
    """What happened, in one line."""
    model = f"{notice.model} v{notice.version}" if notice.version else notice.model
    by = f" by {notice.by}" if notice.by else ""
    why = f": {notice.reason}" if notice.reason else ""
    on = f" on {notice.target}" if notice.target else ""
    return printable(f"{model} {notice.kind}{on}{by}{why}", _LONGEST)


def body(notice: Notice) -> bytes:
    """The JSON object that a webhook gets; ``text`` is what chat services show."""
    told = {
        "kind": notice.kind, "model": notice.model, "version": notice.version, "target": notice.target, "by": notice.by,
        "reference": notice.reference, "digest": notice.reference.partition("@")[2], "reason": notice.reason,
    }  # fmt: skip
    data = {
        key: printable(value, _LONGEST) if isinstance(value, str) else value for key, value in told.items() if value
    }
    whole = {
        "schema": SCHEMA, "type": f"promote.{notice.kind}", "timestamp": notice.at, "text": _chat(sentence(notice)),
        "data": data,
    }  # fmt: skip
    return json.dumps(whole, ensure_ascii=False, separators=(",", ":")).encode(errors="backslashreplace")


def annotation(level: str, title: str, text: str) -> str:
    """A line that GitHub Actions shows beside the job.

    Escaped as its toolkit does (actions/toolkit, packages/core/src/command.ts): nothing in it begins another command.

    Args:
        level: ``error`` or ``warning``.
        title: a few words.
        text: one line.
    """
    head, said = printable(title, 100).replace("%", "%25"), printable(text, _LONGEST).replace("%", "%25")
    head = head.replace(":", "%3A").replace(",", "%2C")
    return f"::{level} title={head}::{said}"


def _chat(text: str) -> str:
    """Slack and those like it read ``<...>`` as links and calls to everybody; https://docs.slack.dev says to escape three."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
