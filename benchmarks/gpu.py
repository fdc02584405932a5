"""What only a GPU can show: PyTorch on CUDA against the exported ONNX, lower precisions, throughput, memory against its estimate.

    python benchmarks/gpu.py                a dated table for docs/verified.md, or one line that says why there is none
    python benchmarks/gpu.py --rehearse     the same on the CPU, to see that it runs: proves nothing of a GPU

A small encoder with weights at random is exported by torch with a dynamic batch. Without a GPU it ends with 0 and says so.
"""

import argparse
import datetime
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from promote.adapters.probe.nvidia_smi import cards_of
from promote.core.probe import Card
from promote.errors import PromoteError

WIDTH, LAYERS, SEQUENCE, BATCHES = 768, 6, 128, (1, 8, 32)


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    what: str
    measured: str
    note: str = ""


def probe() -> tuple[Card | None, str]:
    """The first GPU that nvidia-smi and torch agree on, or why there is none."""
    try:
        cards = cards_of()
    except PromoteError as error:
        return None, error.message
    if not cards:
        return None, "nvidia-smi lists none"
    import torch

    if not torch.cuda.is_available():
        return None, f"nvidia-smi lists {cards[0].name}, and torch {torch.__version__} has no CUDA that works with it"
    return cards[0], ""


def encoder(layers: int, width: int) -> Any:
    """Attention and two matrices a layer, weights by a seed; takes and gives ``(batch, sequence, width)``."""
    import torch
    from torch import nn

    class Layer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.ask, self.give = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
            self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)

        def forward(self, x: Any) -> Any:
            q, k, v = self.ask(self.first(x)).chunk(3, dim=-1)
            weights = torch.softmax(q @ k.transpose(-1, -2) / width**0.5, dim=-1)
            x = x + self.give(weights @ v)
            return x + self.down(torch.nn.functional.gelu(self.up(self.second(x))))

    torch.manual_seed(0)
    return nn.Sequential(*(Layer() for _ in range(layers))).eval()


def throughput(ask: Callable[[], object], wait: Callable[[], object], batch: int, seconds: float) -> float:
    """Samples a second, warm; ``wait`` returns when all that was asked is done."""
    for _ in range(3):
        ask()
    wait()
    started, asked = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        ask()
        wait()
        asked += batch
    return asked / (time.perf_counter() - started)


def difference(got: Any, want: Any) -> float:
    """Largest absolute difference, of arrays of one shape."""
    import numpy as np

    return float(np.abs(got.astype(np.float64) - want.astype(np.float64)).max())


def export(model: Any, sample: Any, path: Path) -> None:
    """The model as ONNX, its batch dynamic."""
    import torch

    batch = torch.export.Dim("batch")
    torch.onnx.export(
        model, (sample,), path, dynamo=True, dynamic_shapes=({0: batch},), input_names=["x"], output_names=["y"],
        opset_version=18, external_data=False, verbose=False,
    )  # fmt: skip


def session(path: Path) -> Any:
    """On CUDA where this ONNX Runtime has it."""
    import onnxruntime

    has = onnxruntime.get_available_providers()
    wanted = [name for name in ("CUDAExecutionProvider", "CPUExecutionProvider") if name in has]
    return onnxruntime.InferenceSession(path, providers=wanted)


def estimate(path: Path, batch: int) -> int:
    """What `memory-fit` counts: weights, and what is alive together at that batch, bytes."""
    from promote.adapters.onnx_file import read_facts
    from promote.core.extents import work_out

    facts = read_facts(str(path))
    assert facts.weights_bytes is not None
    peaks = facts.activations.value.peaks if facts.activations else ()
    sizes = [size for peak in peaks if (size := work_out(peak, {"batch": batch})) is not None]
    return facts.weights_bytes.value + max(sizes, default=0)


def measure(device: str, layers: int, width: int, batches: Sequence[int], seconds: float) -> list[Row]:
    """All rows; on ``cuda`` or, to rehearse, on ``cpu``."""
    import torch

    rows = []
    torch.backends.cuda.matmul.allow_tf32 = False  # fp32 is the measure: TF32 rounds to 10 bits
    model = encoder(layers, width).to(device)
    wait = torch.cuda.synchronize if device == "cuda" else (lambda: None)
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        path = Path(folder, "model.onnx")
        given = torch.randn(max(batches), SEQUENCE, width, generator=torch.Generator().manual_seed(1))
        export(encoder(layers, width), given[:2], path)
        want = model(given[:2].to(device)).cpu().numpy()
        run = session(path)
        where = run.get_providers()[0].removesuffix("ExecutionProvider")
        off = difference(run.run(None, {"x": given[:2].numpy()})[0], want)
        rows.append(Row(f"torch fp32 on {device} against ONNX fp32", f"{off:.2g}", f"ONNX Runtime on {where}"))
        for batch in batches:
            there = given[:batch].to(device)
            rate = throughput(lambda x=there: model(x), wait, batch, seconds)
            array = given[:batch].numpy()
            theirs = throughput(lambda x=array: run.run(None, {"x": x}), lambda: None, batch, seconds)
            rows.append(Row(f"fp32, batch {batch}", f"{rate:,.0f} a second", f"ONNX Runtime on {where}: {theirs:,.0f}"))
        rows += memory(model, given, device, path, max(batches)) if device == "cuda" else []
        for word, kind in (("fp16", torch.float16), ("bf16", torch.bfloat16)):
            low = encoder(layers, width).to(device, kind)
            there = given.to(device, kind)
            off = difference(low(there[:2]).float().cpu().numpy(), want)
            rate = throughput(lambda m=low, x=there: m(x), wait, len(given), seconds)
            rows.append(
                Row(f"torch {word} against torch fp32", f"{off:.2g}", f"{rate:,.0f} a second at batch {len(given)}")
            )
    return rows


def memory(model: Any, given: Any, device: str, path: Path, batch: int) -> list[Row]:
    """The estimate against what torch had allocated at most, while it answered one batch."""
    import torch

    torch.cuda.reset_peak_memory_stats()
    model(given[:batch].to(device))
    used, told = torch.cuda.max_memory_allocated(), estimate(path, batch)
    return [
        Row(
            f"memory at batch {batch}",
            f"{used / 2**20:,.0f} MiB",
            f"estimate {told / 2**20:,.0f} MiB, {told / used:.2f} of it",
        )
    ]


def table(rows: Sequence[Row], what: str, day: str) -> str:
    """Markdown, dated."""
    head = [f"On {day}, {what}:", "", "| what | measured | beside |", "|---|---|---|"]
    return "\n".join([*head, *(f"| {row.what} | {row.measured} | {row.note} |" for row in rows)])


def main(arguments: Sequence[str]) -> int:
    """Prints the table, or why there is none; 0 either way."""
    parser = argparse.ArgumentParser(description="what only a GPU can show")
    parser.add_argument("--rehearse", action="store_true", help="a tiny model on the CPU; proves nothing of a GPU")
    rehearse = parser.parse_args(arguments).rehearse
    day = datetime.datetime.now(datetime.UTC).date().isoformat()
    if rehearse:
        print(table(measure("cpu", 1, 32, (1, 2), 0.05), "a rehearsal on the CPU, which proves nothing of a GPU", day))
        return 0
    card, why = probe()
    if card is None:
        print(f"no GPU here: {why}; nothing was measured")
        return 0
    import onnxruntime
    import torch

    what = f"{card.name}, driver {card.driver}, torch {torch.__version__}, onnxruntime {onnxruntime.__version__}"
    print(table(measure("cuda", LAYERS, WIDTH, BATCHES, 2.0), what, day))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
