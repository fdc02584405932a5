"""How long `promote what-if` takes over 100,000 stored passports and 10 hosts, and how much memory.

python benchmarks/what_if.py [PASSPORTS] [--distinct N]...

The passports are as promote writes them: facts with every use of an operator, read off models that are built here (encoders
as a DistilBERT is exported, and convolutions, at every opset and in both precisions), params and metrics of a training run.
Retrained versions of one model share their facts: `--distinct` says how many different ones there are in all.
"""

import argparse
import dataclasses
import functools
import json
import random
import sys
import tempfile
from pathlib import Path

import onnx
from onnx import TensorProto, helper

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.measure import run
from promote.adapters.onnx_file import read_facts
from promote.core.extents import Activations
from promote.core.facts import Fact, ModelFacts, NodeUse
from promote.core.passport import canonical, plain
from promote.core.tensors import DType, TensorSpec

RELEASES = ("24.10", "24.12", "25.03", "25.05", "25.06", "25.08", "25.11", "26.02", "26.03", "26.04")
GPUS = ("RTX 4090", "L4", "RTX 6000 Ada", "A100", "T4", "L40S", "RTX 4090", "L4", "A10", "T4")


ENCODER = (
    ("Shape", "i", "n"), ("Gather", "nn", "n"), ("Unsqueeze", "nn", "n"), ("Concat", "nn", "n"), ("Range", "nnn", "n"),
    ("Gather", "fi", "f"), ("Add", "ff", "f"), ("LayerNormalization", "fff", "f"), ("MatMul", "ff", "f"),
    ("Reshape", "fn", "f"), ("Transpose", "f", "f"), ("Mul", "ff", "f"), ("Softmax", "f", "f"), ("Equal", "nn", "b"),
    ("Cast", "n", "b"), ("And", "bb", "b"), ("Expand", "bn", "b"), ("Where", "bff", "f"), ("Gelu", "f", "f"),
    ("Sqrt", "f", "f"), ("GreaterOrEqual", "nn", "b"), ("Cast", "b", "f"), ("Gemm", "fff", "f"), ("Constant", "", "n"),
    ("Squeeze", "nn", "n"), ("Add", "nn", "n"), ("Mul", "nn", "n"), ("Div", "ff", "f"), ("Split", "fn", "f"),
)  # fmt: skip
CONVOLUTION = (
    ("Conv", "fff", "f"), ("BatchNormalization", "fffff", "f"), ("Relu", "f", "f"), ("MaxPool", "f", "f"), ("Add", "ff", "f"),
    ("GlobalAveragePool", "f", "f"), ("Flatten", "f", "f"), ("Gemm", "fff", "f"), ("Clip", "fff", "f"), ("HardSwish", "f", "f"),
    ("HardSigmoid", "f", "f"), ("Mul", "ff", "f"), ("Concat", "ff", "f"), ("Resize", "f", "f"), ("Sigmoid", "f", "f"),
)  # fmt: skip
ATTRIBUTES = {"Gather": {"axis": 0}, "Concat": {"axis": -1}, "Transpose": {"perm": [0, 2, 1, 3]}, "Softmax": {"axis": -1},
              "LayerNormalization": {"axis": -1, "epsilon": 1e-12}, "Cast": {"to": 9}, "Gemm": {"transB": 1},
              "Constant": {"value_ints": [1]}, "MaxPool": {"kernel_shape": [3, 3]}, "Flatten": {"axis": 1}}  # fmt: skip


