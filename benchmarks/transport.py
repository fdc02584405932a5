"""Push and pull beside curl, skopeo and oras, all against one real registry (CNCF Distribution) on loopback.

    python benchmarks/transport.py [--case big|many|sparse] [--rounds N] [--folder DIR]

big: one file of 1 GiB. many: --files (5,000) files of 1 to 20 KB. sparse: one file of 10 GiB, holes only, promote alone.
Rounds are interleaved: each runs every peer once, in a registry that is empty and new. Digests are known beforehand, as skopeo
knows them from its layout, and what digesting the files took is printed. promote and oras are timed around the call, in a
process of their own; curl and skopeo as whole processes. Nobody syncs a pull to the disk (promote does it where files are placed
to be served); a pull by curl followed by `sync` says what that costs. curl moves one blob and verifies nothing. Peak memory is
the client's, and never below that of this process (some 50 MiB), which it is forked from. Needs docker-registry, curl and skopeo.
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.measure import Cost
from tests.parts.registry import run_registry

GIB = 1024**3


def digest_of(path: Path) -> str:
    """``sha256:`` and hex."""
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def make_files(case: str, folder: Path, number_of: int) -> dict[str, tuple[str, int]]:
    """Writes the files of a case; name to digest and size."""
    folder.mkdir()
    if case == "big":
        with (folder / "model.onnx").open("wb") as file:
            for _ in range(64):
                file.write(os.urandom(GIB // 64))
    elif case == "sparse":
        with (folder / "model.onnx").open("wb") as file:
            file.truncate(10 * GIB)
    else:
        for number in range(number_of):
            (folder / f"part{number:04}.bin").write_bytes(os.urandom(random.Random(number).randrange(1000, 20_000)))
    started = time.perf_counter()
    told = {path.name: (digest_of(path), path.stat().st_size) for path in sorted(folder.iterdir())}
    print(f"{case}: {len(told):,} files, digesting them took {time.perf_counter() - started:.2f} s", flush=True)
    return told


def make_layout(files: dict[str, tuple[str, int]], source: Path, root: Path) -> None:
    """The same files as an OCI layout, for skopeo."""
    blobs = root / "blobs/sha256"
    blobs.mkdir(parents=True)

    def put(data: bytes) -> dict[str, Any]:
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"digest": f"sha256:{digest}", "size": len(data)}

    layers = []
    for name, (digest, size) in files.items():
        os.link(source / name, blobs / digest.removeprefix("sha256:"))
        layers.append({"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest, "size": size})
    config = put(b"{}") | {"mediaType": "application/vnd.oci.image.config.v1+json"}
    kind = "application/vnd.oci.image.manifest.v1+json"
    manifest = put(json.dumps({"schemaVersion": 2, "mediaType": kind, "config": config, "layers": layers}).encode()) | {
        "mediaType": kind,
        "annotations": {"org.opencontainers.image.ref.name": "v1"},
    }
    (root / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [manifest]}))
    (root / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')


def timed(command: list[str], told: bool = False) -> Cost:
    """What a command cost: its own wall seconds, or those it printed."""
    started = time.perf_counter()
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=sys.stderr, env=os.environ | {"PYTHONPATH": f"{ROOT}/src:{ROOT}"}
    )
    assert process.stdout
    try:
        said = process.stdout.read()
    except BaseException:
        process.kill()
        process.wait()
        raise
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command[:4])} ended with {process.returncode}")
    return Cost(float(said.split()[-1]) if told else time.perf_counter() - started, usage.ru_maxrss / 1024)


def child(client: str, what: str, host: str, folder: str, files: dict[str, tuple[str, int]]) -> None:
    """One push or pull in this process; prints its seconds."""
    if client == "oras":
        import oras.client

        oras_client = oras.client.OrasClient(hostname=host, insecure=True)
        os.chdir(folder)
        started = time.perf_counter()
        if what == "push":
            oras_client.push(target=f"{host}/oras:v1", files=list(files))
        else:
            oras_client.pull(target=f"{host}/oras:v1", outdir=".")
    else:
        from promote.adapters.oci.registry import open_registry
        from promote.core.stages import Blob
        from tests.fakes.registry import Steps, make_bundle

        registry = open_registry(f"http://{host}/promote", env={})
        bundle = make_bundle({name: Blob(digest, size, f"{folder}/{name}") for name, (digest, size) in files.items()})
        started = time.perf_counter()
        if what == "push":
            registry.push(bundle, Steps())
        else:
            registry.fetch(registry.resolve("ner", "v1"), folder, Steps())
    print(time.perf_counter() - started)


def curl_push(host: str, digest: str, path: Path) -> Cost:
    """A bare monolithic PUT; opening the upload is not timed."""
    asked = ["curl", "-sS", "-o", "/dev/null", "-D", "-", "-X", "POST", f"http://{host}/v2/curl/blobs/uploads/"]
    head = subprocess.run(asked, check=True, capture_output=True, text=True).stdout
    place = next(line.split(None, 1)[1] for line in head.splitlines() if line.lower().startswith("location:"))
    kind = ["-H", "Content-Type: application/octet-stream"]
    return timed(["curl", "-sSf", "-o", "/dev/null", *kind, "-T", str(path), f"{place.strip()}&digest={digest}"])


def peers(
    case: str, host: str, base: Path, files: dict[str, tuple[str, int]], given: Path
) -> dict[str, Callable[[], Cost]]:
    """Every push, then every pull, by name."""
    source, layout, out = base / "files", base / "layout", base / "out"
    me = [sys.executable, __file__, "--given", str(given), "--host", host]
    remote = f"docker://{host}/skopeo:v1"
    copy = ["skopeo", "copy", "-q", "--preserve-digests"]
    digest, _ = next(iter(files.values()))
    get = f"curl -sSf -o {out}/got http://{host}/v2/curl/blobs/{digest}"
    mine: dict[str, Callable[[], Cost]] = {
        "push promote": lambda: timed([*me, "--child", "promote", "push", str(source)], told=True),
        "pull promote": lambda: timed([*me, "--child", "promote", "pull", str(out)], told=True),
    }
    others: dict[str, Callable[[], Cost]] = {
        "push skopeo": lambda: timed([*copy, "--dest-tls-verify=false", f"oci:{layout}:v1", remote]),
        "push oras": lambda: timed([*me, "--child", "oras", "push", str(source)], told=True),
        "pull skopeo": lambda: timed([*copy, "--src-tls-verify=false", remote, f"dir:{out}"]),
        "pull oras": lambda: timed([*me, "--child", "oras", "pull", str(out)], told=True),
    }
    bare: dict[str, Callable[[], Cost]] = {
        "push curl": lambda: curl_push(host, digest, source / "model.onnx"),
        "pull curl": lambda: timed(["sh", "-c", get]),
        "pull curl+sync": lambda: timed(["sh", "-c", f"{get} && sync {out}/got"]),
    }
    return mine | ({} if case == "sparse" else others) | (bare if case == "big" else {})


def one_round(case: str, base: Path, files: dict[str, tuple[str, int]], given: Path, shift: int) -> dict[str, Cost]:
    """Every peer once, pushes before pulls; the order turns with ``shift``."""
    costs = {}
    (base / "registry").mkdir()
    with run_registry(base / "registry") as real:
        work = peers(case, real.host, base, files, given)
        for kind in ("push", "pull"):
            names = [name for name in work if name.startswith(kind)]
            for name in names[shift % len(names) :] + names[: shift % len(names)]:
                (base / "out").mkdir()
                os.sync()  # nobody pays for what another wrote
                costs[name] = work[name]()
                print(f"  {name:16} {costs[name]}", flush=True)
                shutil.rmtree(base / "out")
    shutil.rmtree(base / "registry")
    return costs


def report(seen: list[dict[str, Cost]]) -> None:
    """Medians, quickest, ratio of promote to each peer (median of the rounds' ratios), peak memory."""
    for name in sorted(seen[0]):
        seconds = [costs[name].seconds for costs in seen]
        ratios = [costs[f"{name[:4]} promote"].seconds / costs[name].seconds for costs in seen]
        print(
            f"{name:16} median {statistics.median(seconds):7.2f} s  best {min(seconds):7.2f} s  promote/this "
            f"{statistics.median(ratios):5.2f}  peak {max(costs[name].peak_mib for costs in seen):6.0f} MiB",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", choices=("big", "many", "sparse"), default="big")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--files", type=int, default=5000)
    parser.add_argument("--folder", help="where files and the registry's storage lie; a new folder in it is used")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--given", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--host", help=argparse.SUPPRESS)
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # so that the registry ends as well
    if args.child:
        client, what, folder = args.child
        child(client, what, args.host, folder, json.loads(args.given.read_text()))
        return
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        base = Path(folder)
        files = make_files(args.case, base / "files", args.files)
        make_layout(files, base / "files", base / "layout")
        (base / "given.json").write_text(json.dumps(files))
        report([one_round(args.case, base, files, base / "given.json", shift) for shift in range(args.rounds)])


if __name__ == "__main__":
    main()
