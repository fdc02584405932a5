"""What lies in a registry or layout: every tag of its models, and what that names."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from promote.core.evidence import verdicts_of
from promote.core.referrers import CREATED
from promote.core.stages import Held, Stored
from promote.core.variant_index import StoredIndex
from promote.errors import IntegrityError
from promote.ports import Registry


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A tag.

    Args:
        name: of the model.
        tag: of the version; empty where the list of them cannot be read.
        held: what it names; ``None`` where that is no bundle.
        size: bytes of the files, of all variants together where there are several.
        targets: target -> the verdict's word.
        fault: why it is no bundle; empty where it is one.
    """

    name: str
    tag: str
    held: Held | None = None
    size: int = 0
    targets: Mapping[str, str] = field(default_factory=dict)
    fault: str = ""

    @property
    def created(self) -> str:
        """When the bundle was made, as it says itself; empty where it does not."""
        return self.held.annotations.get(CREATED, "") if self.held else ""

    @property
    def kind(self) -> str:
        """``bundle``, ``2 variants``, or ``no bundle``."""
        if isinstance(self.held, StoredIndex):
            return f"{len(self.held.variants)} variants"
        return "bundle" if self.held else "no bundle"


def list_bundles(registry: Registry, models: Iterable[str]) -> Iterator[Listed]:
    """Every tag of these models, the newest version first; what is damaged or no bundle is listed as that.

    Raises:
        AuthError, Unavailable: as the words say.
    """
    for name in models:
        try:
            tags = registry.tags(name)
        except IntegrityError as error:
            yield Listed(name=name, tag="", fault=error.message)
            continue
        for tag in tags:
            try:
                yield _listed(registry, name, tag)
            except IntegrityError as error:
                yield Listed(name=name, tag=tag, fault=error.message)


def _listed(registry: Registry, name: str, tag: str) -> Listed:
    held = registry.find(name, tag)
    bundles = [held] if isinstance(held, Stored) else [registry.resolve(name, v.digest) for v in held.variants]
    blobs = {blob.digest: blob.size for bundle in bundles for blob in bundle.files.values()}
    targets = verdicts_of(held, registry.referrers(held))
    return Listed(name=name, tag=tag, held=held, size=sum(blobs.values()), targets=targets)
