"""Two bundles held against each other, be they in one registry or in two; no large file is fetched."""

from promote.core.bundle_diff import Side
from promote.core.layout import PASSPORT
from promote.core.model_config import parse_config
from promote.core.stages import Stored
from promote.errors import IntegrityError
from promote.ports import Registry


def side_of(stored: Stored, registry: Registry) -> Side:
    """What is compared of a bundle: its manifest, its configuration and its passport.

    Raises:
        IntegrityError: bytes of another digest, or no configuration.
        NotFound, AuthError, Unavailable: as the words say.
    """
    path = f"{stored.name}/config.pbtxt"
    if path not in stored.files:
        raise IntegrityError(f"{stored.reference} holds no {path}")
    passport = stored.files.get(f"{stored.name}/{stored.version}/{PASSPORT}")
    return Side(
        stored,
        parse_config(registry.read(stored, stored.files[path]), f"{path} of {stored.reference}"),
        registry.read(stored, passport) if passport else b"",
    )
