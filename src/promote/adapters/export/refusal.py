"""A failure of a child process that can be explained to the user.

In a file of its own because ``child`` runs as ``__main__``: a class defined there would exist twice.
"""


class Refusal(Exception):
    """A failure with an explanation for the user.

    Args:
        kind: ``export``, ``input`` or ``unavailable``: which error of ``promote.errors`` the parent raises.
        message: one line.
        hint: what to do, or empty.
    """

    def __init__(self, kind: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.kind, self.message, self.hint = kind, message, hint
