"""A list that a registry gives page by page, each page on the registry's own origin.

Source: opencontainers/distribution-spec, "Listing Tags" and "Listing Referrers"; RFC 5988 for ``Link``. Not here: what
is listed (``listing``, ``referrers``).
"""

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urljoin

from promote.adapters.oci.body import chunks
from promote.adapters.oci.failures import Patience
from promote.adapters.oci.files import at_most
from promote.adapters.oci.origin import origin_of
from promote.adapters.oci.transport import Transport
from promote.core.manifest import LARGEST_MANIFEST, strict_json
from promote.errors import IntegrityError

_NEXT = re.compile(r'<([^<>]+)>;\s*rel="?next"?')
_MOST_PAGES = 10_000


def pages(
    transport: Transport, patience: Patience, url: str, what: str, *, accept: str = "", missing: bool = False
) -> Iterator[bytes]:
    """The bodies, at most 4 MiB each.

    Args:
        transport: speaks to the registry.
        patience: with it.
        url: of the first page.
        what: is listed, for messages.
        accept: the media type that is asked for.
        missing: no page at all where the registry answers 404 to the first, instead of an error.

    Raises:
        IntegrityError: a page is too large, or the next one lies elsewhere, or there is no end of pages.
        NotFound, AuthError, Unavailable: as the words say.
    """
    headers = {"Accept": accept} if accept else {}
    for number in range(_MOST_PAGES):
        here, expected = url, frozenset({200, 404} if missing and number == 0 else {200})
        answer = patience.during(lambda: transport.send("GET", here, expected, headers=headers))  # noqa: B023 - called at once
        if answer.status_code == 404:
            answer.close()
            return
        following = _NEXT.search(answer.headers.get("Link", ""))
        yield b"".join(at_most(chunks(answer), LARGEST_MANIFEST, f"a page of {what}"))
        if following is None:
            return
        url = urljoin(here, following[1])
        if not _same(url, here):
            raise IntegrityError(f"{transport.origin.host} lists further {what} on another origin")
    raise IntegrityError(f"{transport.origin.host} lists more than {_MOST_PAGES:,} pages of {what}")


def texts(page: bytes, key: str, who: str) -> list[str]:
    """The texts that a page lists under ``key``.

    Raises:
        IntegrityError: it has no such list.
    """
    value: Any = strict_json(page, f"the list of {who}")
    values = value.get(key) if isinstance(value, dict) else None
    if values is None and isinstance(value, dict) and key in value:  # some say null for none
        return []
    if not isinstance(values, list) or not all(isinstance(text, str) for text in values):
        raise IntegrityError(f"{who} answers with no list of {key}")
    return values


def _same(url: str, other: str) -> bool:
    try:
        return origin_of(url) == origin_of(other)
    except ValueError:
        return False
