"""What the second promotion sends when only the head was trained: a DistilBERT of 66 M parameters, exported twice.

    python benchmarks/fine_tune.py            random weights; then a new classifier on the same body
    python benchmarks/fine_tune.py --small    the example's small one, which is one file

Both exports are pushed as two versions to a real CNCF registry on loopback and to an OCI layout; counted is what promote says it
sent and by how much the files that registry or layout keeps grew. The same is done with all weights in one file, for comparison.
Needs docker-registry.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

import onnx

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.export import MAKE, Timed
from benchmarks.measure import run
from promote.adapters.export.exporter import TorchExporter, digest_file
from promote.adapters.export.sandbox import Limits
from promote.adapters.oci.registry import open_registry
from promote.adapters.onnx_file import read_facts
from promote.core.facts import ModelFacts
from promote.core.stages import Blob, Candidate, ExportPlan, Run, SourceModel
from tests.fakes.registry import Steps, make_bundle
from tests.parts.registry import run_registry

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


def in_one_file(files: dict[str, Blob], folder: Path) -> dict[str, Blob]:
    """The same export with all weights inside model.onnx."""
    folder.mkdir()
    onnx.save(onnx.load(files["model.onnx"].path), folder / "model.onnx")
    kept = {path: blob for path, blob in files.items() if not path.startswith("weights/")}
    return kept | {"model.onnx": digest_file(folder / "model.onnx")}


def kept_in(folder: Path) -> int:
    """Bytes of all files below."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def push_both(base: str, storage: Path, first: dict[str, Blob], tuned: dict[str, Blob]) -> str:
    """Pushes two versions; what the second, then the second again, cost."""
    registry = open_registry(base, env={})
    registry.push(make_bundle(first), Steps())
    before = kept_in(storage)
    second = make_bundle(tuned, version=2)
    release = registry.push(second, Steps())
    grew = kept_in(storage) - before
    again = registry.push(second, Steps())
    total = release.sent + release.skipped
    share = 100 * release.sent / total
    return f"{release.sent:>12,} of {total:,} bytes, {share:6.2f} %; kept {grew:,} more; sent again: {again.sent}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true")
    size = "small" if parser.parse_args().small else "full"
    offline = dict(os.environ, HF_HUB_OFFLINE="1", CUDA_VISIBLE_DEVICES="")
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        source = work / "model"
        run([sys.executable, "-c", MAKE, str(source), size], environ=offline)
        first = exported(source, work / "first")
        run([sys.executable, "-c", TRAIN, str(source)], environ=offline)
        tuned = exported(source, work / "tuned")
        again = exported(source, work / "again")
        print(f"{len(tuned)} files; exported twice the same: {digests(tuned) == digests(again)}")
        for path, blob in sorted(tuned.items()):
            if path not in first or first[path].digest != blob.digest:
                print(f"  new: {path:<24} {blob.size:>12,}")
        ways = {
            "in files": (first, tuned),
            "in one file": (in_one_file(first, work / "one"), in_one_file(tuned, work / "one tuned")),
        }
        for way, (before, after) in ways.items():
            home = work / way.replace(" ", "-")
            home.mkdir()
            with run_registry(home) as real:
                told = push_both(f"http://{real.host}/bench", real.storage, before, after)
            print(f"{way:<12} registry {told}")
            layout = home / "layout"
            print(f"{way:<12} layout   {push_both(f'oci:{layout}', layout, before, after)}", flush=True)


def digests(files: dict[str, Blob]) -> dict[str, str]:
    """Path -> digest."""
    return {path: blob.digest for path, blob in files.items()}


if __name__ == "__main__":
    main()
