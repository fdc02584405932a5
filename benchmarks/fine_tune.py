"""What the second promotion sends when only the head was trained: a DistilBERT of 66 M parameters, exported twice.

    python benchmarks/fine_tune.py            random weights; then a new classifier on the same body
    python benchmarks/fine_tune.py --small    the example's small one, which is one file

Counted are the files whose digest is new, as a registry has the others already; and what one file for all weights would cost.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.export import MAKE, Timed
from benchmarks.measure import run
from promote.adapters.export.exporter import TorchExporter, digest_file
from promote.adapters.export.sandbox import Limits
from promote.adapters.onnx_file import read_facts
from promote.core.facts import ModelFacts
from promote.core.stages import Blob, Candidate, ExportPlan, Run, SourceModel

TRAIN = """
import sys, torch, transformers
transformers.logging.set_verbosity_error()
model = transformers.DistilBertForTokenClassification.from_pretrained(sys.argv[1], local_files_only=True)
with torch.no_grad():
    model.classifier.weight += 0.01 * torch.randn_like(model.classifier.weight)
    model.classifier.bias += 0.01
model.save_pretrained(sys.argv[1])
"""


def exported(source: Path, work: Path) -> dict[str, Blob]:
    """Path -> blob of the export's files."""
    work.mkdir()
    files = {f"model/{p.name}": digest_file(p) for p in source.iterdir()}
    model = SourceModel(
        name="ner", flavour="transformers", root=str(source.parent), files=files, entry="model", digest="-"
    )
    candidate = Candidate(Run(run_id="benchmark"), model, ModelFacts())
    export, _ = TorchExporter(work, read_facts, Limits()).export(
        candidate, ExportPlan(opset=20, ir_version=10, max_batch_size=8), Timed()
    )
    return dict(export.files)


def digests(files: dict[str, Blob]) -> dict[str, str]:
    """Path -> digest."""
    return {path: blob.digest for path, blob in files.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true")
    size = "small" if parser.parse_args().small else "full"
    offline = dict(os.environ, HF_HUB_OFFLINE="1", CUDA_VISIBLE_DEVICES="")
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "model"
        run([sys.executable, "-c", MAKE, str(source), size], environ=offline)
        first = exported(source, Path(folder) / "first")
        again = exported(source, Path(folder) / "again")
        run([sys.executable, "-c", TRAIN, str(source)], environ=offline)
        tuned = exported(source, Path(folder) / "tuned")
    there = {blob.digest for blob in first.values()}
    total = sum(blob.size for blob in tuned.values())
    print(f"{len(tuned)} files, {total:,} bytes; exported twice the same: {digests(first) == digests(again)}")
    sent = {path: blob.size for path, blob in tuned.items() if blob.digest not in there}
    new = sum(sent.values())
    print(f"new after training the head: {new:,} bytes, {100 * new / total:.2f} %, in {len(sent)} files")
    for path, bytes_ in sorted(sent.items()):
        print(f"  {path:<24} {bytes_:>12,}")


if __name__ == "__main__":
    main()
