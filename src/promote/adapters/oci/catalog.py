"""Which models a registry has: the repositories that lie below an address.

Not every registry lists its repositories (GHCR does not). Source: distribution/distribution's ``_catalog``, which the
distribution-spec knows only as an extension. Not here: what lies in a repository (``registry``).
"""

from collections.abc import Iterator, Mapping

from promote.adapters.oci.failures import PATIENT
from promote.adapters.oci.origin import Origin
from promote.adapters.oci.pages import pages, texts
from promote.adapters.oci.transport import Transport
from promote.core.names import MODEL_NAME
from promote.errors import AuthError, InputError, NotFound


def models_below(origin: Origin, env: Mapping[str, str]) -> tuple[str, ...]:
    """The models whose repositories lie directly below the origin's path, by name.

    Raises:
        InputError: the registry does not list its repositories.
    """
    prefix = origin.repository("x")[:-1]
    try:
        found = list(_repositories(origin, env))
    except (NotFound, AuthError, InputError) as error:
        raise InputError(f"{origin.host} does not list its repositories", hint="name the models") from error
    names = (name.removeprefix(prefix) for name in found if name.startswith(prefix))
    return tuple(sorted(name for name in names if MODEL_NAME.fullmatch(name)))


def _repositories(origin: Origin, env: Mapping[str, str]) -> Iterator[str]:
    for page in pages(Transport(origin, env), PATIENT, f"{origin.url}/v2/_catalog?n=1000", "repositories"):
        yield from texts(page, "repositories", origin.host)
