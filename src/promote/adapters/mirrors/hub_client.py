"""The client of the Hugging Face Hub: huggingface_hub on a line of our own, and what its failures are told as.

The token is ``HF_TOKEN``'s and no other (the library would also take one from its files), goes to the Hub's own origin alone, and
never into a message. Files travel by the LFS protocol, which the Hub takes of clients without Xet (huggingface.co/docs/hub/xet/
legacy-git-lfs): Xet's requests are made by native code, past the line that holds these rules.
"""

import ipaddress
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import urljoin, urlsplit

from promote.core.names import printable
from promote.errors import AuthError, InputError, IntegrityError, NotFound, PromoteError, Unavailable

PUBLIC = "https://huggingface.co"
PATIENCE = 60
"""The longest wait in seconds that a server may ask for."""
_TOKENS = "a token with the right to write: huggingface.co/settings/tokens, in the environment variable HF_TOKEN"
_PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True)
class Hub:
    """An open line.

    Args:
        endpoint: address of the Hub, without a slash at the end.
        token: may be empty, which reads what is public.
        api: huggingface_hub's ``HfApi``.
        reader: an HTTP client that follows no redirects and knows no token.
    """

    endpoint: str
    token: str = field(repr=False)
    api: Any
    reader: Any

    @property
    def headers(self) -> dict[str, str]:
        """For requests of our own to the endpoint."""
        return {"authorization": f"Bearer {self.token}"} if self.token else {}


def open_hub(env: Mapping[str, str], moved: Callable[[int], None]) -> Hub:
    """The Hub that ``HF_ENDPOINT`` names, else the public one.

    Args:
        env: the environment.
        moved: hears how many bytes each upload sent.

    Raises:
        InputError: huggingface_hub is not installed or told to stay offline, or the endpoint is none.
        AuthError: ``HF_TOKEN`` cannot be one.
    """
    try:
        import httpx2
        import huggingface_hub
        from huggingface_hub import constants, set_client_factory
        from huggingface_hub.utils import disable_progress_bars, logging
    except ImportError as error:
        hint = "pip install 'promote[hf]'"
        raise InputError("hf:// needs huggingface_hub, which is not installed", hint=hint) from error
    if constants.is_offline_mode():
        raise InputError("HF_HUB_OFFLINE is set, so the Hub may not be asked", hint="unset HF_HUB_OFFLINE")
    endpoint, token = _endpoint(env.get("HF_ENDPOINT") or PUBLIC), _token(env.get("HF_TOKEN", ""))
    constants.HF_HUB_DISABLE_XET = constants.HF_HUB_DISABLE_IMPLICIT_TOKEN = True
    disable_progress_bars()
    logging.set_verbosity_error()
    set_client_factory(lambda: _line(endpoint, moved))
    api = huggingface_hub.HfApi(endpoint=endpoint, token=token or False, library_name="promote")
    return Hub(endpoint, token, api, httpx2.Client(follow_redirects=False, **_manners()))


@cache
def _manners() -> dict[str, Any]:
    """How long any client waits in seconds, and whom it trusts: the authorities are read once, which takes 0.1 s."""
    import httpx2

    return {"timeout": httpx2.Timeout(60, connect=10), "verify": httpx2.create_ssl_context()}


def origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port; empty where ``url`` is none."""
    try:
        parts = urlsplit(url)
        return parts.scheme, (parts.hostname or "").lower(), parts.port or _PORTS.get(parts.scheme, 0)
    except ValueError:
        return "", "", 0


def private(url: str, endpoint: str) -> bool:
    """Whether nobody on the way can read or change what goes to ``url``. A Hub elsewhere may not send us to this machine."""
    scheme, host, _ = origin(url)
    if scheme == "http" and origin(endpoint)[0] == "http":
        try:
            return host == "localhost" or ipaddress.ip_address(host).is_loopback
        except ValueError:
            return False
    return scheme == "https" and bool(host)


def _line(endpoint: str, moved: Callable[[int], None]) -> Any:
    import httpx2

    def before(request: Any) -> None:
        url = str(request.url)
        if not private(url, endpoint):
            raise IntegrityError(f"{endpoint} sends us to {_shown(url)}, which is not encrypted")
        if "authorization" in request.headers and origin(url) != origin(endpoint):
            raise AuthError(
                f"{endpoint} asks for the token at {_shown(url)}", hint="HF_TOKEN goes to HF_ENDPOINT alone"
            )

    def after(response: Any) -> None:
        if response.has_redirect_location:
            there = urljoin(str(response.request.url), response.headers["location"])
            if origin(there) != origin(str(response.request.url)):
                raise IntegrityError(
                    f"{_shown(str(response.request.url))} redirects to {_shown(there)}, another origin",
                    hint="nothing was sent there; HF_ENDPOINT names the Hub",
                )
        if (seconds := _wait(response.headers)) > PATIENCE and response.status_code in (429, 503):
            raise Unavailable(f"{endpoint} asks to wait {seconds} s: too many requests", hint="run it again then")
        if response.request.method in ("PUT", "POST") and response.is_success:
            moved(int(response.request.headers.get("content-length") or 0))

    hooks = {"request": [before], "response": [after]}
    return httpx2.Client(event_hooks=hooks, follow_redirects=True, **_manners())


def _wait(headers: Mapping[str, str]) -> int:
    from huggingface_hub.utils import parse_ratelimit_headers

    told = parse_ratelimit_headers(headers)
    asked = headers.get("retry-after", "").strip()
    return max(int(asked) if asked.isdigit() and len(asked) < 10 else 0, told.reset_in_seconds if told else 0)


@contextmanager
def asking(hub: Hub, doing: str) -> Iterator[None]:
    """Whatever goes wrong within is told in one line, without the token.

    Raises:
        AuthError: no token where one is needed, or it may not do this.
        NotFound: there is no such repository, branch or file.
        InputError: the Hub takes no such commit.
        IntegrityError: it answers in another form, or sends us elsewhere.
        Unavailable: everything else, also where somebody else wrote there meanwhile.
    """
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError

    try:
        yield
    except PromoteError:
        raise
    except Exception as error:  # uploads run in threads, whose failures come wrapped
        chain = list(_causes(error))
        if told := next((one for one in chain if isinstance(one, PromoteError)), None):
            raise told from error
        if refused := next((one for one in chain if isinstance(one, HfHubHTTPError)), None):
            raise _refusal(hub, doing, refused) from error
        if lost := next((one for one in chain if isinstance(one, httpx2.HTTPError | httpx2.StreamError)), None):
            words = _words(hub, str(lost) or type(lost).__name__)
            raise Unavailable(f"{doing}: {words}", hint="does HF_ENDPOINT name the server?") from error
        if any(isinstance(one, json.JSONDecodeError | ValueError | KeyError | TypeError) for one in chain):
            raise IntegrityError(
                f"{doing}: {hub.endpoint} does not answer as the Hub does: {_words(hub, str(chain[-1]))}",
                hint="does HF_ENDPOINT name the server?",
            ) from error
        raise


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _refusal(hub: Hub, doing: str, error: Any) -> PromoteError:
    status = int(error.response.status_code)
    said = _words(hub, error.server_message or error.response.reason_phrase or "refused")
    message = f"{doing}: {status}: {said}"
    if status == 401 and not hub.token:
        return AuthError(f"{message}; it is private or not there, and HF_TOKEN is not set", hint=_TOKENS)
    if status in (401, 403):
        return AuthError(message, hint=_TOKENS)
    if status == 404:
        return NotFound(
            message,
            hint="create it on the Hub first: whether it is public is not for promote to say; a branch likewise",
        )
    if status in (409, 412):
        return Unavailable(f"{message}; somebody else wrote there meanwhile", hint="run the same command again")
    if status == 429 or status >= 500:
        return Unavailable(message, hint="run the same command again later: what was sent is not sent again")
    return InputError(message, hint="the Hub's own words say what it does not take")


def _words(hub: Hub, text: str) -> str:
    """A server may say anything, what it was told as well."""
    return printable(" ".join((text.replace(hub.token, "***") if hub.token else text).split()), 300)


def _shown(url: str) -> str:
    scheme, host, port = origin(url)
    return f"{printable(scheme, 10)}://{printable(host, 80)}{'' if _PORTS.get(scheme) == port else f':{port}'}"


def _endpoint(text: str) -> str:
    parts = urlsplit(text) if text.isascii() and text.isprintable() else urlsplit("")
    if not private(text, text) or parts.query or parts.fragment or "@" in parts.netloc:
        raise InputError("HF_ENDPOINT is no address of a Hub: expected https://host[:port]", hint=f"such as {PUBLIC}")
    return text.rstrip("/")


def _token(text: str) -> str:
    token = text.strip()
    if token and not (token.isascii() and token.isprintable() and " " not in token):
        raise AuthError("HF_TOKEN is no token: it holds blanks or other characters", hint=_TOKENS)
    return token


def require_token(hub: Hub, doing: str) -> None:
    """Passes when there is a token to write with.

    Raises:
        AuthError: there is none.
    """
    if not hub.token:
        raise AuthError(f"{doing}: HF_TOKEN is not set", hint=_TOKENS)
