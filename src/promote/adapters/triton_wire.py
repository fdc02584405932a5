"""The wire to Triton: its clients opened and closed, what they raise told as our errors, its reasons cleaned.

Not here: what is asked of the server and when (``triton_server``), tensors (``triton_tensors``), and what lets us in
(``triton_access``).
"""

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from http.client import HTTPException
from threading import Thread
from typing import Any

from promote.adapters.triton_access import Headers, distrust, gevent_context, grpc_credentials, not_let_in
from promote.adapters.triton_control import Control, get
from promote.core.access import OPEN, Access
from promote.core.endpoint import Endpoint, parse_endpoint
from promote.core.names import printable
from promote.core.triton_messages import LOADING
from promote.errors import DeployFailed, PromoteError, Unavailable

_LONGEST_REASON = 600
_NO_JSON = "an exception occurred in the client while decoding the response"  # tritonclient http/_utils.py
_HTTP_STATE = re.compile(r"Received http2 header with status: ([0-9]{3})")  # grpc core, chttp2 transport
_RESTRICTED = "is restricted, expecting header"  # server grpc/grpc_utils.h and http_server.cc, of --*-restricted-*
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


@cache
def make_ready() -> None:
    """Imports NVIDIA's clients beside what is waited for: a load takes long, and its replay comes right after it."""
    Thread(target=_clients, name="import tritonclient").start()


def _clients() -> None:
    with LOADING, suppress(ImportError):  # raised where they are used
        import tritonclient.grpc
        import tritonclient.http  # noqa: F401


@contextmanager
def ask_grpc(endpoint: str, doing: str, access: Access = OPEN) -> Iterator[Any]:
    """NVIDIA's gRPC client, for tensors: one or a few calls, each with its own ``client_timeout``.

    A client of its own, since a shared channel waits before it connects again to a server that was restarted.

    Raises:
        InputError: ``endpoint`` has another form, or a file of ``access`` cannot be used.
        DeployFailed: the server answered with an error; the message holds its reason.
        NoAnswerYet: the call's deadline passed.
        AuthError: what stands before it, or itself, does not let us in.
        Unavailable: no server there, one that is no Triton, or one whose certificate is not trusted.
    """
    with LOADING:
        from tritonclient.grpc import InferenceServerClient
        from tritonclient.utils import InferenceServerException

    at, credentials = _line(endpoint, access)
    client = InferenceServerClient(at.address, creds=credentials)
    client.register_plugin(Headers(access, lower=True))
    try:
        yield client
    except InferenceServerException as error:
        status, reason = str(error.status()), access.hide(str(error.message()))
        raise _grpc_failure(status, reason, endpoint, doing, access) from error
    finally:
        client.close()


@contextmanager
def ask_state(endpoint: str, doing: str, access: Access = OPEN) -> Iterator[Control]:
    """What asks about state over gRPC, without NVIDIA's client; see ``ask_grpc``, also for what is raised."""
    from grpc import RpcError

    at, credentials = _line(endpoint, access)
    line = Control(at, credentials, access)
    try:
        yield line
    except RpcError as error:
        status, reason = str(error.code()), access.hide(str(error.details()))
        raise _grpc_failure(status, reason, endpoint, doing, access) from error
    finally:
        line.close()


def _line(endpoint: str, access: Access) -> tuple[Endpoint, Any]:
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # gRPC's core writes of failed handshakes on stderr itself
    at = parse_endpoint(endpoint, "grpc")
    return at, grpc_credentials(access) if at.tls else None


def _grpc_failure(code: str, reason: str, endpoint: str, doing: str, access: Access) -> PromoteError:
    status = code.removeprefix("StatusCode.")
    if status == "DEADLINE_EXCEEDED":
        return _too_late(endpoint, "gRPC", doing)
    if told := _grpc_refusal(status, reason, f"{doing}: {endpoint} (gRPC)"):
        return told
    # UNAVAILABLE is also what Triton itself says of a model that is not ready.
    if status in ("UNIMPLEMENTED", "CANCELLED") or (status == "UNAVAILABLE" and not _live(endpoint, access)):
        return _unreachable(endpoint, "gRPC", doing, reason)
    return DeployFailed(f"{doing}: {clean(reason)}", versions=refused(reason))


