"""The agent's log on stderr: a line when something happens or changes, for a person or as JSON; never one for every round."""

import json
from datetime import UTC, datetime

import click

from promote.core.agent import Event
from promote.core.names import printable
from promote.errors import PromoteError

_GRAVE = frozenset({"failed", "unreachable"})
_ALWAYS = frozenset({"deployed", "restored", "failed", "caught-up"})

_ABOUT = {"desired": "desired", "answers": "reach", "unreachable": "reach"}


class Log:
    """Remembers what it said last of each model.

    Args:
        as_json: one JSON object a line.
    """

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self.new = False
        self._last: dict[tuple[str, str, str], tuple[str, ...]] = {}

    def event(self, target: str, event: Event) -> None:
        """Says it where it is new; ``new`` tells whether it was."""
        about = _ABOUT.get(event.kind, "model")
        key = (target, event.model, about)
        said = (event.kind, str(event.version), event.word, "" if about == "desired" else event.text)
        self.new = event.kind != "waiting" and (event.kind in _ALWAYS or self._last.get(key) != said)
        if event.kind == "waiting":
            return
        # After "deployed" the next "in-step" says the same.
        self._last[key] = ("in-step", said[1], "", "") if event.kind in ("deployed", "restored") else said
        if self.new:
            self.line(
                target, event.kind, model=event.model, version=event.version, digest=event.digest, word=event.word,
                text=event.text, code=event.code, seconds=round(event.seconds, 3),
            )  # fmt: skip

    def failure(self, target: str, error: PromoteError) -> None:
        """Of a whole round; said once until one comes through."""
        key, said = (target, "", "round"), ("failed", error.message)
        if self._last.get(key) != said:
            self.line(target, "failed", text=error.message, hint=error.hint, code=error.exit_code)
        self._last[key] = said

    def through(self, target: str) -> None:
        """A round came through."""
        self._last.pop((target, "", "round"), None)

    def line(self, target: str, kind: str, **more: str | int | float) -> None:
        """One line; what is empty is left out."""
        time = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        known = {
            key: printable(value, 1000) if isinstance(value, str) else value for key, value in more.items() if value
        }
        if self.as_json:
            level = "error" if kind in _GRAVE else "warning" if kind == "refused" else "info"
            head = {"time": time, "level": level, "event": kind} | ({"target": target} if target else {})
            click.echo(json.dumps(head | known, ensure_ascii=False), err=True)
            return
        about = " ".join(filter(None, (target, str(known.get("model", "")))))
        version = f" v{known['version']}" if "version" in known else ""
        words = [str(known[key]) for key in ("word", "digest", "text") if key in known]
        if "seconds" in known:
            words.append(f"again in {known['seconds']:g} s" if kind == "failed" else f"{known['seconds']:g} s")
        click.echo(
            " ".join(filter(None, (time, about and f"{about}:", f"{kind}{version}", ", ".join(words)))), err=True
        )
