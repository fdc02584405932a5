"""The upload of one blob: in one request or in pieces, and where it broke, the rest of it.

What a registry says it has is a hint and never proof: the digest that ends the upload decides, and where it does not hold,
or the registry knows nothing of the upload, the blob is sent from its first byte, once. Source: opencontainers/distribution-spec,
"Pushing a blob in chunks". Not here: which way (``core.registries``), and where uploads are kept (``upload_sessions``).
"""

import re
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from promote.adapters.oci.failures import Again, BytesRefused
from promote.adapters.oci.files import source
from promote.adapters.oci.upload import (
    COMMIT_SECONDS,
    Place,
    cancel,
    confirm,
    open_session,
    session_of,
    with_digest,
)
from promote.adapters.oci.upload_bodies import Rest, Slices, pieces
from promote.adapters.oci.upload_sessions import Kept, Sessions
from promote.core.matrix_rows import RegistryLimits
from promote.core.registries import SMALLEST_PIECE, Way, way
from promote.core.stages import Blob
from promote.errors import AuthError, InputError, IntegrityError, NotFound, PromoteError, Unavailable

_HAS = re.compile(r"(?:bytes=)?0-([0-9]{1,18})")
_MOST_REFUSALS = 8
_BINARY = {"Content-Type": "application/octet-stream"}


class Resuming:
    """An ``upload.Upload`` that goes on with what an earlier try, or an earlier run, has begun.

    Args:
        limits: of the registry, where known.
        sessions: what has begun.
    """

    def __init__(self, limits: RegistryLimits | None, sessions: Sessions) -> None:
        self._limits, self._sessions = limits, sessions

    def __call__(self, place: Place, blob: Blob, told: Callable[[int], None]) -> None:
        """See ``upload.Upload``."""
        how = way(self._limits, blob.size)
        known: AbstractContextManager[Kept] = nullcontext(Kept())
        if how.asked:
            known = self._sessions.of(place.root, blob.digest)
        with known as kept:
            try:
                _once(_Sent(place, blob, told, how, kept))
            except (IntegrityError, InputError, NotFound):  # not the line's fault: no use to go on with it
                kept.forget()
                raise


def _once(sent: "_Sent") -> None:
    """Goes on, or begins; from the first byte once more where what was there turns out not to be the blob's start."""
    try:
        sent.go_on()
    except (BytesRefused, NotFound, InputError) as error:
        if not sent.doubtful and not isinstance(error, NotFound):
            raise
        sent.anew()


class _Sent:
    """One blob on its way.

    ``at``: bytes that the registry has. ``doubtful``: not all of them are known to be the blob's.
    """

    def __init__(self, place: Place, blob: Blob, told: Callable[[int], None], how: Way, kept: Kept) -> None:
        self._place, self._blob, self._told, self._how, self._kept = place, blob, told, how, kept
        self._url, self._at, self._piece, self.doubtful = kept.url, 0, how.piece, False
        self._bodies = self._refusals = 0

    def anew(self) -> None:
        """All of it, from the first byte."""
        self._piece, self._refusals = self._how.piece, 0
        self.begin()
        self.finish()

    def begin(self) -> None:
        """A new upload."""
        if self._url:
            cancel(self._place, self._url)
        self._at, self.doubtful = 0, False
        self._told(0)
        self._moved_to(open_session(self._place))

    def go_on(self) -> None:
        """What is missing is sent, again and again while the registry has more of it each time.

        Raises:
            Again: it has not.
        """
        if not (self._url and self._found()):
            self.begin()
        self._told(self._at)
        while True:
            before = self._at
            try:
                self.finish()
                return
            except Again as again:
                if not self._how.asked or again.after is not None or not self._found() or self._at <= before:
                    raise

    def finish(self) -> None:
        """All that is missing, and the digest that ends it."""
        self._bodies = 0
        if self._piece:
            self._send_pieces()
        rest = self._blob.size - self._at
        headers = _BINARY | ({"Content-Range": f"{self._at}-{self._blob.size - 1}"} if self._at and rest else {})
        if not rest:  # requests would send an empty stream chunked
            for _ in source(self._blob):  # the file may have changed since the registry got it
                pass
        done = self._place.transport.send(
            "PUT", with_digest(self._url, self._blob), frozenset({201, 204}), headers=headers,
            body=self._rest if rest else lambda: b"", seconds=COMMIT_SECONDS,
        )  # fmt: skip
        with done:
            confirm(self._place, self._blob, done)
        self._kept.forget()
        self._told(self._blob.size)

    def _rest(self) -> Rest:
        """Asked for once more where the registry wants other credentials: it may have taken a part of the first.

        Raises:
            Again: it did, maybe; it is asked.
        """
        self._bodies += 1
        if self._bodies > 1 and self._how.asked:
            raise Again(AuthError(f"{self._place.repository} refuses its own token again and again in an upload"))
        self.doubtful = self.doubtful or self._bodies > 1
        return Rest(self._blob, self._at, self._told)

    def _send_pieces(self) -> None:
        """All but the last, which ends the upload. A registry that takes less in one request gets halves."""
        while self._blob.size - self._at > self._piece:
            for data in pieces(self._blob, self._at, self._piece):
                if not self._send_piece(data):
                    break

    def _send_piece(self, data: bytes) -> bool:
        """Whether the next piece follows; otherwise ``_at`` or ``_piece`` has changed."""
        end = self._at + len(data)
        headers = _BINARY | {"Content-Range": f"{self._at}-{end - 1}"}
        try:
            with self._place.transport.send(
                "PATCH", self._url, frozenset({201, 202, 204}), headers=headers, body=lambda: Slices(data), seconds=COMMIT_SECONDS
            ) as answer:  # fmt: skip
                # Range is not listened to here: ECR's stands still, a Zot's told of one request. Who took less refuses the next.
                if answer.headers.get("Location"):
                    self._moved_to(session_of(self._place, self._url, answer))
        except BytesRefused as refused:
            self._disagree(refused)
            return False
        self._at = end
        self._told(end)
        return True

    def _disagree(self, refused: BytesRefused) -> None:
        """A piece was refused: for its place, which the registry is asked for, or its size, which is halved.

        Raises:
            BytesRefused: it was not the first, or pieces would become too small.
        """
        before, self._refusals = self._at, self._refusals + 1
        if self._refusals > _MOST_REFUSALS:
            raise refused
        if not self._found():
            self.begin()
        if self._at in (0, before):
            self._piece //= 2
        if self._piece < SMALLEST_PIECE:
            raise refused

    def _found(self) -> bool:
        """Whether the registry has a part of it; then ``_at`` and the address are as it says.

        Raises:
            Again: it does not answer now.
        """
        states, url = frozenset({200, 202, 204}), self._url
        try:
            with self._place.transport.send("GET", self._url, states) as answer:
                has = _HAS.fullmatch(answer.headers.get("Range", ""))
                if answer.headers.get("Location"):
                    self._moved_to(session_of(self._place, self._url, answer))
        except (AuthError, Unavailable):
            raise
        except PromoteError:
            has = None
        # 0-0 is said of nothing and of one byte alike.
        if not has or not 0 < int(has[1]) < self._blob.size:
            self._kept.forget()
            cancel(self._place, url)
            self._url = ""
            return False
        self._at, self.doubtful = int(has[1]) + 1, True
        return True

    def _moved_to(self, url: str) -> None:
        self._url = url
        if self._how.asked:
            self._kept.keep(url)