@functools.cache
def graph_facts(
    words: bool, half: bool, opset: int, variant: int
) -> tuple[frozenset[NodeUse], dict[str, tuple[int, int]]]:
    """The uses of operators of a model, and how often each: all of its family's but those that this variant does without."""
    left_out = random.Random(variant)
    types = {"f": TensorProto.FLOAT16 if half else TensorProto.FLOAT, "n": TensorProto.INT64, "i": TensorProto.INT64,
             "b": TensorProto.BOOL}  # fmt: skip
    nodes = [
        helper.make_node(op, list(taken), [f"{op}{number}"], **ATTRIBUTES.get(op, {}))
        for number, (op, taken, _) in enumerate(ENCODER if words else CONVOLUTION)
        if left_out.random() > 0.1
    ]
    inputs = [helper.make_tensor_value_info(name, kind, None) for name, kind in types.items()]
    graph = helper.make_graph(nodes, "g", inputs, [])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)]), path)
        found = read_facts(str(path))
        assert found.nodes
        assert found.tally
        return found.nodes.value, dict(found.tally.value)  # the tally is worked out late: now, while the file is there


def activations(random_: random.Random, words: bool) -> Activations:
    """As of a network this wide: nearly every model has its own."""
    wide = random_.randrange(64, 2048)
    if words:
        peak = ((16 * wide, ("batch", "sequence")), (48, ("batch", "sequence", "sequence")))
        return Activations((peak, ((28 * wide, ("batch", "sequence")),)), tensors=400, unsized=0)
    return Activations((((3200 * wide, ("batch",)),),), tensors=150, unsized=0)


def facts(random_: random.Random) -> ModelFacts:
    """One model's facts."""
    file = "model.onnx"
    half, width = random_.random() < 0.3, random_.choice((2, 3, 9, 128, 384, 768, 1000))
    words = random_.random() < 0.6
    inputs = (
        tuple(TensorSpec(n, DType("INT64"), ("batch", "sequence")) for n in ("input_ids", "attention_mask"))
        if words
        else (
            TensorSpec(
                "pixels", DType("FLOAT16" if half else "FLOAT"), ("batch", 3, random_.choice((224, 384, 640)), 224)
            ),
        )
    )
    weights = random_.randrange(10**6, 3 * 10**10)
    if random_.random() < 0.1:
        known = {"format": "tensorrt", "tensorrt": random_.choice(("10.13.3.9", "10.16.1.11", "10.4.0.26")), "arch": "x86_64",
                 "compute_capability": random_.choice(("7.5", "8.0", "8.6", "8.9")), "weights_bytes": weights,
                 "dtypes": frozenset({"FLOAT16"})}  # fmt: skip
    else:
        dtypes = {"INT64", "FLOAT16" if half else random_.choice(("FLOAT", "FLOAT", "BFLOAT16"))}
        opset = random_.randrange(11, 25)
        nodes, tally = graph_facts(words, half, opset, random_.randrange(12))
        known = {"format": "onnx", "nodes": nodes, "tally": tally, "activations": activations(random_, words),
                 "ir_version": random_.choice((8, 9, 10, 10, 11, 12)), "weights_bytes": weights,
                 "opsets": {"": opset} | ({"ai.onnx.ml": 3} if random_.random() < 0.1 else {}),
                 "inputs": inputs, "outputs": (TensorSpec("logits", DType("FLOAT"), ("batch", width)),),
                 "dtypes": frozenset(dtypes), "external": (),
                 "domains": frozenset({"", "com.microsoft"} if random_.random() < 0.1 else {""}),
                 "precision": "fp16" if half else "fp32"}  # fmt: skip
    known["producer"] = f"pytorch 2.{random_.randrange(4, 14)}.0"
    return ModelFacts(**{name: Fact(value, file, measured=True) for name, value in known.items()})


def inside(value: object, depth: int) -> bytes:
    """As ``canonical`` writes it so deep inside a passport, where text that many share is put in."""
    data = canonical({"": value} if depth == 1 else {"": {"": value}})
    head, tail = (b'{\n "": ', b"\n}\n") if depth == 1 else (b'{\n "": {\n  "": ', b"\n }\n}\n")
    return data.removeprefix(head).removesuffix(tail)


