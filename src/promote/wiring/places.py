"""Chooses where bundles are copied from and to, by what was typed: a registry, a layout, or a place that is neither."""

from __future__ import annotations

from pathlib import Path
from typing import IO, TYPE_CHECKING

from promote.core.references import LAYOUT, Reference, parse_reference, scheme_of

if TYPE_CHECKING:
    from promote.ports import Goal, Origin, Place
    from promote.wiring.parts import Parts


def origin(parts: Parts, text: str) -> tuple[Origin, Reference]:
    """Where the bundle lies that ``text`` names, and its reference there.

    Raises:
        InputError: no reference with a version.
    """
    wanted = parse_reference(text)
    return parts.registry_at(wanted.base), wanted


def goal(parts: Parts, text: str) -> tuple[Place, Reference]:
    """Where a bundle goes that is copied to ``text``, and what that says of its name and version.

    Raises:
        InputError: no place that takes bundles.
    """
    wanted = under(text)
    return parts.registry_at(wanted.base), wanted


def archive(path: str, work: Path, stdin: IO[bytes]) -> tuple[Origin, Reference]:
    """The bundle in a file that ``promote export`` or skopeo wrote, and its reference there.

    Args:
        path: of the file; ``-`` for what is piped in, which is kept in a file first: an archive is read at many places.
        work: where to.
        stdin: what is piped in.

    Raises:
        NotFound, IntegrityError: no such file, or not a whole archive of one bundle.
    """
    from promote.adapters.oci.archive import Archive
    from promote.adapters.oci.archive_writing import spool

    found = Archive(spool(stdin, work) if path == "-" else Path(path))
    name, digest = found.bundle()
    return found, Reference("", name, digest)


def file(path: str, stdout: IO[bytes]) -> Goal:
    """The file of that name, or ``stdout`` where it is ``-``."""
    from promote.adapters.oci.archive_writing import ArchiveFile, ArchiveStream

    return ArchiveStream(stdout) if path == "-" else ArchiveFile(Path(path))


def under(text: str) -> Reference:
    """A reference without a version, or with one; with a slash at its end, a place for bundles of any model.

    Raises:
        InputError: neither.
    """
    if text.endswith("/"):
        return Reference(parse_reference(f"{text}x", versioned=False).base, "", "")
    return parse_reference(text, versioned=False)


def spoken_to(source: str, to: str) -> str:
    """The registry that the user and password of the environment are for: that of ``to``, of ``source`` where that is none.

    Empty: the settings' own.
    """
    if scheme_of(to) in ("", "http", "https"):
        return under(to).base
    base = parse_reference(source).base
    return "" if base.startswith(LAYOUT) else base
