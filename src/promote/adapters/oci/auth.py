"""Answers a registry's 401: with a bearer token of its token service, or with user and password.

Credentials go to the registry's own origin and to a token service that belongs to it, nowhere else. oras reads the
challenge and asks for the token; the session it asks with is ours and guards every address.
Not here: where credentials come from (``credentials``), and requests for content (``transport``).
"""

import json
import re
from collections.abc import Mapping
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
from oras.auth.utils import parse_auth_header
from requests.auth import AuthBase

from promote.adapters.oci.credentials import HostAuth, login_hint
from promote.adapters.oci.origin import Origin, is_loopback, origin_of, shown
from promote.errors import AuthError, Unavailable

CONNECT_SECONDS, READ_SECONDS = 10.0, 60.0
# Token services that serve registries of other host names.
_TOKEN_SERVICES = frozenset({"ghcr.io", "auth.docker.io"})
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]{1,65536}")
_LARGEST_ANSWER = 1024 * 1024


class _NoNetrc(AuthBase):
    """Being there keeps ``requests`` from looking into ``.netrc``; it adds nothing."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        return request


class PlainSession(requests.Session):
    """A session that keeps no cookies, reads no ``.netrc`` and speaks to loopback without a proxy."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.auth = _NoNetrc()
        self.trust_env = not is_loopback(url)
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self.headers.update({"User-Agent": "promote", "Accept-Encoding": "identity"})


class TokenSession(PlainSession):
    """What oras asks for tokens with: only services that belong to the registry, no redirect, answers checked."""

    def __init__(self, origin: Origin) -> None:
        super().__init__(origin.url)
        self._origin = origin

    def request(self, method: str, url: str, **more: Any) -> requests.Response:  # type: ignore[override]
        """The answer, a 200 with a token in it.

        Raises:
            AuthError: no service of this registry, refused, or no token.
            Unavailable: it does not answer.
        """
        check_realm(url, self._origin)
        if isinstance(asked := more.get("params"), dict) and isinstance(scope := asked.get("scope"), str):
            asked["scope"] = scope.split(" ")  # once for each, as the token specification of distribution says
        more |= {"timeout": (CONNECT_SECONDS, READ_SECONDS), "allow_redirects": False, "stream": True}
        try:
            with super().request(method, url, **more) as answer:
                answer._content = answer.raw.read(_LARGEST_ANSWER, decode_content=True)
        except (requests.RequestException, OSError):  # its text may hold the query
            raise Unavailable(f"the token service {shown(url)} does not answer") from None
        if answer.status_code == 429 or answer.status_code >= 500:
            raise Unavailable(f"the token service {shown(url)} answers {answer.status_code}")
        if answer.status_code != 200:
            raise AuthError(
                f"the token service {shown(url)} refuses ({answer.status_code})", hint=login_hint(self._origin.host)
            )
        if not _TOKEN.fullmatch(_token(answer.content)):
            raise AuthError(f"the token service {shown(url)} gave no token")
        return answer


def _token(answer: bytes) -> str:
    try:
        told = json.loads(answer)
    except (ValueError, RecursionError):
        return ""
    token = (told.get("token") or told.get("access_token")) if isinstance(told, dict) else ""
    return token if isinstance(token, str) else ""


def check_realm(realm: str, origin: Origin) -> None:
    """Passes when credentials of this registry may go to that token service.

    Raises:
        AuthError: another host that is not known to serve others' tokens, or plain http beyond this machine.
    """
    try:
        scheme, host, _ = origin_of(realm)
    except ValueError:
        raise AuthError(f"{origin.host} names no token service as its realm") from None
    if host != origin_of(origin.url)[1] and host not in _TOKEN_SERVICES:
        raise AuthError(
            f"{origin.host} asks to send credentials to {shown(realm)}, another host", hint="nothing was sent there"
        )
    if scheme != "https" and not is_loopback(realm):  # then the registry is on this machine too: one host
        raise AuthError(
            f"{origin.host} asks to send credentials unencrypted to {shown(realm)}", hint="nothing was sent there"
        )


class RegistryAuth:
    """The ``Authorization`` of one repository; learns from each 401.

    Args:
        origin: the registry.
        env: see ``registry.open_registry``.
    """

    def __init__(self, origin: Origin, env: Mapping[str, str]) -> None:
        self._origin, self._env = origin, env
        self._oras: HostAuth | None = None
        self._header: dict[str, str] = {}

    @property
    def header(self) -> dict[str, str]:
        """To be sent to the registry's own origin only; empty until the registry asked."""
        return dict(self._header)

    def answer(self, refusal: requests.Response) -> None:
        """Takes the challenge of a 401 and gets what it asks for; an expired or narrower token is replaced.

        Raises:
            AuthError: no credentials, refused ones, or a challenge that may not be answered.
            Unavailable: the token service does not answer.
        """
        challenge = refusal.headers.get("WWW-Authenticate", "")
        if self._oras is None:
            self._oras = HostAuth(self._origin.host, self._env)
            self._oras.session, self._oras._tls_verify = TokenSession(self._origin), True
        if self._oras.known and not self._origin.private:
            raise AuthError(
                f"{self._origin.host} is spoken to unencrypted, so it gets no credentials", hint="use https://"
            )
        kind = challenge.partition(" ")[0].lower()
        if kind == "basic":
            self._header = self._basic(self._oras)
        elif kind == "bearer":
            check_realm(parse_auth_header(challenge).realm or "", self._origin)
            if self._oras.identity:
                self._header = self._refreshed(self._oras, parse_auth_header(challenge))
                return
            headers, _ = self._oras.authenticate_request(refusal, {}, refresh=True)
            self._header = dict(headers)
        else:
            raise AuthError(f"{self._origin.host} asks for neither Basic nor Bearer credentials")

    def _refreshed(self, known: HostAuth, asked: Any) -> dict[str, str]:
        """A token for an identity token. Source: distribution's ``spec/auth/oauth``, and how docker fills it in."""
        form = {"grant_type": "refresh_token", "client_id": "promote", "refresh_token": known.identity}
        form |= {key: getattr(asked, key) for key in ("service", "scope") if getattr(asked, key)}
        answer = known.session.post(asked.realm, data=form)
        return {"Authorization": f"Bearer {_token(answer.content)}"}

    def _basic(self, known: HostAuth) -> dict[str, str]:
        if not known.basic:
            have = "only an identity token is" if known.identity else "none are"
            raise AuthError(
                f"{self._origin.host} asks for a user and password, and {have} known",
                hint=login_hint(self._origin.host),
            )
        if self._header:
            raise AuthError(f"{self._origin.host} refuses the user and password", hint=login_hint(self._origin.host))
        return {"Authorization": f"Basic {known.basic}"}
