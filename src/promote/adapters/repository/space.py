"""A place elsewhere that holds a model repository, as few words as a ``RemoteRepository`` needs of it.

Keys are ``root/...`` (what Triton reads) and ``state/...`` (promote's own, beside it), laid out as in ``shelf.py``.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from promote.core.stages import Blob
from promote.errors import IntegrityError


@dataclass(frozen=True, slots=True)
class Held:
    """A small file as it was read, and the mark by which a change since then is seen."""

    data: bytes
    mark: str


@dataclass(slots=True)
class View:
    """A model as it was seen.

    Args:
        small: key -> its record, what MLflow knows of it, the notes of each placed version, and Triton's ``config.pbtxt``.
        sizes: path below ``root/NAME`` -> bytes.
        odd: paths there that are neither a file nor a folder.
    """

    small: dict[str, Held] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    odd: tuple[str, ...] = ()

    def below(self, folder: str, shown: str) -> dict[str, int]:
        """Relative path -> bytes of every file in a folder of the model; ``shown`` names it in messages.

        Raises:
            IntegrityError: something there is neither a file nor a folder.
        """
        start = f"{folder}/" if folder else ""
        if any(path.startswith(start) or path == folder for path in self.odd):
            raise IntegrityError(f"{shown} holds what is neither a regular file nor a folder")
        return {path.removeprefix(start): size for path, size in self.sizes.items() if path.startswith(start)}


class Space(Protocol):
    """Where the keys lie. All may raise AuthError, Unavailable and InputError as the words say."""

    @property
    def shown(self) -> str:
        """The repository, as messages name it."""

    def shown_key(self, key: str) -> str:
        """A key, as messages name it."""

    def require(self) -> None:
        """Passes when the repository is there; writes nothing.

        Raises:
            InputError: it is not.
        """

    def read(self, key: str) -> Held | None:
        """A small file, or ``None`` where it is not."""

    def read_all(self, keys: Sequence[str]) -> dict[str, Held]:
        """Small files, in one round trip where that can be; those that are not there are left out."""

    def glance(self, name: str) -> View:
        """A model's small files and the sizes of all that Triton reads of it, in as few round trips as can be.

        Raises:
            InputError: the repository is not there.
        """

    def write(self, key: str, data: bytes) -> Held:
        """Replaces a small file in one step."""

    def swap(self, key: str, data: bytes, former: Held | None) -> Held:
        """The same, if it still is ``former`` (``None``: if it is not there).

        Raises:
            Unavailable: somebody else changed it.
        """

    def sizes(self, folder: str) -> dict[str, int]:
        """Relative path -> bytes of every file below ``folder``; none where it is not."""

    def folders(self, folder: str) -> tuple[str, ...]:
        """Names of the folders directly in ``folder``, in order."""

    def digests(self, folder: str) -> dict[str, str]:
        """Relative path -> ``sha256:...`` of the bytes that lie below ``folder`` now."""

    def bring(self, folder: str, files: Mapping[str, tuple[str, Blob]]) -> None:
        """Fills ``folder`` with exactly ``files``; what is there already is not sent again.

        Args:
            folder: of one version; until its notes say that it is placed, nobody takes it for whole.
            files: path in the folder -> path here, and what its bytes are, which was verified.

        Raises:
            IntegrityError: other bytes arrived.
        """

    def drop(self, folder: str) -> None:
        """Removes it with all in it; nothing where it is not."""

    def remove(self, key: str) -> None:
        """Removes a file; nothing where it is not."""

    def sweep(self, name: str) -> None:
        """Removes what killed deployments of a model left; called under its lock."""

    def lock(self, name: str, by: str) -> AbstractContextManager[None]:
        """One deployment of a model at a time.

        Raises:
            InputError: the repository is not there.
            Unavailable: another one is under way.
        """
