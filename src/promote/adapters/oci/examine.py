"""Looks at a registry or layout as a promotion will meet it, and leaves nothing behind: for `promote doctor`.

Not here: what is asked of a registry (``examine_rights``), and how it is told (``cli.doctor``).
"""

import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from promote.adapters.oci.credentials import HostAuth, login_hint
from promote.adapters.oci.examine_rights import rights
from promote.adapters.oci.origin import Origin, parse_origin
from promote.adapters.oci.transport import Transport
from promote.core.diagnosis import Check, Standing, failed
from promote.errors import InputError, PromoteError

_LITTLE_ROOM = 10 * 2**30


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
        yield failed("registry-address", error)
        return
    yield _address(origin)
    found = _credentials(origin, env)
    yield found
    if found.standing is Standing.FAIL:
        return
    yield from rights(Transport(origin, env), origin, path, found.has, env.get("GITHUB_REPOSITORY", ""))


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
        return failed("registry-credentials", error)
    if known.known:
        return Check("registry-credentials", Standing.OK, f"by {known.source}")
    return Check("registry-credentials", Standing.WARN, "as a stranger: none are known", login_hint(origin.host))


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
