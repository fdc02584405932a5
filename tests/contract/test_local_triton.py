"""examples/local_triton on the real tritonserver: what it serves, what it refuses and how, and that it leaves nothing.

The texts of the refusals are those of the C++ ONNX Runtime backend: a config that it would refuse must not load here.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir
import pytest
from onnx import TensorProto, helper

from examples.local_triton import host
from examples.local_triton.install import CarrierError, install
from examples.local_triton.launch import CannotStart, LocalTriton, start
from promote.adapters.export.weights import move_out

pytestmark = pytest.mark.triton

grpcclient = pytest.importorskip("tritonclient.grpc")
httpclient = pytest.importorskip("tritonclient.http")
from tritonclient.utils import InferenceServerException  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
Dims = Sequence[int | str]


@pytest.fixture(scope="session")
def carrier() -> Path:
    if not (folder := os.environ.get("PROMOTE_TRITON_CARRIER")):
        pytest.skip("PROMOTE_TRITON_CARRIER is not set: the folder filled by examples/local_triton/install.py")
    return Path(folder)


class World:
    """A running server, its repository, and short words for what the tests do with them."""

    def __init__(self, repository: Path, triton: LocalTriton) -> None:
        self.repository, self.triton = repository, triton
        self.http = httpclient.InferenceServerClient(triton.http, concurrency=8)
        self.grpc = grpcclient.InferenceServerClient(triton.grpc)

    def place(self, config: str, model: onnx.ModelProto | None, file: str = "1/model.onnx") -> str:
        name = f"m{uuid.uuid4().hex[:8]}"
        (self.repository / name / "1").mkdir(parents=True)
        (self.repository / name / "config.pbtxt").write_text(f'name: "{name}"\nbackend: "onnxruntime"\n{config}')
        if model is not None:
            save(model, self.repository / name / file)
        return name

    def load(self, config: str, model: onnx.ModelProto | None, file: str = "1/model.onnx") -> str:
        name = self.place(config, model, file)
        self.grpc.load_model(name)
        return name

    def infer(self, name: str, client: Any = grpcclient, version: str = "", **feeds: np.ndarray) -> Any:
        inputs = []
        for key, array in feeds.items():
            tensor = client.InferInput(key, array.shape, client_type(array))
            tensor.set_data_from_numpy(array)
            inputs.append(tensor)
        caller = self.grpc if client is grpcclient else self.http
        return caller.infer(name, inputs, model_version=version)


@pytest.fixture(scope="module")
def world(carrier: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    repository = tmp_path_factory.mktemp("repository")
    # Triton asks a Python backend to complete every config, in a process of its own: 1.3 s a load, and ours declines.
    options = ["--disable-auto-complete-config"]
    with start(repository, carrier=carrier, work=tmp_path_factory.mktemp("work"), options=options) as triton:
        yield World(repository, triton)


def client_type(array: np.ndarray) -> str:
    kinds = {"b": "BOOL", "f": f"FP{array.itemsize * 8}", "O": "BYTES"}
    return kinds.get(array.dtype.kind, str(array.dtype).upper())


def save(model: onnx.ModelProto, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, str(path))


def build(
    nodes: list[Any], inputs: list[Any], outputs: list[Any], constants: list[Any] | None = None, opset: int = 17
) -> onnx.ModelProto:
    graph = helper.make_graph(nodes, "g", inputs, outputs, constants or [])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def adds(amount: float = 1.0, dims: Dims = ("n", 4), opset: int = 17) -> onnx.ModelProto:
    info = helper.make_tensor_value_info
    amount_tensor = onnx.numpy_helper.from_array(np.full((1,), amount, np.float32), "amount")
    node = helper.make_node("Add", ["x", "amount"], ["y"])
    x, y = info("x", TensorProto.FLOAT, dims), info("y", TensorProto.FLOAT, dims)
    return build([node], [x], [y], [amount_tensor], opset)


def identity(element: int, dims: Dims = ("n", 2)) -> onnx.ModelProto:
    info = helper.make_tensor_value_info
    return build([helper.make_node("Identity", ["x"], ["y"])], [info("x", element, dims)], [info("y", element, dims)])


def looks_up() -> onnx.ModelProto:
    """Fails at run time on an index above 3."""
    info = helper.make_tensor_value_info
    table = onnx.numpy_helper.from_array(np.array([0, 10, 20, 30], np.float32), "table")
    node = helper.make_node("Gather", ["table", "x"], ["y"])
    return build([node], [info("x", TensorProto.INT64, ["n", 1])], [info("y", TensorProto.FLOAT, ["n", 1])], [table])


def io(x: str = "TYPE_FP32", y: str = "", dims: str = "4", names: tuple[str, str] = ("x", "y"), batch: int = 8) -> str:
    return (
        f"max_batch_size: {batch}\n"
        f'input [ {{ name: "{names[0]}" data_type: {x} dims: [ {dims} ] }} ]\n'
        f'output [ {{ name: "{names[1]}" data_type: {y or x} dims: [ {dims} ] }} ]\n'
        "instance_group [ { kind: KIND_CPU count: 1 } ]\n"
    )


ROW = np.array([[1, 2, 3, 4]], np.float32)


@pytest.mark.parametrize("client", [httpclient, grpcclient], ids=["http", "grpc"])
def test_loads_answers_and_unloads(world: World, client: Any) -> None:
    name = world.load(io(), adds(1))
    assert world.infer(name, client, x=ROW).as_numpy("y").tolist() == [[2, 3, 4, 5]]
    world.grpc.unload_model(name)
    with pytest.raises(InferenceServerException, match="Request for unknown model"):
        world.infer(name, client, x=ROW)


def test_two_versions_side_by_side(world: World) -> None:
    name = world.place(io() + "version_policy { all { } }", adds(1))
    save(adds(2), world.repository / name / "2/model.onnx")
    world.grpc.load_model(name)
    answers = [world.infer(name, version=version, x=ROW).as_numpy("y")[0, 0] for version in ("1", "2", "")]
    assert answers == [2, 3, 3]


@pytest.mark.parametrize(
    ("kind", "element", "rows"),
    [
        ("BOOL", TensorProto.BOOL, np.array([[True, False]])),
        *((f"UINT{b}", getattr(TensorProto, f"UINT{b}"), np.array([[1, 2]], f"uint{b}")) for b in (8, 16, 32, 64)),
        *((f"INT{b}", getattr(TensorProto, f"INT{b}"), np.array([[-1, 2]], f"int{b}")) for b in (8, 16, 32, 64)),
        ("FP16", TensorProto.FLOAT16, np.array([[1.5, -2]], np.float16)),
        ("FP32", TensorProto.FLOAT, np.array([[1.5, -2]], np.float32)),
        ("FP64", TensorProto.DOUBLE, np.array([[1.5, -2]], np.float64)),
        ("STRING", TensorProto.STRING, np.array([["a", "bé"], ["", "d"]], np.object_)),
    ],
)
def test_every_type_comes_back_as_it_went(world: World, kind: str, element: int, rows: np.ndarray) -> None:
    name = world.load(io(f"TYPE_{kind}", dims="2"), identity(element))
    back = world.infer(name, x=rows).as_numpy("y")
    expected = [[text.encode() for text in row] for row in rows.tolist()] if kind == "STRING" else rows.tolist()
    assert back.tolist() == expected


def test_a_string_that_is_not_utf8_fails_that_request(world: World) -> None:
    name = world.load(io("TYPE_STRING", dims="2"), identity(TensorProto.STRING))
    with pytest.raises(InferenceServerException, match="not UTF-8"):
        world.infer(name, x=np.array([[b"\xff", b"a"]], np.object_))


def test_a_scalar_goes_and_comes_as_the_config_says(world: World) -> None:
    name = world.load(io(dims="1", batch=0), identity(TensorProto.FLOAT, dims=()))
    assert world.infer(name, x=np.array([7], np.float32)).as_numpy("y").tolist() == [7]


def test_only_the_outputs_asked_for_are_returned(world: World) -> None:
    info = helper.make_tensor_value_info
    nodes = [helper.make_node("Neg", ["x"], ["y"]), helper.make_node("Abs", ["x"], ["z"])]
    outputs = [info(key, TensorProto.FLOAT, ["n", 4]) for key in ("y", "z")]
    more = 'output [ { name: "z" data_type: TYPE_FP32 dims: [ 4 ] } ]\n'
    name = world.load(io() + more, build(nodes, [info("x", TensorProto.FLOAT, ["n", 4])], outputs))
    tensor = grpcclient.InferInput("x", ROW.shape, "FP32")
    tensor.set_data_from_numpy(ROW)
    got = world.grpc.infer(name, [tensor], outputs=[grpcclient.InferRequestedOutput("z")])
    assert [output.name for output in got.get_response().outputs] == ["z"]
    assert got.as_numpy("z").tolist() == ROW.tolist()


def together(world: World, name: str, values: Sequence[int]) -> list[Any]:
    def ask(value: int) -> Any:
        try:
            return world.infer(name, x=np.array([[value]], np.int64)).as_numpy("y")[0, 0]
        except InferenceServerException as error:
            return error

    with ThreadPoolExecutor(len(values)) as pool:
        return list(pool.map(ask, values))


WAITS = "dynamic_batching { preferred_batch_size: [ 4 ] max_queue_delay_microseconds: 2000000 }\n"


def test_requests_are_joined_and_each_gets_its_own_answer(world: World) -> None:
    name = world.load(io("TYPE_INT64", "TYPE_FP32", dims="1", batch=4) + WAITS, looks_up())
    assert together(world, name, [3, 1, 0, 2]) == [30, 10, 0, 20]
    deadline = time.monotonic() + 5  # Triton counts after it has answered
    while (counted := _counted(world, name)) == (None, None) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert counted == ("4", "1")


def _counted(world: World, name: str) -> tuple[str | None, str | None]:
    statistics = world.grpc.get_inference_statistics(name, as_json=True)["model_stats"][0]
    return statistics.get("inference_count"), statistics.get("execution_count")


def test_a_failing_request_leaves_the_others_of_its_batch_alone(world: World) -> None:
    name = world.load(io("TYPE_INT64", "TYPE_FP32", dims="1", batch=4) + WAITS, looks_up())
    answers = together(world, name, [3, 99, 0, 2])
    assert answers[:1] + answers[2:] == [30, 0, 20]
    assert "onnx runtime error 2: " in str(answers[1])


def test_warm_up_runs_before_the_model_is_ready(world: World) -> None:
    # Only a sample that succeeds is tried: a warm-up that fails can crash this server (README, "What to know").
    sample = 'inputs { key: "x" value { data_type: TYPE_FP32 dims: [ 4 ] zero_data: true } }'
    world.grpc.update_log_settings({"log_verbose_level": 1})
    try:
        name = world.load(io() + f'model_warmup [ {{ name: "first" batch_size: 1 {sample} }} ]\n', adds())
    finally:
        world.grpc.update_log_settings({"log_verbose_level": 0})
    assert f"instance {name}_0_0 is running warmup sample 'first'" in world.triton.log.read_text()
    assert world.infer(name, x=ROW).as_numpy("y")[0, 0] == 2


@pytest.mark.parametrize(
    ("config", "file"),
    [
        ('default_model_filename: "net.onnx"\n', "1/net.onnx"),
        ("", "1/model.onnx/model.onnx"),
        ('cc_model_filenames [ { key: "9.0" value: "gpu.onnx" } ]\n', "1/model.onnx"),
    ],
    ids=["named", "directory", "by compute capability"],
)
def test_finds_the_file(world: World, config: str, file: str) -> None:
    assert world.infer(world.load(io() + config, adds(), file), x=ROW).as_numpy("y")[0, 0] == 2


def test_weights_in_files_of_their_own_are_found(world: World) -> None:
    """As the exporter cuts them: `weights/0001.data` and so on, beside the model's file."""
    matrices = [onnx.numpy_helper.from_array(np.full((1024, 1024), n, np.float32), f"layer{n}.w") for n in (1, 2, 3)]
    nodes = [helper.make_node("MatMul", ["x" if n == 1 else f"x{n - 1}", f"layer{n}.w"], [f"x{n}"]) for n in (1, 2, 3)]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 1024]) for name in ("x", "x3")]
    name = world.place(
        'max_batch_size: 8 input [{name: "x" data_type: TYPE_FP32 dims: [1024]}] '
        'output [{name: "x3" data_type: TYPE_FP32 dims: [1024]}] instance_group [{kind: KIND_CPU}]',
        None,
    )
    folder = world.repository / name / "1"
    model = onnx_ir.from_proto(build(nodes, ends[:1], ends[1:], matrices))
    move_out(model, folder)
    onnx_ir.save(model, folder / "model.onnx")
    assert len(list((folder / "weights").iterdir())) == 3
    world.grpc.load_model(name)
    answer = world.infer(name, x=np.ones((2, 1024), np.float32)).as_numpy("x3")
    assert np.all(answer == 1024.0**3 * 6)


