"""``promote check FOLDER --jsonl`` of thousands of files: what was written of one is written again where the same is said.

Not here: other forms, and models of repositories (``check_folder``).
"""

import json
import secrets
from dataclasses import dataclass, field

from promote.core.passport import plain
from promote.core.verdict import Finding, judge

# What facts call the file they were read from, so that equal facts of two files are equal. No file is called so, and the
# true name is put in its place when a finding is told.
ANY_FILE = f"{secrets.token_hex(8)}.onnx"
_MOST = 10_000  # texts remembered


@dataclass(slots=True)
class Lines:
    """Verdicts as lines of JSON.

    Args:
        target: its name.
    """

    target: str
    # By id: each holds on to what it was made from, so that nothing else gets that id.
    _verdicts: dict[int, tuple[tuple[Finding, ...], str, str]] = field(default_factory=dict)
    _findings: dict[int, tuple[Finding, str]] = field(default_factory=dict)

    def verdict(self, path: str, findings: tuple[Finding, ...]) -> tuple[str, str]:
        """The verdict's word, and one object: path, verdict, findings."""
        kept = self._verdicts.get(id(findings))
        if kept is None:
            _make_room(self._verdicts)
            verdict = judge("", self.target, findings)
            told = ", ".join([self._finding(finding) for finding in verdict.findings])
            kept = self._verdicts[id(findings)] = (findings, verdict.word, f"[{told}]")
        _, word, told = kept
        name = as_json(path.rpartition("/")[2])[1:-1]
        return word, f'{{"path": {as_json(path)}, "verdict": "{word}", "findings": {told.replace(ANY_FILE, name)}}}'

    def _finding(self, finding: Finding) -> str:
        kept = self._findings.get(id(finding))
        if kept is None:
            _make_room(self._findings)
            kept = self._findings[id(finding)] = (finding, as_json(plain(finding)))
        return kept[1]


def as_json(value: object) -> str:
    """JSON on one line that UTF-8 can hold: a file's name may be no text."""
    return json.dumps(value, ensure_ascii=False).encode(errors="backslashreplace").decode()


def _make_room(kept: dict[int, tuple[Finding, str]] | dict[int, tuple[tuple[Finding, ...], str, str]]) -> None:
    if len(kept) >= _MOST:
        kept.clear()
