"""Holds `promote check` against reality: every model really loaded in every ONNX Runtime release, on the CPU provider.

    python benchmarks/oracle.py                  the operator models that come with the installed onnx package
    python benchmarks/oracle.py FOLDER           every .onnx file below FOLDER instead

The public wheels are fetched by tools/kernels.py into .cache/kernels and unpacked, not installed. A release is asked in a
child process. What is printed is agreement; each disagreement is named with what the runtime said.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from promote.adapters.onnx_file import read_facts
from promote.cli.progress import Silent
from promote.core.matrix import bare_runtime
from promote.core.rules.engine import check
from promote.core.verdict import judge
from promote.wiring import open_wiring
from tools.kernels import fetch, unpack

LOAD = """
import json, sys
import onnxruntime as ort
options = ort.SessionOptions()
options.log_severity_level = 4
options.intra_op_num_threads = 1
options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
for path in sys.stdin.read().splitlines():
    try:
        ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        said = ""
    except Exception as error:
        said = str(error)[:300] or "refused"
    print(json.dumps([path, said]))
"""


def models(folder: str, made: Path) -> list[str]:
    """The model files, in order; onnx's own node tests are written to ``made`` where no folder is named."""
    if not folder:
        from onnx.backend.test.case.node import collect_testcases

        for case in collect_testcases(None):
            if case.model is not None:
                (made / f"{case.name}.onnx").write_bytes(case.model.SerializeToString())
    return sorted(str(path) for path in Path(folder or made).rglob("*.onnx"))


def load(cache: Path, release: str, paths: list[str]) -> tuple[dict[str, str], float]:
    """What the release says of each model, an empty text where it loads; and the seconds it took."""
    environ = dict(os.environ, PYTHONPATH=unpack(cache, release, fetch(cache, release)))
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", LOAD], env=environ, input="\n".join(paths), text=True, check=True, stdout=subprocess.PIPE
    )
    return dict(json.loads(line) for line in done.stdout.splitlines()), time.perf_counter() - began


def main() -> None:
    cache = ROOT / ".cache" / "kernels"
    with tempfile.TemporaryDirectory() as made:
        hold(models(sys.argv[1] if len(sys.argv) > 1 else "", Path(made)), cache)


def hold(paths: list[str], cache: Path) -> None:
    """Prints what promote and each release say of these models."""
    matrix = open_wiring(None, Silent()).matrix
    began = time.perf_counter()
    facts = {path: read_facts(path) for path in paths}
    reading = time.perf_counter() - began
    print(f"{len(paths)} models, their facts read in {reading:.1f} s")
    for row in matrix.tables.onnxruntime:
        target = bare_runtime(matrix, f"onnxruntime={row.version}")
        said, loading = load(cache, row.version, paths)
        began = time.perf_counter()
        words = {path: judge(path, row.version, check(facts[path], target, matrix)).word for path in paths}
        judging = time.perf_counter() - began
        wrong = [path for path in paths if (words[path] in ("compatible", "degraded")) != (said[path] == "")]
        print(
            f"onnxruntime {row.version:7} agreement {100 * (1 - len(wrong) / len(paths)):.3f} %, "
            f"judging {judging:.1f} s, loading {loading:.1f} s"
        )
        for path in wrong:
            print(f"    {words[path]}: {'/'.join(path.split('/')[-2:])}: {said[path][:160] or 'it loads'}")


if __name__ == "__main__":
    main()
