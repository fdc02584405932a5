"""A passport read back: which model and version it is of, and the facts its verdict rested on. Pure.

A passport comes from a registry or a disk and is hostile until read here: what is missing, of another form or out of
bounds is an ``IntegrityError`` of one line. Not here: how a passport is written (``passport``), or what follows (``rules``).
"""

import dataclasses
import marshal
import types
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from promote.core.facts import ModelFacts
from promote.core.names import MODEL_NAME, printable
from promote.errors import IntegrityError

_LARGEST_INT = 2**63
_LONGEST = 65_536
UNREAD = frozenset({"producer"})
"""Facts that no rule reads: two models that differ in these alone are judged once."""


class _Target(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True)

    name: str


class _Passport(BaseModel):
    """What is asked of a passport; all its other keys are told to reviewers and not read here."""

    model_config = ConfigDict(frozen=True, strict=True)

    schema_: Annotated[Literal["promote.passport/1"], Field(alias="schema")]
    name: str
    version: int
    target: _Target
    facts: dict[str, Any]


_validate = _Passport.__pydantic_validator__.validate_json


@dataclasses.dataclass(frozen=True, slots=True)
class Passport:
    """What a passport says that judging needs.

    Args:
        name: of the model.
        version: of the model.
        target: the target it was promoted for.
        raw: its facts as plain JSON values, not read yet: ``read_facts`` does.
        key: equal for equal facts, ``UNREAD`` left out; to judge each set of facts once.
    """

    name: str
    version: int
    target: str
    raw: Mapping[str, Any]
    key: bytes


def read_passport(data: bytes, where: str) -> Passport:
    """The passport in ``data``.

    Args:
        data: JSON, as it came.
        where: for messages.

    Raises:
        IntegrityError: no JSON, another schema, or a key that is missing or of another form.
    """
    try:
        said = _validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        at = ".".join(map(str, first["loc"]))
        fault = printable(f"{at}: {first['msg']}" if at else first["msg"], 160)
        raise IntegrityError(f"{where} is no passport of promote: {fault}") from error
    if said.version < 1 or not MODEL_NAME.fullmatch(said.name):
        raise IntegrityError(
            f"{where} is of {printable(said.name, 60)!r} version {said.version}, which no bundle is named"
        )
    raw = said.facts
    return Passport(said.name, said.version, printable(said.target.name, 60), raw, facts_key(raw))


def facts_key(raw: Mapping[str, Any]) -> bytes:
    """Equal for facts that are equal as plain JSON values; canonical passports have one order of keys."""
    return marshal.dumps({name: fact for name, fact in raw.items() if name not in UNREAD}, 2)


def read_facts(raw: Mapping[str, Any], where: str, seen: dict[Any, Any] | None = None) -> ModelFacts:
    """The facts in a passport; those that this version of promote does not know are left out.

    Args:
        raw: as ``Passport`` holds them.
        where: for messages.
        seen: kept between calls, for speed: facts that were read before, by their plain form.

    Raises:
        IntegrityError: a fact of another form than promote writes; the message names it.
    """
    hints = _hints(ModelFacts)
    found = {}
    for name, value in raw.items():
        if name not in hints:
            continue
        try:
            found[name] = _once(name, hints[name], value, {} if seen is None else seen)
        except _Wrong as error:
            raise IntegrityError(f"{where}: the passport's fact {name}: {error}") from error
    return ModelFacts(**found)


def _once(name: str, hint: Any, value: Any, seen: dict[Any, Any]) -> Any:
    key = (name, marshal.dumps(value, 2))
    if key not in seen:
        seen[key] = _read(hint, value, {})
    return seen[key]


class _Wrong(ValueError):
    """A value is not of the type that its fact has."""


@cache
def _hints(cls: type) -> dict[str, Any]:
    return get_type_hints(cls)


def _read(hint: Any, value: Any, bound: Mapping[Any, Any]) -> Any:
    """``value``, made what ``hint`` says; ``bound`` tells what a type variable stands for."""
    if isinstance(hint, TypeVar):
        return _read(bound[hint], value, {})
    if hasattr(hint, "__supertype__"):
        return _read(hint.__supertype__, value, bound)
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return _union(arguments, value, bound)
    cls = origin or hint
    if isinstance(cls, type) and dataclasses.is_dataclass(cls):
        # Inside a generic dataclass its own type variables count anew: Fact[T] within Fact[int] is Fact[int].
        inner = dict(zip(getattr(cls, "__parameters__", ()), (_bind(a, bound) for a in arguments), strict=False))
        return _dataclass(cls, value, inner)
    if cls is tuple:
        return tuple(_item(arguments, index, one, bound) for index, one in enumerate(_of(list, value)))
    if cls is frozenset:
        return frozenset(_read(arguments[0], one, bound) for one in _of(list, value))
    if isinstance(cls, type) and issubclass(cls, Mapping):
        return {_of(str, key): _read(arguments[1], one, bound) for key, one in _of(dict, value).items()}
    return _of(cls, value)


def _bind(argument: Any, bound: Mapping[Any, Any]) -> Any:
    return bound.get(argument, argument) if isinstance(argument, TypeVar) else argument


def _item(arguments: tuple[Any, ...], index: int, value: Any, bound: Mapping[Any, Any]) -> Any:
    """An item of ``tuple[X, ...]`` or of ``tuple[X, Y]``."""
    if arguments[-1] is Ellipsis:
        return _read(arguments[0], value, bound)
    if index >= len(arguments):
        raise _Wrong(f"expected {len(arguments)} items")
    return _read(arguments[index], value, bound)


def _union(choices: tuple[Any, ...], value: Any, bound: Mapping[Any, Any]) -> Any:
    if value is None and type(None) in choices:
        return None
    wrong = _Wrong("expected a value")
    for choice in choices:
        if choice is type(None):
            continue
        try:
            return _read(choice, value, bound)
        except _Wrong as error:
            wrong = error
    raise wrong


def _dataclass(cls: type, value: Any, bound: Mapping[Any, Any]) -> Any:
    """A dataclass; what is not known was left out when it was written."""
    given, hints = _of(dict, value), _hints(cls)
    if unknown := given.keys() - hints:
        raise _Wrong(f"unknown key {printable(str(min(unknown)), 60)!r}")
    made = {}
    for field in dataclasses.fields(cls):
        if field.name in given:
            made[field.name] = _read(hints[field.name], given[field.name], bound)
        elif type(None) in get_args(hints[field.name]):
            made[field.name] = None
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise _Wrong(f"no {field.name}")
    return cls(**made)


def _of(cls: Any, value: Any) -> Any:
    """``value`` when it is just of that class (``True`` is no number), and not beyond all bounds."""
    if cls is float and type(value) is int:
        value = float(value) if abs(value) < _LARGEST_INT else value
    if type(value) is not cls:
        raise _Wrong(f"expected {getattr(cls, '__name__', cls)}, got {printable(repr(value), 60)}")
    if cls is int and not 0 <= value < _LARGEST_INT:
        raise _Wrong(f"{printable(str(value)[:40], 40)} is out of bounds")
    if cls in (str, list, dict) and len(value) > _LONGEST:
        raise _Wrong(f"{len(value):,} items, {_LONGEST:,} at most")
    return value


__all__ = ["UNREAD", "Passport", "facts_key", "read_facts", "read_passport"]
