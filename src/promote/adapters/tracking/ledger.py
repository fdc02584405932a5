"""The ``Ledger`` port: MLflow's model registry, where a person looks and decides.

All state is tags of the model version, so the registry's page shows it and a script can read it. MLflow keeps no author
of a tag: ``by`` is what the client said. Not here: what a decision allows (``core.review``).
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from promote.adapters.tracking.aliased import aliased
from promote.adapters.tracking.client import Connection, connect
from promote.adapters.tracking.events import read_events, write_events
from promote.adapters.tracking.models import choose, get_run
from promote.adapters.tracking.promotions import Promotions
from promote.adapters.tracking.report import link_forward, log_report, page_name, read_report, write_page
from promote.adapters.tracking.tags import (
    PROMOTED,
    RUN_TAG,
    agent_tag,
    alias_of,
    deployed_tag,
    further,
    review_tag,
    run_of,
    run_tag,
    target_tag,
    verdict_tag,
)
from promote.adapters.tracking.versions import ID_TAG, Versions, promoted, recorded, versions_of
from promote.core.description import with_verdict
from promote.core.load import Figures
from promote.core.names import printable
from promote.core.page import REPORT
from promote.core.passport import sha256
from promote.core.promotion_run import (
    Compared,
    PromotionRun,
    compared,
    further_note,
    run_name,
    run_note,
    under_load,
)
from promote.core.review import APPROVED, NOT_REQUIRED, PENDING, REJECTED, Review
from promote.core.stages import Candidate, Held, Promotion, Release, Stored
from promote.core.standing import Desired
from promote.errors import InputError, IntegrityError
from promote.ports import Ledger

LIVE = "live"
_STATE = "promote.state"
_WITHDRAWN = "promote.withdrawn"
_PARTS = ("digest", "by", "reason")
_DECISIONS = (PENDING, APPROVED, REJECTED)
# MLflow takes 100,000 characters in a registry tag; a reason is for reading.
_LONGEST_REASON = 2000


def open_ledger(uri: str, *, reports: Path | None = None, by: str = "", promotions: str = "promotions") -> Ledger:
    """The model registry at ``uri``; nothing is asked of it before a method is called.

    Args:
        uri: of the tracking server, which is the model registry too.
        reports: folder for a local copy of each report page.
        by: who promotes, as far as this machine says.
        promotions: the experiment in which each promotion is a run.
    """
    return MlflowLedger(uri, reports, by, promotions)


@dataclass(slots=True)
class MlflowLedger:
    """See ``promote.ports.Ledger``.

    Args:
        uri: of the tracking server.
        reports: folder for a local copy of each report page, or ``None``.
        by: who promotes; empty where nobody says.
        promotions: the experiment in which each promotion is a run.
    """

    uri: str
    reports: Path | None = None
    by: str = ""
    promotions: str = "promotions"
    _opened: Connection | None = field(default=None, repr=False)

    def reserve(self, name: str, promotion_id: str, candidate: Candidate) -> int:
        """See ``promote.ports.Ledger``. Of two that race for one id both get the lower version."""
        versions = self._versions(name)
        if there := versions.numbers(promotion_id):
            return min(there)
        run_id = candidate.run.run_id
        logged = choose(versions.link, get_run(versions.link, run_id), candidate.model.name)
        made = versions.make(logged, run_id, {ID_TAG: promotion_id, _STATE: "reserved"})
        return min([made, *versions.numbers(promotion_id)])

    def next_version(self, name: str, promotion_id: str) -> int:
        """See ``promote.ports.Ledger``."""
        versions = self._versions(name)
        there = versions.numbers(promotion_id)
        return min(there) if there else max(versions.numbers(), default=0) + 1

    def begin(self, release: Release, promotion_id: str) -> PromotionRun:
        """See ``promote.ports.Ledger``."""
        _own(self._versions(release.bundle.name), release, promotion_id)
        source = release.bundle.verdict.subject.export.candidate.run.run_id
        promotions = Promotions(self._link(), self.promotions)
        return promotions.open(promotion_id, release.stored.digest, run_name(release), source)

    def record(
        self,
        release: Release,
        promotion_id: str,
        report: Mapping[str, bytes],
        seconds: Mapping[str, float] | None = None,
    ) -> Promotion:
        """See ``promote.ports.Ledger``. Running it twice leaves what running it once does.

        ``review`` of the answer is ``approved`` or ``rejected`` where that was decided about this digest before.
        """
        bundle = release.bundle
        name, version = bundle.name, bundle.version
        versions = self._versions(name)
        tags = _own(versions, release, promotion_id)
        run = self.begin(release, promotion_id)
        by = {"promote.by": printable(self.by)} if self.by else {}
        what = compared(release, seconds or {})
        Promotions(versions.link, self.promotions).complete(run, what, report, run_note(release), by)
        source = bundle.verdict.subject.export.candidate.run.run_id
        link_forward(versions.link, source, name, version, printable(release.stored.reference, 1000), run.run_id)
        page = write_page(self.reports, page_name(name, version), report.get(REPORT))
        if "description.md" in report:
            text = report["description.md"].decode(errors="replace")
            for target, word in further(tags).items():
                run_id = tags.get(run_tag(target), "")
                text = with_verdict(text, target, word, run_id) if target != bundle.target.name else text
            versions.describe(version, text)
        review = _kept(tags, release) or (PENDING if bundle.target.review else NOT_REQUIRED)
        # The state comes last: a version that says "recorded" has everything else.
        told = _told(release) | {RUN_TAG: run.run_id} | by | _reviewed(tags, bundle.target.name, review)
        versions.tag(version, told | {_STATE: "withdrawn" if _WITHDRAWN in tags else "recorded"})
        shown = review if bundle.target.review else NOT_REQUIRED
        return Promotion(release=release, ui=versions.page(version), report=page, review=shown)

    def judged(self, name: str, version: int, target: str, word: str) -> None:
        """See ``promote.ports.Ledger``. The table of the version's page has a row for each target."""
        versions = self._versions(name)
        run_id = versions.tags(version).get(run_tag(target), "")
        if text := versions.description(version):
            versions.describe(version, with_verdict(text, target, word, run_id))
        versions.tag(version, {verdict_tag(target): word, target_tag(target): PROMOTED})

    def further(self, stored: Held, target: str, told: Compared, report: bytes) -> str:
        """See ``promote.ports.Ledger``. The version's page links to it when ``judged`` writes its row."""
        versions = self._versions(stored.name)
        source, tags = versions.origin(stored.version)
        if not source:
            return ""
        identity = sha256(f"{tags.get(ID_TAG, '')} {target}".encode())[7:39]
        promotions = Promotions(self._link(), self.promotions)
        run = promotions.open(identity, stored.digest, f"{stored.name} v{stored.version} for {target}", source)
        by = {"promote.by": printable(self.by)} if self.by else {}
        promotions.complete(run, told, {REPORT: report}, further_note(stored, told.params["verdict"]), by)
        versions.tag(stored.version, {run_tag(target): run.run_id})
        write_page(self.reports, page_name(stored.name, stored.version, target), report)
        return run.run_id

    def measured(self, figures: Figures) -> bool:
        """See ``promote.ports.Ledger``."""
        tags = self._versions(figures.name).tags(figures.version)
        run_id = run_of(tags, figures.target)
        if run_id and tags.get("promote.digest") == figures.digest:
            Promotions(self._link(), self.promotions).measured(run_id, under_load(figures))
            return True
        return False

    def redraw(self, figures: Figures, draw: Callable[[bytes], bytes]) -> bool:
        """See ``promote.ports.Ledger``."""
        tags = self._versions(figures.name).tags(figures.version)
        run_id, same = run_of(tags, figures.target), tags.get("promote.digest") == figures.digest
        report = read_report(self._link(), run_id) if run_id and same else b""
        if not report:
            return False
        page = draw(report)
        log_report(self._link(), run_id, "", {REPORT: page})
        own = figures.target if tags.get(run_tag(figures.target)) else ""
        write_page(self.reports, page_name(figures.name, figures.version, own), page)
        return True

    def versions(self, name: str) -> tuple[int, ...]:
        """See ``promote.ports.Ledger``."""
        return tuple(sorted(self._versions(name).tagged("promote.digest"), reverse=True))

    def review(self, name: str, version: int, target: str) -> Review:
        """See ``promote.ports.Ledger``. A state that is neither approved nor rejected is pending."""
        return _review(self._versions(name).tags(version), target)

    def decide(self, name: str, version: int, target: str, review: Review) -> None:
        """See ``promote.ports.Ledger``. Until the last tag is written nothing is approved."""
        if review.state not in _DECISIONS:
            raise InputError(f"{printable(review.state)!r} is no decision: expected {', '.join(_DECISIONS)}")
        versions = self._versions(name)
        versions.tags(version)
        first = REJECTED if review.state == REJECTED else PENDING
        versions.tag(
            version,
            {
                review_tag(target): first,
                review_tag(target, "digest"): review.digest,
                review_tag(target, "by"): printable(review.by),
                review_tag(target, "reason"): printable(review.reason, _LONGEST_REASON),
            },
        )
        if review.state != first:
            versions.tag(version, {review_tag(target): review.state})

    def recorded(self, name: str, version: int) -> str:
        """See ``promote.ports.Ledger``."""
        return printable(self._versions(name).tags(version).get("promote.digest", ""))

    def located(self, stored: Stored) -> None:
        """See ``promote.ports.Ledger``. The page names the new place as the tag does."""
        versions = self._versions(stored.name)
        old = versions.tags(stored.version).get("promote.reference", "")
        new = printable(stored.reference, 1000)
        if old and old in (text := versions.description(stored.version)):
            versions.describe(stored.version, text.replace(old, new))
        versions.tag(stored.version, {"promote.reference": new})

    def deployed(self, name: str, version: int, target: str, digest: str, state: str, *, alias: bool = True) -> None:
        """See ``promote.ports.Ledger``. The alias named after the target follows the live version."""
        versions = self._versions(name)
        versions.tags(version)
        versions.tag(version, {deployed_tag(target): f"{printable(state, 20)} {digest}"})
        if state == LIVE and alias:
            versions.alias(version, alias_of(target))

    def report(self, name: str, version: int, target: str, by: str, text: str) -> None:
        """See ``promote.ports.Ledger``."""
        versions = self._versions(name)
        versions.tags(version)
        versions.tag(version, {agent_tag(target, by): printable(text, _LONGEST_REASON)})

    def models(self) -> tuple[str, ...]:
        """See ``promote.ports.Ledger``."""
        return tuple(sorted(promoted(self._link())))

    def events(self, name: str, version: int) -> Mapping[str, str]:
        """See ``promote.ports.Ledger``."""
        return read_events(self._versions(name), version)

    def keep_events(self, name: str, version: int, lines: Mapping[str, str]) -> None:
        """See ``promote.ports.Ledger``."""
        write_events(self._versions(name), version, lines)

    def remake(self, stored: Held, promotion_id: str, text: str) -> None:
        """See ``promote.ports.Ledger``. The run it was made from is gone, so its source is the bundle."""
        versions = self._versions(stored.name)
        at = stored.reference if stored.reference.startswith("oci:") else f"oci://{stored.reference}"
        made = {ID_TAG: promotion_id or f"remade-{stored.digest[7:31]}", _STATE: "reserved"}
        tags = versions.number(stored.version, at, made)
        if tags.get(ID_TAG) != made[ID_TAG]:
            raise IntegrityError(
                f"{stored.name} version {stored.version} is another promotion's", hint="a person must say which"
            )
        told = {key: stored.annotations.get(f"io.promote.{key}", "") for key in ("target", "verdict")}
        told |= {"digest": stored.digest, "reference": printable(stored.reference, 1000)}
        versions.describe(stored.version, text)
        versions.tag(
            stored.version, {f"promote.{k}": printable(v, 1000) for k, v in told.items()} | {_STATE: "recorded"}
        )

    def withdraw(self, name: str, version: int, by: str, reason: str) -> None:
        """See ``promote.ports.Ledger``. The state comes last, as in ``record``."""
        versions = self._versions(name)
        versions.tags(version)
        said = {_WITHDRAWN: printable(reason, _LONGEST_REASON) or "-", f"{_WITHDRAWN}.by": printable(by)}
        versions.tag(version, said | {_STATE: "withdrawn"})

    def desired(self, target: str) -> Mapping[str, Desired]:
        """See ``promote.ports.Ledger``. The state of a review is ``pending`` where it is about another digest."""
        found = {}
        for name, version, tags in aliased(self._link(), alias_of(target)):
            digest, review = tags.get("promote.digest", ""), _review(tags, target)
            about = review.digest in ("", digest) if review.state == REJECTED else review.digest == digest
            found[name] = Desired(version, printable(digest), review.state if about else PENDING)
        return found

    def asked(self, target: str) -> Iterable[tuple[str, int, str]]:
        """See ``promote.ports.Ledger``."""
        found = []
        for name, version, tags in recorded(self._link()):
            if tags.get("promote.digest") and tags.get(review_tag(target), NOT_REQUIRED) != NOT_REQUIRED:
                found.append((name, version, printable(tags["promote.digest"])))
        return sorted(found, key=lambda row: (row[0], -row[1]))

    def authors(self, name: str, version: int) -> frozenset[str]:
        """See ``promote.ports.Ledger``."""
        versions = self._versions(name)
        run_id, tags = versions.origin(version)
        trained = get_run(versions.link, run_id).data.tags.get("mlflow.user", "") if run_id else ""
        return frozenset(printable(who) for who in (tags.get("promote.by", ""), trained) if who)

    def _link(self) -> Connection:
        if self._opened is None:
            self._opened = connect(self.uri)
        return self._opened

    def _versions(self, name: str) -> Versions:
        return versions_of(self._link(), name)


