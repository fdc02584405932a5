"""The header of a member of a tar, read with suspicion: plain files and folders of an OCI layout, and nothing else. Pure.

Tar has many dialects, and two readers that disagree about one are how a file gets past a check. So what only some readers know
(pax records, GNU long names, sparse files, links, devices, prefixes) is refused, whatever it says; a layout needs none of it.
Source: POSIX.1-2001 ``pax``, ustar interchange format; GNU tar manual, "Basic Tar Format"; opencontainers/image-spec
``image-layout.md``. Not here: reading a file (``adapters.oci.archive``).
"""

import re
from dataclasses import dataclass

from promote.core.names import printable
from promote.errors import IntegrityError

BLOCK = 512
_BLOB = re.compile(r"blobs/sha256/[0-9a-f]{64}")
_FILES = ("oci-layout", "index.json")
_FOLDERS = ("", ".", "blobs", "blobs/sha256")
_MAGIC = (b"ustar\x0000", b"ustar  \x00")  # POSIX and GNU
_KINDS = {
    b"1": "a hard link", b"2": "a symbolic link", b"3": "a device", b"4": "a device", b"6": "a pipe", b"7": "a contiguous file",
    b"x": "a pax record", b"g": "a pax record", b"L": "a long name of GNU tar", b"K": "a long link of GNU tar",
    b"S": "a sparse file", b"M": "a part of several volumes", b"V": "a volume's label", b"D": "a listing of GNU tar",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Member:
    """A file of the archive.

    Args:
        name: ``oci-layout``, ``index.json`` or ``blobs/sha256/<hex>``; empty for a folder.
        size: bytes of its content.
    """

    name: str
    size: int

    @property
    def padded(self) -> int:
        """Bytes until the next header."""
        return -(-self.size // BLOCK) * BLOCK


def is_end(block: bytes) -> bool:
    """Whether this block may end an archive."""
    return block == bytes(BLOCK)


def read_header(block: bytes) -> Member:
    """What a header tells.

    Args:
        block: 512 bytes from anywhere.

    Raises:
        IntegrityError: no header, one that some readers read otherwise, or a name that no layout has.
    """
    if block[257:265] not in _MAGIC or _number(block[148:156]) != _sum(block):
        raise IntegrityError("it is no tar, or is damaged", hint="promote export writes one, and so does skopeo")
    name = _text(block[0:100])
    shown, kind = printable(name, 80), block[156:157]
    if kind not in (b"0", b"\0", b"5"):
        what = _KINDS.get(kind, f"of type {printable(repr(kind))}")
        raise IntegrityError(f"it holds {shown!r}, {what}", hint="an archive of a bundle holds plain files alone")
    if block[345:500].strip(b"\0") or block[157:257].strip(b"\0"):
        raise IntegrityError(f"it holds {shown!r} with a prefix, a link or times that not every reader knows")
    path = name.removeprefix("./").removesuffix("/") if kind == b"5" else name.removeprefix("./")
    size = _number(block[124:136])
    if kind == b"5":
        if path not in _FOLDERS or size:
            raise IntegrityError(f"it holds a folder {shown!r}, which is none of an OCI layout")
        return Member("", 0)
    if path not in _FILES and not _BLOB.fullmatch(path):
        raise IntegrityError(
            f"it holds {shown!r}, which is no file of an OCI layout",
            hint="expected oci-layout, index.json and blobs/sha256/<64 hex digits>",
        )
    return Member(path, size)


def _text(field: bytes) -> str:
    """A name up to its first NUL; what follows that must be NULs too.

    Raises:
        IntegrityError: it is not.
    """
    name, _, rest = field.partition(b"\0")
    if rest.strip(b"\0"):
        raise IntegrityError(f"it holds a name with a NUL in it: {printable(repr(field[:60]))}")
    return name.decode("ascii", errors="backslashreplace")


def _number(field: bytes) -> int:
    """Octal digits, or GNU's base 256 for 8 GiB and more.

    Raises:
        IntegrityError: neither, or below zero.
    """
    if field[0] == 0x80:
        return int.from_bytes(field[1:])
    digits = field.strip(b" \0")
    if not re.fullmatch(rb"[0-7]{0,12}", digits):
        raise IntegrityError(f"it holds a number that is none: {printable(repr(field))}")
    return int(digits or b"0", 8)


def _sum(block: bytes) -> int:
    """Of all bytes, those of the sum itself being spaces."""
    return sum(block) - sum(block[148:156]) + 8 * ord(" ")
