"""What a deployment and a rollback cost on a real Triton, beside the same by hand, and what clients notice of them.

python benchmarks/deploy.py [CYCLES] [--megabytes N]    (needs PROMOTE_TRITON_CARRIER)

*By hand* is what a person would do without promote: copy the files into the model repository, ask Triton to load, ask until the
first right answer. *The deployment* is that of the same files from a bundle on the same disk to the same point, in a process that
runs already: resolved, verified, judged, placed, loaded; its golden replay is told apart. *The command* is `promote deploy` as it
is typed, from its start to the first right answer that somebody gets who asks all the time. The three are taken in turn, in one
run, after a round that is not counted. Then versions are deployed and rolled back while clients ask all the time: each error and
each answer that belongs to no version counts as lost.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from tritonclient.grpc import InferenceServerClient

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from examples.local_triton.launch import start
from promote.adapters.oci.registry import open_registry
from promote.adapters.triton_server import TritonServer
from promote.pipeline import prove, rollback
from tests.fakes.bundle import samples, times
from tests.fakes.world import DESK
from tests.parts.killing import real_world

X = samples(1.0)["typical"][0]["x"]


def padded(weight: float, megabytes: int) -> bytes:
    """The model that multiplies, with weights of some size that nothing reads."""
    import onnx
    from onnx import numpy_helper

    model = onnx.load_from_string(times(weight))
    rows = np.random.default_rng(int(weight * 10)).random((megabytes, 262_144), np.float32)
    model.graph.initializer.append(numpy_helper.from_array(rows, "unused"))
    model.graph.node[0].output[0] = "h"
    model.graph.initializer.append(numpy_helper.from_array(np.zeros(2, np.int64), "at"))
    model.graph.node.add(op_type="GatherND", input=["unused", "at"], output=["one"])
    model.graph.node.add(op_type="Mul", input=["one", "zero"], output=["none"])
    model.graph.initializer.append(numpy_helper.from_array(np.float32(0), "zero"))
    model.graph.node.add(op_type="Add", input=["h", "none"], output=["y"])
    return model.SerializeToString()


def by_hand(bench, source: Path, repository: Path, version: int, weight: float) -> float:
    """Seconds to copy a version into the repository, load it and get the first right answer."""
    name = f"{bench.name}-hand"
    began = time.perf_counter()
    shutil.copytree(source / str(version), repository / name / str(version))
    config = (source / "config.pbtxt").read_text().replace(f'name: "{bench.name}"', f'name: "{name}"')
    (repository / name / "config.pbtxt").write_text(config)
    bench.server.load(name)
    first_right(bench.server, name, version, weight)
    return time.perf_counter() - began


def by_command(bench, triton, folder: Path, name: str, version: int) -> float:
    """Seconds from the start of `promote deploy` to the first right answer; MLflow is away, and it ends by itself."""
    command = [sys.executable, "-m", "promote", "deploy", f"{name}:v{version}", "--target", "bench", "--quiet"]
    began = time.perf_counter()
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    client = InferenceServerClient(triton.grpc)  # one connection: asking shall not take the processor from who loads
    while not client.is_model_ready(name, str(version)):
        assert process.poll() in (None, 0), "promote deploy failed"
        time.sleep(0.02)
    client.close()
    np.testing.assert_allclose(bench.server.infer(name, version, {"x": X}, "grpc")["y"], X * 2.0, rtol=1e-6)
    taken = time.perf_counter() - began
    assert process.wait() == 0
    return taken


def settings(folder: Path, repository: Path, triton) -> None:
    """For the command: this server, and no MLflow."""
    (folder / "promote.toml").write_text(
        f'registry.url = "oci:{folder}/bundles"\nmlflow.tracking_uri = "sqlite:///{folder}/none.db"\n'
        f'[targets.bench]\ndevice = "cpu"\nonnxruntime = "installed"\ntriton = "24.10"\nmemory_gib = 8\n'
        f'review = false\nhttp = "{triton.http}"\ngrpc = "{triton.grpc}"\nmodel_repository = "{repository}"\n'
    )


def first_right(server: TritonServer, name: str, version: int, weight: float) -> None:
    while not server.ready(name, version):
        time.sleep(0.005)
    answer = server.infer(name, version, {"x": X}, "grpc")["y"]
    np.testing.assert_allclose(answer, X * weight, rtol=1e-6)


def clients(grpc: str, name: str, over: threading.Event, told: dict[str, int]) -> None:
    import tritonclient.grpc as client

    server = client.InferenceServerClient(grpc)
    given = client.InferInput("x", list(X.shape), "FP32")
    given.set_data_from_numpy(X)
    while not over.is_set():
        try:
            answer = server.infer(name, [given]).as_numpy("y")
            right = any(np.allclose(answer, X * weight) for weight in (2.0, 3.0))
            told["right" if right else "wrong"] += 1
        except client.InferenceServerException:
            told["errors"] += 1
            time.sleep(0.01)
    server.close()


def main() -> None:
    """Runs all and prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cycles", type=int, nargs="?", default=50)
    parser.add_argument("--megabytes", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        repository = Path(folder) / "models"
        repository.mkdir()
        with start(
            repository, carrier=Path(os.environ["PROMOTE_TRITON_CARRIER"]), work=Path(folder) / "work"
        ) as triton:
            measure(asked, Path(folder), repository, triton)


def measure(asked, folder: Path, repository: Path, triton) -> None:
    settings(folder, repository, triton)
    rounds = [one_round(asked, folder, repository, triton, number) for number in range(asked.rounds + 1)][1:]
    whole, replay, command, hand = (statistics.median(column) for column in zip(*rounds, strict=True))
    print(f"first deployment of {asked.megabytes} MiB, {asked.rounds} rounds: by hand {hand:.2f} s; the deployment {whole:.2f} "
          f"s, of it golden replay {replay:.2f} s; the command to the first right answer {command:.2f} s")  # fmt: skip
    ratios = {
        "the deployment without its replay": [(whole - replay) / hand for whole, replay, _, hand in rounds],
        "the command": [command / hand for _, _, command, hand in rounds],
    }
    for what, found in ratios.items():
        print(f"{what} against by hand: {statistics.median(found):.2f} ({min(found):.2f} to {max(found):.2f})")
    cycles(asked, repository, triton)


def one_round(asked, folder: Path, repository: Path, triton, number: int) -> tuple[float, float, float, float]:
    """Seconds: deployment, its replay, the command, by hand."""
    bench, typed = (real_world(f"{how}-{number}", repository, triton.http, triton.grpc) for how in ("story", "typed"))
    for one in (bench, typed):
        one.registry = open_registry(f"oci:{folder}/bundles", {})
        one.exporter._part.instead[2.0] = padded(2.0, asked.megabytes)
        one.promote(2.0)
    began = time.perf_counter()
    bench.deploy(1)
    whole = time.perf_counter() - began
    began = time.perf_counter()
    prove(bench.name, 1, bench)
    replay = time.perf_counter() - began
    hand = by_hand(bench, repository / bench.name, repository, 1, 2.0)
    command = by_command(bench, triton, folder, typed.name, 1)
    for name in (bench.name, f"{bench.name}-hand", typed.name):
        bench.server.unload(name)
    return whole, replay, command, hand


def cycles(asked, repository: Path, triton) -> None:
    bench = real_world("times", repository, triton.http, triton.grpc, 2.0, 3.0)
    bench.deploy(1)
    over, told = threading.Event(), {"right": 0, "wrong": 0, "errors": 0}
    threads = [threading.Thread(target=clients, args=(triton.grpc, "times", over, told)) for _ in range(2)]
    for thread in threads:
        thread.start()
    deploys, rollbacks = [], []
    for _ in range(asked.cycles):
        deploys.append(bench.deploy(2).seconds)
        rollbacks.append(rollback("times", DESK, "benchmark", bench).seconds)
    over.set()
    for thread in threads:
        thread.join()
    print(f"{asked.cycles} deployments and rollbacks under two clients: {told}; {told['wrong'] + told['errors']} lost")
    for what, taken in (("deployment", deploys), ("rollback", rollbacks)):
        at = sorted(taken)
        p99 = at[min(len(at) - 1, int(len(at) * 0.99))]
        print(f"{what}: median {statistics.median(at):.2f} s, p99 {p99:.2f} s, longest {at[-1]:.2f} s")


if __name__ == "__main__":
    main()
