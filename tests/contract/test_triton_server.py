"""What only a real Triton shows: its own reasons, slow loads, kills, restarts, types; and servers that are none."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from promote.adapters.triton_server import TritonServer
from promote.adapters.triton_wire import clean
from promote.errors import DeployFailed, InputError, Unavailable
from tests.contract.bench import READY_SECONDS, Bench, real_bench
from tests.fakes.bundle import BROKEN, bundle, contents, fetched
from tests.parts.triton import Served, new_name


@pytest.fixture
def real(triton: Served, tmp_path: Path) -> Bench:
    return real_bench(triton, tmp_path)


@pytest.mark.triton
def test_tritons_own_reason_is_told_on_one_line_without_its_frame(real: Bench) -> None:
    name = new_name()
    real.place(name, 1, model=BROKEN)
    real.store.serve(name, (1,))
    with pytest.raises(DeployFailed) as caught:
        real.server.load(name)
    message = caught.value.message
    assert message.startswith(f"load {name}: version 1: onnx runtime error")
    assert "Protobuf parsing failed" in message
    for frame in ("UNAVAILABLE", "Internal:", "TritonModelException", "At:", "model.py", "\n"):
        assert frame not in message


@pytest.mark.triton
def test_one_refused_model_does_not_stop_the_next_deployment(real: Bench) -> None:
    """Triton calls itself not ready, for good, after one failed load (strict readiness, the default)."""
    import tritonclient.grpc

    bad, good = new_name("bad"), new_name("good")
    real.place(bad, 1, model=BROKEN)
    real.store.serve(bad, (1,))
    with pytest.raises(DeployFailed):
        real.server.load(bad)
    raw = tritonclient.grpc.InferenceServerClient(real.server._grpc)
    assert not raw.is_server_ready()
    real.server.require()
    real.place(good, 1)
    real.up(good, 1)
    real.times(good, 1, 2.0)


@pytest.mark.triton
def test_a_load_that_outlasts_patience_is_not_a_failed_load(real: Bench) -> None:
    name = new_name()
    real.place(name, 1)
    real.store.serve(name, (1,))
    hasty = TritonServer(real.server._http, real.server._grpc, patience=0.05)
    hasty.load(name)
    assert not hasty.ready(name, 1)
    hasty.await_ready(name, 1, READY_SECONDS)
    real.times(name, 1, 2.0)


@pytest.mark.triton
def test_a_load_that_outlasts_patience_and_then_fails_is_told_with_its_reason(real: Bench) -> None:
    name = new_name()
    real.place(name, 1, model=BROKEN)
    real.store.serve(name, (1,))
    hasty = TritonServer(real.server._http, real.server._grpc, patience=0.05)
    hasty.load(name)
    with pytest.raises(DeployFailed, match="Protobuf parsing failed"):
        hasty.await_ready(name, 1, READY_SECONDS)


@pytest.mark.triton
def test_a_reason_of_an_earlier_load_is_not_that_of_the_load_under_way(real: Bench, tmp_path: Path) -> None:
    name = new_name()
    real.place(name, 1, model=BROKEN)
    real.store.serve(name, (1,))
    with pytest.raises(DeployFailed):
        real.server.load(name)
    assert real.server._state(name, 1)[0] == "UNAVAILABLE"
    real.store.withdraw(name, 1)
    good, files = bundle(tmp_path / "good", name, 1, 3.0)
    real.store.place(good, files)
    real.store.serve(name, (1,))
    hasty = TritonServer(real.server._http, real.server._grpc, patience=0.05)
    hasty.load(name)
    hasty.await_ready(name, 1, READY_SECONDS)
    real.times(name, 1, 3.0)


@pytest.mark.triton
def test_await_ready_keeps_its_deadline(real: Bench) -> None:
    name = new_name()
    real.place(name, 1)
    real.store.serve(name, (1,))
    hasty = TritonServer(real.server._http, real.server._grpc, patience=0.05)
    hasty.load(name)
    with pytest.raises(DeployFailed, match=r"not ready after 0\.2 s \(LOADING\)"):
        hasty.await_ready(name, 1, 0.2)
    real.server.await_ready(name, 1, READY_SECONDS)


@pytest.mark.triton
@pytest.mark.parametrize("control", ["none", "poll"])
def test_a_server_that_does_not_load_on_request_is_told_with_the_flag(
    fresh_triton: Callable[..., Served], control: str
) -> None:
    served = fresh_triton(control=control)
    server = TritonServer(served.triton.http, served.triton.grpc)
    for ask in (server.load, server.unload):
        with pytest.raises(DeployFailed) as caught:
            ask("m")
        assert caught.value.hint == "start Triton with --model-control-mode=explicit"
    served.triton.stop()


@pytest.mark.triton
def test_a_server_killed_in_mid_load_is_unavailable(fresh_triton: Callable[..., Served], tmp_path: Path) -> None:
    served = fresh_triton()
    bench = real_bench(served, tmp_path)
    bench.place("m", 1)
    bench.store.serve("m", (1,))
    threading.Timer(0.5, served.triton.process.kill).start()
    with pytest.raises(Unavailable):
        bench.server.load("m")
    with pytest.raises(Unavailable):
        bench.server.await_ready("m", 1, READY_SECONDS)
    served.triton.stop()


@pytest.mark.triton
def test_the_same_adapter_finds_a_restarted_server(fresh_triton: Callable[..., Served], tmp_path: Path) -> None:
    from examples.local_triton.launch import start

    served = fresh_triton()
    bench = real_bench(served, tmp_path)
    bench.place("m", 1)
    bench.up("m", 1)
    served.triton.stop()
    with pytest.raises(Unavailable):
        bench.server.ready("m", 1)
    ports = served.triton.ports
    carrier = served.triton.process.args[0].split("/pytriton/tritonserver/")[0]
    with start(
        served.repository, carrier=Path(carrier), work=tmp_path / "w", http_port=ports.http, grpc_port=ports.grpc
    ):
        bench.server.require()
        assert not bench.server.ready("m", 1)
        bench.up("m", 1)
        bench.times("m", 1, 2.0)


@pytest.mark.triton
def test_a_warm_up_counts_as_a_request(real: Bench, tmp_path: Path) -> None:
    name = new_name()
    real.store.place(*fetched(tmp_path / "warm", name, 1, contents(name, 1, warmup=True)))
    real.up(name, 1)
    assert real.server.statistics(name)[1]["requests"] == 1


def tensor_bundle(kind: int, triton_type: str, shape: list[object], dims: str) -> tuple[bytes, str]:
    """An identity model of one type, and its config's tensors; Triton's types in a config, ONNX's in the model."""
    info = [helper.make_tensor_value_info(n, kind, shape) for n in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", info[:1], info[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    ends = "".join(
        f'{end} {{ name: "{n}" data_type: {triton_type} {dims} }}\n' for end, n in (("input", "x"), ("output", "y"))
    )
    return model, ends


