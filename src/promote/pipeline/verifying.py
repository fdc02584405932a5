"""A bundle held against its digests, every byte; and a folder that it was pulled to."""

from dataclasses import dataclass

from promote.core.faults import Audit, Fault
from promote.core.stages import Held
from promote.pipeline.pulling import one_of
from promote.ports import Folder, Progress, Registry


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What came of it.

    Args:
        held: the bundle, or the index.
        audit: of the registry's bytes.
        folder: what is wrong in the folder; ``None`` where none was named.
    """

    held: Held
    audit: Audit
    folder: tuple[Fault, ...] | None

    @property
    def faults(self) -> tuple[Fault, ...]:
        """All of them."""
        return (*self.audit.faults, *(self.folder or ()))


def verify_bundle(
    name: str, reference: str, registry: Registry, folder: Folder | None, progress: Progress, *, variant: str = ""
) -> Verified:
    """Reads every byte of what ``reference`` names now, of what refers to it, and of ``folder``.

    Args:
        name: of the model.
        reference: tag or digest.
        registry: where the bundle lies.
        folder: that a bundle was pulled to; ``None``: only the registry is read.
        progress: how a person is told.
        variant: of an index, which lies in the folder; empty: the portable one.

    Raises:
        InputError: no such folder, or no such variant.
        IntegrityError: what is named is no bundle at all.
        NotFound, AuthError, Unavailable: as the words say.
    """
    held = registry.find(name, reference)
    one = one_of(held, registry, variant) if folder else None
    with progress.stage("read", held.reference) as step:
        audit = registry.audit(held, step)
        step.say(f"{audit.size:,} bytes of {audit.manifests} manifests and {audit.blobs} blobs")
    if folder is None or one is None:
        return Verified(held=held, audit=audit, folder=None)
    with progress.stage("compare", folder.path) as step:
        faults = folder.compare(one, step)
        step.say(f"{len(one.files)} files")
    return Verified(held=held, audit=audit, folder=faults)
