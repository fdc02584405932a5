"""What is not as a manifest says, one part each. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """One part that is not what it should be.

    Args:
        where: a path in the bundle, or a digest.
        what: what is wrong with it, to be read after its name: ``is missing``.
    """

    where: str
    what: str
