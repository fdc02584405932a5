"""What the registry of ours does not do, and which requests fail: the limits of real registries, and faults on demand."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class Limits:
    """A registry that conforms, by default.

    Args:
        patch: bytes of the largest PATCH.
        deletes: blobs and manifests.
        chunks: takes PATCH.
        patched: the status that answers a PATCH.
        range: what is said of the bytes it has: true; those of the first request; fewer; more; or nothing.
        keeps: bytes of an upload that was cut; else the session is forgotten, as CNCF Distribution 2.8 does.
        last_location: only the address named last goes on, as with CNCF Distribution.
        checks_offset: refuses bytes that do not follow those it has, as the specification asks.
        upload_seconds: after which an upload is cut.
        closes: every connection after one answer.
        rate: bytes a second that it takes on one connection.
        referrers: lists them by the API.
        page: referrers, or tags, that it lists at once; 0: all.
        filters: lists those of one type where it is asked to.
    """

    patch: int | None = None
    deletes: bool = True
    chunks: bool = True
    patched: int = 202
    range: Literal["true", "stuck", "short", "long", "none"] = "true"
    keeps: bool = True
    last_location: bool = False
    checks_offset: bool = True
    upload_seconds: float | None = None
    closes: bool = False
    rate: int | None = None
    referrers: bool = False
    page: int = 0
    filters: bool = True


CONFORMS = Limits()
# GitHub docs (10 minutes), rust-oci-client#35 (PATCH), skopeo#1880 (deletion).
GHCR = Limits(patch=4 * 2**20, deletes=False, upload_seconds=600)
# kitops#821 (201), aws/containers-roadmap#2831 (Range).
ECR = Limits(patched=201, range="stuck")
# kitops#777; with which status it refuses is not told there.
GAR = Limits(chunks=False)
DISTRIBUTION = Limits(keeps=False, last_location=True)
PROFILES = {"quirk": CONFORMS, "ghcr": GHCR, "ecr": ECR, "gar": GAR}


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to the ``nth`` request (from 1) whose method and path match.

    Args:
        method: of it; empty: any.
        path: a pattern found in it.
        nth: counted from 1; 0: every one.
        status: answered; 0 cuts the connection.
        headers: of the answer.
        after: bytes of the body that are taken, and kept, before; ``None``: all are read and none is kept.
        acted: the request is done, and the answer never comes.
        code: in the answer's body.
        least: bytes of the body; a request with fewer is not counted.
    """

    method: str
    path: str
    nth: int
    status: int
    headers: dict[str, str] = field(default_factory=dict)
    after: int | None = None
    acted: bool = False
    code: str = "FAULT"
    least: int = 0
