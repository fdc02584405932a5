"""The index that lists a bundle's referrers where the registry has no API for it, written by several at once.

Source: opencontainers/distribution-spec 1.1, "Referrers Tag Schema". No registry promises compare-and-swap for a tag, so two
writers of one index can lose each other's entry. Therefore a writer reads it immediately before it writes, remembers every
entry it ever saw, and watches for a while afterwards: what another's write lost is put back, after a random pause
(docs/adr/0010). An old index is never deleted: GHCR answers 405. Not here: registries with the API (``referrers``).
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from promote.adapters.oci.body import chunks
from promote.adapters.oci.failures import Patience
from promote.adapters.oci.files import at_most
from promote.adapters.oci.origin import media_type
from promote.adapters.oci.store import BlobsGone
from promote.adapters.oci.upload import Place
from promote.core.manifest import INDEX_TYPE, LARGEST_MANIFEST, MANIFEST_TYPE
from promote.core.names import digest
from promote.core.passport import sha256
from promote.core.referrers import Entry, fallback_tag, read_index, with_entries
from promote.errors import IntegrityError, Unavailable

# All kinds, or CNCF Distribution answers 404 where an image lies under the tag, and it would be written over.
_ANY_KIND = ", ".join(
    (
        INDEX_TYPE, MANIFEST_TYPE, "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)  # fmt: skip
_LONGEST_WAIT = 120.0


@dataclass(frozen=True, slots=True)
class Watch:
    """How long a writer of an index looks whether its entry stays.

    Args:
        least: seconds.
        most: seconds.
        times: in between, as many times as long as its own read and write took: others' take about as long.
        sleep: waits that many seconds.
    """

    least: float = 1.0
    most: float = 15.0
    times: float = 4.0
    sleep: Callable[[float], None] = time.sleep

    def seconds(self, took: float) -> float:
        """For a writer whose read and write took so many seconds."""
        return min(self.most, max(self.least, self.times * took))


WATCH = Watch()


@dataclass(slots=True)
class _Known:
    """What one writer knows of one index.

    Args:
        tag: where it lies.
        seen: every entry that was ever in it, and the writer's own.
        gone: digests in it whose manifests the registry has no more.
    """

    tag: str
    seen: dict[str, Entry]
    gone: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class _Turn:
    """What came of looking at an index once.

    Args:
        whole: it lists all that it should.
        written: it was written.
        at: when it had been read, monotonic seconds.
        took: seconds from asking for it until the written one was taken.
    """

    whole: bool
    written: bool
    at: float
    took: float


class ReferrerIndex:
    """The indexes of one repository; see ``RemoteReferrers`` for the arguments."""

    def __init__(self, place: Place, patience: Patience, watch: Watch) -> None:
        self._place, self._patience, self._watch = place, patience, watch

    def read(self, subject: str) -> bytes | None:
        """The index of a subject; the specification has anything else there say that there are no referrers."""
        kind, data = self._patience.during(lambda: self._get(fallback_tag(subject)))
        return data if kind == INDEX_TYPE else None

    def add(self, subject: str, *mine: Entry) -> None:
        """Lists entries, and stays until no other writer can have lost them, as far as is known.

        Raises:
            Unavailable: others kept losing it for two minutes.
            IntegrityError: something else than an index lies there.
        """
        known = _Known(fallback_tag(subject), {entry["digest"]: entry for entry in mine})
        wrote, stepped_aside, settle = 0, False, self._watch.least
        since: float | None = None  # when all of it was first found there, without a break
        until = time.monotonic() + _LONGEST_WAIT
        while time.monotonic() < until:
            write = not wrote or stepped_aside
            turn = self._patience.during(lambda: self._turn(known, write, settle))  # noqa: B023 - called at once
            if turn.whole:
                since = turn.at if since is None else since
                if not wrote or turn.at - since >= settle:
                    return
                self._watch.sleep(settle / 4)
                continue
            since = None
            if turn.written:
                wrote, stepped_aside = wrote + 1, False
                settle = max(settle, self._watch.seconds(turn.took))
                self._watch.sleep(settle / 4)
            else:
                stepped_aside = True
                self._watch.sleep(random.uniform(0, settle / 2 * min(1 + wrote, 6)))  # noqa: S311
        raise Unavailable(
            f"others list referrers of {self._place.repository}@{subject} all the time: {mine[0]['digest']} is not listed",
            hint="run the same command again; in CI, a concurrency group lets one run at a time write",
        )

    def _turn(self, known: _Known, write: bool, settle: float) -> _Turn:
        """Reads the index, and writes it with what it lacks where that is wanted; a new try reads anew."""
        began, where = time.monotonic(), f"{self._place.repository}:{known.tag}"
        kind, data = self._get(known.tag)
        at = time.monotonic()
        if kind not in ("", INDEX_TYPE):
            raise IntegrityError(
                f"{where} is {media_type(kind)}, expected {INDEX_TYPE}",
                hint="the tag is for the list of referrers; nothing was listed there",
            )
        former = data if kind else None
        for entry in read_index(former, where) if former is not None else ():
            if entry["digest"] not in known.gone:
                known.seen.setdefault(entry["digest"], entry)
        index = with_entries(former, known.seen.values(), where, known.gone)
        # A writer that was held up since it read is the one that loses others' entries: it looks again instead.
        if index is None or not write or time.monotonic() - at > settle / 2:
            return _Turn(whole=index is None, written=False, at=at, took=0.0)
        try:
            self._put(known.tag, index.data or b"")
        except BlobsGone:
            self._forget(known)
            return _Turn(whole=False, written=False, at=at, took=0.0)
        return _Turn(whole=False, written=True, at=at, took=time.monotonic() - began)

    def _forget(self, known: _Known) -> None:
        """Drops what somebody deleted: the registry refuses an index of manifests that it has no more.

        Raises:
            BlobsGone: none of them was.
        """
        gone = {name for name in known.seen if not self._has(name)}
        for name in gone:
            del known.seen[name]
        known.gone |= gone
        if not gone:
            raise BlobsGone(f"{self._place.repository} refuses the list of referrers {known.tag} as incomplete")

    def _put(self, tag: str, body: bytes) -> None:
        url = f"{self._place.root}/manifests/{tag}"
        headers = {"Content-Type": INDEX_TYPE}
        self._place.transport.send("PUT", url, frozenset({201}), headers=headers, body=lambda: body).close()

    def _has(self, name: str) -> bool:
        url = f"{self._place.root}/manifests/{digest(name)}"
        with self._place.transport.send("HEAD", url, frozenset({200, 404}), headers={"Accept": _ANY_KIND}) as answer:
            return answer.status_code == 200

    def _get(self, tag: str) -> tuple[str, bytes]:
        """The media type and bytes that a tag names; both empty where it names nothing."""
        url = f"{self._place.root}/manifests/{tag}"
        with self._place.transport.send("GET", url, frozenset({200, 404}), headers={"Accept": _ANY_KIND}) as answer:
            if answer.status_code == 404:
                return "", b""
            data = b"".join(at_most(chunks(answer), LARGEST_MANIFEST, f"{self._place.repository}:{tag}"))
            promised = answer.headers.get("Docker-Content-Digest", "")
            kind = answer.headers.get("Content-Type", "").partition(";")[0].strip()
        if promised and promised != sha256(data):
            raise IntegrityError(f"{self._place.repository}:{tag} holds other bytes than its digest says")
        return kind or "nothing", data
