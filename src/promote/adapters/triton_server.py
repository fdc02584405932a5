"""A running Triton, through NVIDIA's own client: control over gRPC, inference over both protocols.

gRPC for control because each call takes its own deadline there and errors carry a status. Not here: what is loaded (the
``Store`` writes that), and whether an answer is right (``pipeline``). Credentials and TLS are not supported yet.
"""

import re
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from promote.adapters.triton_wire import Signature, ask_grpc, ask_http, read_signature
from promote.core.names import printable
from promote.errors import DeployFailed, PromoteError, Unavailable

if TYPE_CHECKING:
    import numpy as np

    Tensors = Mapping[str, np.ndarray]

_POLL_FIRST, _POLL_SLOWEST = 0.02, 0.5
_NOT_EXPLICIT = "explicit model load / unload is not allowed"
# What Triton 24.10 puts around a reason; source: core ``src/model_repository_manager``, ``backend_model_instance.cc``.
_AROUND = re.compile(r"^load failed for model '[^']*': |^version \d+ is at UNAVAILABLE state: |^\w+( \w+)?: (?=TritonModel)")
_TRACE = re.compile(r"\s*\n\s*At:\s*\n.*?(?=;\s*\n|\Z)", re.DOTALL)


class TritonServer:
    """A ``Server`` over the network.

    Args:
        http: ``host:port`` of the HTTP endpoint.
        grpc: ``host:port`` of the gRPC endpoint.
        timeout: seconds one question may take; also how long a connection may take to open.
        load_timeout: seconds a load may keep the connection; a load that takes longer goes on, see ``await_ready``.
    """

    def __init__(self, http: str, grpc: str, *, timeout: float = 5.0, load_timeout: float = 60.0) -> None:
        self._http, self._grpc = http, grpc
        self._timeout, self._load_timeout = timeout, load_timeout
        self._under_way: set[str] = set()
        self._opened: Any = None
