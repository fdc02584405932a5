"""Which version of each registered model carries an alias: what is desired on a target.

Not here: what the version's tags mean (``ledger``), and moving an alias (``versions``).
"""

from collections.abc import Iterator, Mapping

from promote.adapters.tracking.client import Connection
from promote.adapters.tracking.failures import told
from promote.adapters.tracking.versions import ID_TAG, versions_of
from promote.core.names import MODEL_NAME
from promote.errors import NotFound

_PAGE = 200


def aliased(link: Connection, alias: str) -> Iterator[tuple[str, int, Mapping[str, str]]]:
    """Model, version and tags of every version that promote made and that carries ``alias``.

    Others may use the same alias for models of their own: these are left out.
    """
    token = None
    while True:
        with told(link.address, f"reading which versions are {alias}"):
            page = link.client.search_registered_models(max_results=_PAGE, page_token=token)
        for model in page:
            number = str(model.aliases.get(alias, ""))
            if not number.isdecimal() or not MODEL_NAME.fullmatch(model.name):
                continue
            try:
                tags = versions_of(link, model.name).tags(int(number))
            except NotFound:  # deleted since the page was read
                continue
            if ID_TAG in tags:
                yield model.name, int(number), tags
        if not (token := page.token):
            return
