"""Why a request to a registry failed, in our words: what may pass and is tried again, and what will not.

A message holds the address without its query, the state and the registry's error *code*; a registry's own
text may echo anything, and so may the text of a ``requests`` exception. Not here: sending (``transport``).
"""

import email.utils
import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import requests
import urllib3

from promote.adapters.oci.credentials import login_hint
from promote.adapters.oci.origin import shown
from promote.adapters.oci.store import BlobsGone
from promote.errors import AuthError, InputError, IntegrityError, NotFound, PromoteError, Unavailable

KEPT = "finished files are kept, and one on its way goes on where the registry kept its start"
_AGAIN = frozenset({408, 429, 500, 502, 503, 504})
_CODE = re.compile(r'"code"\s*:\s*"([A-Z_]{1,40})"')
# GitHub's registry now and then refuses a right that it grants a moment later (docs/adr/0007).
_PASSING_403 = frozenset({"ghcr.io"})
_TRIES_OF_403 = 3
_WRITE_PACKAGE = "permission_denied: write_package"  # GHCR's own words
R = TypeVar("R")


class BytesRefused(IntegrityError):
    """The registry did not take bytes, or their place, or their digest."""


class NoPackageRight(AuthError):
    """GHCR's ``permission_denied: write_package``: the credentials are known and may not write this package."""


class Again(Exception):
    """A try failed in a way that may pass.

    Args:
        error: what to raise when patience ends.
        after: seconds that the server asks to wait.
        tries: in all, where patience alone would be too much of them.
    """

    def __init__(self, error: PromoteError, after: float | None = None, tries: int | None = None) -> None:
        super().__init__(error.message)
        self.error, self.after, self.tries = error, after, tries


@dataclass(frozen=True, slots=True)
class Patience:
    """How often and how long a request that may succeed later is tried again.

    Args:
        tries: in all.
        budget: seconds of waiting, all tries together; a server that asks for more is not waited for.
        sleep: waits that many seconds.
    """

    tries: int = 5
    budget: float = 60.0
    sleep: Callable[[float], None] = time.sleep

    def during(self, attempt: Callable[[], R]) -> R:
        """``attempt()``, tried again while it raises ``Again`` and patience lasts.

        Raises:
            Unavailable: it did not succeed in time.
        """
        waited, tried = 0.0, 0
        while True:
            tried += 1
            try:
                return attempt()
            except Again as again:
                wait = again.after if again.after is not None else 0.5 * 2 ** (tried - 1) * random.uniform(0.8, 1.2)  # noqa: S311
                if tried >= min(self.tries, again.tries or self.tries) or waited + wait > self.budget:
                    raise again.error from None
                self.sleep(wait)
                waited += wait


PATIENT = Patience()


def broken(error: Exception, url: str) -> Exception:
    """What to raise when the connection failed: at once where nobody is there, ``Again`` where it broke."""
    where = shown(url)
    nobody = isinstance(error, requests.ConnectTimeout | requests.exceptions.SSLError | requests.exceptions.ProxyError)
    reason = _root(error)
    if nobody or isinstance(reason, urllib3.exceptions.NewConnectionError | urllib3.exceptions.NameResolutionError):
        why = "a TLS failure" if isinstance(error, requests.exceptions.SSLError) else "no connection"
        return Unavailable(
            f"{where} cannot be reached: {why}",
            hint="check the address and the network, then run the same command again",
        )
    if isinstance(error, ValueError):
        return InputError(f"{where} is no address that can be asked")
    return Again(Unavailable(f"the connection to {where} broke", hint=f"run the same command again: {KEPT}"))


def _root(error: BaseException) -> object:
    """The reason ``requests`` wrapped: its first argument is urllib3's error, whose ``reason`` is the cause."""
    inner = error.args[0] if error.args else None
    return getattr(inner, "reason", inner)


def refusal(method: str, answer: requests.Response, host: str) -> Exception:
    """What to raise for an answer that was not expected; ``Again`` where it may pass. ``host`` is the registry's."""
    state, text = answer.status_code, _text(answer)
    code = _code(text)
    message = f"{shown(answer.url)} answers {state}{f' {code}' if code else ''} to {method}"
    if state in _AGAIN:
        after = _retry_after(answer)
        when = f"in {after:.0f} s" if after else "later"
        return Again(Unavailable(message, hint=f"try again {when}: {KEPT}"), after)
    if state == 401:
        return AuthError(message, hint=login_hint(host))
    if state == 403:
        hint = f"these credentials lack a right, or there are none: {login_hint(host)}"
        if _WRITE_PACKAGE in text:
            return NoPackageRight(message, hint=hint)
        lacking = AuthError(message, hint=hint)
        return Again(lacking, tries=_TRIES_OF_403) if host in _PASSING_403 else lacking
    if code == "MANIFEST_BLOB_UNKNOWN":
        return BlobsGone(message, hint="run the same command again: what is missing is sent again")
    if state == 404:
        return NotFound(message, hint="a private repository may answer so to a stranger")
    if state in (400, 416):
        refused = BytesRefused(message, hint="the registry did not accept the bytes or their digest")
        # CNCF Distribution says so of a good manifest while another push writes the link to a file both have.
        return Again(refused) if code == "DIGEST_INVALID" and "/manifests/" in answer.url else refused
    return InputError(message, hint="this registry does not take OCI artifacts that way")


def _text(answer: requests.Response) -> str:
    """The start of the answer's body, to be looked through and never shown."""
    try:
        return answer.raw.read(8192, decode_content=True).decode(errors="replace")
    except (urllib3.exceptions.HTTPError, OSError):
        return ""


def _code(text: str) -> str:
    """The registry's error code; its message is left out, since it may echo anything."""
    found = _CODE.search(text)
    return found[1] if found else ""


def _retry_after(answer: requests.Response) -> float | None:
    """Seconds the server asks to wait, 0 or more; ``None`` where it does not say. Source: RFC 9110, 10.2.3."""
    text = answer.headers.get("Retry-After", "").strip()
    if re.fullmatch(r"-?[0-9]{1,300}", text):
        return max(0.0, float(text))
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except ValueError:
        return None
