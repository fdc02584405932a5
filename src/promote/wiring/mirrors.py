"""Chooses what holds a mirror: a bucket, or the Hugging Face Hub."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from promote.core.mirrors import parse_mirror
from promote.core.repository_place import S3Place

if TYPE_CHECKING:
    from promote.ports import Mirror


def mirror(text: str) -> Mirror:
    """The mirror that ``text`` names; nothing is asked of it yet.

    Raises:
        InputError: no such form, or what it needs is not installed.
        AuthError: a token that is none.
    """
    place = parse_mirror(text)
    if isinstance(place, S3Place):
        from promote.adapters.mirrors.s3 import S3Mirror

        return S3Mirror(place)
    from promote.adapters.mirrors.hub import HubMirror

    return HubMirror(place, os.environ)
