"""Everything that can go wrong, with one exit code per class.

A refusal (incompatible, parity failed, not approved) is a *value* of ``core`` with reasons; an exception of this
module means that no answer could be given::

    PromoteError                  1   a fault of promote itself when raised bare
    ├── InputError                2   what was asked makes no sense: a name, a setting, a file
    ├── NotFound                  3   a run, model, target, bundle or file is not there
    ├── AuthError                 4   credentials are missing or refused
    ├── Unavailable               5   a server or disk does not answer now; the same command may work later
    ├── IntegrityError            6   bytes are not what their digest or format says
    ├── ExportError               7   the model cannot be exported
    ├── DeployFailed             15   the target refused or answered wrongly; the former version serves
    └── Interrupted             130   a person or the system asked to stop

``EXIT_CODES`` is the whole table, the values' codes included; ``promote --help`` and the docs print it.
"""

from typing import ClassVar

EXIT_CODES: dict[int, str] = {
    0: "done",
    1: "a fault of promote itself",
    2: "bad input or settings",
    3: "not found",
    4: "credentials missing or refused",
    5: "unavailable, try again",
    6: "integrity: bytes are not what they claim",
    7: "the model cannot be exported",
    10: "incompatible with the target",
    11: "undecided: a needed fact is unknown",
    12: "parity, metric or policy gate failed",
    13: "not approved yet",
    14: "rejected by a reviewer",
    15: "deploy failed, the former version serves",
    130: "interrupted",
}


class PromoteError(Exception):
    """No answer could be given.

    Args:
        message: one line: what, which, expected.
        hint: what the reader can do about it, one line; empty takes the class's own.
    """

    exit_code: ClassVar[int] = 1
    usual_hint: ClassVar[str] = "this is a fault of promote: please report it"

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint or self.usual_hint


class InputError(PromoteError):
    """What was asked makes no sense; asking again will not help."""

    exit_code = 2
    usual_hint = "promote --help, or the settings that promote.toml and the environment give"


class NotFound(PromoteError):
    """The thing named does not exist where it was looked for."""

    exit_code = 3
    usual_hint = "check the name, and where it is looked for: promote.toml and the environment say so"


class AuthError(PromoteError):
    """Credentials are missing, wrong, or lack a right."""

    exit_code = 4
    usual_hint = "credentials come from the environment, docker's configuration or the AWS chain"


class Unavailable(PromoteError):
    """A server, disk or network does not answer now; the same command may work later."""

    exit_code = 5
    usual_hint = "see that it is up, then run the same command again"


class IntegrityError(PromoteError):
    """Bytes are not what their digest, size or format says."""

    exit_code = 6
    usual_hint = "do not use these bytes: fetch or promote them again"


class ExportError(PromoteError):
    """The model cannot be exported, or its export broke a limit."""

    exit_code = 7
    usual_hint = "run it where the model was trained, with the same library versions"


class DeployFailed(PromoteError):
    """The target refused the model or answered wrongly; the former version serves.

    Args:
        message: as ``PromoteError``.
        hint: likewise.
        versions: which versions the server refused, where it says.
    """

    exit_code = 15
    usual_hint = "promote status shows what serves"

    def __init__(self, message: str, *, hint: str = "", versions: frozenset[int] = frozenset()) -> None:
        super().__init__(message, hint=hint)
        self.versions = versions


class Interrupted(PromoteError):
    """A person or the system asked to stop; what was finished is kept."""

    exit_code = 130
    usual_hint = "what was finished is kept: run the same command again to go on"