def _review(tags: Mapping[str, str], target: str) -> Review:
    """What the tags say; a state that is neither approved nor rejected is pending, and what is withdrawn is rejected for all."""
    if _WITHDRAWN in tags:
        by = tags.get(f"{_WITHDRAWN}.by", "")
        return Review(state=REJECTED, by=by, reason=f"withdrawn: {tags[_WITHDRAWN]}")
    state = tags.get(review_tag(target), PENDING)
    if state not in (APPROVED, REJECTED):
        return Review()
    digest, by, reason = (tags.get(review_tag(target, part), "") for part in _PARTS)
    return Review(state=state, digest=digest, by=by, reason=reason)


def _own(versions: Versions, release: Release, promotion_id: str) -> Mapping[str, str]:
    """The tags of the release's version.

    Raises:
        NotFound: no such version.
        IntegrityError: it is another promotion's.
    """
    name, version = release.bundle.name, release.bundle.version
    tags = versions.tags(version)
    if tags.get(ID_TAG) != promotion_id:
        raise IntegrityError(f"{name} version {version} is another promotion's", hint="run promote model again")
    return tags


def _told(release: Release) -> dict[str, str]:
    """What the version's page says of its release."""
    target, word = release.bundle.target.name, release.bundle.verdict.word
    return {
        "promote.digest": release.stored.digest,
        "promote.reference": printable(release.stored.reference, 1000),
        "promote.target": target,
        "promote.verdict": word,
        target_tag(target): PROMOTED,
        verdict_tag(target): word,
    }


def _kept(tags: Mapping[str, str], release: Release) -> str:
    """A decision that was made about this very digest already, else empty."""
    target = release.bundle.target.name
    state = tags.get(review_tag(target), "")
    same = tags.get(review_tag(target, "digest")) == release.stored.digest
    return state if same and state in (APPROVED, REJECTED) else ""


def _reviewed(tags: Mapping[str, str], target: str, state: str) -> dict[str, str]:
    """The review's tags; what a void decision said is emptied."""
    void = state not in (APPROVED, REJECTED)
    emptied = {review_tag(target, p): "" for p in _PARTS if void and tags.get(review_tag(target, p))}
    return {review_tag(target): state} | emptied
