"""Looks at a registry or layout as a promotion will meet it, and leaves nothing behind: for `promote doctor`.

A right to push is seen by beginning an upload and cancelling it; no byte is stored. Not here: how it is told (``cli.doctor``).
"""

import email.utils
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

import requests

from promote.adapters.oci.credentials import HostAuth, login_hint
from promote.adapters.oci.failures import Again
from promote.adapters.oci.origin import Origin, parse_origin
from promote.adapters.oci.transport import Transport
from promote.adapters.oci.upload import Place, open_session
from promote.core.diagnosis import Check, Standing
from promote.errors import AuthError, InputError, PromoteError

_NOBODY = "sha256:" + 64 * "0"
_SKEW_SECONDS = 300.0  # tokens are refused when the clocks differ more, as a rule
_LITTLE_ROOM = 10 * 2**30
_GHCR = "ghcr.io"
T = TypeVar("T")
_PUSH_AT_GHCR = (
    "in Actions: permissions: packages: write, and Manage Actions access of the package names the repository; "
    "elsewhere a token with write:packages. A package that was first pushed by hand is not linked to a repository: "
    "its settings page links it, or the annotation org.opencontainers.image.source at the next push"
)


def examine(base: str, env: Mapping[str, str], name: str) -> Iterator[Check]:
    """Every check, as it is made; after one that makes the rest pointless no other.

    Args:
        base: as ``registry.open_registry`` takes it.
        env: where credentials are looked for.
        name: the model whose repository is asked about; it need not be there.
    """
    if base.startswith("oci:"):
        yield from _layout(Path(base.removeprefix("oci:")))
        return
    try:
        origin = parse_origin(base)
        path = origin.repository(name)
    except InputError as error:
        yield _failed("registry-address", error)
        return
    yield _address(origin)
    found = _credentials(origin, env)
    yield found
    if found.standing is Standing.FAIL:
        return
    yield from _rights(Transport(origin, env), origin, path, found.has)


def _rights(transport: Transport, origin: Origin, path: str, known: str) -> Iterator[Check]:
    root = f"{origin.url}/v2/{path}"
    reached = _ask(
        "registry-reachable",
        lambda: _closed(transport.send("GET", f"{origin.url}/v2/", frozenset({200, 401, 403, 404}))),
    )
    if isinstance(reached, Check):
        if reached.exit_code != AuthError.exit_code:
            yield reached
            return
        yield Check("registry-reachable", Standing.OK, f"{origin.host} answers, and asks who is there")
    else:
        yield Check("registry-reachable", Standing.OK, f"{origin.host} answers {reached.status_code}")
        yield _clock(reached)
    read = _ask(
        "registry-pull",
        lambda: _closed(transport.send("GET", f"{root}/tags/list?n=1", frozenset({200, 404}))),
        login_hint(origin.host),
    )
    if isinstance(read, Check):
        yield read
    else:
        there = "may be read" if read.status_code == 200 else "is not there yet, or may not be seen"
        yield Check("registry-pull", Standing.OK, f"{origin.host}/{path} {there}")
    yield _push(transport, origin, path, known)
    found = _ask(
        "registry-referrers",
        lambda: _closed(transport.send("GET", f"{root}/referrers/{_NOBODY}", frozenset({200, 400, 404, 405}))),
    )
    if not isinstance(found, Check):
        has = (
            "it has the referrers API"
            if found.status_code == 200
            else "it has no referrers API, as GHCR; promote needs none"
        )
        yield Check("registry-referrers", Standing.OK, has)


def _push(transport: Transport, origin: Origin, path: str, known: str) -> Check:
    """Begins an upload and cancels it."""
    place = Place(f"{origin.host}/{path}", f"{origin.url}/v2/{path}", transport)
    remedy = _PUSH_AT_GHCR if origin.host == _GHCR else login_hint(origin.host)
    session = _ask("registry-push", lambda: open_session(place), remedy)
    if isinstance(session, Check):
        return session
    # Not every registry cancels; what was begun is then forgotten by the registry itself, in days.
    _ask("registry-push", lambda: _closed(transport.send("DELETE", session, frozenset({200, 202, 204, 404, 405}))))
    return Check("registry-push", Standing.OK, f"{origin.host}/{path} may be written {known}")


def _address(origin: Origin) -> Check:
    if origin.private:
        return Check("registry-address", Standing.OK, f"{origin.url}{f'/{origin.path}' if origin.path else ''}")
    return Check(
        "registry-address",
        Standing.WARN,
        f"{origin.url} is spoken to unencrypted, so it gets no credentials",
        "use https://",
    )


def _credentials(origin: Origin, env: Mapping[str, str]) -> Check:
    """Which would be used; never what they are."""
    try:
        known = HostAuth(origin.host, env)
    except PromoteError as error:
        return _failed("registry-credentials", error)
    if known.known:
        return Check("registry-credentials", Standing.OK, f"by {known.source}")
    return Check("registry-credentials", Standing.WARN, "as a stranger: none are known", login_hint(origin.host))


def _clock(answer: requests.Response) -> Check:
    """The registry's clock against ours; tokens are valid for minutes."""
    try:
        theirs = email.utils.parsedate_to_datetime(answer.headers.get("Date", "")).timestamp()
    except ValueError:
        return Check("registry-clock", Standing.OK, "the registry does not say what time it is")
    skew = time.time() - theirs
    if abs(skew) <= _SKEW_SECONDS:
        return Check("registry-clock", Standing.OK, f"within {abs(skew):.0f} s of the registry's")
    return Check(
        "registry-clock", Standing.WARN, f"this machine's clock is {abs(skew):,.0f} s {'ahead' if skew > 0 else 'behind'}",
        "set the clock: tokens are refused as expired or not valid yet",
    )  # fmt: skip


def _layout(root: Path) -> Iterator[Check]:
    """A folder: it can be made and written, and has room."""
    at = root
    while not at.exists() and at != at.parent:
        at = at.parent
    if not at.is_dir() or not os.access(at, os.W_OK | os.X_OK):
        yield Check(
            "registry-push", Standing.FAIL, f"{at} may not be written", "choose a folder of yours, or its rights", 2
        )
        return
    yield Check("registry-push", Standing.OK, f"{root} may be written")
    free = shutil.disk_usage(at).free
    little = free < _LITTLE_ROOM
    yield Check(
        "registry-room", Standing.WARN if little else Standing.OK, f"{free / 2**30:,.1f} GiB free",
        "make room: a bundle of a large model takes gigabytes" if little else "",
    )  # fmt: skip


def _ask(name: str, ask: Callable[[], T], remedy: str = "") -> T | Check:
    """What was asked for; or the failed check, where it was refused."""
    try:
        return ask()
    except Again as again:
        return _failed(name, again.error)
    except PromoteError as error:
        return _failed(name, error, remedy if isinstance(error, AuthError) else "")


def _closed(answer: requests.Response) -> requests.Response:
    """The answer, its body left unread."""
    answer.close()
    return answer


def _failed(name: str, error: PromoteError, remedy: str = "") -> Check:
    return Check(name, Standing.FAIL, error.message, remedy or error.hint, error.exit_code)
