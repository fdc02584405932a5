"""How fast `promote check` reads and judges ONNX files, beside really loading the same files in ONNX Runtime, on one core.

    python benchmarks/check.py                  the operator models that come with the installed onnx package
    python benchmarks/check.py FOLDER           every .onnx file below FOLDER instead

Start included on both sides. Then one model with 500 MB of weights inside the file, and one with 10 GB beside it (files with
holes), which only promote reads: to load it takes its 10 GB of memory.
"""

import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import onnx
import onnxruntime
from onnx import TensorProto, helper

from benchmarks.measure import Cost, run
from benchmarks.oracle import LOAD, models

CHECK = [sys.executable, "-m", "promote", "check"]
RUNTIME = ["--runtime", f"onnxruntime={onnxruntime.__version__}", "--jsonl"]
WIDTH = 1024
TIMES = 3


def best(command: list[str], fed: Path | None = None) -> Cost:
    """The quickest of some runs; a verdict of any kind is no failure."""
    redirect = f' < "{fed}"' if fed else ""
    shell = ["sh", "-c", f'"$@"{redirect} || [ $? -eq 10 ] || [ $? -eq 11 ]', "sh", *command]
    return min((run(shell) for _ in range(TIMES)), key=lambda cost: cost.seconds)


def layers(count: int, *, beside: str = "") -> onnx.ModelProto:
    """So many square matrices one after the other, their values in the file or in the file ``beside`` it."""
    each = WIDTH * WIDTH * 4
    weights, nodes, at = [], [], "x"
    for n in range(count):
        weight = TensorProto(name=f"w{n}", data_type=TensorProto.FLOAT, dims=[WIDTH, WIDTH])
        if beside:
            weight.data_location = TensorProto.EXTERNAL
            for key, value in (("location", beside), ("offset", n * each), ("length", each)):
                weight.external_data.add(key=key, value=str(value))
        else:
            weight.raw_data = bytes(each)
        weights.append(weight)
        nodes.append(helper.make_node("MatMul", [at, f"w{n}"], [f"y{n}"]))
        at = f"y{n}"
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", WIDTH]) for name in ("x", at)]
    graph = helper.make_graph(nodes, "layers", ends[:1], ends[1:], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def make(path: str, count: int, beside: str = "") -> None:
    """Writes the model in a process of its own: a child counts the memory of the process that it was forked from."""
    run([sys.executable, __file__, "--make", path, str(count), beside])


def beside_loading(name: str, subject: str, paths: list[str], work: Path) -> None:
    """Prints what it takes to check, to load, and their ratio."""
    fed = work / "paths"
    fed.write_text("\n".join(paths))
    check, load = best([*CHECK, subject, *RUNTIME]), best([sys.executable, "-c", LOAD], fed)
    rate = f", {len(paths) / check.seconds:,.0f} models a second" if len(paths) > 1 else ""
    print(
        f"{name}{rate}\n  promote check   {check}\n  loading         {load}   check / load {check.seconds / load.seconds:.2f}"
    )


def main() -> None:
    if sys.argv[1:2] == ["--make"]:
        onnx.save(layers(int(sys.argv[3]), beside=sys.argv[4]), sys.argv[2])
        return
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    folder = sys.argv[1] if len(sys.argv) > 1 else ""
    with tempfile.TemporaryDirectory() as root:
        work = Path(root)
        (work / "small").mkdir()
        paths = models(folder, work / "small")
        beside_loading(f"{len(paths)} models", folder or str(work / "small"), paths, work)
        large = str(work / "large.onnx")
        make(large, 119)
        beside_loading(f"weights of {Path(large).stat().st_size:,} bytes inside", large, [large], work)
        Path(large).unlink()
        far, count = work / "far.onnx", 10 * 2**30 // (WIDTH * WIDTH * 4)
        make(str(far), count, "far.bin")
        with (work / "far.bin").open("wb") as file:
            file.truncate(count * WIDTH * WIDTH * 4)
        print(f"weights of 10 GiB beside\n  promote check   {best([*CHECK, str(far), *RUNTIME])}")


if __name__ == "__main__":
    main()
