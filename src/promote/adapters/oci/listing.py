"""What a registry across the network lists: its repositories, their version tags, and the passports of those.

Not every registry lists its repositories (GHCR does not): then the models must be named. Source:
opencontainers/distribution-spec, "Listing Tags"; ``_catalog`` is distribution/distribution's.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from promote.adapters.oci.failures import PATIENT
from promote.adapters.oci.origin import Origin, parse_origin
from promote.adapters.oci.pages import pages
from promote.adapters.oci.registry import open_registry
from promote.adapters.oci.transport import Transport
from promote.core.layout import passport_of
from promote.core.manifest import strict_json
from promote.core.names import MODEL_NAME, model_name
from promote.core.passport_item import Item
from promote.errors import AuthError, InputError, IntegrityError, NotFound

_TAG = re.compile(r"v[1-9][0-9]{0,9}")


def read_remote(base: str, env: Mapping[str, str], models: tuple[str, ...]) -> Iterator[Item]:
    """The passport of every version of these models; of all models where none is named.

    Raises:
        InputError: none is named, and the registry does not list its repositories.
    """
    origin = parse_origin(base)
    registry = open_registry(base, env)
    for name in sorted(map(model_name, models)) or _models(origin, env):
        try:
            tags = _tags(origin, env, name)
        except (NotFound, IntegrityError) as error:
            yield Item(f"{origin.host}/{origin.repository(name)}", fault=error.message)
            continue
        for tag in tags:
            where = f"{origin.host}/{origin.repository(name)}:{tag}"
            try:
                stored = registry.resolve(name, tag)
                yield Item(where, passport=registry.read(stored, passport_of(stored)))
            except (NotFound, IntegrityError) as error:
                yield Item(where, fault=error.message)


def _models(origin: Origin, env: Mapping[str, str]) -> list[str]:
    prefix = origin.repository("x")[:-1]
    try:
        found = list(_pages(origin, env, f"{origin.url}/v2/_catalog?n=1000", "repositories"))
    except (NotFound, AuthError, InputError) as error:
        raise InputError(
            f"{origin.host} does not list its repositories", hint="name them: --model NAME, once for each"
        ) from error
    names = (name.removeprefix(prefix) for name in found if name.startswith(prefix))
    return sorted(name for name in names if MODEL_NAME.fullmatch(name))


def _tags(origin: Origin, env: Mapping[str, str], name: str) -> list[str]:
    url = f"{origin.url}/v2/{origin.repository(name)}/tags/list"
    found = {tag for tag in _pages(origin, env, url, "tags") if _TAG.fullmatch(tag)}
    return sorted(found, key=lambda tag: int(tag[1:]))


def _pages(origin: Origin, env: Mapping[str, str], url: str, key: str) -> Iterator[str]:
    """The texts under ``key``, page by page."""
    for page in pages(Transport(origin, env), PATIENT, url, key):
        yield from _texts(strict_json(page, f"the list of {origin.host}"), key, origin)


def _texts(page: Any, key: str, origin: Origin) -> list[str]:
    values = page.get(key) if isinstance(page, dict) else None
    if values is None and isinstance(page, dict) and key in page:  # some say null for none
        return []
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise IntegrityError(f"{origin.host} answers with no list of {key}")
    return values
