"""What progress prints: rate and time left, plain lines now and then, and one live line on a terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from promote.cli import progress

MIB = 2**20


class _Clock:
    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> _Clock:
    made = _Clock()
    monkeypatch.setattr(progress, "time", made)
    return made


def test_a_log_gets_a_line_every_ten_seconds_with_rate_and_time_left(
    clock: _Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with progress.Plain().stage("push", "ner") as step:
        for tenth in range(1201):
            clock.now = tenth / 10
            step.update(tenth * MIB, 2400 * MIB)
    lines = capsys.readouterr().err.splitlines()
    assert 10 <= len(lines) - 1 <= 12  # two minutes
    assert lines[0].endswith("(4 %), 10.0 MiB/s, 3:49 left")
    assert lines[-1].startswith("push     ner (120.0 s)")


def test_what_was_there_already_does_not_make_the_rate(clock: _Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with progress.Plain().stage("push", "ner") as step:
        step.update(1000 * MIB, 5000 * MIB)
        clock.now = 20.0
        step.update(1020 * MIB, 5000 * MIB)
    assert ", 1.0 MiB/s, 1:06:20 left" in capsys.readouterr().err


def test_nothing_moved_yet_tells_no_rate(clock: _Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with progress.Plain().stage("push", "ner") as step:
        step.update(0, 5000)
        clock.now = 11.0
        step.update(0, 5000)
    assert capsys.readouterr().err.splitlines()[0] == "push     ... 0 of 5,000 bytes (0 %)"


def test_other_units_have_no_rate(clock: _Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with progress.Plain().stage("check", "models") as step:
        step.update(1, 10, "models")
        clock.now = 11.0
        step.update(4, 10, "models")
    assert capsys.readouterr().err.splitlines()[0] == "check    ... 4 of 10 models (40 %)"


def test_a_terminal_gets_bytes_rate_and_time_left_on_one_line() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=120, color_system=None)
    with progress.Live(console).stage("push", "ner") as step:
        for done in (0, 256 * MIB, 512 * MIB):
            step.update(done, 1024 * MIB)
    assert "512.0/1024.0 MiB" in out.getvalue() or "0.5/1.0 GiB" in out.getvalue()
    assert out.getvalue().splitlines()[-1].endswith("✓ push     ner 0.0 s")
