"""One golden case asked of a live version, and what its answer is worth."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from promote.core.parity import ParityFailed, Tolerance, compare
from promote.core.stages import Replay

if TYPE_CHECKING:
    from promote.ports import Server, Tensors

PROTOCOLS = ("http", "grpc")


def ask(
    version: tuple[str, int],
    protocol: str,
    case: str,
    golden: tuple[Tensors, Tensors],
    allowed: Tolerance,
    server: Server,
) -> tuple[Replay, str]:
    """How far the answer was off, and why it is wrong; an empty reason is a right answer.

    Args:
        version: the model's name and version.
        protocol: ``http`` or ``grpc``.
        case: its name.
        golden: inputs, and the outputs that are expected.
        allowed: difference.
        server: that is asked.

    Raises:
        DeployFailed: the server refused the request.
        Unavailable: it does not answer.
    """
    inputs, expected = golden
    began = time.monotonic()
    answer = server.infer(*version, inputs, protocol)
    seconds = time.monotonic() - began
    proof = compare({case: expected}, {case: answer}, allowed, constant_ok=True)
    worst = max((difference.max_absolute for difference in proof.differences), default=0.0)
    fault = proof.reasons[0] if isinstance(proof, ParityFailed) else ""
    return Replay(case=case, protocol=protocol, max_absolute=worst, seconds=seconds), fault