def _grpc_refusal(status: str, reason: str, where: str) -> PromoteError | None:
    if status in ("UNAUTHENTICATED", "PERMISSION_DENIED") or _RESTRICTED in reason:
        return not_let_in(where, clean(reason))
    if found := _HTTP_STATE.search(reason):  # what stands before Triton answered, and not in gRPC
        state = int(found[1])
        if 300 <= state < 400:
            return not_let_in(where, f"state {state}, a way to another address")
        return Unavailable(f"{where} answers with state {state}: what stands before Triton does not reach it")
    return distrust(where, reason) if status == "UNAVAILABLE" else None


def _live(endpoint: str, access: Access) -> bool:
    from grpc import RpcError

    line = Control(*_line(endpoint, access), access)
    try:
        return bool(line.ask("ServerLive", 2.0).live)
    except RpcError:
        return False  # which is the answer
    finally:
        line.close()


def ask_version(endpoint: str, doing: str, seconds: float, access: Access = OPEN) -> str:
    """The version of the server over HTTP, as it says it.

    Raises:
        InputError, AuthError, Unavailable: as in ``ask_grpc``.
    """
    where = f"{doing}: {endpoint} (HTTP)"
    try:
        state, body = get(parse_endpoint(endpoint, "http"), "/v2", access, seconds=seconds)
        said = _json(body)
    except TimeoutError as error:
        raise _too_late(endpoint, "HTTP", doing) from error
    except (OSError, HTTPException) as error:
        raise distrust(where, str(error)) or _unreachable(endpoint, "HTTP", doing, str(error)) from error
    if state == 200 and "version" in said:
        return printable(str(said["version"]), 40)
    raise _http_refusal(str(state), access.hide(str(said.get("error", _NO_JSON))), where, doing)


def _json(body: bytes) -> dict[str, Any]:
    """The object in an answer; none where there is none: what stands before Triton answers with a page."""
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


@contextmanager
def ask_http(endpoint: str, doing: str, timeout: float, patience: float, access: Access = OPEN) -> Iterator[Any]:
    """An HTTP client for one or a few calls; it follows no redirect, so headers go to ``endpoint`` alone.

    Args:
        endpoint: as ``core.endpoint`` says.
        doing: begins every message.
        timeout: seconds to connect.
        patience: seconds to wait for each answer.
        access: what lets us in.

    Raises:
        InputError, DeployFailed, NoAnswerYet, AuthError, Unavailable: as in ``ask_grpc``.
    """
    with LOADING:
        from geventhttpclient.response import HTTPParseError
        from tritonclient.http import InferenceServerClient
        from tritonclient.utils import InferenceServerException

    at = parse_endpoint(endpoint, "http")
    secure = {"ssl": True, "ssl_context_factory": gevent_context(access)} if at.tls else {}
    client = InferenceServerClient(
        at.address + at.prefix, connection_timeout=timeout, network_timeout=patience, **secure
    )
    client.register_plugin(Headers(access))
    where = f"{doing}: {endpoint} (HTTP)"
    try:
        yield client
    except InferenceServerException as error:
        raise _http_refusal(error.status(), access.hide(str(error.message())), where, doing) from error
    except TimeoutError as error:
        raise _too_late(endpoint, "HTTP", doing) from error
    except (OSError, HTTPParseError) as error:
        raise distrust(where, str(error)) or _unreachable(endpoint, "HTTP", doing, str(error)) from error
    finally:
        client.close()


def _http_refusal(status: str | None, reason: str, where: str, doing: str) -> PromoteError:
    """Triton explains itself in JSON; what stands before it answers with a page, of which its state says enough."""
    code = int(status) if status and status.isdecimal() else 0
    page = reason.startswith(_NO_JSON)
    if code in (401, 403, 407):
        return not_let_in(where, f"state {code}" if page else clean(reason))
    if 300 <= code < 400:
        return not_let_in(where, f"state {code}, a way to another address")
    if page and code >= 500:
        return Unavailable(f"{where} answers with state {code}: what stands before Triton does not reach it")
    if page and code:
        return Unavailable(f"{where} answers with state {code}, and no Triton does: is its path right?")
    return DeployFailed(f"{doing}: {clean(reason)}")


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
