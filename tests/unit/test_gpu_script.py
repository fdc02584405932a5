"""``make gpu`` where no GPU is: it says so and is no failure; its parts that need none do what they say."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks import gpu
from promote.adapters.probe import nvidia_smi
from promote.core.probe import Card
from promote.errors import Unavailable


def test_without_nvidia_smi_it_says_no_gpu_and_ends_well(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert gpu.main([]) == 0
    assert capsys.readouterr().out == (
        "no GPU here: nvidia-smi cannot be run here: No such file or directory; nothing was measured\n"
    )


def test_a_gpu_that_torch_cannot_use_is_told_by_name(tmp_path, monkeypatch, capsys):
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("torch has CUDA here")
    script = tmp_path / "nvidia-smi"
    script.write_text(
        "#!/bin/sh\necho 'NVIDIA L4, 580.95.05, 23034, 8.9, [N/A], GPU-4b3a2f10-9c1d-4e5f-8a7b-0c1d2e3f4a5b'\n"
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert nvidia_smi.cards_of()[0].name == "NVIDIA L4"
    assert gpu.main([]) == 0
    assert "no GPU here: nvidia-smi lists NVIDIA L4, and torch" in capsys.readouterr().out


def test_nvidia_smi_that_fails_is_the_reason(monkeypatch):
    def fails():
        raise Unavailable("nvidia-smi ends with 9 on this machine: driver not loaded")

    monkeypatch.setattr(gpu, "cards_of", fails)
    assert gpu.probe() == (None, "nvidia-smi ends with 9 on this machine: driver not loaded")
    monkeypatch.setattr(gpu, "cards_of", tuple[Card, ...])
    assert gpu.probe() == (None, "nvidia-smi lists none")


def test_the_table_is_dated_and_names_what_it_was_measured_on():
    text = gpu.table([gpu.Row("a", "1", "b")], "NVIDIA L4, driver 580", "2026-11-24")
    assert text.splitlines() == [
        "On 2026-11-24, NVIDIA L4, driver 580:", "", "| what | measured | beside |", "|---|---|---|", "| a | 1 | b |",
    ]  # fmt: skip


def test_throughput_waits_for_what_was_asked_and_counts_samples():
    asked, waited = [], []
    rate = gpu.throughput(lambda: asked.append(1), lambda: waited.append(1), 4, 0.05)
    counted = len(asked) - 3  # the warm-up
    assert len(waited) == counted + 1
    assert 0 < rate <= 4 * counted / 0.05


def test_the_largest_difference_is_that_of_any_value():
    assert gpu.difference(np.array([1.0, 2.0]), np.array([1.0, 2.5])) == 0.5


@pytest.mark.slow
def test_a_rehearsal_on_the_cpu_runs_every_part_that_needs_no_gpu(capsys):
    pytest.importorskip("torch")
    assert gpu.main(["--rehearse"]) == 0
    out = capsys.readouterr().out
    assert "which proves nothing of a GPU" in out
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in out.splitlines() if line.startswith("| ")]
    values = {row[0]: row[1] for row in rows}
    assert float(values["torch fp32 on cpu against ONNX fp32"]) < 1e-4
    assert 0 < float(values["torch fp16 against torch fp32"]) < 0.1
    assert 0 < float(values["torch bf16 against torch fp32"]) < 0.5
    assert "fp32, batch 2" in values


def test_make_runs_this_script():
    makefile = (Path(__file__).resolve().parents[2] / "Makefile").read_text()
    assert "benchmarks/gpu.py" in makefile.partition("\ngpu:")[2].partition("\n\n")[0]
