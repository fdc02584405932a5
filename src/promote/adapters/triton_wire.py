"""The wire to Triton: its clients opened and closed, what they raise told as our errors, its reasons cleaned.

Not here: what is asked of the server and when (``triton_server``), and tensors (``triton_tensors``).
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from promote.core.names import printable
from promote.errors import DeployFailed, InputError, Unavailable

_LONGEST_REASON = 600
# What Triton puts around the reason of a failed load; source: core ``model_repository_manager``, ``status.cc``;
# python_backend ``pb_stub.cc`` adds where in ``model.py`` it was raised.
_HEAD = re.compile(r"^(load failed for model '[^']*': |\[request id: [^\]]*\] )")
_TRACE = re.compile(r"\n\s*\nAt:\n( +.*\n)+")
_STATUS = r"(?:Unknown|Internal|Not found|Invalid argument|Unavailable|Unsupported|Already exists): "
_VERSION = re.compile(rf"version (\d+) is at UNAVAILABLE state: (?:{_STATUS})?")
_STATE = re.compile(rf"^{_STATUS}")


class NoAnswerYet(Unavailable):
    """The deadline passed: what became of the request is not known."""


def clean(reason: str) -> str:
    """Triton's own reason on one line, without its frame of status words and stack positions."""
    text = _TRACE.sub("", _HEAD.sub("", reason.strip()) + "\n")
    text = _STATE.sub("", _VERSION.sub(r"version \1: ", text)).replace("TritonModelException: ", "")
    lines = [line.strip().strip(";").strip() for line in text.splitlines()]
    return printable("; ".join(line for line in lines if line), _LONGEST_REASON) or "no reason given"


def refused(reason: str) -> frozenset[int]:
    """The versions that a failed load says it failed for."""
    return frozenset(int(version) for version in re.findall(_VERSION, reason))


@contextmanager
def ask_grpc(endpoint: str, doing: str) -> Iterator[Any]:
    """A gRPC client for one or a few calls, each with its own ``client_timeout``.

    A client of its own, since a shared channel waits before it connects again to a server that was restarted.

    Raises:
        InputError: ``endpoint`` is not ``host:port``.
        DeployFailed: the server answered with an error; the message holds its reason.
        NoAnswerYet: the call's deadline passed.
        Unavailable: no server there, or one that is no Triton.
    """
    from tritonclient.grpc import InferenceServerClient
    from tritonclient.utils import InferenceServerException

    client = InferenceServerClient(_endpoint(endpoint))
    try:
        yield client
    except InferenceServerException as error:
        status, reason = str(error.status()).removeprefix("StatusCode."), str(error.message())
        if status == "DEADLINE_EXCEEDED":
            raise _too_late(endpoint, "gRPC", doing) from error
        # UNAVAILABLE is also what Triton itself says of a model that is not ready.
        if status in ("UNIMPLEMENTED", "CANCELLED") or (status == "UNAVAILABLE" and not _live(client)):
            raise _unreachable(endpoint, "gRPC", doing, reason) from error
        raise DeployFailed(f"{doing}: {clean(reason)}", versions=refused(reason)) from error
    finally:
        client.close()


def _live(client: Any) -> bool:
    from tritonclient.utils import InferenceServerException

    try:
        return bool(client.is_server_live(client_timeout=2.0))
    except InferenceServerException:
        return False  # which is the answer


@contextmanager
def ask_http(endpoint: str, doing: str, timeout: float, patience: float) -> Iterator[Any]:
    """An HTTP client for one or a few calls.

    Args:
        endpoint: ``host:port``.
        doing: begins every message.
        timeout: seconds to connect.
        patience: seconds to wait for each answer.

    Raises:
        InputError, DeployFailed, NoAnswerYet, Unavailable: as in ``ask_grpc``.
    """
    from geventhttpclient.response import HTTPParseError
    from tritonclient.http import InferenceServerClient
    from tritonclient.utils import InferenceServerException

    client = InferenceServerClient(_endpoint(endpoint), connection_timeout=timeout, network_timeout=patience)
    try:
        yield client
    except InferenceServerException as error:
        raise DeployFailed(f"{doing}: {clean(str(error.message()))}") from error
    except TimeoutError as error:
        raise _too_late(endpoint, "HTTP", doing) from error
    except (OSError, HTTPParseError) as error:
        raise _unreachable(endpoint, "HTTP", doing, str(error)) from error
    finally:
        client.close()


def _endpoint(text: str) -> str:
    if re.fullmatch(r"[^\s/@]+:[0-9]{1,5}", text):
        return text
    raise InputError(f"{printable(text)!r} is no endpoint: expected host:port without a scheme")


def _too_late(endpoint: str, protocol: str, doing: str) -> NoAnswerYet:
    return NoAnswerYet(
        f"{doing}: Triton at {endpoint} ({protocol}) did not answer in time",
        hint="is it a Triton, and is it loading something large? its log says what it is at",
    )


def _unreachable(endpoint: str, protocol: str, doing: str, reason: str) -> Unavailable:
    return Unavailable(
        f"{doing}: no Triton answers at {endpoint} ({protocol}): {printable(reason)}",
        hint="is it running, and are http and grpc of the target in promote.toml its endpoints?",
    )
