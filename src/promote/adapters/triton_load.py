"""Many requests at once to a running Triton, through NVIDIA's own client: a closed loop, each client with its own connection.

The clients are threads of this process: one Python interpreter sends for all of them, so a small model's limit may be the
client; how busy it was is told. Not here: what figures mean (``core.load``), and which loads to make (``pipeline``).
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from promote.adapters.triton_tensors import Signature, read_signature, write_request
from promote.adapters.triton_wire import ask_grpc, ask_http
from promote.core.access import OPEN, Access
from promote.core.load import Cell, Measured, summed
from promote.core.names import model_name
from promote.errors import PromoteError, Unavailable

if TYPE_CHECKING:
    import numpy as np

    Tensors = Mapping[str, np.ndarray]

_PAUSE = 0.05  # after an error: a server that is down is not asked a million times
_WARM_SECONDS = 0.3


class TritonLoad:
    """A ``Load`` over the network.

    Args:
        http: the HTTP endpoint.
        grpc: the gRPC endpoint.
        access: headers, authorities and certificate that let us in.
        timeout: seconds that connecting may take.
        patience: seconds that one request may take.
    """

    def __init__(
        self, http: str, grpc: str, *, access: Access = OPEN, timeout: float = 5.0, patience: float = 60.0
    ) -> None:
        self._http, self._grpc, self._access = http, grpc, access
        self._timeout, self._patience = timeout, patience

    def largest_batch(self, name: str, version: int) -> int:
        """``max_batch_size`` of the loaded version; 0 where it takes no batches.

        Raises:
            DeployFailed: it is not loaded.
            Unavailable: the server does not answer.
        """
        return int(self._config(name, version).get("max_batch_size", 0))

    def measure(self, name: str, version: int, inputs: "Tensors", cell: Cell, seconds: float) -> Measured:
        """Asks for ``seconds``, after a warm-up that is not counted; what was under way at the end is counted too.

        A latency is from the call of the client until the answer has arrived: the tensors are put into the request
        beforehand, and are not unpacked from the answer. A request that fails is counted with its reason, not timed.

        Raises:
            DeployFailed: the version is not loaded, or has not these inputs.
            Unavailable: the server does not answer, before the first request or to any request at all.
        """
        signature = read_signature(f"{model_name(name)} version {version}", self._config(name, version))
        gate = threading.Barrier(cell.clients + 1)
        askers = [_Asker(self, signature, (name, version), inputs, cell, gate) for _ in range(cell.clients)]
        for asker in askers:
            asker.thread.start()
        try:
            gate.wait()  # all are warm
            began, used = time.perf_counter(), time.process_time()
            for asker in askers:
                asker.until = began + seconds
            gate.wait()
            for asker in askers:
                asker.thread.join()
        except BaseException:  # Ctrl-C, or an asker that ended: no thread may go on asking
            for asker in askers:
                asker.until = 0.0
            gate.abort()
            if broken := next((asker.fault for asker in askers if asker.fault), None):
                raise broken from None
            raise
        if broken := next((asker.fault for asker in askers if asker.fault), None):
            raise broken
        ended = max(began, *(asker.ended for asker in askers))
        busy = (time.process_time() - used) / (time.perf_counter() - began)
        errors = sum((asker.errors for asker in askers), Counter[str]())
        latencies = [latency for asker in askers for latency in asker.latencies]
        if not latencies and errors:
            raise Unavailable(f"not one of {errors.total()} requests was answered: {errors.most_common(1)[0][0]}")
        return summed(cell, ended - began, latencies, errors, busy)

    def _config(self, name: str, version: int) -> Mapping[str, Any]:
        with ask_grpc(self._grpc, f"ask for the configuration of {model_name(name)}", self._access) as client:
            answer = client.get_model_config(name, str(version), as_json=True, client_timeout=self._timeout)
        config: Mapping[str, Any] = answer["config"]
        return config

    @contextmanager
    def connection(
        self, protocol: str, signature: Signature, inputs: "Tensors"
    ) -> Iterator[tuple[Any, dict[str, Any]]]:
        """A client that keeps its connection, and the arguments of each request."""
        if protocol == "http":
            import tritonclient.http as wire

            with ask_http(self._http, "infer", self._timeout, self._patience, self._access) as client:
                yield client, write_request(wire, signature, inputs)
            return
        import tritonclient.grpc as wire

        with ask_grpc(self._grpc, "infer", self._access) as client:
            yield client, write_request(wire, signature, inputs) | {"client_timeout": self._patience}


class _Asker:
    """One client."""

    def __init__(
        self, load: TritonLoad, signature: Signature, version: tuple[str, int], inputs: "Tensors", cell: Cell,
        gate: threading.Barrier,
    ) -> None:  # fmt: skip
        self.thread = threading.Thread(target=self.run, daemon=True)
        self._load, self._signature, self._inputs, self._cell, self._gate = load, signature, inputs, cell, gate
        self._name, self._version = version[0], str(version[1])
        self.until = self.ended = 0.0
        self.latencies: list[float] = []
        self.errors: Counter[str] = Counter()
        self.fault: Exception | None = None
        self._started = False

    def run(self) -> None:
        """Warms up, waits for the others, asks until the time is over; a request that fails costs its connection."""
        try:
            while not self._started or time.perf_counter() < self.until:
                try:
                    with self._load.connection(self._cell.protocol, self._signature, self._inputs) as (client, request):
                        self._ask(partial(client.infer, self._name, model_version=self._version, **request))
                except PromoteError as error:
                    if self._started:
                        self.errors[error.message] += 1
                        self.ended = time.perf_counter()
                    else:  # the others do not wait for one that cannot; if it fails again it is counted
                        self._start()
                    time.sleep(_PAUSE)
        except threading.BrokenBarrierError:
            return  # interrupted
        except Exception as error:  # noqa: BLE001 - raised again in the thread that waits for this one
            self.fault = error
            self._gate.abort()

    def _ask(self, infer: Callable[[], Any]) -> None:
        """Over one connection. What connects is not timed."""
        since = time.perf_counter()
        infer()
        if not self._started:
            while time.perf_counter() - since < _WARM_SECONDS:
                infer()
            self._start()
        while (began := time.perf_counter()) < self.until:
            infer()
            self.ended = time.perf_counter()
            self.latencies.append(self.ended - began)

    def _start(self) -> None:
        self._gate.wait()  # all are warm
        self._gate.wait()  # all know until when
        self._started = True
