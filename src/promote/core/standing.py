"""What should serve, what was deployed and what really answers, and drift: where these differ. Pure.

A drift has a kind, what was seen, and the command that ends it. Models that promote never deployed to a target are not judged.
Not here: asking (``pipeline.serving``), and comparing configurations (``served_config``).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from promote.core.review import APPROVED
from promote.core.stages import Deployed

NOT_REQUIRED = "not required"
READY = "READY"


class Kind(StrEnum):
    """What can differ."""

    NOT_READY = "not-ready"  # the record says live, the server does not answer for it
    OTHER_VERSION = (
        "other-version"  # the server has another version of the record, instead of the live one or beside it
    )
    UNKNOWN_VERSION = "unknown-version"  # the server has a version that never was deployed
    FILES = "files"  # the live version's files are not those of its manifest
    CONFIG_FILE = "config-file"  # config.pbtxt on disk is not what was placed
    CONFIG_SERVED = "config-served"  # the server's own configuration is not what was placed
    NOT_DEPLOYED = "not-deployed"  # another version is desired


@dataclass(frozen=True, slots=True)
class Desired:
    """The version that shall serve on a target: the one that carries the target's alias.

    Args:
        version: of the model.
        digest: as recorded; empty where nothing is recorded.
        review: ``approved``, ``pending`` or ``rejected``, about this digest.
    """

    version: int
    digest: str
    review: str


@dataclass(frozen=True, slots=True)
class OnDisk:
    """The live version as it lies on the target's disk.

    Args:
        files: the first file that is not the manifest's; empty: all are.
        config: why ``config.pbtxt`` is not what was placed; empty: it is.
        placed: ``config.pbtxt`` as it was placed; empty where that cannot be told.
        checked: bytes that were read and digested.
    """

    files: str = ""
    config: str = ""
    placed: bytes = b""
    checked: int = 0


@dataclass(frozen=True, slots=True)
class Drift:
    """One difference.

    Args:
        kind: which.
        has: what was seen, one line.
        remedy: a command, or a sentence with one.
    """

    kind: Kind
    has: str
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """All that is known of one model on one target.

    Args:
        name: of the model.
        target: its name.
        deployed: the record's live entry; ``None``: it was never deployed.
        history: every version of the record.
        desired: by MLflow; ``None``: none is, or that is not known.
        required: the target asks for a review.
        disk: the live version's files; ``None`` where none is live.
        states: version -> the server's word for it: ``READY``, ``LOADING``, ``UNAVAILABLE``...
        differs: where the server's configuration differs from the placed one; empty: nowhere.
        unanswered: why the server could not be asked; empty: it was.
    """

    name: str
    target: str
    deployed: Deployed | None
    history: frozenset[int] = frozenset()
    desired: Desired | None = None
    required: bool = True
    disk: OnDisk | None = None
    states: Mapping[int, str] = field(default_factory=dict)
    differs: str = ""
    unanswered: str = ""

    @property
    def ready(self) -> bool:
        """The server answers for the live version."""
        return self.deployed is not None and self.states.get(self.deployed.version) == READY

    def drifts(self) -> tuple[Drift, ...]:
        """Every difference, the gravest first."""
        found = [*self._of_live(self.deployed)] if self.deployed else []
        return (*found, *self._of_desired())

    def _of_live(self, live: Deployed) -> Sequence[Drift]:
        again = f"promote deploy {self.name}@{live.promoted} --target {self.target}"
        found = []
        others = sorted(version for version, state in self.states.items() if state == READY and version != live.version)
        if not self.ready:
            state = self.unanswered or self.states.get(live.version, "not loaded")
            instead = f"; {_versions(others)} answers instead" if others else ""
            found.append(
                Drift(Kind.NOT_READY, f"version {live.version} is live by the record and {state}{instead}", again)
            )
        for known, kind, words in (
            (True, Kind.OTHER_VERSION, "which served before"),
            (False, Kind.UNKNOWN_VERSION, "which never was deployed here"),
        ):
            if those := [version for version in others if (version in self.history) is known]:
                beside = "beside" if self.ready else "instead of"
                has = f"{_versions(those)}, {words}, answers {beside} version {live.version}"
                found.append(Drift(kind, has, again))
        return [*found, *self._of_disk(live, again)]

    def _of_disk(self, live: Deployed, again: str) -> Sequence[Drift]:
        disk = self.disk or OnDisk()
        found = []
        if disk.files:
            aside = f"move {self.name}/{live.version} out of the model repository, then {again}"
            found.append(Drift(Kind.FILES, disk.files, aside))
        if disk.config:
            found.append(Drift(Kind.CONFIG_FILE, disk.config, again))
        if self.differs:
            found.append(Drift(Kind.CONFIG_SERVED, self.differs, again))
        return found

    def _of_desired(self) -> Sequence[Drift]:
        wanted, live = self.desired, self.deployed
        if wanted is None or (live and live.version == wanted.version and wanted.digest in ("", live.promoted)):
            return ()
        has = f"version {wanted.version} is desired, {f'version {live.version}' if live else 'nothing'} is deployed"
        if self.required and wanted.review != APPROVED:
            look = f"promote review show {self.name}:v{wanted.version} --target {self.target}"
            return (Drift(Kind.NOT_DEPLOYED, f"{has}; its review is {wanted.review}", look),)
        return (Drift(Kind.NOT_DEPLOYED, has, f"promote deploy {self.name}:v{wanted.version} --target {self.target}"),)


OF_SERVER = (Kind.NOT_READY, Kind.OTHER_VERSION, Kind.UNKNOWN_VERSION, Kind.CONFIG_SERVED)
"""What one of several replicas can differ in; disk and desire are one for all of them."""


def of_replicas(found: Mapping[str, Sequence[Drift]]) -> tuple[Drift, ...]:
    """The drifts of one model that is looked at on each replica, by address: each told once, and at which one it was seen."""
    told: dict[Drift, None] = {}
    for at, drifts in found.items():
        for drift in drifts:
            here = at and drift.kind in OF_SERVER
            told[replace(drift, has=f"at {at}: {drift.has}") if here else drift] = None
    return tuple(sorted(told, key=lambda drift: drift.kind not in OF_SERVER)) if len(found) > 1 else tuple(told)


def _versions(numbers: Sequence[int]) -> str:
    return "version " + " and ".join(str(number) for number in numbers)
