"""The corpus: maritime sentences from a seeded grammar, each word with its BIO label.

A sentence is grown from `RULES`: ``<rule>`` is replaced by one of that rule's lines, ``{CLASS}`` by a name or a number.
The same seed gives the same corpus everywhere; `digest` names its content. It is a stand-in for text that somebody
labelled: both splits share the sentence patterns, only the names of the held-out split are new.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

from examples.ner_baseline.names import BY_CLASS, PEOPLE

Split = Literal["train", "held_out"]

CLASSES = ("VESSEL", "PORT", "FLAG", "SPECIES", "GEAR", "IMO", "DATE", "QUANTITY")
LABELS = ("O", *(f"{prefix}-{name}" for name in CLASSES for prefix in "BI"))
# Classes that are lists of names: the ones a model could learn by heart.
NAMED = tuple(BY_CLASS)

RULES: dict[str, tuple[str, ...]] = {
    "sentence": (
        "<ship> <moved> <when> .",
        "<ship> <moved> <when> with <catch> <under> .",
        "<ship> <landed> <catch> at {PORT} <when> .",
        "<ship> <landed> <catch> taken with {GEAR} .",
        "On {DATE} , <ship> <landed> <catch> in {PORT} .",
        "{DATE} : <ship> <moved> , <aside> .",
        "<office> <inspected> <ship> <when> and found <catch> on board .",
        "<office> in {PORT} <inspected> <ship> , <aside> .",
        "<ship> was fishing for {SPECIES} with {GEAR} <when> .",
        "<ship> hauled its {GEAR} <when> , <aside> .",
        "<person> , <role> of <ship> , declared <catch> <under> .",
        "Vessel : {VESSEL} ; flag : {FLAG} ; IMO : {IMO} ; port : {PORT} .",
        "Landing {DATE} , {PORT} : {VESSEL} , {QUANTITY} {SPECIES} , gear {GEAR} .",
        "<catch> was sold at the auction in {PORT} <when> .",
        "<ship> transferred <catch> to the <kind> {VESSEL} <when> .",
        "Vessels using {GEAR} must stop fishing for {SPECIES} from {DATE} .",
        "The quota of {FLAG} for {SPECIES} is {QUANTITY} from {DATE} .",
        "Bound for {PORT} , <ship> reported <catch> .",
    ),
    "ship": (
        "The <kind> {VESSEL}",
        "the <kind> {VESSEL}",
        "the {VESSEL} ( IMO {IMO} )",
        "{VESSEL} , IMO number {IMO} ,",
        "F/V {VESSEL}",
        "{VESSEL}",
        "the {FLAG} - flagged <kind> {VESSEL}",
        "{VESSEL} , a <kind> registered in {FLAG} ,",
    ),
    "kind": ("trawler", "vessel", "longliner", "seiner", "reefer", "coaster", "fishing boat"),
    "moved": (
        "left {PORT}",
        "arrived in {PORT}",
        "sailed from {PORT} to {PORT}",
        "called at {PORT}",
        "departed {PORT} for {PORT}",
        "entered the port of {PORT}",
    ),
    "landed": ("landed", "discharged", "delivered", "unloaded", "reported"),
    "catch": (
        "{QUANTITY} of {SPECIES}",
        "{QUANTITY} of frozen {SPECIES}",
        "{QUANTITY} of {SPECIES} and {QUANTITY} of {SPECIES}",
    ),
    "when": ("on {DATE}", "on {DATE} at <clock>", "at <clock>", "early in the morning", ""),
    "under": ("under the flag of {FLAG}", "under {FLAG} flag", ""),
    "office": ("The coast guard", "Inspectors", "The harbour office", "The fisheries directorate"),
    "inspected": ("inspected", "boarded", "checked the papers of", "escorted"),
    "role": ("master", "owner", "chief engineer"),
    "person": ("{person}", "Captain {person}"),
    "aside": (
        "<person> being the <role>",
        "call on VHF channel {small}",
        "position in ICES area 27.{small}",
        "with a crew of {small}",
        "MMSI {mmsi}",
        "wind {small} m/s",
        "its log was in order",
    ),
    "clock": ("{clock}",),
}

# This share of the names to train on is made up on the spot, so that a model learns the places names stand in
# rather than a list of names by heart.
INVENTED = 0.85
_SYLLABLES = tuple(
    "ba be bro ca che da dor el en er fa fi ga gri ha hol ia in ka ke kol la le lun ma mi mon na ne no o os pa per po ra "
    "re rin ro sa sen ska so sta ta te ter tra u ul va ve vik wa wol ya za zor ing s t n r l ck sh th øy å ê ñ".split()
)

# A name made up by chance out of these words would train on what the held-out split is to ask.
_HELD_OUT = frozenset(word.lower() for names in BY_CLASS.values() for name in names.held_out for word in name.split())

_PART = re.compile(r"<(\w+)>")
_SLOT = re.compile(r"\{(\w+)\}")
_UNITS = ("tonnes", "tonnes", "t", "kg", "boxes", "tons", "pounds")
_FIRST_DAY = date(2019, 1, 1)
_DAYS = 2900


@dataclass(frozen=True, slots=True)
class Sentence:
    """Words and, for each, its BIO label; a word never holds a space."""

    words: tuple[str, ...]
    labels: tuple[str, ...]

    @property
    def text(self) -> str:
        """The words joined by spaces."""
        return " ".join(self.words)


def generate(split: Split, count: int, seed: int) -> list[Sentence]:
    """`count` sentences whose names all come from `split`."""
    rng = random.Random(f"{split}/{seed}")
    return [_sentence(split, rng) for _ in range(count)]


def digest(**splits: list[Sentence]) -> str:
    """``sha256:…`` of every split's words and labels, independent of how Python or JSON orders anything."""
    content = hashlib.sha256()
    for name in sorted(splits):
        for sentence in splits[name]:
            line = json.dumps([name, sentence.words, sentence.labels], ensure_ascii=True, separators=(",", ":"))
            content.update(line.encode() + b"\n")
    return f"sha256:{content.hexdigest()}"