def test_takes_the_parameters_of_the_cpp_backend(world: World) -> None:
    parameter = 'parameters [ {{ key: "{}" value: {{ string_value: "{}" }} }} ]\n'
    world.load(io() + parameter.format("intra_op_thread_count", "1"), adds())
    with pytest.raises(InferenceServerException, match="execution_mode are 0 or 1 but got 7"):
        world.load(io() + parameter.format("execution_mode", "7"), adds())


REFUSALS: dict[str, tuple[str, Callable[[], onnx.ModelProto] | None, str]] = {
    "io count": (
        io() + 'input [ { name: "z" data_type: TYPE_FP32 dims: [ 4 ] } ]',
        adds,
        "unable to load model '{name}', configuration expects 2 inputs, model provides 1",
    ),
    "input name": (io(names=("a", "y")), adds, "unexpected inference input 'a', allowed inputs are: x"),
    "output name": (io(names=("x", "b")), adds, "unexpected inference output 'b', allowed outputs are: y"),
    "data type": (
        io("TYPE_INT64", "TYPE_FP32"),
        adds,
        "unable to load model '{name}', configuration expects datatype TYPE_INT64 for input 'x', "
        "model provides TYPE_FP32",
    ),
    "string type, by the server's own name": (
        io(dims="2"),
        lambda: identity(TensorProto.STRING),
        "configuration expects datatype TYPE_FP32 for input 'x', model provides TYPE_BYTES",
    ),
    "bf16": (io("TYPE_BF16", dims="2"), lambda: identity(TensorProto.BFLOAT16), "unsupported datatype TYPE_BF16 for"),
    "rank": (
        io(dims="4, 4"),
        adds,
        "model '{name}', tensor 'x': the model expects 2 dimensions (shape [-1,4]) but the model configuration "
        "specifies 3 dimensions (an initial batch dimension because max_batch_size > 0 followed by the explicit tensor "
        "shape, making complete shape [-1,4,4])",
    ),
    "rank, not batching": (
        io(dims="4", batch=0),
        adds,
        "the model expects 2 dimensions (shape [-1,4]) but the model configuration specifies 1 dimensions (shape [4])",
    ),
    "fixed dim left open": (io(dims="-1"), adds, "making complete shape [-1,-1])"),
    "open output dim fixed": (
        io(dims="4"),
        lambda: adds(dims=("n", "m")),
        "model '{name}', tensor 'y': the model expects 2 dimensions (shape [-1,-1])",
    ),
    "fixed batch dimension": (
        io(),
        lambda: adds(dims=(1, 4)),
        "model '{name}', tensor 'x': for the model to support batching the shape should have at least 1 dimension and "
        "the first dimension must be -1; but shape expected by the model is [1,4]",
    ),
    "missing file": (io(), None, "/1/model.onnx' for model instance '{name}'"),
    "opset": (io(), lambda: adds(opset=99), "onnx runtime error 1: "),
    "sequence output": (
        io(),
        lambda: build(
            [helper.make_node("SequenceConstruct", ["x"], ["y"])],
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
            [helper.make_tensor_sequence_value_info("y", TensorProto.FLOAT, ["n", 4])],
        ),
        "Unsupported ONNX Type 'ONNX_TYPE_SEQUENCE' for I/O 'y', expected 'ONNX_TYPE_TENSOR'.",
    ),
    "sequence batching": (io() + "sequence_batching { }", adds, "sequence_batching is not served by the local"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_refuses_as_the_cpp_backend_does(world: World, case: str) -> None:
    config, model, message = REFUSALS[case]
    name = world.place(config, model() if model else None)
    with pytest.raises(InferenceServerException) as refused:
        world.grpc.load_model(name)
    assert message.replace("{name}", name) in str(refused.value)


def test_says_onnx_runtimes_own_words(world: World) -> None:
    name = world.place(io(), None)
    (world.repository / name / "1/model.onnx").write_bytes(b"not a model")
    with pytest.raises(InferenceServerException, match=r"onnx runtime error 7: Load model from .*Protobuf parsing"):
        world.grpc.load_model(name)


def children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


def alive(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_leaves_nothing_behind(carrier: Path, tmp_path: Path, end: str) -> None:
    (tmp_path / "repository").mkdir()
    triton = start(tmp_path / "repository", carrier=carrier, work=tmp_path / "work")
    World(tmp_path / "repository", triton).load(io(), adds())
    started = [triton.pid, *children(triton.pid)]
    assert len(started) > 1, "the model runs in a process of its own"
    if end == "kill":
        os.kill(triton.pid, signal.SIGKILL)
    triton.stop()
    triton.stop()  # twice does no harm
    assert [pid for pid in started if alive(pid)] == []
    assert list(Path("/dev/shm").glob(f"{triton.shm_prefix}*")) == []


def test_a_failed_start_shows_the_log(carrier: Path, tmp_path: Path) -> None:
    (tmp_path / "repository").mkdir()
    with pytest.raises(CannotStart, match="ended with exit code 1") as failed:
        start(tmp_path / "repository", carrier=carrier, work=tmp_path / "work", options=["--load-model=absent"])
    assert "triton.log" in str(failed.value)
    assert "absent" in str(failed.value)


def test_a_port_that_is_taken_is_named(carrier: Path, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(CannotStart, match=f"127.0.0.1:{port}.*already in use"):
            start(tmp_path, carrier=carrier, work=tmp_path / "work", http_port=port)


def test_the_command_line_serves_until_sigterm(carrier: Path, tmp_path: Path) -> None:
    (tmp_path / "repository").mkdir()
    command = [sys.executable, str(ROOT / "examples/local_triton/launch.py"), "--carrier", str(carrier)]
    command += ["--model-repository", str(tmp_path / "repository"), "--work", str(tmp_path / "work")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path)
    assert process.stdout is not None
    said = json.loads(process.stdout.readline())
    assert httpclient.InferenceServerClient(said["http"]).is_server_ready()
    process.terminate()
    assert process.wait(timeout=20) == 0
    assert process.stdout.read() == ""
    assert not alive(said["pid"])


class TestWhatIsMissingIsSaid:
    def test_no_carrier(self, tmp_path: Path) -> None:
        with pytest.raises(CannotStart, match=r"no tritonserver in .*; run `python examples/local_triton/install.py"):
            start(tmp_path, carrier=tmp_path, work=tmp_path)

    def test_another_platform(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("platform.machine", lambda: "riscv64")
        with pytest.raises(CannotStart, match="runs on Linux x86_64 and aarch64, this is Linux riscv64"):
            host.check_platform()

    @pytest.mark.parametrize("libc", ["glibc 2.31", None])
    def test_an_old_or_another_c_library(self, monkeypatch: pytest.MonkeyPatch, libc: str | None) -> None:
        monkeypatch.setattr("os.confstr", lambda _: libc)
        with pytest.raises(CannotStart, match=r"needs glibc >= 2\.35"):
            host.check_platform()

    def test_no_stub_for_this_python(self, tmp_path: Path) -> None:
        (tmp_path / "pytriton/tritonserver/python_backend_stubs/3.8").mkdir(parents=True)
        with pytest.raises(CannotStart, match=r"no stub for Python 3\.\d+, only for 3\.8"):
            host.check_python(Path(sys.executable), host.Carrier(tmp_path))

    def test_no_shared_libpython(self, carrier: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        said = host._probe(Path(sys.executable)) | {"libraries": [str(tmp_path)]}
        monkeypatch.setattr(host, "_probe", lambda _: said)
        with pytest.raises(CannotStart, match=r"has no shared library libpython3.*apt-get install libpython3"):
            host.check_python(Path(sys.executable), host.Carrier(carrier.absolute()))


class TestInstall:
    """With a stand-in for pip: what is judged here is what a killed or failed install leaves."""

    @pytest.fixture
    def pip(self, tmp_path: Path) -> Path:
        script = tmp_path / "python"
        script.write_text(
            '#!/bin/sh\n[ "$1" = -c ] && { echo 3.11; exit; }\n'
            'echo run >> "$0.runs"\nwhile [ "$1" != --target ]; do shift; done\n'
            '[ -e "$0.fails" ] && { echo "no such wheel" >&2; exit 1; }\n'
            "for f in pytriton/tritonserver/bin/tritonserver nvidia_pytriton-0.7.0.dist-info/RECORD; do\n"
            'mkdir -p "$2/$(dirname $f)"; : > "$2/$f"; done\n'
        )
        script.chmod(0o755)
        return script

    def test_installs_once(self, tmp_path: Path, pip: Path) -> None:
        for _ in range(2):
            assert install(tmp_path / "carrier", python=pip) == tmp_path / "carrier"
        assert (tmp_path / "python.runs").read_text() == "run\n" * 2, "the carrier and NumPy, once each"

    def test_a_killed_install_is_started_again(self, tmp_path: Path, pip: Path) -> None:
        (tmp_path / ".carrier.part/pytriton").mkdir(parents=True)
        install(tmp_path / "carrier", python=pip)
        assert not (tmp_path / ".carrier.part").exists()

    def test_a_failed_install_leaves_no_folder_and_says_why(self, tmp_path: Path, pip: Path) -> None:
        (tmp_path / "python.fails").touch()
        with pytest.raises(CarrierError, match="no such wheel"):
            install(tmp_path / "carrier", python=pip)
        assert not (tmp_path / "carrier").exists()

    def test_a_folder_with_something_else_is_left_alone(self, tmp_path: Path, pip: Path) -> None:
        (tmp_path / "carrier").mkdir()
        (tmp_path / "carrier/precious").touch()
        with pytest.raises(CarrierError, match="holds something else"):
            install(tmp_path / "carrier", python=pip)
        assert (tmp_path / "carrier/precious").exists()


def test_no_model_is_ready_in_a_few_seconds(carrier: Path, tmp_path: Path) -> None:
    began = time.monotonic()
    with start(tmp_path, carrier=carrier, work=tmp_path / "work"):
        assert time.monotonic() - began < 15
