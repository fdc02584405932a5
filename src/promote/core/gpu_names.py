"""How a GPU is named, by people and by ``nvidia-smi``: one spelling for both. Pure.

Not here: what is known of a GPU (``matrix_rows.Gpu``).
"""

import difflib
import re
from collections.abc import Iterable

# Words in a card's name, as nvidia-smi gives it, that change neither its architecture nor its compute capability.
_NOISE = re.compile(r"nvidia|geforce|tesla|generation|gpu|laptop|pcie|nvl|sxm[0-9]?|hbm[0-9]e?|[0-9]+gb")
_BRAND = re.compile(r"^(?:nvidia|geforce|tesla)+")


def plain_name(name: str) -> str:
    """What tells a card from another: ``rtx5090`` for ``NVIDIA GeForce RTX 5090``, ``rtx 5090`` and ``RTX5090``."""
    words = [word for word in re.split(r"[^a-z0-9]+", name.lower()) if not _NOISE.fullmatch(word)]
    return _BRAND.sub("", "".join(words))


def nearest(name: str, known: Iterable[str]) -> list[str]:
    """At most three of ``known`` that ``name`` may have been meant for, the likeliest first."""
    by_plain = {plain_name(one): one for one in known}
    return [by_plain[one] for one in difflib.get_close_matches(plain_name(name), by_plain, n=3)]


__all__ = ["nearest", "plain_name"]
