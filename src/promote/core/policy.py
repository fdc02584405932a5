"""``promotion_policy.yaml``: what must hold before a release may serve on a target, as a file that people review. Pure.

Not here: whether it holds (``core.gates``, and of approvals ``core.review``).
"""

import datetime
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, field_validator, model_validator

from promote.core.reviewed_file import read_reviewed

EVIDENCE = ("review", "verdict", "signature")
FILE_NAME = "promotion_policy.yaml"
_LARGEST = 64 * 1024
_HINT = "docs/reference/policy.md shows every key"
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WEEKLY = r"(mon|tue|wed|thu|fri|sat|sun) ([01][0-9]|2[0-3]):[0-5][0-9]"
_WEEK = 7 * 24 * 60

Number = Annotated[float, Field(allow_inf_nan=False)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Days = Annotated[int, Field(ge=0, le=36500)]
Name = Annotated[str, Field(min_length=1, max_length=250)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


class Threshold(_Part):
    """Of one metric of the training run: bounds, and how far it may fall or rise against the live version's."""

    min: Number | None = None
    max: Number | None = None
    max_drop: Amount | None = None
    max_rise: Amount | None = None

    @model_validator(mode="after")
    def _says_something(self) -> "Threshold":
        if not self.model_fields_set:
            raise ValueError("expected min, max, max_drop or max_rise")
        return self


class ParityTerms(_Part):
    """Largest differences between source model and export, in the outputs' own units and as a share of the value."""

    max_absolute: Amount | None = None
    max_relative: Amount | None = None


class AgeTerms(_Part):
    """How many days old the target's probe and the matrix may be."""

    probe: Days | None = None
    matrix: Days | None = None


class Window(_Part):
    """When nothing is deployed; from ``start`` until before ``end``: two moments, or two times of the week in UTC."""

    start: AwareDatetime | Annotated[str, Field(pattern=f"^{_WEEKLY}$")]
    end: AwareDatetime | Annotated[str, Field(pattern=f"^{_WEEKLY}$")]
    reason: Annotated[str, Field(max_length=200)] = ""

    @model_validator(mode="after")
    def _ordered(self) -> "Window":
        if isinstance(self.start, str) != isinstance(self.end, str):
            raise ValueError("start and end: expected two moments, or two times of the week")
        if self.start == self.end or (not isinstance(self.start, str) and str(self.start) and self.start > self.end):  # type: ignore[operator]
            raise ValueError("end: expected a time after start")
        return self

    def holds(self, moment: datetime.datetime) -> bool:
        """Whether ``moment`` lies in it; a weekly one may go over the end of the week."""
        if isinstance(self.start, str) or isinstance(self.end, str):
            start, end = _minute(str(self.start)), _minute(str(self.end))
            utc = moment.astimezone(datetime.UTC)
            at = utc.weekday() * 1440 + utc.hour * 60 + utc.minute
            return (at - start) % _WEEK < (end - start) % _WEEK
        return self.start <= moment < self.end

    @property
    def shown(self) -> str:
        """From when to when."""
        start, end = (t if isinstance(t, str) else _stamp(t) for t in (self.start, self.end))
        return f"{start} to {end}" + (" UTC" if isinstance(self.start, str) else "")


class Terms(_Part):
    """Of one target.

    ``approvals`` counts people, not words; ``self_approval``: who trained or promoted it may approve it too; ``requests``:
    a tag that somebody set in MLflow's UI counts as the approval of a person who is not known; ``identity: proven``: only
    approvals count whose author MLflow's or GitHub's authentication or a signature names; ``signers``: a file of OpenSSH's
    ``allowed_signers`` beside this one, and only approvals count that somebody in it signed; ``directories``: bundles that no
    run made may serve.
    """

    metrics: dict[Name, Threshold] = Field(default_factory=dict, max_length=100)
    parity: ParityTerms = ParityTerms()
    evidence: tuple[Name, ...] = Field(default=(), max_length=20)
    max_age_days: AgeTerms = AgeTerms()
    licences: tuple[Name, ...] = Field(default=(), max_length=100)
    approvals: Annotated[int, Field(ge=1, le=20)] = 1
    self_approval: bool = True
    approval_days: Annotated[int, Field(ge=1, le=36500)] | None = None
    requests: bool = False
    identity: Literal["claimed", "proven"] = "claimed"
    signers: Annotated[str, Field(min_length=1, max_length=500)] | None = None
    directories: bool = False
    freeze: tuple[Window, ...] = Field(default=(), max_length=100)

    @field_validator("evidence")
    @classmethod
    def _known_kinds(cls, kinds: tuple[str, ...]) -> tuple[str, ...]:
        for kind in kinds:
            if kind not in EVIDENCE and "/" not in kind:
                raise ValueError(f"expected {', '.join(EVIDENCE)} or a media type")
        return kinds

    @model_validator(mode="after")
    def _requests_count(self) -> "Terms":
        strict = self.identity == "proven" or self.signers is not None
        if self.requests and (strict or self.approvals > 1 or not self.self_approval):
            raise ValueError("requests: of a tag nobody knows who set it, so it cannot count where that is asked")
        return self


class _File(_Part):
    schema_: Literal["promote.policy/1"] = Field(alias="schema")
    targets: dict[Name, Terms] = Field(max_length=1000)


@dataclass(frozen=True, slots=True)
class Policy:
    """What holds for one target.

    Args:
        terms: of it; the defaults ask for one approval where the target asks for a review, and nothing else.
        file: name of the file, empty where there is none.
        digest: of its bytes.
    """

    terms: Terms = field(default_factory=Terms)
    file: str = ""
    digest: str = ""


def parse_policy(text: str, origin: str, target: str) -> Policy:
    """What the file in ``text`` says of ``target``; of one that it does not name the defaults hold.

    Raises:
        InputError: no plain YAML, too large, or a key is unknown or wrong; the message names ``origin`` and the key.
    """
    file, name, digest = read_reviewed(text, origin, _File, _LARGEST, _HINT)
    return Policy(file.targets.get(target, Terms()), name, digest)


def _minute(text: str) -> int:
    """Of the week, from Monday 00:00."""
    day, _, clock = text.partition(" ")
    hour, _, minute = clock.partition(":")
    return _DAYS.index(day) * 1440 + int(hour) * 60 + int(minute)


def _stamp(moment: datetime.datetime) -> str:
    return moment.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%MZ")
