"""A running Triton: control over gRPC, inference over both protocols through NVIDIA's own client.

gRPC for control because each call takes its own deadline there and errors carry a status; it takes no client, which is slow to
import. Not here: what is loaded (the
``Store`` writes that), and whether an answer is right (``pipeline``).
"""

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from promote.adapters.triton_control import Control
from promote.adapters.triton_tensors import read_answer, read_signature, write_request
from promote.adapters.triton_wire import NoAnswerYet, ask_grpc, ask_http, ask_state, ask_version, clean, make_ready
from promote.core.access import OPEN, Access
from promote.core.names import model_name, printable
from promote.core.triton_messages import services
from promote.errors import DeployFailed, InputError

if TYPE_CHECKING:
    import numpy as np

    Tensors = Mapping[str, np.ndarray]

_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 0.5
_NOT_EXPLICIT = "explicit model load / unload is not allowed"
_NOT_READ = "failed to poll from model repository"


class TritonServer:
    """A ``Server`` over the network.

    Args:
        http: the HTTP endpoint; its forms are told in ``core.endpoint``.
        grpc: the gRPC endpoint.
        access: headers, authorities and certificate that let us in.
        timeout: seconds that connecting, or one question about state, may take.
        patience: seconds that one load or inference may keep its connection.
    """

    def __init__(
        self, http: str, grpc: str, *, access: Access = OPEN, timeout: float = 5.0, patience: float = 60.0
    ) -> None:
        self._http, self._grpc, self._access = http, grpc, access
        self._timeout, self._patience = timeout, patience
        self._under_way: set[str] = set()  # loads whose deadline passed: not known to have failed

    def require(self) -> str:
        """The server's version, when both endpoints answer.

        Not whether it is *ready*: one version that failed to load makes a whole Triton not ready, for good (measured on
        24.10), while all others go on answering.

        Raises:
            Unavailable: one of the endpoints does not answer.
        """
        services()  # where the client is not installed, nothing on the network is to blame
        ask_version(self._http, "ask for the server's version", self._timeout, self._access)
        with ask_state(self._grpc, "ask for the server's version", self._access) as line:
            return printable(line.ask("ServerMetadata", self._timeout).version, 40)

    def load(self, name: str) -> None:
        """Asks the server to load the model as its repository now says.

        A load that outlasts ``patience`` goes on in the server; ``await_ready`` tells what became of it.

        Raises:
            DeployFailed: it refused; the message holds its own reason. Versions loaded before serve on.
            Unavailable: it does not answer.
        """
        self._under_way.discard(model_name(name))
        try:
            with self._control(f"load {name}") as line:
                make_ready()
                line.ask("RepositoryModelLoad", self._patience, model_name=name)
        except NoAnswerYet:
            self._under_way.add(name)

    def unload(self, name: str) -> None:
        """Asks the server to unload all versions; nothing where it has none. It answers before they are gone."""
        with self._control(f"unload {model_name(name)}") as line:
            line.ask("RepositoryModelUnload", self._patience, model_name=name)

    def await_ready(self, name: str, version: int, seconds: float) -> None:
        """Returns when this version is ready.

        Raises:
            DeployFailed: it is not by then, or its load is known to have failed; the message holds the server's reason.
            Unavailable: the server does not answer any more.
        """
        until, pause = time.monotonic() + seconds, _FIRST_PAUSE
        known = name not in self._under_way
        while True:
            try:
                if self.ready(name, version):
                    self._under_way.discard(name)
                    return
                state, reason = self._state(name, version)
            except NoAnswerYet:  # busy with the load itself
                state, reason = "LOADING", "the server is too busy to answer"
            # A reason of an earlier attempt stays in the index until the new load begins.
            known = known or state == "LOADING"
            if known and state not in ("LOADING", "UNLOADING", "READY"):
                raise DeployFailed(f"{name} version {version} did not become ready: {reason}")
            if time.monotonic() >= until:
                raise DeployFailed(f"{name} version {version} was not ready after {seconds:g} s ({state}): {reason}")
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def ready(self, name: str, version: int) -> bool:
        """Whether this version answers now.

        Raises:
            Unavailable: the server does not answer.
        """
        try:
            with ask_state(self._grpc, f"ask whether {model_name(name)} is ready", self._access) as line:
                return bool(line.ask("ModelReady", self._timeout, name=name, version=str(version)).ready)
        except DeployFailed:
            return False  # some releases say "not ready" with an error

    def infer(self, name: str, version: int, inputs: "Tensors", protocol: str) -> "Tensors":
        """Outputs for ``inputs``; ``protocol`` is ``http`` or ``grpc``. Strings come back as ``bytes``.

        Raises:
            DeployFailed: the server refused the request, or its answer cannot be read.
            Unavailable: it does not answer.
        """
        shown, at = f"{model_name(name)} version {version}", str(version)
        if protocol == "http":
            import tritonclient.http as wire

            with ask_http(self._http, f"infer with {shown}", self._timeout, self._patience, self._access) as client:
                signature = read_signature(shown, client.get_model_config(name, at))
                request = write_request(wire, signature, inputs)
                return read_answer(signature, client.infer(name, model_version=at, **request))
        if protocol == "grpc":
            import tritonclient.grpc as wire

            with ask_grpc(self._grpc, f"infer with {shown}", self._access) as client:
                config = client.get_model_config(name, at, as_json=True, client_timeout=self._timeout)
                signature = read_signature(shown, config["config"])
                request = write_request(wire, signature, inputs) | {"client_timeout": self._patience}
                return read_answer(signature, client.infer(name, model_version=at, **request))
        raise InputError(f"protocol {printable(protocol)!r} is neither http nor grpc")

    def index(self) -> Mapping[str, Mapping[int, str]]:
        """Model -> version -> its state in the server's index: ``READY``, ``LOADING``, ``UNAVAILABLE``...

        Models that were never loaded have no version there, and are left out.

        Raises:
            Unavailable: the server does not answer.
        """
        states: dict[str, dict[int, str]] = {}
        for entry in self._index("ask what is loaded"):
            if entry.version.isdecimal():
                states.setdefault(entry.name, {})[int(entry.version)] = printable(entry.state, 40) or "UNAVAILABLE"
        return states

    def config(self, name: str) -> Any:
        """The ``ModelConfig`` that the server uses.

        Raises:
            DeployFailed: no version of it answers.
            Unavailable: the server does not answer.
        """
        with ask_state(self._grpc, f"ask for the configuration of {model_name(name)}", self._access) as line:
            return line.ask("ModelConfig", self._timeout, name=name).config

    def statistics(self, name: str) -> Mapping[int, Mapping[str, float]]:
        """Loaded version -> ``requests``, ``failures``, ``mean_ms`` (of those that succeeded); empty when none is.

        Triton's own counting: the warm-up of a version is its first request.

        Raises:
            Unavailable: the server does not answer.
        """
        try:
            with ask_state(self._grpc, f"ask for the statistics of {model_name(name)}", self._access) as line:
                answer = line.ask("ModelStatistics", self._timeout, name=name)
        except DeployFailed:
            return {}  # Triton's answer for a model that is not loaded
        return {int(entry.version): _numbers(entry.inference_stats) for entry in answer.model_stats}

    def each(self) -> "Mapping[str, TritonServer]":
        """This one, under an empty name."""
        return {"": self}

    @contextmanager
    def _control(self, doing: str) -> Iterator[Control]:
        """As ``ask_state``, the two commonest refusals told with what to do about them."""
        try:
            with ask_state(self._grpc, doing, self._access) as line:
                yield line
        except DeployFailed as error:
            if _NOT_EXPLICIT in error.message:
                raise DeployFailed(
                    f"{doing}: Triton at {self._grpc} does not load models on request",
                    hint="start Triton with --model-control-mode=explicit",
                ) from error
            if _NOT_READ in error.message:
                raise DeployFailed(
                    error.message,
                    hint="Triton does not find or cannot read the model: does it serve the same folder that "
                    "model_repository of the target names? its log says more",
                ) from error
            raise

    def _state(self, name: str, version: int) -> tuple[str, str]:
        """State and reason of a version in the server's index."""
        for entry in self._index(f"ask for the state of {name}"):
            if (entry.name, entry.version) == (name, str(version)):
                return entry.state or "UNAVAILABLE", clean(entry.reason)
        return "ABSENT", "Triton does not list this version: its folder or its place in the version policy is missing"

    def _index(self, doing: str) -> Iterable[Any]:
        with ask_state(self._grpc, doing, self._access) as line:
            return tuple(line.ask("RepositoryIndex", self._timeout).models)


def _numbers(entry: Any) -> dict[str, float]:
    succeeded, failed = entry.success.count, entry.fail.count
    mean = entry.success.ns / succeeded / 1e6 if succeeded else 0.0
    return {"requests": float(succeeded + failed), "failures": float(failed), "mean_ms": mean}
