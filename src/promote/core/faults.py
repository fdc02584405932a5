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


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """What came of reading everything.

    Args:
        faults: none where all is as its digests say.
        manifests: that were read, those of referrers among them.
        blobs: that were read.
        size: bytes of both.
    """

    faults: tuple[Fault, ...]
    manifests: int
    blobs: int
    size: int
