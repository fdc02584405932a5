"""What was found where passports lie: what ``promote what-if`` judges, before it is read. Pure.

Not here: where they lie (``adapters.passports``, ``adapters.oci.listing``), and what one says (``passport_facts``).
"""

from dataclasses import dataclass

LARGEST = 16 * 1024 * 1024
"""Bytes of a passport that promote reads at most."""


@dataclass(frozen=True, slots=True)
class Item:
    """Something to judge.

    Args:
        where: what to call it: a path, or a bundle's reference.
        passport: the passport's bytes, whose digest was right where one is known.
        model: path of a model file that has no passport.
        layout: path of an OCI layout, which holds passports of its own.
        fault: why there is neither.
    """

    where: str
    passport: bytes = b""
    model: str = ""
    layout: str = ""
    fault: str = ""
