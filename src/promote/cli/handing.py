"""``--summary FILE`` and ``--outputs FILE``: what a workflow shows and what its next step reads.

Not here: their text (``core.summary_page``). Both are appended, as GITHUB_STEP_SUMMARY and GITHUB_OUTPUT ask for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from promote.core.review import APPROVED, NOT_REQUIRED
from promote.core.summary_page import output_lines, reasons_page, verdict_page
from promote.errors import InputError

if TYPE_CHECKING:
    from promote.core.verdict import Finding


@dataclass(frozen=True, slots=True)
class Handing:
    """Where to write; an empty name asks for nothing."""

    summary: str = ""
    outputs: str = ""

    def verdict(self, word: str, target: str, findings: Sequence[Finding], facts: Mapping[str, str]) -> None:
        """The verdict's table."""
        _append(self.summary, lambda: verdict_page(word, target, findings, facts))

    def reasons(self, word: str, reasons: Sequence[str]) -> None:
        """A refusal without findings."""
        _append(self.summary, lambda: reasons_page(word, reasons))

    def give(self, **values: str) -> None:
        """``name=value`` lines for the next step."""
        _append(self.outputs, lambda: output_lines(values))


def state_of(review: str) -> str:
    """``approved`` where the release may be deployed, as no review is required or it was approved; else its word."""
    return APPROVED if review == NOT_REQUIRED else review


def _append(path: str, text: Callable[[], str]) -> None:
    if not path:
        return
    try:
        with Path(path).open("a", encoding="utf-8") as handle:
            handle.write(text())
    except OSError as error:
        raise InputError(
            f"{path} cannot be written: {error.strerror}", hint="--summary and --outputs name files"
        ) from error
