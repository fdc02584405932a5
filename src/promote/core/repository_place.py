"""Where a target's model repository lies: a folder, ``s3://bucket/prefix``, or ``ssh://[user@]host[:port]/path``. Pure."""

import re
from dataclasses import dataclass

from promote.core.names import printable
from promote.errors import InputError

EXPECTED = "expected a folder, s3://bucket/prefix, or ssh://[user@]host[:port]/path"
_STEP = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}"
_PATH = rf"{_STEP}(?:/{_STEP}){{0,31}}"
_S3 = re.compile(rf"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{{1,61}}[a-z0-9])/(?P<prefix>{_PATH})/?")
# A host as ssh takes it; one that begins with - would be an option.
_SSH = re.compile(
    r"ssh://(?:(?P<user>[A-Za-z_][A-Za-z0-9._-]{0,63})@)?(?P<host>[A-Za-z0-9][A-Za-z0-9._-]{0,252})"
    rf"(?::(?P<port>[0-9]{{1,5}}))?(?P<path>/{_PATH})/?"
)


@dataclass(frozen=True, slots=True)
class S3Place:
    """A prefix of a bucket; never the bucket itself, since promote's own state lies beside the repository."""

    bucket: str
    prefix: str


@dataclass(frozen=True, slots=True)
class SshPlace:
    """A folder of another host. ``port`` 0 and ``user`` empty: as ssh's own configuration says."""

    user: str
    host: str
    port: int
    path: str


@dataclass(frozen=True, slots=True)
class FolderPlace:
    """A folder on this machine, or mounted here."""

    path: str


def s3_place(text: str) -> S3Place | None:
    """The place that ``s3://bucket/prefix`` names; ``None`` where it is not of that form."""
    found = _S3.fullmatch(text)
    return S3Place(found["bucket"], found["prefix"]) if found else None


def parse_place(text: str) -> FolderPlace | S3Place | SshPlace:
    """The place that ``model_repository`` names.

    Raises:
        InputError: another scheme, or a form that one of these has not.
    """
    if "://" not in text:
        return FolderPlace(text)
    if place := s3_place(text):
        return place
    if (found := _SSH.fullmatch(text)) and int(found["port"] or 1) in range(1, 65_536):
        return SshPlace(found["user"] or "", found["host"], int(found["port"] or 0), found["path"])
    shown = printable(re.sub(r"//[^/]*@", "//", text), 80)  # without a user, and a password put beside it
    raise InputError(f"model_repository {shown!r}: {EXPECTED}", hint="see docs/how-to/targets.md")
