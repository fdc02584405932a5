"""How quickly `promote check FOLDER` judges many small models and one large one, beside really loading them.

    python benchmarks/check.py [RELEASE]         onnx's own operator tests, and one model of 500 MB; 1.24.4 by default

The release is loaded from its public wheel, unpacked into .cache/kernels (tools/kernels.py), on the CPU provider.
"""

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.measure import best
from benchmarks.oracle import ROOT, load, models

PROMOTE = [sys.executable, "-m", "promote"]
ACCEPTED = (0, 10, 11)


def large_model(path: Path, megabytes: int) -> None:
    """One MatMul with its weights inside the file, opset 17."""
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rows = megabytes * 2**20 // 4 // 1024
    weights = numpy_helper.from_array(np.ones((1024, rows), np.float32), "w")
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 1024])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", rows])
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "large", [x], [y], [weights])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def check(path: Path, release: str) -> float:
    """Seconds of the whole command, start included; the quickest of three."""
    command = [*PROMOTE, "check", str(path), "--runtime", f"onnxruntime={release}", "--jsonl"]
    quiet = [sys.executable, "-c", f"import subprocess, sys; "
             f"sys.exit(subprocess.call({command!r}, stdout=subprocess.DEVNULL) not in {ACCEPTED})"]  # fmt: skip
    return best(quiet, times=3).seconds


def main() -> None:
    release = sys.argv[1] if len(sys.argv) > 1 else "1.24.4"
    with tempfile.TemporaryDirectory() as name:
        small, large = Path(name) / "small", Path(name) / "large" / "model.onnx"
        small.mkdir()
        large.parent.mkdir()
        large_model(large, 500)
        paths = models("", small)
        for what, path, files in ((f"{len(paths)} small models", small, paths), ("500 MB", large, [str(large)])):
            judged, loaded = check(path, release), load(ROOT / ".cache" / "kernels", release, files)[1]
            told = f"{what:<22} check {judged:6.2f} s, {len(files) / judged:8,.0f} models/s; load {loaded:6.2f} s"
            print(f"{told}, {judged / loaded:5.2f} x loading")


if __name__ == "__main__":
    main()