@pytest.mark.triton
@pytest.mark.parametrize(
    ("onnx_type", "triton_type", "array"),
    [
        (TensorProto.STRING, "TYPE_STRING", np.array([[b"caf\xc3\xa9"], [b""]], object)),
        (TensorProto.BOOL, "TYPE_BOOL", np.array([[True], [False]])),
        (TensorProto.INT8, "TYPE_INT8", np.array([[-128], [127]], np.int8)),
        (TensorProto.UINT16, "TYPE_UINT16", np.array([[0], [65535]], np.uint16)),
        (TensorProto.INT64, "TYPE_INT64", np.array([[-(2**63)], [2**63 - 1]], np.int64)),
        (TensorProto.FLOAT16, "TYPE_FP16", np.array([[0.5], [-65504]], np.float16)),
        (TensorProto.DOUBLE, "TYPE_FP64", np.array([[1e-300], [1e300]], np.float64)),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_every_type_travels_both_ways(
    triton: Served, real: Bench, onnx_type: int, triton_type: str, array: np.ndarray
) -> None:
    name = by_hand(triton, *tensor_bundle(onnx_type, triton_type, [None, 1], "dims: [1]"), batch=4)
    real.server.load(name)
    for protocol in ("http", "grpc"):
        answer = real.server.infer(name, 1, {"x": array}, protocol)["y"]
        assert answer.shape == array.shape
        assert answer.dtype == array.dtype
        assert answer.tolist() == array.tolist()


@pytest.mark.triton
def test_text_is_sent_as_utf_8(triton: Served, real: Bench) -> None:
    name = by_hand(triton, *tensor_bundle(TensorProto.STRING, "TYPE_STRING", [None, 1], "dims: [1]"), batch=4)
    real.server.load(name)
    for protocol in ("http", "grpc"):
        answer = real.server.infer(name, 1, {"x": np.array([["café"]])}, protocol)["y"]
        assert answer.tolist() == [["café".encode()]]


@pytest.mark.triton
def test_a_scalar_becomes_one_value(triton: Served, real: Bench) -> None:
    """Triton has no scalars, and refuses a reshape to none where the model does not batch."""
    model, ends = tensor_bundle(TensorProto.FLOAT, "TYPE_FP32", [], "dims: [1]")
    name = by_hand(triton, model, ends, batch=0)
    real.server.load(name)
    for protocol in ("http", "grpc"):
        answer = real.server.infer(name, 1, {"x": np.array(2.5, np.float32)}, protocol)["y"]
        assert (answer.shape, answer.item()) == ((1,), 2.5)
    refused = by_hand(triton, *tensor_bundle(TensorProto.FLOAT, "TYPE_FP32", [], "dims: [1] reshape { }"), batch=0)
    with pytest.raises(DeployFailed, match="cannot have empty reshape"):
        real.server.load(refused)


def by_hand(served: Served, model: bytes, ends: str, batch: int) -> str:
    """A model put into the repository without the store."""
    name = new_name("hand")
    (served.repository / name / "1").mkdir(parents=True)
    (served.repository / name / "1" / "model.onnx").write_bytes(model)
    config = f'name: "{name}"\nbackend: "onnxruntime"\nmax_batch_size: {batch}\n{ends}'
    (served.repository / name / "config.pbtxt").write_text(config)
    return name


# --- servers that are none ------------------------------------------------------------------------------------------


@pytest.fixture
def silent() -> Iterator[str]:
    """Takes connections and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def rude() -> Iterator[str]:
    """Answers every connection with a line that is no protocol, and closes it."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.settimeout(0.1)
        ended = threading.Event()

        def answer() -> None:
            while not ended.is_set():
                try:
                    connection, _ = listener.accept()
                except TimeoutError:
                    continue
                with connection:
                    connection.sendall(b"220 mail.example ESMTP\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        ended.set()
        thread.join()


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_a_server_that_never_answers_is_unavailable_in_time(silent: str, protocol: str) -> None:
    server = TritonServer(silent, silent, timeout=0.5, patience=0.5)
    began = time.monotonic()
    with pytest.raises(Unavailable, match=silent) as caught:
        server.require() if protocol == "http" else server.ready("m", 1)
    assert caught.value.hint
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_a_server_that_is_no_triton_is_unavailable(rude: str, protocol: str) -> None:
    server = TritonServer(rude, rude, timeout=1, patience=1)
    with pytest.raises(Unavailable, match=rude):
        server.require() if protocol == "http" else server.ready("m", 1)


@pytest.mark.parametrize("endpoint", ["http://h:8000", "h", "h:80x", "user@h:8000", "h:8000/path", "", "h h:1"])
def test_an_endpoint_of_another_form_is_bad_input(endpoint: str) -> None:
    with pytest.raises(InputError, match="host:port"):
        TritonServer(endpoint, "127.0.0.1:1").require()
    with pytest.raises(InputError, match="host:port"):
        TritonServer("127.0.0.1:1", endpoint).ready("m", 1)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            "load failed for model 'a': version 1 is at UNAVAILABLE state: Invalid argument: unable to find backend;\n",
            "version 1: unable to find backend",
        ),
        (
            "load failed for model 'a': version 1 is at UNAVAILABLE state: Internal: one;\n"
            "version 2 is at UNAVAILABLE state: Internal: TritonModelException: two\n\nAt:\n  /m.py(4): load\n;\n",
            "version 1: one; version 2: two",
        ),
        ("Internal: onnx runtime error 6: x", "onnx runtime error 6: x"),
        ("[request id: <id_unknown>] unexpected shape", "unexpected shape"),
        ("evil \x1b[31m\u202e text", "evil \\u001b[31m\\u202e text"),
        ("", "no reason given"),
        ("x" * 5000, "x" * 597 + "..."),
    ],
)
def test_reasons_are_cleaned(said: str, told: str) -> None:
    assert clean(said) == told
