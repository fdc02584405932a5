"""One request to a registry: sent, authorised, redirected, tried again, and its failure told in our words.

Credentials go to the registry's own origin only, and no message holds a query or a header.
Not here: what is asked (``http``), and how a 401 is answered (``auth``).
"""

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import urljoin

import requests
import urllib3

from promote.adapters.oci.auth import CONNECT_SECONDS, READ_SECONDS, RegistryAuth
from promote.adapters.oci.failures import broken, refusal
from promote.adapters.oci.line import Line
from promote.adapters.oci.origin import Origin, origin_of, refuse_link_local, shown
from promote.errors import InputError, IntegrityError, Unavailable

_MOST_HOPS = 5
_SMALL = 64 * 1024
_READING = frozenset({"GET", "HEAD"})
Body = Callable[[], Any]


class Transport:
    """Speaks to one registry about one repository; several threads may use it at once.

    Args:
        origin: the registry.
        env: see ``registry.open_registry``.
    """

    def __init__(self, origin: Origin, env: Mapping[str, str]) -> None:
        self.origin = origin
        # A token for reading must never take the place of one for writing while another thread writes.
        # Nor must one that reads another repository along: the registry gives one for each that it is asked for.
        self._auths: dict[tuple[bool, str], RegistryAuth] = {}
        self._env = env
        self._auth_turn = threading.Lock()
        self._threads = threading.local()

    def send(
        self, method: str, url: str, expected: frozenset[int], *, headers: Mapping[str, str] | None = None,
        body: Body | None = None, seconds: float = READ_SECONDS, source: str = "",
    ) -> requests.Response:  # fmt: skip
        """One try. The response has one of the ``expected`` states, its body unread; close it.

        Args:
            method: GET and HEAD follow redirects, others do not.
            url: absolute, or a path on the registry.
            expected: HTTP states; others raise.
            headers: without credentials.
            body: makes the body anew for each sending.
            seconds: to wait for the next byte of the answer.
            source: another repository of the registry that the request reads from, which takes a token of its own.

        Raises:
            Again: it may pass.
            AuthError, NotFound, InputError, IntegrityError, Unavailable: it will not.
        """
        url = urljoin(self.origin.url, url)
        auth = self._auth(method not in _READING, source)
        asked_as = auth.header
        answer = self._follow(method, url, headers or {}, body, seconds, auth)
        if answer.status_code == 401 and origin_of(answer.url) == origin_of(self.origin.url):
            drain(answer)
            with self._auth_turn:
                if auth.header == asked_as:  # else another thread has answered the same challenge by now
                    auth.answer(answer)
            answer = self._follow(method, url, headers or {}, body, seconds, auth)
        if answer.status_code in expected:
            if method != "GET":
                drain(answer)
            return answer
        with answer:
            raise refusal(method, answer, self.origin.host)

    def _auth(self, writing: bool, source: str) -> RegistryAuth:
        # Without the lock: a thread that has its token does not wait for one that is being given another.
        found = self._auths.get((writing, source))
        return found or self._auths.setdefault((writing, source), RegistryAuth(self.origin, self._env))

    def _line(self) -> Line:
        """This thread's own: a session of requests is not made for several."""
        if not hasattr(self._threads, "line"):
            self._threads.line = Line(self.origin.url)
        line: Line = self._threads.line
        return line

    def _follow(
        self, method: str, url: str, headers: Mapping[str, str], body: Body | None, seconds: float, auth: RegistryAuth
    ) -> requests.Response:
        for _ in range(_MOST_HOPS + 1):
            answer = self._once(method, url, headers, body, seconds, auth)
            if answer.status_code not in (301, 302, 303, 307, 308) or method not in _READING:
                return answer
            drain(answer)
            url = next_hop(url, answer.headers.get("Location", ""))
        raise Unavailable(f"{self.origin.host} redirects more than {_MOST_HOPS} times")

    def _once(
        self, method: str, url: str, headers: Mapping[str, str], body: Body | None, seconds: float, auth: RegistryAuth
    ) -> requests.Response:
        own = origin_of(url) == origin_of(self.origin.url)
        sent = {**headers, **(auth.header if own else {})}
        try:
            return self._line().send(method, url, sent, body() if body else None, (CONNECT_SECONDS, seconds))
        except requests.RequestException as error:  # its text may hold a presigned query, so it is not passed on
            raise broken(error, url) from None


def next_hop(url: str, location: str) -> str:
    """Where a redirect of ``url`` leads.

    Raises:
        IntegrityError: nowhere, or from https to http, or to a link-local address.
    """
    there = urljoin(url, location)
    try:
        scheme, _, _ = origin_of(there)
        refuse_link_local(there)
    except (ValueError, InputError):
        raise IntegrityError(f"{shown(url)} redirects to no address of a registry") from None
    if not location or (url.startswith("https:") and scheme != "https"):
        raise IntegrityError(
            f"{shown(url)} redirects to {shown(there)}, which is not encrypted", hint="nothing was sent there"
        )
    return there


def drain(answer: requests.Response) -> None:
    """Reads what is left of a small answer and gives its connection back; closed unread, it would be lost."""
    left = answer.raw.length_remaining
    with suppress(urllib3.exceptions.HTTPError, OSError):
        if left is not None and left <= _SMALL:
            answer.raw.read(decode_content=False)
    answer.close()
