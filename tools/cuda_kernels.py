"""Rebuilds ``cuda_kernels.json.gz``: which operator versions and types each ONNX Runtime release implements on NVIDIA GPUs.

    python tools/cuda_kernels.py [--cache .cache/kernels] [--release 1.24.4 ...]

The public GPU wheel of every release in ``compat_matrix.yaml`` tells the kernels of its own CUDA provider, in a child process
and on any machine: NVIDIA's libraries are stood in for (``tools/stand_ins.py``), as a list of kernels needs none. A release
without a GPU wheel takes the newest one of its minor version, and the table says so; one without that has no row. What all
releases say is written once, as in ``tools/kernels.py``. Needs ``cc`` and binutils, and about 12 GB of disk.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tools.kernels import Numbered, kernel_record, merge, numpy_for, pack, pip, types_of
from tools.stand_ins import build

TABLE = ROOT / "cuda_kernels.json.gz"
PROVIDERS = ("libonnxruntime_providers_cuda.so", "libonnxruntime_providers_tensorrt.so")

# The child: the CUDA provider's kernels, as JSON in a file (a library may print to stdout).
ASK = """
import json, sys
from onnxruntime.capi import onnxruntime_pybind11_state as ort
kernels = [
    {
        "domain": k.domain, "name": k.op_name, "range": list(k.version_range),
        "types": {n: sorted(t) for n, t in k.type_constraints.items()},
    }
    for k in ort.get_all_opkernel_def() if k.provider == "CUDAExecutionProvider"
]
json.dump(kernels, open(sys.argv[1], "w"))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=Path, default=ROOT / ".cache" / "kernels", help="where wheels are kept")
    parser.add_argument("--release", action="append", help="these releases only; all of the matrix otherwise")
    parser.add_argument("--output", type=Path, default=TABLE)
    asked = parser.parse_args()
    matrix = yaml.safe_load((ROOT / "compat_matrix.yaml").read_text(encoding="utf-8"))
    said, sources = [], {}
    for release in asked.release or [row["version"] for row in matrix["onnxruntime"]]:
        wheel = fetch(asked.cache, release)
        if wheel is None:
            print(f"{release}: no GPU wheel of it or of its minor version", file=sys.stderr)
            continue
        said.append({"kernels": ask(asked.cache, wheel), "schemas": []})
        version = wheel.name.split("-")[1]
        sources[release] = {
            "source": f"onnxruntime-gpu {version}",
            "wheel": wheel.name,
            "sha256": hashlib.sha256(wheel.read_bytes()).hexdigest(),
        }
        print(f"{release}: {len(said[-1]['kernels'])} kernels of {wheel.name}", file=sys.stderr)
    data = pack(table(sources, said))
    asked.output.write_bytes(data)
    print(f"{asked.output.name}: {len(data):,} bytes, sha256:{hashlib.sha256(data).hexdigest()}", file=sys.stderr)


def fetch(cache: Path, release: str) -> Path | None:
    """The GPU wheel of that release, else the newest of its minor version; ``None`` where there is neither."""
    minor = ".".join(release.split(".")[:2])
    folder = cache / "gpu-wheels" / release
    for wanted in (f"=={release}", f"=={minor}.*"):
        if found := sorted(folder.glob("*.whl")):
            return found[0]
        try:
            arguments = ("--no-deps", "--only-binary", ":all:", "--dest", str(folder))
            pip("download", *arguments, f"onnxruntime-gpu{wanted}")
        except subprocess.CalledProcessError:
            continue
    return next(iter(sorted(folder.glob("*.whl"))), None)


def ask(cache: Path, wheel: Path) -> list[dict[str, Any]]:
    """The CUDA kernels the wheel tells of; what was unpacked for it (up to 800 MB) is removed again."""
    unpacked, answer = cache / "gpu-unpacked", cache / "gpu-answer.json"
    shutil.rmtree(unpacked, ignore_errors=True)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(unpacked, [name for name in archive.namelist() if ".dist-info/" not in name])
    capi = unpacked / "onnxruntime" / "capi"
    build([capi / name for name in PROVIDERS if (capi / name).exists()], unpacked / "stand-ins")
    path = os.pathsep.join((str(unpacked), numpy_for(cache, wheel.name.split("-")[1])))
    environ = dict(os.environ, PYTHONPATH=path, LD_LIBRARY_PATH=str(unpacked / "stand-ins"))
    # In a folder of its own: the tools' modules are not for the child.
    subprocess.run([sys.executable, "-c", ASK, str(answer.resolve())], env=environ, cwd=unpacked, check=True)
    kernels: list[dict[str, Any]] = json.loads(answer.read_text())
    shutil.rmtree(unpacked)
    answer.unlink()
    return kernels


def table(sources: dict[str, dict[str, str]], said: list[dict[str, Any]]) -> dict[str, Any]:
    """All releases' answers, each record once, sorted by what it says."""
    names = sorted({t for one in said for t in types_of(one)})
    number, sets = {name: n for n, name in enumerate(names)}, Numbered()
    kernels = merge(said, "kernels", lambda k: kernel_record(k, number, sets))
    return {
        "format": 1,
        "provider": "CUDAExecutionProvider",
        "releases": list(sources),
        "sources": sources,
        "types": names,
        "sets": [list(one) for one in sets.numbers],
        "kernels": kernels,
    }


if __name__ == "__main__":
    main()
