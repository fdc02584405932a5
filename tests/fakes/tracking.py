"""The ``Ledger`` and ``Runs`` ports in memory; the ledger is trusted because it passes ``tests/contract/test_ledger.py``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from promote.core.load import Figures
from promote.core.names import model_name
from promote.core.promotion_run import Compared, PromotionRun, compared, under_load
from promote.core.review import APPROVED, PENDING, REJECTED, Review
from promote.core.stages import Candidate, Held, Promotion, Release, RunRef, Stored
from promote.core.standing import Desired
from promote.errors import InputError, IntegrityError, NotFound
from promote.ports import Step

_DECISIONS = (PENDING, APPROVED, REJECTED)


@dataclass
class FakeRuns:
    """Candidates by run id."""

    candidates: dict[str, Candidate] = field(default_factory=dict)

    def find(self, ref: RunRef, step: Step) -> Candidate:
        if ref.run_id not in self.candidates:
            raise NotFound(f"run {ref.run_id!r} is not in memory")
        candidate = self.candidates[ref.run_id]
        if ref.model not in ("", candidate.model.name):
            raise NotFound(f"run {ref.run_id} has no model {ref.model!r}", hint=f"it has: {candidate.model.name}")
        return candidate


@dataclass
class Version:
    """What the ledger knows of one version."""

    promotion_id: str
    digest: str = ""
    reference: str = ""
    reviews: dict[str, Review] = field(default_factory=dict)
    report: dict[str, bytes] = field(default_factory=dict)
    authors: frozenset[str] = frozenset()
    serves: dict[str, str] = field(default_factory=dict)  # target -> "state digest"
    withdrawn: tuple[str, str] | None = None  # by, reason
    events: dict[str, str] = field(default_factory=dict)  # key -> line
    agents: dict[tuple[str, str], str] = field(default_factory=dict)  # target, host -> words
    verdicts: dict[str, str] = field(default_factory=dict)  # of further targets
    figures: dict[str, float] = field(default_factory=dict)


@dataclass
class FakeLedger:
    """Versions by name and number; aliases by name and target."""

    versions_of: dict[str, dict[int, Version]] = field(default_factory=dict)
    aliases: dict[tuple[str, str], int] = field(default_factory=dict)
    runs: dict[str, Compared] = field(default_factory=dict)  # of promotions

    def reserve(self, name: str, promotion_id: str, candidate: Candidate) -> int:
        number = self.next_version(name, promotion_id)
        self.versions_of.setdefault(name, {}).setdefault(number, Version(promotion_id))
        return number

    def next_version(self, name: str, promotion_id: str) -> int:
        there = self.versions_of.get(model_name(name), {})
        same = [number for number, version in there.items() if version.promotion_id == promotion_id]
        return min(same) if same else max(there, default=0) + 1

    def begin(self, release: Release, promotion_id: str) -> PromotionRun:
        bundle = release.bundle
        if self._version(bundle.name, bundle.version).promotion_id != promotion_id:
            raise IntegrityError(f"{bundle.name} version {bundle.version} is another promotion's")
        run_id = f"{promotion_id}-{release.stored.digest[7:19]}"
        return PromotionRun(run_id, f"#/experiments/9/runs/{run_id}")

    def judged(self, name: str, version: int, target: str, word: str) -> None:
        self._version(name, version).verdicts[target] = word

    def measured(self, figures: Figures) -> bool:
        version = self._version(figures.name, figures.version)
        if not version.digest or version.digest != figures.digest:
            return False
        version.figures = under_load(figures)
        return True

    def redraw(self, figures: Figures, draw: Callable[[bytes], bytes]) -> bool:
        there = self._version(figures.name, figures.version)
        name = f"report-{figures.target}.html" if f"report-{figures.target}.html" in there.report else "report.html"
        if not there.report.get(name) or there.digest != figures.digest:
            return False
        there.report[name] = draw(there.report[name])
        return True

    def further(self, stored: Held, target: str, told: Compared, report: bytes) -> str:
        run_id = f"{stored.digest[7:19]}-{target}"
        self._version(stored.name, stored.version).report[f"report-{target}.html"] = report
        self.runs.setdefault(run_id, told)
        return run_id

    def record(
        self,
        release: Release,
        promotion_id: str,
        report: Mapping[str, bytes],
        seconds: Mapping[str, float] | None = None,
    ) -> Promotion:
        bundle, digest = release.bundle, release.stored.digest
        version = self._version(bundle.name, bundle.version)
        run = self.begin(release, promotion_id)
        self.runs.setdefault(run.run_id, compared(release, seconds or {}))
        version.digest = digest
        version.report.update(report)
        before = version.reviews.get(bundle.target.name, Review())
        if before.digest != digest:
            before = Review()
            version.reviews.pop(bundle.target.name, None)
            if bundle.target.review:
                version.reviews[bundle.target.name] = before
        shown = before.state if bundle.target.review else "not required"
        return Promotion(release=release, ui=f"fake:{bundle.name}/{bundle.version}", report="", review=shown)

    def versions(self, name: str) -> tuple[int, ...]:
        there = self.versions_of.get(model_name(name), {})
        return tuple(sorted((number for number, version in there.items() if version.digest), reverse=True))

    def review(self, name: str, version: int, target: str) -> Review:
        if gone := self._version(name, version).withdrawn:
            return Review(state=REJECTED, by=gone[0], reason=f"withdrawn: {gone[1]}")
        return self._version(name, version).reviews.get(target, Review())

    def decide(self, name: str, version: int, target: str, review: Review) -> None:
        if review.state not in _DECISIONS:
            raise InputError(f"{review.state!r} is no decision")
        self._version(name, version).reviews[target] = review if review.state != PENDING else Review()

    def recorded(self, name: str, version: int) -> str:
        return self._version(name, version).digest

    def located(self, stored: Stored) -> None:
        self._version(stored.name, stored.version).reference = stored.reference

    def report(self, name: str, version: int, target: str, by: str, text: str) -> None:
        self._version(name, version).agents[target, by.rpartition("@")[2]] = text

    def asked(self, target: str) -> list[tuple[str, int, str]]:
        return sorted(
            (
                (name, number, version.digest)
                for name, there in self.versions_of.items()
                for number, version in there.items()
                if version.digest and target in version.reviews
            ),
            key=lambda row: (row[0], -row[1]),
        )

    def authors(self, name: str, version: int) -> frozenset[str]:
        return self._version(name, version).authors

    def deployed(self, name: str, version: int, target: str, digest: str, state: str, *, alias: bool = True) -> None:
        self._version(name, version).serves[target] = f"{state} {digest}"
        if state == "live" and alias:
            self.aliases[name, target] = version

    def models(self) -> tuple[str, ...]:
        return tuple(sorted(name for name in self.versions_of if self.versions(name)))

    def events(self, name: str, version: int) -> Mapping[str, str]:
        return dict(self._version(name, version).events)

    def keep_events(self, name: str, version: int, lines: Mapping[str, str]) -> None:
        self._version(name, version).events.update(lines)

    def remake(self, stored: Held, promotion_id: str, text: str) -> None:
        there = self.versions_of.setdefault(stored.name, {})
        if there.get(stored.version, Version(promotion_id)).promotion_id != promotion_id:
            raise IntegrityError(f"{stored.name} version {stored.version} is another promotion's")
        there[stored.version] = Version(promotion_id, stored.digest, stored.reference)

    def withdraw(self, name: str, version: int, by: str, reason: str) -> None:
        self._version(name, version).withdrawn = (by, reason)

    def desired(self, target: str) -> Mapping[str, Desired]:
        found = {}
        for (name, one), number in self.aliases.items():
            version = self._version(name, number)
            review = self.review(name, number, target)
            same = review.digest == version.digest or (review.state == REJECTED and not review.digest)
            if one == target:
                found[name] = Desired(number, version.digest, review.state if same else PENDING)
        return found

    def _version(self, name: str, version: int) -> Version:
        if version not in self.versions_of.get(model_name(name), {}):
            raise NotFound(f"{name} has no version {version}")
        return self.versions_of[name][version]
