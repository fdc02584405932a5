"""Uploads of blobs: begun, sent in one request or in pieces, cut, asked about, cancelled, ended by a digest."""

from __future__ import annotations

import hashlib
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.fakes.quirk_registry.limits import Fault
from tests.fakes.quirk_registry.replies import Replies

if TYPE_CHECKING:
    from tests.fakes.quirk_registry.server import QuirkRegistry


@dataclass(slots=True)
class Session:
    """One upload under way, and when it began."""

    repo: str
    data: bytearray = field(default_factory=bytearray)
    first: int = 0  # bytes after the first request
    began: float = field(default_factory=time.monotonic)


class Uploads(Replies):
    """Answers ``/v2/NAME/blobs/uploads/...``."""

    registry: QuirkRegistry

    def upload(self, repo: str, name: str, query: dict[str, str], fault: Fault | None) -> None:
        """One request about an upload; a fault takes the bytes that it takes, and then strikes."""
        if self.command == "POST":
            return self._begin(repo, query, b"".join(self.pieces()))
        session = self.registry.uploads.get(name)
        if session is None or session.repo != repo:
            b"".join(self.pieces())
            return self.refuse(404, "BLOB_UPLOAD_UNKNOWN")
        if self.registry.limits.last_location and query.get("_state") != str(len(session.data)):
            del self.registry.uploads[name]
            b"".join(self.pieces())
            return self.refuse(404, "BLOB_UPLOAD_INVALID")
        if self.command == "DELETE":
            del self.registry.uploads[name]
            return self.answer(204)
        if self.command == "GET":
            return self.answer(204, **self._standing(name, session))
        self._take(name, session, query, fault)

    def _begin(self, repo: str, query: dict[str, str], body: bytes) -> None:
        source = self.registry.blobs.get((query.get("from", ""), query.get("mount", "")))
        if source is not None:
            return self.keep(repo, query["mount"], source)
        if "digest" in query:
            return self.keep(repo, query["digest"], body)
        name, session = uuid.uuid4().hex, Session(repo)
        self.registry.uploads[name] = session
        self.answer(202, **self._standing(name, session))

    def _standing(self, name: str, session: Session) -> dict[str, str]:
        """The headers that say where an upload is and how far."""
        size, limits = len(session.data), self.registry.limits
        state = f"?_state={size}" if limits.last_location else ""
        said = {"true": size, "stuck": session.first, "short": size // 2, "long": size + 1000, "none": 0}[limits.range]
        where = {"Location": f"/v2/{session.repo}/blobs/uploads/{name}{state}"}
        return where if limits.range == "none" else where | {"Range": f"0-{max(said - 1, 0)}"}

    def _take(self, name: str, session: Session, query: dict[str, str], fault: Fault | None) -> None:
        """A PATCH or a PUT: the bytes as they come, then the answer."""
        limits, patch = self.registry.limits, self.command == "PATCH"
        if patch and not limits.chunks:
            b"".join(self.pieces())
            return self.refuse(405, "UNSUPPORTED")
        start = self.headers.get("Content-Range", f"{len(session.data)}-").split("-")[0]
        length = int(self.headers.get("Content-Length", 0))
        if (limits.checks_offset and int(start) != len(session.data)) or (patch and length > (limits.patch or length)):
            b"".join(self.pieces())
            return self.refuse(416, "BLOB_UPLOAD_INVALID", **self._standing(name, session))
        with self.registry.counting(length):
            arrived = self._arrived(session, fault.after if fault else None)
        if not arrived:
            if not limits.keeps:
                self.registry.uploads.pop(name, None)
            self.close_connection = True  # what is left of the body is not read
            return self.refuse(fault.status, fault.code, **fault.headers) if fault and fault.status else None
        session.first = session.first or len(session.data)
        if patch:
            return self.answer(limits.patched, **self._standing(name, session))
        self.registry.uploads.pop(name, None)
        self.keep(session.repo, query.get("digest", ""), bytes(session.data))

    def _arrived(self, session: Session, most: int | None) -> bool:
        """Whether all of the body came, in time; ``most``: only so many bytes of it are taken, and it did not."""
        reg, came = self.registry, 0
        if most == 0:
            return False
        for piece in self.pieces(reg.limits.rate):
            taken = piece if most is None else piece[: most - came]
            session.data += taken
            came += len(taken)
            reg.received += len(taken)
            late = time.monotonic() - session.began > (reg.limits.upload_seconds or float("inf"))
            if late or came == most:
                return False
        return "Content-Length" not in self.headers or came == int(self.headers["Content-Length"])

    def keep(self, repo: str, digest: str, data: bytes) -> None:
        """The end of an upload: a blob, if its digest is right."""
        if digest != digest_of(data):
            return self.refuse(400, "DIGEST_INVALID")
        self.registry.blobs[repo, digest] = data
        self.answer(201, Location=f"/v2/{repo}/blobs/{digest}", Docker_Content_Digest=digest)


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
