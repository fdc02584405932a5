"""The ``Ledger`` port: MLflow's model registry, where a person looks and decides.

All state is tags of the model version, so the registry's page shows it and a script can read it. MLflow keeps no author
of a tag: ``by`` is what the client said. Not here: what a decision allows (``core.review``).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from promote.adapters.tracking.client import Connection, connect
from promote.adapters.tracking.failures import told
from promote.adapters.tracking.models import choose, get_run
from promote.adapters.tracking.report import log_report, write_page
from promote.adapters.tracking.tags import ALIAS_STATE, alias_of, deployed_tag, review_tag
from promote.core.names import model_name, printable
from promote.core.review import APPROVED, PENDING, REJECTED, Review
from promote.core.stages import Candidate, Promotion, Release
from promote.errors import InputError, IntegrityError, NotFound
from promote.ports import Ledger

NOT_REQUIRED = "not required"
_ID, _STATE = "promote.id", "promote.state"
_PAGE = 200
# MLflow takes 100,000 characters in a registry tag; a reason is for reading.
_LONGEST_REASON = 2000


def open_ledger(uri: str, *, reports: Path | None = None) -> Ledger:
    """The model registry at ``uri``; nothing is asked of it before a method is called.

    Args:
        uri: of the tracking server, which is the model registry too.
        reports: folder for a local copy of each report page.
    """
    return MlflowLedger(uri, reports)


@dataclass(slots=True)
class MlflowLedger:
    """See ``promote.ports.Ledger``.

    Args:
        uri: of the tracking server.
        reports: folder for a local copy of each report page, or ``None``.
    """

    uri: str
    reports: Path | None = None
    _opened: Connection | None = field(default=None, repr=False)

    def reserve(self, name: str, promotion_id: str, candidate: Candidate) -> int:
        """See ``promote.ports.Ledger``. Of two that race for one id both get the lower version."""
        if there := self._numbers(name, promotion_id):
            return min(there)
        link = self._link()
        run_id = candidate.run.run_id
        logged = choose(link, get_run(link, run_id), candidate.model.name)
        # Over a database MLflow would look "models:/" up in its process-wide tracking URI, which is not ours to set.
        source = logged.source if link.address.remote else logged.location
        with told(link.address, f"reserving a version of {name}"):
            self._register(link, name)
            made = link.client.create_model_version(
                name,
                source,
                run_id=run_id,
                model_id=logged.model_id or None,
                tags={_ID: promotion_id, _STATE: "reserved"},
                await_creation_for=0,
            )
        return min([int(made.version), *self._numbers(name, promotion_id)])

    def next_version(self, name: str, promotion_id: str) -> int:
        """See ``promote.ports.Ledger``."""
        if there := self._numbers(name, promotion_id):
            return min(there)
        return max(self._numbers(name), default=0) + 1

    def record(self, release: Release, promotion_id: str, report: Mapping[str, bytes]) -> Promotion:
        """See ``promote.ports.Ledger``. Running it twice leaves what running it once does."""
        link, bundle = self._link(), release.bundle
        name, version, target = bundle.name, bundle.version, bundle.target
        tags = self._version(name, version).tags
        if tags.get(_ID) != promotion_id:
            raise IntegrityError(f"{name} version {version} is another promotion's", hint="run promote model again")
        log_report(link, bundle.verdict.subject.export.candidate.run.run_id, f"promote/{name}/v{version}", report)
        digest = release.stored.digest
        review = _kept(tags, target.name, digest) or (PENDING if target.review else NOT_REQUIRED)
        written = {
            "promote.digest": digest,
            "promote.reference": printable(release.stored.reference, 1000),
            "promote.target": target.name,
            "promote.verdict": bundle.verdict.word,
            review_tag(target.name): review,
        }
        if review in (PENDING, NOT_REQUIRED):
            written |= {
                review_tag(target.name, part): ""
                for part in ("digest", "by", "reason")
                if _had(tags, target.name, part)
            }
        # The state comes last: a version that says "recorded" has everything else.
        self._tag(name, version, written | {_STATE: "recorded"})
        if "description.md" in report:
            text = report["description.md"].decode(errors="replace")
            with told(link.address, f"describing {name} version {version}"):
                link.client.update_model_version(name, str(version), description=text)
        page = write_page(self.reports, f"{name}-v{version}.html", report.get("report.html"))
        shown = NOT_REQUIRED if not target.review else PENDING if review == NOT_REQUIRED else review
        return Promotion(release=release, ui=_page_of(link, name, version), report=page, review=shown)

    def review(self, name: str, version: int, target: str) -> Review:
        """See ``promote.ports.Ledger``. A state that is neither approved nor rejected is pending."""
        tags = self._version(name, version).tags
        state = tags.get(review_tag(target), PENDING)
        if state not in (APPROVED, REJECTED):
            return Review()
        digest, by, reason = (tags.get(review_tag(target, part), "") for part in ("digest", "by", "reason"))
        return Review(state=state, digest=digest, by=by, reason=reason)

    def decide(self, name: str, version: int, target: str, review: Review) -> None:
        """See ``promote.ports.Ledger``. Until the last tag is written nothing is approved."""
        if review.state not in (PENDING, APPROVED, REJECTED):
            raise InputError(
                f"{printable(review.state)!r} is no decision: expected {APPROVED}, {REJECTED} or {PENDING}"
            )
        self._version(name, version)
        parts = {
            "digest": review.digest,
            "by": printable(review.by),
            "reason": printable(review.reason, _LONGEST_REASON),
        }
        before = {review_tag(target): PENDING} if review.state == APPROVED else {review_tag(target): review.state}
        after = {review_tag(target): review.state}
        self._tag(name, version, before | {review_tag(target, part): text for part, text in parts.items()})
        self._tag(name, version, after)

    def deployed(self, name: str, version: int, target: str, digest: str, state: str) -> None:
        """See ``promote.ports.Ledger``. The alias named after the target follows the live version."""
        self._version(name, version)
        self._tag(name, version, {deployed_tag(target): f"{printable(state, 20)} {digest}"})
        if state == ALIAS_STATE:
            link = self._link()
            with told(link.address, f"moving alias {alias_of(target)} to {name} version {version}"):
                link.client.set_registered_model_alias(name, alias_of(target), str(version))

    def _link(self) -> Connection:
        if self._opened is None:
            self._opened = connect(self.uri)
        return self._opened

    def _numbers(self, name: str, promotion_id: str = "") -> list[int]:
        """Versions there are; those that carry ``promotion_id`` where one is given."""
        link, wanted = self._link(), f"name = '{model_name(name)}'"
        found: list[int] = []
        token = None
        while True:
            with told(link.address, f"reading versions of {name}"):
                page = link.client.search_model_versions(wanted, max_results=_PAGE, page_token=token)
            found += [int(v.version) for v in page if promotion_id in ("", v.tags.get(_ID, ""))]
            if not (token := page.token):
                return found

    def _register(self, link: Connection, name: str) -> None:
        """Makes the registered model unless it is there."""
        from mlflow.exceptions import MlflowException

        try:
            link.client.create_registered_model(name, tags={"promote": "yes"})
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def _version(self, name: str, version: int) -> Any:
        link = self._link()
        missing = f"{model_name(name)} has no version {version} in {link.address.shown}"
        try:
            with told(link.address, f"reading {name} version {version}", missing):
                return link.client.get_model_version(name, str(version))
        except NotFound as error:
            raise NotFound(
                error.message, hint="promote model makes versions; MLflow's Models page lists them"
            ) from None

    def _tag(self, name: str, version: int, tags: Mapping[str, str]) -> None:
        """Writes tags in order."""
        link = self._link()
        with told(link.address, f"tagging {name} version {version}"):
            for key, value in tags.items():
                link.client.set_model_version_tag(name, str(version), key, value)


def _kept(tags: Mapping[str, str], target: str, digest: str) -> str:
    """A decision that was made about this very digest already, else empty."""
    state = tags.get(review_tag(target), "")
    return state if state in (APPROVED, REJECTED) and tags.get(review_tag(target, "digest")) == digest else ""


def _had(tags: Mapping[str, str], target: str, part: str) -> bool:
    return bool(tags.get(review_tag(target, part)))


def _page_of(link: Connection, name: str, version: int) -> str:
    if link.address.remote:
        return f"{link.address.shown}/#/models/{name}/versions/{version}"
    return f"mlflow ui --backend-store-uri {link.address.shown}"


