"""Work folders: gone with their command, and what a killed one left gone with the next; a living one's is left alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from promote.adapters.work_folder import work_folder
from promote.errors import ExportError

_HOLD = """
import sys
from pathlib import Path
from promote.adapters.work_folder import work_folder
with work_folder(Path(sys.argv[1])) as work:
    (work / "deep").mkdir()
    (work / "deep/model.onnx").write_bytes(b"weights")
    (work / "deep/child.log").write_text("why")
    print(work, flush=True)
    sys.stdin.read()
"""


def test_what_a_killed_command_left_goes_with_the_next_but_for_its_log(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout
        theirs = Path(other.stdout.readline().strip())
        with work_folder(tmp_path) as mine:
            assert mine.parent == theirs.parent == tmp_path
            assert (theirs / "deep/model.onnx").read_bytes() == b"weights"  # it is alive
        os.kill(other.pid, signal.SIGKILL)
        other.wait(10)
    assert (theirs / "deep/model.onnx").exists()
    with work_folder(tmp_path) as mine:
        assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == ["child.log"]
    assert not mine.exists()


@pytest.mark.parametrize(("error", "left"), [(ExportError("no"), ["child.log"]), (KeyboardInterrupt(), []), (None, [])])
def test_a_folder_goes_with_its_command(tmp_path: Path, error: BaseException | None, left: list[str]) -> None:
    with suppress(ExportError, KeyboardInterrupt), work_folder(tmp_path, logs_after=ExportError) as work:
        (work / "model.onnx").write_bytes(b"weights")
        (work / "child.log").write_text("why")
        if error:
            raise error
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == left


def test_nothing_is_followed_out_of_it(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("kept")
    root = tmp_path / "root"
    (root / "work-left").mkdir(parents=True)
    (root / "work-left/link").symlink_to(outside)
    (root / "work-link").symlink_to(outside)
    with work_folder(root):
        assert not (root / "work-left").exists()
    assert (outside / "kept").read_text() == "kept"