def write(folder: Path, number: int, distinct: int) -> None:
    """The passports, in folders as bundles have them: ``NAME/N/promote/passport.json``."""
    random_ = random.Random(7)
    uses: dict[int, bytes] = {}

    def told(one: ModelFacts) -> bytes:
        """Its facts; the uses of operators are written once for all models that share them."""
        if one.nodes is None:
            return inside(plain(one), 1)
        if id(one.nodes.value) not in uses:
            uses[id(one.nodes.value)] = inside(plain(one.nodes), 2)
        rest = inside(plain(dataclasses.replace(one, nodes=None)) | {"nodes": "@nodes"}, 1)
        return rest.replace(b'"@nodes"', uses[id(one.nodes.value)])

    kinds = [told(facts(random_)) for _ in range(distinct)] if distinct < number else []
    findings = [{"rule": f"rule-{i}", "outcome": "ok", "has": "opset 17", "needs": "opset 23 or lower", "confidence": "high",
                 "has_source": "model.onnx", "row": "onnxruntime 1.24.4", "source": "measured, and some words on it",
                 "remedy": ""} for i in range(15)]  # fmt: skip
    same = inside(findings, 1)
    for i in range(number):
        name, version = f"model-{i // 20}", i % 20 + 1
        passport = {
            "schema": "promote.passport/1", "name": name, "version": version, "verdict": "compatible",
            "target": {"name": "calypso"}, "matrix": "sha256:" + "7" * 64, "findings": "@findings",
            "files": {f"{name}/{version}/{f}": {"digest": "sha256:" + f"{i:064x}", "size": i}
                      for f in ("model.onnx", "labels.txt", "tokenizer/tokenizer.json", "promote/golden.safetensors")},
            "facts": "@facts",
            "lineage": {"run_id": f"{i:032x}", "params": {f"param_{k}": str(k * i) for k in range(20)},
                        "metrics": {f"metric_{k}": k / (i + 1) for k in range(20)}, "tags": {}},
        }  # fmt: skip
        at = folder / name / str(version) / "promote"
        at.mkdir(parents=True)
        data = canonical(passport)
        own = kinds[i // 20 % distinct] if kinds else told(facts(random_))
        data = data.replace(b'"@findings"', same).replace(b'"@facts"', own)
        if i % 1000 == 0:  # that this is what promote writes
            assert data == canonical(json.loads(data))
        (at / "passport.json").write_bytes(data)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("passports", type=int, nargs="?", default=100_000)
    parser.add_argument("--distinct", type=int, action="append", help="default: 3,000, then as many as passports")
    asked = parser.parse_args()
    for distinct in asked.distinct or (min(3000, asked.passports), asked.passports):
        measure(asked.passports, distinct)


def measure(passports: int, distinct: int) -> None:
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root) / "bundles"
        write(folder, passports, distinct)
        hosts = "".join(
            f'[targets.host{i}]\ndevice = "gpu"\narch = "x86_64"\ntriton = "{release}"\ngpu = "{gpu}"\n'
            f'driver = "580.95"\nmemory_gib = {(16, 24, 48, 80)[i % 4]}\n'
            for i, (release, gpu) in enumerate(zip(RELEASES, GPUS, strict=True))
        )
        (Path(root) / "promote.toml").write_text(hosts)
        # Exit codes that tell of the models are no failure here.
        (Path(root) / "quiet.py").write_text(
            "import sys\nfrom promote.cli.main import run\nsys.exit(run(sys.argv[1:]) in (1, 2, 3, 6))\n"
        )
        command = [sys.executable, str(Path(root) / "quiet.py"), "what-if", str(folder), "--triton", "26.06",
                   "--driver", "580.95", "--gpu", "RTX 5090", "--memory-gib", "32"]  # fmt: skip
        command += [word for i in range(10) for word in ("--target", f"host{i}")]
        size = (folder / "model-0/1/promote/passport.json").stat().st_size
        for form in ([], ["--jsonl"], ["--all", "--json"]):
            cost = run([*command, *form], cwd=Path(root))
            print(
                f"{passports:,} passports ({size:,} bytes the first), {distinct:,} different, 10 hosts "
                f"{' '.join(form):<12} {cost}",
                flush=True,
            )


if __name__ == "__main__":
    main()
