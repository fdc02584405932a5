"""How quickly `promote --help` and `promote check` answer, beside an interpreter that does nothing.

python benchmarks/start.py
"""

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.measure import best

PROMOTE = str(Path(sys.executable).parent / "promote")


def tiny_model(path: Path) -> None:
    """One Relu, opset 17."""
    import onnx
    from onnx import TensorProto, helper

    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 4])
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "tiny", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model.onnx"
        tiny_model(model)
        bare = best([sys.executable, "-c", "pass"])
        rows = {
            "python -c pass": bare,
            "import onnx": best([sys.executable, "-c", "import onnx"]),
            "promote --help": best([PROMOTE, "--help"]),
            "promote check (tiny model)": best([PROMOTE, "check", str(model), "--runtime", "onnxruntime=1.24.4"]),
            "import mlflow": best([sys.executable, "-c", "import mlflow"], times=2),
        }
    for name, cost in rows.items():
        print(f"{name:<28} {cost}   {cost.seconds / bare.seconds:5.1f} x bare")


if __name__ == "__main__":
    main()
