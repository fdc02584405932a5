"""What `promote doctor` found, check by check: how it stands and what to do. Not here: how a thing is examined (``adapters``)."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Standing(StrEnum):
    """How a thing stands, worst first."""

    FAIL = "fail"
    WARN = "warn"
    OK = "ok"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    Args:
        name: of the check, ``registry-push``.
        standing: ``fail``: a promotion will stop there; ``warn``: it costs something, or may stop.
        has: what was found.
        remedy: what to do, a command where there is one; empty where nothing is to be done.
        exit_code: of the error that a promotion would end with; 0 where it would not.
    """

    name: str
    standing: Standing
    has: str
    remedy: str = ""
    exit_code: int = 0


def exit_code(checks: Sequence[Check]) -> int:
    """That of the first failure, else 0."""
    return next((check.exit_code or 1 for check in checks if check.standing is Standing.FAIL), 0)
