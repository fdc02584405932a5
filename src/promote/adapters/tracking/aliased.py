"""Which version of each registered model carries an alias: what is desired on a target.

Not here: what the version's tags mean (``ledger``), and moving an alias (``versions``).
"""

from collections.abc import Iterator, Mapping

from promote.adapters.tracking.client import Connection, paged
from promote.adapters.tracking.versions import ID_TAG, versions_of
from promote.core.names import MODEL_NAME
from promote.errors import NotFound


def aliased(link: Connection, alias: str) -> Iterator[tuple[str, int, Mapping[str, str]]]:
    """Model, version and tags of every version that promote made and that carries ``alias``.

    Others may use the same alias for models of their own: these are left out.
    """
    for model in paged(link, f"reading which versions are {alias}", link.client.search_registered_models):
        number = str(model.aliases.get(alias, ""))
        if not number.isdecimal() or not MODEL_NAME.fullmatch(model.name):
            continue
        try:
            tags = versions_of(link, model.name).tags(int(number))
        except NotFound:  # deleted since the page was read
            continue
        if ID_TAG in tags:
            yield model.name, int(number), tags
