"""What the agent on a host decides without touching anything: what to try, how long to wait, what it remembers.

Not here: what may be deployed. That is the review's and the rules' to say, in ``pipeline.deploy``.
"""

import re
from collections.abc import MutableMapping
from dataclasses import dataclass, replace

from promote.core.facts import Target

_RESERVED = re.compile(r"(?i)latest|v\d+")
UNAVAILABLE = 5
"""The exit code of what was down."""
LONGEST_PAUSE = 3600.0
LONGEST_PAUSE_UNAVAILABLE = 300.0  # what was down and is up again shall not wait an hour


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The version that shall serve.

    Args:
        version: of the model.
        reference: what is asked of the registry: ``vN``, or a digest where a tag of the registry named it.
        approved: MLflow says so already; a refusal then is of the host as it is, which costs fetching every byte.
    """

    version: int
    reference: str
    approved: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """What the agent remembers of one model on one target, also when it is started anew.

    Args:
        reference: what it tried last.
        version: of that.
        failures: tries of it that failed, one after the other.
        until: Unix seconds; it is not tried again before.
        word: what came of it: ``live``, ``failed``, or that of a refusal.
        code: the exit code of a failure.
        outcome: what came of it, in words for a reviewer; empty: nothing to say.
        key: what came of it, without what differs from one try to the next.
        reported: the key that the reviewer was told last.
        tag: digest that the registry's tag had when it was seen last while MLflow was away; ``-``: there was none.
    """

    reference: str = ""
    version: int = 0
    failures: int = 0
    until: float = 0.0
    word: str = ""
    code: int = 0
    outcome: str = ""
    key: str = ""
    reported: str = ""
    tag: str = ""

    def waits(self, reference: str, now: float) -> bool:
        """It failed, and the time to try it again has not come."""
        return self.reference == reference and now < self.until

    def came(self, wanted: Wanted, word: str, code: int, outcome: str) -> "Remembered":
        """After a try that came to an answer, which may be a refusal: it may be asked again at once."""
        key = f"{wanted.reference} {word} {code}"
        return replace(
            self, reference=wanted.reference, version=wanted.version, failures=0, until=0.0, word=word, code=code,
            outcome=outcome, key=key,
        )  # fmt: skip

    def failed(self, wanted: Wanted, code: int, outcome: str, now: float, pause: float) -> "Remembered":
        """After a try that failed; ``pause`` is the first, and grows."""
        failures = self.failures + 1 if self.reference == wanted.reference else 1
        grown = self.came(wanted, "failed", code, outcome)
        # A disturbance that is over by the next try is not worth a reviewer's time.
        told = grown if failures > 1 or code != UNAVAILABLE else replace(grown, outcome=self.outcome, key=self.key)
        return replace(told, failures=failures, until=now + pause_after(failures, pause, code))


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that came of a round.

    Args:
        kind: ``in-step``, ``deployed``, ``restored`` (the live version is loaded again), ``refused``, ``failed``, ``waiting``
            (for the next try), ``caught-up`` (MLflow was told what it missed), ``desired`` (where that was read),
            ``answers`` (Triton), or ``unreachable``.
        model: empty where it is about the target.
        version: of the model.
        digest: of what serves now.
        reference: ``repository@sha256:...`` of what serves now.
        word: of a refusal, also of the one that is waited after; of ``desired``: ``mlflow`` or ``registry``.
        text: why, one line.
        code: exit code of the failure, also of the one that is waited after.
        seconds: how long it took, or until the next try.
    """

    kind: str
    model: str = ""
    version: int = 0
    digest: str = ""
    reference: str = ""
    word: str = ""
    text: str = ""
    code: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """Who brings what to where.

    Args:
        target: the host.
        by: user and host of the agent.
        memory: by model; changed as the round goes on.
        pause: seconds, the first after a failure.
        models: those that the registry is asked for where MLflow cannot be reached, beside those of the record.
    """

    target: Target
    by: str
    memory: MutableMapping[str, Remembered]
    pause: float
    models: tuple[str, ...] = ()

    def of(self, name: str) -> Remembered:
        """What is remembered of a model."""
        return self.memory.get(name, Remembered())


def pause_after(failures: int, first: float, code: int) -> float:
    """Seconds before the next try: twice as long each time, up to an hour, or five minutes where something was down."""
    longest = LONGEST_PAUSE_UNAVAILABLE if code == UNAVAILABLE else LONGEST_PAUSE
    return min(first * 2.0 ** min(failures - 1, 30), max(longest, first))


def tag_of(target: str) -> str:
    """The registry's tag that names the desired version where MLflow cannot be reached; ``vN`` and ``latest`` mean others."""
    return f"target-{target}" if _RESERVED.fullmatch(target) else target


def seconds(text: str) -> float | None:
    """``30``, ``30s``, ``5m`` or ``1h`` in seconds; ``None`` for any other form, or less than a second."""
    match = re.fullmatch(r"(\d{1,6}(?:\.\d{1,3})?)([smh]?)", text)
    found = float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]] if match else 0.0
    return found if found >= 1 else None
