"""How long `promote what-if` takes over 100,000 stored passports and 10 hosts, and how much memory.

python benchmarks/what_if.py [PASSPORTS] [--distinct N]

The passports are as promote writes them, params and metrics of a training run included. Of their facts 3,000 combinations
are different: shapes, opsets, precisions, sizes, some TensorRT plans; retrained versions of one model share theirs.
"""

import argparse
import random
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.measure import run
from promote.core.facts import Fact, ModelFacts
from promote.core.passport import canonical, plain
from promote.core.tensors import DType, TensorSpec

RELEASES = ("24.10", "24.12", "25.03", "25.05", "25.06", "25.08", "25.11", "26.02", "26.03", "26.04")
GPUS = ("RTX 4090", "L4", "RTX 6000 Ada", "A100", "T4", "L40S", "RTX 4090", "L4", "A10", "T4")


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
        known = {"format": "onnx", "ir_version": random_.choice((8, 9, 10, 10, 11, 12)), "weights_bytes": weights,
                 "opsets": {"": random_.randrange(11, 25)} | ({"ai.onnx.ml": 3} if random_.random() < 0.1 else {}),
                 "inputs": inputs, "outputs": (TensorSpec("logits", DType("FLOAT"), ("batch", width)),),
                 "dtypes": frozenset(dtypes), "external": (),
                 "domains": frozenset({"", "com.microsoft"} if random_.random() < 0.1 else {""}),
                 "precision": "fp16" if half else "fp32"}  # fmt: skip
    known["producer"] = f"pytorch 2.{random_.randrange(4, 14)}.0"
    return ModelFacts(**{name: Fact(value, file, measured=True) for name, value in known.items()})


def write(folder: Path, number: int, distinct: int) -> None:
    """The passports, in folders as bundles have them: ``NAME/N/promote/passport.json``."""
    random_ = random.Random(7)
    kinds = [plain(facts(random_)) for _ in range(distinct)]
    findings = [{"rule": f"rule-{i}", "outcome": "ok", "has": "opset 17", "needs": "opset 23 or lower", "confidence": "high",
                 "has_source": "model.onnx", "row": "onnxruntime 1.24.4", "source": "measured, and some words on it",
                 "remedy": ""} for i in range(15)]  # fmt: skip
    for i in range(number):
        name, version = f"model-{i // 20}", i % 20 + 1
        passport = {
            "schema": "promote.passport/1", "name": name, "version": version, "verdict": "compatible",
            "target": {"name": "calypso"}, "matrix": "sha256:" + "7" * 64, "findings": findings,
            "files": {f"{name}/{version}/{f}": {"digest": "sha256:" + f"{i:064x}", "size": i}
                      for f in ("model.onnx", "labels.txt", "tokenizer/tokenizer.json", "promote/golden.safetensors")},
            "facts": kinds[random_.randrange(distinct)],
            "lineage": {"run_id": f"{i:032x}", "params": {f"param_{k}": str(k * i) for k in range(20)},
                        "metrics": {f"metric_{k}": k / (i + 1) for k in range(20)}, "tags": {}},
        }  # fmt: skip
        at = folder / name / str(version) / "promote"
        at.mkdir(parents=True)
        (at / "passport.json").write_bytes(canonical(passport))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("passports", type=int, nargs="?", default=100_000)
    parser.add_argument("--distinct", type=int, default=3000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root) / "bundles"
        write(folder, asked.passports, asked.distinct)
        hosts = "".join(
            f'[targets.host{i}]\ndevice = "gpu"\narch = "x86_64"\ntriton = "{release}"\ngpu = "{gpu}"\n'
            f'driver = "580.95"\nmemory_gib = {(16, 24, 48, 80)[i % 4]}\n'
            for i, (release, gpu) in enumerate(zip(RELEASES, GPUS, strict=True))
        )
        (Path(root) / "promote.toml").write_text(hosts)
        (Path(root) / "quiet.py").write_text(
            "import sys\nfrom promote.cli.main import run\nsys.exit(run(sys.argv[1:]) in (1, 2, 3, 6))\n"
        )
        command = [
            sys.executable,
            str(Path(root) / "quiet.py"),
            "what-if",
            str(folder),
            "--triton",
            "26.06",
            "--driver",
            "580.95",
        ]
        command += ["--gpu", "RTX 5090", "--memory-gib", "32"]
        command += [word for i in range(10) for word in ("--target", f"host{i}")]
        for form in ([], ["--jsonl"], ["--all", "--json"]):
            cost = run([*command, *form], cwd=Path(root))
            print(f"{asked.passports:,} passports, {asked.distinct:,} different, 10 hosts {' '.join(form):<14} {cost}")


if __name__ == "__main__":
    main()
