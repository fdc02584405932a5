"""A passport read back: which model and version it is of, and the facts its verdict rested on. Pure.

A passport comes from a registry or a disk and is hostile until read here: what is missing, of another form or out of
bounds is an ``IntegrityError`` of one line. A hundred thousand are read in seconds, since facts are the same for many
models: their text is cut out, known by its digest, and parsed once.
Not here: how a passport is written (``passport``), or how a fact is read (``passport_facts``).
"""

import marshal
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import from_json, to_json

from promote.core.facts import Fact, ModelFacts, NodeUse
from promote.core.names import MODEL_NAME, printable
from promote.core.parity import Tolerance
from promote.core.passport_facts import NAMES, read_fact
from promote.errors import IntegrityError

# As `passport.canonical` writes the facts: on lines of their own, one blank deep.
_BEGINS, _ENDS = b'\n "facts": {\n', b"\n }"
# Each fact begins on a line of its own, two blanks deep; no text in JSON has a line's end in it.
_OPENS, _BETWEEN = b'{\n  "', b',\n  "'
_LONG_PIECE, _MOST_PIECES = 512, 20_000
_WORD = secrets.token_hex(16)
_LONG = "nodes"
_MOST_LONG = 512
_MOST_USES = 100_000
_NONE = dict.fromkeys(NAMES, 0)


class _Passport(BaseModel):
    """What is asked of a passport; all its other keys are told to reviewers and not read here."""

    model_config = ConfigDict(frozen=True, strict=True)

    schema_: Annotated[Literal["promote.passport/1"], Field(alias="schema")]
    name: str
    version: int
    facts: dict[str, Any] | str


class _Tolerance(BaseModel):
    model_config = ConfigDict(strict=True)

    absolute: float = Field(ge=0, allow_inf_nan=False)
    relative: float = Field(ge=0, allow_inf_nan=False)


class _Parity(BaseModel):
    tolerance: _Tolerance


class _Proof(BaseModel):
    parity: _Parity


_validate = _Passport.__pydantic_validator__.validate_json


@dataclass(frozen=True, slots=True)
class Passport:
    """What a passport says that judging needs.

    Args:
        name: of the model.
        version: of the model.
        facts: the JSON of its facts, not read yet: ``FactReader`` reads it.
        key: equal for equal facts, to judge each set of facts once.
    """

    name: str
    version: int
    facts: bytes
    key: bytes


def read_passport(data: bytes, where: str, last: Passport | None = None) -> Passport:
    """The passport in ``data``.

    Args:
        data: JSON, as it came.
        where: for messages.
        last: one read before, whose facts may be the same, as those of a model's versions are: then to compare is enough.

    Raises:
        IntegrityError: no JSON, another schema, or a key that is missing or of another form.
    """
    said, facts = _read_cut(data, last.facts if last else b"") or _read_whole(data, where)
    if said.version < 1 or not MODEL_NAME.fullmatch(said.name):
        raise IntegrityError(
            f"{where} is of {printable(said.name, 60)!r} version {said.version}, which no bundle is named"
        )
    if last is not None and facts is last.facts:
        return Passport(said.name, said.version, facts, last.key)
    return Passport(said.name, said.version, facts, sha256(facts).digest())


def _read_cut(data: bytes, last: bytes) -> tuple[_Passport, bytes] | None:
    """The passport with its facts left as text, ``last`` itself where they equal it; ``None`` where they cannot be cut out.

    What is cut is replaced by a word that no passport can know, as each process draws another. Where the rest is JSON with
    that word for the facts, the cut was at the facts and nowhere else; what was cut is held to be JSON when it is read.
    """
    begin = data.find(_BEGINS) + len(_BEGINS) - 2
    if begin < len(_BEGINS) - 2:
        return None
    known = last.endswith(_ENDS) and data.startswith(last, begin)  # cut out of another, so it ends where these do
    end = begin + len(last) if known else data.find(_ENDS, begin) + len(_ENDS)
    if end < len(_ENDS):
        return None
    try:
        said: _Passport = _validate(b'%b"%b"%b' % (data[:begin], _WORD.encode(), data[end:]))
    except ValidationError:
        return None  # what is wrong is found by reading the whole
    return (said, last if known else data[begin:end]) if said.facts == _WORD else None


