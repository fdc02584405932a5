"""The facts of a passport, read back from plain JSON values into their types. Pure.

They come from a registry or a disk and are hostile until read here: what is missing, of another form or out of bounds is
an ``IntegrityError`` of one line. Not here: how a passport is written (``passport``), how its other keys are read
(``passport_reading``), or what follows (``rules``).
"""

import dataclasses
import types
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from promote.core.facts import Fact, ModelFacts
from promote.core.names import printable
from promote.errors import IntegrityError

_LARGEST_INT = 2**63
_LONGEST = 65_536


def read_facts(raw: Mapping[str, Any], where: str) -> ModelFacts:
    """The facts in a passport; those that this version of promote does not know are left out.

    Args:
        raw: fact by name, as ``passport.plain`` writes them.
        where: for messages.

    Raises:
        IntegrityError: a fact of another form than promote writes; the message names it.
    """
    return ModelFacts(**{name: read_fact(name, value, where) for name, value in raw.items() if name in NAMES})


NAMES = frozenset(field.name for field in dataclasses.fields(ModelFacts))
"""Of the facts that this version of promote knows."""


def read_fact(name: str, value: Any, where: str) -> Fact[Any]:
    """One of them.

    Raises:
        IntegrityError: see ``read_facts``.
    """
    try:
        fact: Fact[Any] | None = _reader(_hints(ModelFacts)[name])(value)
        if fact is None:
            raise _Wrong("expected a value")
        _counted(name, fact)
    except _Wrong as error:
        raise IntegrityError(f"{where}: the passport's fact {name}: {error}") from error
    return fact


def _counted(name: str, fact: Fact[Any]) -> None:
    """Bytes are counted, so these are never below zero, whatever other whole numbers of a model's file may be."""
    sizes: list[int] = []
    if name == "weights_bytes":
        sizes = [fact.value]
    if name == "external":
        sizes = [size for file in fact.value for size in (file.needed, file.size or 0)]
    if min(sizes, default=0) < 0:
        raise _Beyond("a size below zero")


class _Wrong(ValueError):
    """A value is not of the type that its fact has."""


class _Beyond(_Wrong):
    """It is of the type, and beyond all bounds."""


Reader = Callable[[Any], Any]
"""Makes a plain JSON value what its type says, or raises ``_Wrong``."""


@cache
def _hints(cls: type) -> dict[str, Any]:
    return get_type_hints(cls)


@cache
def _reader(hint: Any) -> Reader:
    """How a value of this type is read: looked up once, as a hundred thousand passports hold millions of values."""
    if hasattr(hint, "__supertype__"):
        return _reader(hint.__supertype__)
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return _union(arguments)
    cls = origin or hint
    if isinstance(cls, type) and dataclasses.is_dataclass(cls):
        return _dataclass(cls, dict(zip(getattr(cls, "__parameters__", ()), arguments, strict=False)))
    if cls is tuple and arguments[-1] is not Ellipsis:
        return _pair(tuple(_reader(argument) for argument in arguments))
    if cls in (tuple, frozenset):
        item = _reader(arguments[0])
        return lambda value: cls([item(one) for one in _of(list, value)])
    if isinstance(cls, type) and issubclass(cls, Mapping):
        inner = _reader(arguments[1])
        return lambda value: {_of(str, key): inner(one) for key, one in _of(dict, value).items()}
    return lambda value: _of(cls, value)


def _pair(readers: tuple[Reader, ...]) -> Reader:
    """``tuple[X, Y]``."""

    def read(value: Any) -> Any:
        if len(_of(list, value)) != len(readers):
            raise _Wrong(f"expected {len(readers)} items")
        return tuple(reader(one) for reader, one in zip(readers, value, strict=True))

    return read


def _union(choices: tuple[Any, ...]) -> Reader:
    readers = [_reader(choice) for choice in choices if choice is not type(None)]

    def read(value: Any) -> Any:
        if value is None and type(None) in choices:
            return None
        wrong = _Wrong("expected a value")
        for reader in readers:
            try:
                return reader(value)
            except _Beyond:  # no other choice would say it better
                raise
            except _Wrong as error:
                wrong = error
        raise wrong

    return read


def _dataclass(cls: type, bound: Mapping[Any, Any]) -> Reader:
    """A dataclass; what is not known was left out when it was written. ``bound``: what its type variables stand for."""
    hints = _hints(cls)
    readers: dict[str, Reader] = {}
    left_out: dict[str, Any] = {}
    needed = []
    for field in dataclasses.fields(cls):
        if type(None) in get_args(hints[field.name]):
            left_out[field.name] = None
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            needed.append(field.name)

    def read(value: Any) -> Any:
        given = _of(dict, value)
        if not readers:  # not before: a dataclass may hold others of its own kind
            readers.update({name: _reader(_bound(hint, bound)) for name, hint in hints.items()})
        if unknown := given.keys() - readers.keys():
            raise _Wrong(f"unknown key {printable(str(min(unknown)), 60)!r}")
        for name in needed:
            if name not in given:
                raise _Wrong(f"no {name}")
        return cls(**(left_out | {name: readers[name](one) for name, one in given.items()}))

    return read


def _bound(hint: Any, bound: Mapping[Any, Any]) -> Any:
    """``hint`` with its type variables replaced: ``Fact[T] | None`` of a ``Fact[int]`` is ``Fact[int] | None``."""
    if isinstance(hint, TypeVar):
        return bound[hint]
    parameters = getattr(hint, "__parameters__", ())
    return hint[tuple(bound[one] for one in parameters)] if parameters else hint


def _of(cls: Any, value: Any) -> Any:
    """``value`` when it is just of that class (``True`` is no number), and not beyond all bounds."""
    if cls is float and type(value) is int:
        value = float(value) if abs(value) < _LARGEST_INT else value
    if type(value) is not cls:
        raise _Wrong(f"expected {getattr(cls, '__name__', cls)}, got {printable(repr(value), 60)}")
    if cls is int and not -_LARGEST_INT <= value < _LARGEST_INT:  # as ONNX has them: signed, 64 bits
        raise _Beyond(f"{printable(str(value)[:40], 40)} is out of bounds")
    if cls in (str, list, dict) and len(value) > _LONGEST:
        raise _Beyond(f"{len(value):,} items, {_LONGEST:,} at most")
    return value


__all__ = ["NAMES", "read_fact", "read_facts"]