def imo_check_digit(six: str) -> int:
    """The seventh digit of an IMO number: the others times 7 to 2, summed, last digit (IMO resolution A.1117(30))."""
    return sum(int(digit) * weight for digit, weight in zip(six, range(7, 1, -1), strict=True)) % 10


def _sentence(split: Split, rng: random.Random) -> Sentence:
    text = "<sentence>"
    while part := _PART.search(text):
        text = text[: part.start()] + rng.choice(RULES[part[1]]) + text[part.end() :]
    words: list[str] = []
    labels: list[str] = []
    for word in text.split():
        slot = _SLOT.fullmatch(word)
        if slot is None:  # a plain word, which may hold a number: ``27.{small}``
            words.append(_SLOT.sub(lambda part: _fill(part[1], split, rng), word))
            labels.append("O")
            continue
        filled = _fill(slot[1], split, rng).split()
        words += filled
        labels += _bio(slot[1], len(filled))
    # A sentence may begin with any rule; only then is its first word written large, names keep their own spelling.
    if labels[0] == "O":
        words[0] = words[0][0].upper() + words[0][1:]
    return Sentence(tuple(words), tuple(labels))


def _bio(slot: str, count: int) -> list[str]:
    return [f"B-{slot}", *[f"I-{slot}"] * (count - 1)] if slot in CLASSES else ["O"] * count


def _fill(slot: str, split: Split, rng: random.Random) -> str:
    """A value for a slot; capitals are classes, the others are numbers and people that are no entity."""
    if slot in BY_CLASS:
        invented = split == "train" and rng.random() < INVENTED
        return _invented(slot, rng) if invented else rng.choice(getattr(BY_CLASS[slot], split))
    match slot:
        case "IMO":
            return _imo(split, rng)
        case "DATE":
            return _date(rng)
        case "QUANTITY":
            return f"{_amount(rng)} {rng.choice(_UNITS)}"
        case "person":
            return rng.choice(getattr(PEOPLE, split))
        case "small":
            return str(rng.randint(1, 60))
        case "mmsi":
            return str(rng.randint(200_000_000, 775_999_999))
        case "clock":
            return f"{rng.randrange(24):02}:{rng.randrange(60):02}"
    raise KeyError(slot)


def _invented(slot: str, rng: random.Random) -> str:
    """One or two words nobody wrote before: ports, flags and vessels large, species and gear small."""
    words = [_made_up(rng) for _ in range(rng.choice((1, 1, 2)))]
    return " ".join(words if slot in ("SPECIES", "GEAR") else [word.capitalize() for word in words])


def _made_up(rng: random.Random) -> str:
    """Syllables that are no word of a held-out name: ``ma r l in`` would be one."""
    while (word := "".join(rng.choices(_SYLLABLES, k=rng.randint(2, 4)))) in _HELD_OUT:
        pass
    return word


def _imo(split: Split, rng: random.Random) -> str:
    """A valid number; every fifth belongs to the held-out split, so that none is in both."""
    base = 5 * rng.randrange(100_000, 199_999) + (0 if split == "held_out" else rng.randint(1, 4))
    return f"{base}{imo_check_digit(str(base))}"


def _date(rng: random.Random) -> str:
    day = _FIRST_DAY + timedelta(days=rng.randrange(_DAYS))
    month = rng.choice((f"{day:%B}", f"{day:%b}"))
    return rng.choice(
        (f"{day.day} {month} {day.year}", f"{month} {day.day} , {day.year}", f"{day:%Y-%m-%d}", f"{day:%d/%m/%Y}")
    )


def _amount(rng: random.Random) -> str:
    return rng.choice(
        (str(rng.randint(1, 99)), f"{rng.randint(1, 99)}.{rng.randint(1, 9)}", f"{rng.randint(100, 99_999):,}")
    )
