"""What a registry lets these credentials do, each right by asking for it: read, push, mount, delete, referrers; and its clock.

A right to push is seen by beginning an upload and cancelling it; no byte is stored. What is mounted or deleted is a digest that
nothing has. Not here: addresses and credentials (``examine``).
"""

import email.utils
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

import requests

from promote.adapters.oci.credentials import login_hint
from promote.adapters.oci.failures import Again, NoPackageRight
from promote.adapters.oci.origin import Origin
from promote.adapters.oci.transport import Transport
from promote.adapters.oci.upload import Place, cancel, open_session, session_of
from promote.core.diagnosis import Check, Standing, failed, package_denied
from promote.errors import AuthError, PromoteError

_NOBODY = "sha256:" + 64 * "0"
_SKEW_SECONDS = 300.0  # tokens are refused when the clocks differ more, as a rule
T = TypeVar("T")


def rights(transport: Transport, origin: Origin, path: str, known: str, actions: str) -> Iterator[Check]:
    """Every check, as it is made; after one that makes the rest pointless no other.

    Args:
        transport: speaks to the registry.
        origin: the registry.
        path: the repository that is asked about.
        known: where the credentials come from.
        actions: ``owner/name`` of the repository whose workflow this runs in; empty elsewhere.
    """
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
    place = Place(f"{origin.host}/{path}", f"{origin.url}/v2/{path}", transport)
    pull = _pull(place, origin)
    yield pull
    pushes = list(_push(place, origin, known, actions, pull.standing is Standing.OK))
    yield from pushes
    if all(check.standing is Standing.OK for check in pushes):
        yield _mount(place, path)
        yield _delete(place, origin)
    yield from _referrers(place)


def _pull(place: Place, origin: Origin) -> Check:
    """Whether the repository may be read; where nothing is there yet, nobody can say."""
    read = _ask(
        "registry-pull",
        lambda: _closed(place.transport.send("GET", f"{place.root}/tags/list?n=1", frozenset({200, 404}))),
        login_hint(origin.host),
    )
    if isinstance(read, Check):
        return read
    if read.status_code == 200:
        return Check("registry-pull", Standing.OK, f"{place.repository} may be read")
    return Check(
        "registry-pull",
        Standing.WARN,
        f"nothing there yet at {place.repository}, so reading is not proven",
        "for a new model nothing; else check --model and --registry: a private repository answers so to a stranger",
    )


def _push(place: Place, origin: Origin, known: str, actions: str, there: bool) -> Iterator[Check]:
    """Begins an upload and cancels it."""
    try:
        session = _ask("registry-push", lambda: open_session(place), login_hint(origin.host), (NoPackageRight,))
    except NoPackageRight as error:
        yield failed("registry-push", error, "see below")
        yield from package_denied(place.repository, actions, there)
        return
    if isinstance(session, Check):
        yield session
        return
    cancel(place, session)
    yield Check("registry-push", Standing.OK, f"{place.repository} may be written {known}")


def _mount(place: Place, path: str) -> Check:
    """Asks to mount what nobody has: who mounts begins an upload instead, who does not refuses."""
    url = f"{place.root}/blobs/uploads/?mount={_NOBODY}&from={path}-other"
    asked = _ask(
        "registry-mount",
        lambda: place.transport.send("POST", url, frozenset({201, 202}), source=f"{path}-other"),
    )
    if isinstance(asked, Check):
        return Check(
            "registry-mount",
            Standing.WARN,
            f"{asked.has}: files that another model has are sent again",
            "nothing, where models share no weights; else a token that may read the models beside it",
        )
    if asked.status_code == 202:
        session = _ask("registry-mount", lambda: session_of(place, url, asked))
        if isinstance(session, Check):
            return session
        cancel(place, session)
    return Check("registry-mount", Standing.OK, "it takes requests to mount; what another model has need not be sent")


def _delete(place: Place, origin: Origin) -> Check:
    """Asks to delete what is not there. promote deletes nothing, so no answer is a failure."""
    asked = _ask(
        "registry-delete",
        lambda: place.transport.send("DELETE", f"{place.root}/manifests/{_NOBODY}", frozenset({200, 202, 404, 405})),
    )
    if isinstance(asked, Check):
        return Check("registry-delete", Standing.OK, "these credentials may not delete; promote needs no such right")
    if asked.status_code == 405:
        where = "on the package's page, as GHCR" if origin.host == "ghcr.io" else "by its own means, as GHCR"
        return Check(
            "registry-delete", Standing.OK, f"it answers 405: versions are deleted {where}; promote needs none of it"
        )
    return Check("registry-delete", Standing.OK, "these credentials may delete; promote never does")


def _referrers(place: Place) -> Iterator[Check]:
    found = _ask(
        "registry-referrers",
        lambda: _closed(
            place.transport.send("GET", f"{place.root}/referrers/{_NOBODY}", frozenset({200, 400, 404, 405}))
        ),
    )
    if not isinstance(found, Check):
        has = (
            "it has the referrers API"
            if found.status_code == 200
            else "it has no referrers API, as GHCR; promote needs none"
        )
        yield Check("registry-referrers", Standing.OK, has)


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


def _ask(name: str, ask: Callable[[], T], remedy: str = "", unless: tuple[type[PromoteError], ...] = ()) -> T | Check:
    """What was asked for; or the failed check, where it was refused. What is in ``unless`` is raised."""
    try:
        return ask()
    except unless:
        raise
    except Again as again:
        return failed(name, again.error)
    except PromoteError as error:
        return failed(name, error, remedy if isinstance(error, AuthError) else "")


def _closed(answer: requests.Response) -> requests.Response:
    """The answer, its body left unread."""
    answer.close()
    return answer
