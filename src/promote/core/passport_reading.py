"""A passport read back: which model and version it is of, and the facts its verdict rested on. Pure.

A passport comes from a registry or a disk and is hostile until read here: what is missing, of another form or out of
bounds is an ``IntegrityError`` of one line. A hundred thousand are read in seconds, since the longest fact, a model's
operators, is the same for many models: its text is cut out, known by its digest, and parsed once.
Not here: how a passport is written (``passport``), or how a fact is read (``passport_facts``).
"""

import marshal
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import from_json

from promote.core.facts import Fact, ModelFacts
from promote.core.names import MODEL_NAME, printable
from promote.core.passport_facts import NAMES, read_fact
from promote.errors import IntegrityError

UNREAD = frozenset({"producer"})
"""Facts that no rule reads: two models that differ in these alone are judged once."""

# As `passport.canonical` writes the fact: on lines of its own, two blanks deep.
_LONG = "nodes"
_BEGINS, _ENDS = b'\n  "nodes": ', b"\n  }"
_MOST_LONG = 512


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


@dataclass(frozen=True, slots=True)
class Text:
    """A value that is not parsed yet: its JSON, and the digest of that."""

    json: bytes
    digest: bytes


@dataclass(frozen=True, slots=True)
class Passport:
    """What a passport says that judging needs.

    Args:
        name: of the model.
        version: of the model.
        target: the target it was promoted for.
        raw: its facts as plain JSON values, not read yet, the longest as ``Text``: ``FactReader`` reads them.
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
    said = _read_cut(data) or _read_whole(data, where)
    if said.version < 1 or not MODEL_NAME.fullmatch(said.name):
        raise IntegrityError(
            f"{where} is of {printable(said.name, 60)!r} version {said.version}, which no bundle is named"
        )
    raw = said.facts
    return Passport(said.name, said.version, printable(said.target.name, 60), raw, _key(raw))


def _read_cut(data: bytes) -> _Passport | None:
    """The passport with its longest fact left as text; ``None`` where that cannot be cut out.

    What is cut is replaced by a word that nobody can know. Where the rest is JSON with that word for the fact, the cut was
    at that fact and nowhere else; what was cut is held to be JSON when it is read.
    """
    begin = data.find(_BEGINS) + len(_BEGINS)
    end = data.find(_ENDS, begin) + len(_ENDS)
    if begin < len(_BEGINS) or end < len(_ENDS):
        return None
    word = secrets.token_hex(16)
    try:
        said: _Passport = _validate(b'%b"%b"%b' % (data[:begin], word.encode(), data[end:]))
    except ValidationError:
        return None  # what is wrong is found by reading the whole
    if said.facts.get(_LONG) != word:
        return None
    text = data[begin:end]
    said.facts[_LONG] = Text(text, sha256(text).digest())
    return said


def _read_whole(data: bytes, where: str) -> _Passport:
    try:
        said: _Passport = _validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        at = ".".join(map(str, first["loc"]))
        fault = printable(f"{at}: {first['msg']}" if at else first["msg"], 160)
        raise IntegrityError(f"{where} is no passport of promote: {fault}") from error
    return said


def _key(raw: Mapping[str, Any]) -> bytes:
    """Canonical passports have one order of keys, and so one key for equal facts."""
    told = [(name, fact.digest if isinstance(fact, Text) else fact) for name, fact in raw.items() if name not in UNREAD]
    return sha256(marshal.dumps(told, 2)).digest()


class FactReader:
    """Reads the facts of many passports, equal ones once."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[str, bytes], int] = {}
        self._read: dict[int, Fact[Any]] = {}
        self._long: dict[int, Fact[Any]] = {}

    def read(self, raw: Mapping[str, Any], where: str) -> tuple[ModelFacts, Mapping[str, int]]:
        """The facts, and a number for each that is the same for equal ones; 0: not known.

        Args:
            raw: as ``Passport`` holds them.
            where: for messages.

        Raises:
            IntegrityError: a fact of another form than promote writes; the message names it.
        """
        facts, numbers = {}, dict.fromkeys(NAMES, 0)
        for name, value in raw.items():
            if name in NAMES:
                numbers[name], facts[name] = self._fact(name, value, where)
        return ModelFacts(**facts), numbers

    def _fact(self, name: str, value: Any, where: str) -> tuple[int, Fact[Any]]:
        cut = isinstance(value, Text)
        number = self._numbers.setdefault(
            (name, value.digest if cut else marshal.dumps(value, 2)), len(self._numbers) + 1
        )
        known = self._long if cut else self._read
        if number not in known:
            if len(self._long) > _MOST_LONG:  # so that different ones without end take no memory without end
                self._long.clear()
            known[number] = read_fact(name, _parse(value, name, where) if cut else value, where)
        return number, known[number]


def _parse(text: Text, name: str, where: str) -> Any:
    try:
        return from_json(text.json)
    except ValueError as error:
        raise IntegrityError(f"{where}: the passport's fact {name}: {printable(str(error), 160)}") from error


__all__ = ["UNREAD", "FactReader", "Passport", "Text", "read_passport"]
