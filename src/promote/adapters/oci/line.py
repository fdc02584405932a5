"""The connections of one thread to a registry and to where it redirects, kept open from request to request.

``requests.Session.request`` looks at the environment, at ``.netrc`` and at cookies for every request, which costs more than
a small blob does. Here the environment (proxies, certificate authorities) is asked once per origin, and there are no cookies,
no ``.netrc`` and no redirects at all. Not here: credentials and whom to trust (``transport``).
"""

from collections.abc import Mapping
from typing import Any

import requests
from requests.adapters import HTTPAdapter

from promote.adapters.oci.auth import PlainSession
from promote.adapters.oci.origin import origin_of


class Line:
    """Sends requests; for one thread.

    Args:
        url: the registry's address; loopback is spoken to without a proxy, and wherever it redirects to as well.
    """

    def __init__(self, url: str) -> None:
        self._session = PlainSession(url)
        self._adapter = HTTPAdapter(pool_connections=8, pool_maxsize=2)
        self._settings: dict[tuple[str, str, int], Mapping[str, Any]] = {}

    def send(
        self, method: str, url: str, headers: Mapping[str, str], body: Any, timeout: tuple[float, float]
    ) -> requests.Response:
        """One request, as given; the answer's body is unread.

        Args:
            method: ``GET`` and so on.
            url: absolute, without user and password.
            headers: in full, credentials included.
            body: bytes, or an iterable of them that has a length; or nothing.
            timeout: seconds to connect, and between two bytes of the answer.

        Raises:
            requests.RequestException: no answer.
        """
        prepared = requests.PreparedRequest()
        prepared.prepare(method, url, {**self._session.headers, **headers}, data=body)
        return self._adapter.send(prepared, stream=True, timeout=timeout, **self._of(prepared.url or url))

    def _of(self, url: str) -> Mapping[str, Any]:
        origin = origin_of(url)
        if origin not in self._settings:
            found = self._session.merge_environment_settings(url, {}, True, None, None)
            self._settings[origin] = {key: found[key] for key in ("verify", "cert", "proxies")}
        return self._settings[origin]
