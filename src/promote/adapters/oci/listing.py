"""The passports of all bundles that a registry across the network holds.

Not every registry lists its repositories (GHCR does not): then the models must be named. Not here: how one lists them
(``catalog``), and passports in layouts (``passports``).
"""

import re
from collections.abc import Iterator, Mapping

from promote.adapters.oci.registry import OciRegistry, open_registry
from promote.core.layout import passport_of
from promote.core.names import model_name
from promote.core.passport_item import Item
from promote.core.stages import Stored
from promote.errors import IntegrityError, NotFound

_TAG = re.compile(r"v[1-9][0-9]{0,9}")


def read_remote(base: str, env: Mapping[str, str], models: tuple[str, ...]) -> Iterator[Item]:
    """The passport of every version of these models, and of each of its variants; of all models where none is named.

    Raises:
        InputError: none is named, and the registry does not list its repositories.
    """
    registry = open_registry(base, env)
    for name in sorted(map(model_name, models)) or registry.models():
        try:
            tags = [tag for tag in reversed(registry.tags(name)) if _TAG.fullmatch(tag)]
        except (NotFound, IntegrityError) as error:
            yield Item(f"{base}/{name}", fault=error.message)
            continue
        if not tags:
            yield Item(f"{base}/{name}", fault=f"{base}/{name} holds no version")
        for tag in tags:
            yield from _versions(registry, name, tag, f"{base}/{name}:{tag}")


def _versions(registry: OciRegistry, name: str, tag: str, where: str) -> Iterator[Item]:
    try:
        found = registry.find(name, tag)
        digests = [found.digest] if isinstance(found, Stored) else [variant.digest for variant in found.variants]
        for digest in digests:
            stored = found if isinstance(found, Stored) else registry.resolve(name, digest)
            yield Item(where, passport=registry.read(stored, passport_of(stored)))
    except (NotFound, IntegrityError) as error:
        yield Item(where, fault=error.message)
