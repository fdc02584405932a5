"""Rebuilds ``operator_kernels.json.gz``: which operator versions and types each ONNX Runtime release implements on CPUs.

    python tools/kernels.py [--cache .cache/kernels] [--release 1.24.4 ...]

The public wheel of every release in ``compat_matrix.yaml`` is fetched and unpacked (none is installed), and asked in a
child process for its own schemas and kernels. What all releases say is written once: a record names the releases it holds
in, as a bit mask in the order of ``releases``. The same wheels give the same bytes.
"""

import argparse
import gzip
import hashlib
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
TABLE = ROOT / "operator_kernels.json.gz"
INFINITE = 2**31 - 1
NUMPY = {True: "numpy<2", False: "numpy>=2"}  # wheels up to 1.18 were built against numpy 1

# The child: what one release says of itself, as JSON on stdout.
ASK = """
import json, sys
from onnxruntime.capi import onnxruntime_pybind11_state as ort
def formal(p):
    return [p.name, p.typeStr, int(p.option), bool(p.isHomogeneous), sorted(p.types)]
schemas = [
    {
        "domain": s.domain, "name": s.name, "since": s.since_version, "deprecated": bool(s.deprecated),
        "inputs": [formal(p) for p in s.inputs], "outputs": [formal(p) for p in s.outputs],
        "counts": [s.min_input, s.max_input, s.min_output, s.max_output],
        "attributes": sorted([n, int(a.type), bool(a.required)] for n, a in s.attributes.items()),
    }
    for s in ort.get_all_operator_schema()
]
kernels = [
    {
        "domain": k.domain, "name": k.op_name, "range": list(k.version_range),
        "types": {n: sorted(t) for n, t in k.type_constraints.items()},
    }
    for k in ort.get_all_opkernel_def() if k.provider == "CPUExecutionProvider"
]
json.dump({"schemas": schemas, "kernels": kernels}, sys.stdout)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=Path, default=ROOT / ".cache" / "kernels", help="where wheels are kept")
    parser.add_argument("--release", action="append", help="these releases only; all of the matrix otherwise")
    parser.add_argument("--output", type=Path, default=TABLE)
    asked = parser.parse_args()
    matrix = yaml.safe_load((ROOT / "compat_matrix.yaml").read_text(encoding="utf-8"))
    releases = asked.release or [row["version"] for row in matrix["onnxruntime"]]
    said = []
    sources = []
    for release in releases:
        wheel = fetch(asked.cache, release)
        sources.append({"wheel": wheel.name, "sha256": hashlib.sha256(wheel.read_bytes()).hexdigest()})
        said.append(ask(asked.cache, release, wheel))
        print(f"{release}: {len(said[-1]['schemas'])} schemas, {len(said[-1]['kernels'])} kernels", file=sys.stderr)
    data = pack(table(releases, sources, said))
    asked.output.write_bytes(data)
    print(f"{asked.output.name}: {len(data):,} bytes, sha256:{hashlib.sha256(data).hexdigest()}", file=sys.stderr)


def pip(*arguments: str) -> None:
    """Runs pip; its words go to stderr."""
    subprocess.run([sys.executable, "-m", "pip", *arguments, "--quiet"], check=True, stdout=sys.stderr)


def fetch(cache: Path, release: str) -> Path:
    """The wheel of that release for this Python and machine."""
    folder = cache / "wheels" / release
    if not list(folder.glob("*.whl")):
        pip("download", "--no-deps", "--only-binary", ":all:", "--dest", str(folder), f"onnxruntime=={release}")
    return next(iter(sorted(folder.glob("*.whl"))))


def ask(cache: Path, release: str, wheel: Path) -> dict[str, Any]:
    """What the wheel says of itself, asked in a child process."""
    environ = dict(os.environ, PYTHONPATH=unpack(cache, release, wheel))
    done = subprocess.run([sys.executable, "-c", ASK], env=environ, check=True, stdout=subprocess.PIPE)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def unpack(cache: Path, release: str, wheel: Path) -> str:
    """The wheel unpacked, with the NumPy it was built against; a PYTHONPATH that finds both."""
    unpacked = cache / "unpacked" / release
    if not unpacked.exists():
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(unpacked)
    return os.pathsep.join((str(unpacked), numpy_for(cache, release)))


def numpy_for(cache: Path, release: str) -> str:
    """A folder with the NumPy that wheels of that release were built against."""
    old = tuple(map(int, release.split(".")[:2])) < (1, 19)
    numpy = cache / f"numpy-{1 if old else 2}"
    if not numpy.exists():
        pip("install", "--no-deps", "--target", str(numpy), NUMPY[old])
    return str(numpy)


class Numbered:
    """Values by the number under which they are written once."""

    def __init__(self) -> None:
        self.numbers: dict[Any, int] = {}

    def __call__(self, value: Any) -> int:
        return self.numbers.setdefault(value, len(self.numbers))


def table(releases: list[str], sources: list[dict[str, str]], said: list[dict[str, Any]]) -> dict[str, Any]:
    """All releases' answers, each record once, sorted by what it says."""
    names = sorted({t for one in said for t in types_of(one)})
    number, sets = {name: n for n, name in enumerate(names)}, Numbered()
    schemas = merge(said, "schemas", lambda s: _schema(s, number, sets))
    kernels = merge(said, "kernels", lambda k: kernel_record(k, number, sets))
    return {
        "format": 1,
        "provider": "CPUExecutionProvider",
        "releases": releases,
        "sources": sources,
        "types": names,
        "sets": [list(one) for one in sets.numbers],
        "schemas": schemas,
        "kernels": kernels,
    }


def types_of(one: dict[str, Any]) -> Iterable[str]:
    for schema in one["schemas"]:
        for formal in (*schema["inputs"], *schema["outputs"]):
            yield from formal[4]
    for kernel in one["kernels"]:
        for types in kernel["types"].values():
            yield from types


def merge(said: list[dict[str, Any]], kind: str, record: Callable[[dict[str, Any]], str]) -> list[Any]:
    """Distinct records, each with the mask of the releases that gave it."""
    masks: dict[str, int] = {}
    for bit, one in enumerate(said):
        for entry in sorted(one[kind], key=lambda e: json.dumps(e, sort_keys=True)):
            text = record(entry)
            masks[text] = masks.get(text, 0) | 1 << bit
    return [[f"{mask:x}", *json.loads(text)] for text, mask in sorted(masks.items())]


def _schema(schema: dict[str, Any], number: dict[str, int], sets: Numbered) -> str:
    formals = [
        [
            [n, t, option, homogeneous, sets(tuple(number[x] for x in types))]
            for n, t, option, homogeneous, types in part
        ]
        for part in (schema["inputs"], schema["outputs"])
    ]
    head = [schema["domain"], schema["name"], schema["since"], schema["deprecated"]]
    return json.dumps([*head, schema["counts"], *formals, schema["attributes"]])


def kernel_record(kernel: dict[str, Any], number: dict[str, int], sets: Numbered) -> str:
    start, end = kernel["range"]
    types = {n: sets(tuple(sorted(number[t] for t in allowed))) for n, allowed in sorted(kernel["types"].items())}
    return json.dumps([kernel["domain"], kernel["name"], start, 0 if end >= INFINITE else end, types])


def pack(data: dict[str, Any]) -> bytes:
    """Canonical JSON in gzip without a time."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return gzip.compress(text.encode(), compresslevel=9, mtime=0)


if __name__ == "__main__":
    main()
