"""The export stage against a bare `torch.onnx.export` of the same model, in the same run; and each stage's time.

    python benchmarks/export.py            the full-size DistilBERT, 66 M parameters, random weights
    python benchmarks/export.py --small    the example's small one

The proof (running both models on the samples) is not part of the ratio: a bare export proves nothing.
The bare export is a script that loads the same safetensors, exports with the same opset and dynamic axes, and saves.
"""

import argparse
import os
import resource
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.measure import run
from promote.adapters.export.exporter import TorchExporter, digest_file
from promote.adapters.export.sandbox import Limits
from promote.adapters.onnx_file import read_facts
from promote.core.facts import ModelFacts
from promote.core.parity import DEFAULT_TOLERANCES, compare
from promote.core.stages import Candidate, ExportPlan, Run, SourceModel

BARE = """
import sys, torch, transformers
transformers.logging.set_verbosity_error()
model = transformers.DistilBertForTokenClassification.from_pretrained(sys.argv[1], local_files_only=True).eval()
inputs = {n: torch.ones(4, 32, dtype=torch.int64) for n in ("input_ids", "attention_mask")}
shapes = {n: {0: "batch", 1: "sequence"} for n in inputs}
program = torch.onnx.export(model, (), kwargs=inputs, dynamo=True, opset_version=20, dynamic_shapes=shapes, verbose=False)
program.save(sys.argv[2])
"""
MAKE = """
import sys, torch, transformers
small = dict(n_layers=2, dim=128, hidden_dim=256, n_heads=4, vocab_size=2000) if sys.argv[2] == "small" else {}
torch.manual_seed(0)
config = transformers.DistilBertConfig(num_labels=17, **small)
transformers.DistilBertForTokenClassification(config).save_pretrained(sys.argv[1])
"""


class Timed:
    """A step that notes when each word was said."""

    def __init__(self) -> None:
        self.said: list[tuple[float, str]] = []

    def say(self, text: str) -> None:
        self.said.append((time.perf_counter(), text))

    def update(self, done: int, total: int, unit: str = "bytes") -> None:
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true")
    size = "small" if parser.parse_args().small else "full"
    offline = dict(os.environ, HF_HUB_OFFLINE="1", CUDA_VISIBLE_DEVICES="")
    with tempfile.TemporaryDirectory() as folder, nullcontext(Path(folder)) as work:
        source = work / "model"
        run([sys.executable, "-c", MAKE, str(source), size], environ=offline)
        files = {f"model/{p.name}": digest_file(p) for p in source.iterdir()}
        model = SourceModel(name="ner", flavour="transformers", root=str(work), files=files, entry="model", digest="-")
        exporter = TorchExporter(work, read_facts, Limits())
        step = Timed()
        started = time.perf_counter()
        candidate = Candidate(Run(run_id="benchmark"), model, ModelFacts())
        export, outputs = exporter.export(candidate, ExportPlan(opset=20, ir_version=10, max_batch_size=8), step)
        ended = time.perf_counter()
        proof = compare(outputs.source, outputs.exported, DEFAULT_TOLERANCES["fp32"])
        compared = time.perf_counter()
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024  # before the bare export, which is one too
        bare = run([sys.executable, "-c", BARE, str(source), str(work / "bare.onnx")], environ=offline)
        sizes = sum(blob.size for blob in export.files.values())
    times = [moment for moment, _ in step.said] + [ended]
    samples = sum(t2 - t1 for (t1, w), t2 in zip(step.said, times[1:], strict=True) if "sample" in w or "Runtime" in w)
    stage = ended - started - samples
    print(f"{size} model, {sizes:,} bytes exported, {type(proof).__name__}")
    print(f"bare torch.onnx.export       {bare}")
    print(f"export, without the proof    {stage:7.2f} s  {peak:8.0f} MiB   {stage / bare.seconds:.2f} x bare")
    print("each step of it:")
    print(f"  start of the child         {times[0] - started:7.2f} s")
    for (moment, words), after in zip(step.said, times[1:], strict=True):
        print(f"  {words:<26.60} {after - moment:7.2f} s")
    print(f"parity, comparing            {compared - ended:7.2f} s")


if __name__ == "__main__":
    main()
