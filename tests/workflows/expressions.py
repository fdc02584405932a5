"""The subset of GitHub's expressions that the workflows use, evaluated as GitHub documents it; anything else is refused.

Source: docs.github.com "Evaluate expressions in workflows and actions": what is falsy, that comparing strings ignores case,
that a property which is not there is empty, that ``||`` and ``&&`` give one of their operands.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

_TOKEN = re.compile(r"\s*(?:(?P<string>'(?:[^']|'')*')|(?P<word>[A-Za-z_][\w-]*)|(?P<mark>\|\||&&|==|!=|[!().]))")
_EXPRESSION = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)
STATUS = ("success", "always", "cancelled", "failure")


class Unknown(Exception):
    """An expression beyond the subset."""


def fill(text: str, context: Mapping[str, Any]) -> str:
    """``text`` with every expression in it replaced by its value, once: what a value holds is not looked at again."""
    return _EXPRESSION.sub(lambda match: shown(value_of(match[1], context)), text)


def holds(text: str, context: Mapping[str, Any]) -> bool:
    """A condition, with or without its braces; where it asks for no status, that of ``success()`` is asked for too."""
    inner = match[1] if (match := re.fullmatch(r"\s*\$\{\{(.*)\}\}\s*", text, re.DOTALL)) else text
    asks = any(re.search(rf"\b{word}\(\)", inner) for word in STATUS)
    return truthy(value_of(inner, context)) and (asks or context["success"]())


def shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return "Object"
    return {None: "", True: "true", False: "false"}.get(value, value) if not isinstance(value, str) else value


def truthy(value: Any) -> bool:
    return value not in (None, False, "", 0)


def value_of(text: str, context: Mapping[str, Any]) -> Any:
    tokens, at = [], 0
    text = text.rstrip()
    while at < len(text):
        if not (match := _TOKEN.match(text, at)):
            raise Unknown(f"{text!r} at {at}")
        tokens.append((match.lastgroup, match[match.lastgroup]))
        at = match.end()
    parser = _Parser(tokens, context)
    value = parser.either()
    if parser.left():
        raise Unknown(f"{text!r}: {parser.left()}")
    return value


class _Parser:
    """Recursive descent: ``||`` over ``&&`` over ``== !=`` over ``!`` over a value."""

    def __init__(self, tokens: list[tuple[str | None, str]], context: Mapping[str, Any]) -> None:
        self._tokens, self._context, self._at = tokens, context, 0

    def left(self) -> list[tuple[str | None, str]]:
        return self._tokens[self._at :]

    def either(self) -> Any:
        value = self._both()
        while self._took("||"):
            other = self._both()
            value = value if truthy(value) else other
        return value

    def _both(self) -> Any:
        value = self._same()
        while self._took("&&"):
            other = self._same()
            value = other if truthy(value) else value
        return value

    def _same(self) -> Any:
        value = self._one()
        for mark, wanted in (("==", True), ("!=", False)):
            if self._took(mark):
                return (_folded(value) == _folded(self._one())) is wanted
        return value

    def _one(self) -> Any:
        if self._took("!"):
            return not truthy(self._one())
        if self._took("("):
            value = self.either()
            self._must(")")
            return value
        kind, text = self._next()
        if kind == "string":
            return text[1:-1].replace("''", "'")
        if kind != "word":
            raise Unknown(text)
        return self._path(text)

    def _path(self, first: str) -> Any:
        if first not in self._context:
            raise Unknown(first)
        value = self._context[first]
        if self._took("("):
            self._must(")")
            if first not in STATUS or not isinstance(value, Callable):  # type: ignore[arg-type]
                raise Unknown(f"{first}()")
            return value()
        while self._took("."):
            kind, name = self._next()
            if kind != "word":
                raise Unknown(name)
            value = value.get(name) if isinstance(value, Mapping) else None
        return value

    def _took(self, mark: str) -> bool:
        if self._at < len(self._tokens) and self._tokens[self._at] == ("mark", mark):
            self._at += 1
            return True
        return False

    def _must(self, mark: str) -> None:
        if not self._took(mark):
            raise Unknown(f"expected {mark}: {self.left()}")

    def _next(self) -> tuple[str | None, str]:
        if not self.left():
            raise Unknown("the expression ends too early")
        self._at += 1
        return self._tokens[self._at - 1]


def _folded(value: Any) -> Any:
    if isinstance(value, Mapping):
        raise Unknown("an object is compared")
    return "" if value is None else value.lower() if isinstance(value, str) else value