def _read_whole(data: bytes, where: str) -> tuple[_Passport, bytes]:
    try:
        said: _Passport = _validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        at = ".".join(map(str, first["loc"]))
        fault = printable(f"{at}: {first['msg']}" if at else first["msg"], 160)
        raise IntegrityError(f"{where} is no passport of promote: {fault}") from error
    if isinstance(said.facts, str):
        raise IntegrityError(f"{where} is no passport of promote: facts: expected an object")
    return said, to_json(said.facts)


def read_tolerance(data: bytes, where: str) -> Tolerance:
    """The tolerance of the parity proof that the passport in ``data`` records.

    Raises:
        IntegrityError: it records none.
    """
    try:
        tolerance = _Proof.model_validate_json(data).parity.tolerance
    except ValidationError as error:
        raise IntegrityError(f"{where} records no tolerance") from error
    return Tolerance(tolerance.absolute, tolerance.relative)


class FactReader:
    """Reads the facts of many passports, equal ones once."""

    def __init__(self) -> None:
        self._pieces: dict[bytes, tuple[tuple[str, int, Fact[Any]], ...]] = {}
        self._numbers: dict[tuple[str, bytes], int] = {}
        self._read: dict[int, Fact[Any]] = {}
        self._long: dict[int, Fact[Any]] = {}
        self._uses: dict[NodeUse, NodeUse] = {}

    def read(self, facts: bytes, where: str) -> tuple[ModelFacts, Mapping[str, int]]:
        """The facts, and a number for each that is the same for equal ones; 0: not known.

        Args:
            facts: as ``Passport`` holds them.
            where: for messages.

        Raises:
            IntegrityError: no JSON, or a fact of another form than promote writes; the message names it.
        """
        found, numbers = {}, _NONE.copy()
        for name, number, fact in self._cut(facts, where) or self._whole(facts, where):
            numbers[name], found[name] = number, fact
        return ModelFacts(**found), numbers

    def _cut(self, facts: bytes, where: str) -> Sequence[tuple[str, int, Fact[Any]]] | None:
        """Each fact by its text, as models that differ in one agree in the others; ``None`` where they cannot be cut apart.

        Where every piece is the inside of an object, all of them with commas between are the inside of one.
        """
        if not (facts.startswith(_OPENS) and facts.endswith(_ENDS)):
            return None
        told: list[tuple[str, int, Fact[Any]]] = []
        for piece in facts[len(_OPENS) : -len(_ENDS)].split(_BETWEEN):
            key = piece if len(piece) < _LONG_PIECE else sha256(piece).digest()
            known = self._pieces.get(key)
            if known is None:
                try:
                    value = from_json(b'{"%b}' % piece)
                except ValueError:
                    return None  # what is wrong is found by reading the whole
                if len(self._pieces) > _MOST_PIECES:
                    self._pieces.clear()
                known = self._pieces[key] = self._told(value, where)
            told += known
        return told

    def _whole(self, facts: bytes, where: str) -> Sequence[tuple[str, int, Fact[Any]]]:
        return self._told(_parse(facts, where), where)

    def _told(self, value: Mapping[str, Any], where: str) -> tuple[tuple[str, int, Fact[Any]], ...]:
        return tuple([(name, *self._fact(name, one, where)) for name, one in value.items() if name in NAMES])

    def _fact(self, name: str, value: Any, where: str) -> tuple[int, Fact[Any]]:
        known = self._long if name == _LONG else self._read
        told = marshal.dumps(value, 2)
        key = (name, sha256(told).digest() if name == _LONG else told)
        number = self._numbers.setdefault(key, len(self._numbers) + 1)
        if number not in known:
            if len(self._long) > _MOST_LONG:  # so that different ones without end take no memory without end
                self._long.clear()
            fact = read_fact(name, value, where)
            known[number] = replace(fact, value=self._same(fact.value)) if name == _LONG else fact
        return number, known[number]

    def _same(self, uses: frozenset[NodeUse]) -> frozenset[NodeUse]:
        """Equal uses as one object, which is found again without comparing what it expands to."""
        if len(self._uses) > _MOST_USES:
            self._uses.clear()
        return frozenset([self._uses.setdefault(use, use) for use in uses])


def _parse(facts: bytes, where: str) -> Mapping[str, Any]:
    try:
        value = from_json(facts)
    except ValueError as error:
        raise IntegrityError(f"{where}: the passport's facts: {printable(str(error), 160)}") from error
    if not isinstance(value, dict):
        raise IntegrityError(f"{where} is no passport of promote: facts: expected an object")
    return value


__all__ = ["FactReader", "Passport", "read_passport"]
