"""What the story needs of the world, in its own words.

Each port is a Protocol; ``adapters`` implement it for the real part, ``tests/fakes`` in memory, and one contract suite
per port (``tests/contract``) holds for both. All methods may raise the classes of ``promote.errors``; what a refusal
*means* is decided in ``core``.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from promote.core.cargo import Cargo, Lacking, Landed
from promote.core.engine_recipe import Order
from promote.core.engine_record import Builder, Built
from promote.core.events import Actor
from promote.core.facts import ModelFacts, ModelFolder, Target
from promote.core.faults import Audit, Fault
from promote.core.load import Cell, Figures, Measured
from promote.core.matrix import Matrix
from promote.core.parity import Tolerance
from promote.core.policy import Policy
from promote.core.promotion_run import Compared, PromotionRun
from promote.core.referrers import Referrer
from promote.core.review import Review
from promote.core.serving import Template
from promote.core.signed import Seen
from promote.core.stages import (
    Blob,
    Bundle,
    Candidate,
    Deployed,
    Export,
    ExportPlan,
    Held,
    Promotion,
    Received,
    Release,
    RunRef,
    Stored,
)
from promote.core.standing import Desired, OnDisk
from promote.core.tensors import TensorSpec
from promote.core.variant_index import StoredIndex
from promote.core.variants import Kind
from promote.core.verdict import Verdict

if TYPE_CHECKING:
    import numpy as np
    from tritonclient.grpc.model_config_pb2 import ModelConfig

Tensors = Mapping[str, "np.ndarray"]
"""Arrays by tensor name."""


class Step(Protocol):
    """A stage under way."""

    def update(self, done: int, total: int, unit: str = "bytes") -> None:
        """``done`` of ``total``; both in ``unit``."""

    def say(self, text: str) -> None:
        """What is going on now, a few words; at the end, what came of it."""


class Progress(Protocol):
    """Tells a person how far the story is. Never part of the answer."""

    def stage(self, name: str, detail: str = "") -> AbstractContextManager[Step]:
        """Opens a stage: one word, and what it works on."""


class Runs(Protocol):
    """Where training runs are found."""

    def find(self, ref: RunRef, step: Step) -> Candidate:
        """Finds the run, picks its model, fetches the files into a private folder and digests them.

        Raises:
            NotFound: no such run, no model in it, or an artifact is missing.
            InputError: several models and ``ref.model`` names none; an unsupported flavour; a pickle not allowed.
            IntegrityError: the server names a path outside the model.
            AuthError, Unavailable: as the words say.
        """


class Exporter(Protocol):
    """Turns a candidate into files a server loads, and runs both for comparison."""

    def export(self, candidate: Candidate, plan: ExportPlan, step: Step) -> "tuple[Export, Outputs]":
        """The export, with the source's outputs and the exported bytes' outputs for every sample case.

        Raises:
            ExportError: it cannot be exported, crashed, or broke a limit; or the runtime here refuses the file.
            Unavailable: the disk is full.
        """

    def lower(self, export: Export, plan: ExportPlan, step: Step) -> "tuple[Export, Outputs]":
        """The same export in the lower precision of ``plan``, its inputs and outputs as they were; likewise run.

        Args:
            export: the last that this exporter made.
            plan: as the export's, but for the precision.
            step: hears what it is at.

        Raises:
            ExportError, Unavailable: as ``export``.
        """


@dataclass(frozen=True, slots=True)
class Outputs:
    """Case name -> output name -> array, of the source model and of the exported bytes."""

    source: Mapping[str, Tensors]
    exported: Mapping[str, Tensors]


@dataclass(frozen=True, slots=True)
class Examined:
    """What a fetched bundle is judged by.

    Args:
        target: as it is measured now.
        facts: read from the model's own files.
        config: the bundle's.
        folder: its model directory.
    """

    target: Target
    facts: ModelFacts
    config: "ModelConfig"
    folder: ModelFolder


class Registry(Protocol):
    """Where bundles live: an OCI registry or an OCI layout on disk."""

    def push(self, bundle: Bundle, step: Step, *, alone: bool = True) -> Release:
        """Pushes blobs, then config, then the manifest, then the tag ``vN``; what is there already is skipped.

        Args:
            bundle: what is pushed.
            step: hears how many bytes are through.
            alone: otherwise it is one variant of several, and no tag names it: ``gather`` does.

        Raises:
            IntegrityError: a file changed since it was digested, or the tag names another digest.
            AuthError, Unavailable: as the words say.
        """

    def receive(self, stored: Stored, files: Mapping[str, str], config: bytes, step: Step) -> Received:
        """Pushes, as ``push`` does, a bundle that another registry holds: the same bytes, so the same digest.

        Args:
            stored: as the other registry holds it.
            files: what that one's ``fetch`` gave.
            config: its config, verified by ``read``.
            step: hears how many bytes are through.

        Raises:
            IntegrityError, AuthError, Unavailable: as ``push``.
        """

    def gather(self, children: Sequence[tuple[Kind, Stored]]) -> StoredIndex:
        """Writes the index of bundles that were pushed before, and names it ``vN``; the same again writes nothing.

        Raises:
            InputError: none, two of one kind, or of different models or versions.
            IntegrityError: a child is another one by now, or the tag names something else.
            NotFound: a child is not there.
            AuthError, Unavailable: as the words say.
        """

    def find(self, name: str, reference: str) -> Stored | StoredIndex:
        """What ``reference`` names now (``vN``, another tag, or ``sha256:...``): a bundle, or an index of variants.

        Raises:
            NotFound: nothing there by that name.
            IntegrityError: the manifest or index is not what its digest or its form says.
        """

    def resolve(self, name: str, reference: str) -> Stored:
        """The one bundle that ``reference`` names now; see ``find``.

        Raises:
            InputError: it names an index of variants, so it is not said which.
            NotFound: nothing there by that name.
            IntegrityError: the manifest is not what its digest or its form says.
        """

    def models(self) -> tuple[str, ...]:
        """The models that it holds, by name.

        Raises:
            InputError: the registry does not list its repositories.
        """

    def tags(self, name: str) -> tuple[str, ...]:
        """The tags of a model: versions, newest first, then others by name; none where there is no such repository.

        Lists of referrers, which lie under tags too, are left out.

        Raises:
            AuthError, Unavailable: as the words say.
        """

    def fetch(self, stored: Stored, folder: str, step: Step) -> Mapping[str, str]:
        """Writes every file of the bundle under ``folder``, each verified; path in the bundle -> path on disk.

        Raises:
            IntegrityError: bytes of another digest or size; nothing is left under a final name.
        """

    def read(self, stored: Held, blob: Blob) -> bytes:
        """A small file of the bundle (a passport, say), verified; at most 16 MiB.

        Raises:
            IntegrityError: bytes of another digest or size, or a blob too large to read whole.
        """

    def audit(self, held: Held, step: Step) -> Audit:
        """Every byte of a bundle, of an index's variants and of what refers to them, read and held against its digest.

        What is missing or wrong is among the faults, and the rest is read all the same.

        Raises:
            AuthError, Unavailable: it cannot be told.
        """

    def attach(self, stored: Held, artifact_type: str, data: bytes, annotations: Mapping[str, str]) -> str:
        """Stores ``data`` as a referrer of the bundle, and lists it; returns the digest of its manifest.

        The same again changes nothing. Of several that attach at once none is lost, as far as the registry allows: see
        ``docs/adr/0010``.

        Raises:
            InputError: ``artifact_type`` is no media type, or ``data`` has more than 1 MiB.
            IntegrityError: something else lies where the list of referrers should.
            NotFound, AuthError: the bundle is not there, or may not be read.
            Unavailable: others keep writing the list.
        """

    def referrers(self, stored: Held, artifact_type: str = "") -> tuple[Referrer, ...]:
        """The referrers of the bundle as they are listed, oldest first; of one kind where one is asked for.

        Raises:
            IntegrityError: the list is ambiguous, too large or of another form.
            NotFound, AuthError: the bundle is not there, or may not be read: that never reads as no referrers.
        """


class Folder(Protocol):
    """A folder on this machine that holds one bundle, or shall: ``NAME/config.pbtxt`` and ``NAME/N/...``."""

    @property
    def path(self) -> str:
        """Where it is, absolute."""

    def filled(self) -> bool:
        """Whether anything lies in it.

        Raises:
            InputError: it is no folder, or one that no rename can replace.
        """

    def require(self, stored: Stored, step: Step) -> None:
        """Passes when exactly this bundle lies in it; reads every byte.

        Raises:
            InputError: something else does; the message names the first difference.
        """

    def compare(self, stored: Stored, step: Step) -> tuple[Fault, ...]:
        """All that is missing, too much or other than in the bundle; reads every byte.

        Raises:
            InputError: there is no such folder.
        """

    def staging(self) -> AbstractContextManager[str]:
        """A place beside it to fetch into, for one pull at a time; what was fetched stays there when the block fails.

        Raises:
            Unavailable: another pull is under way.
        """

    def place(self, stored: Stored, files: Mapping[str, str]) -> None:
        """Makes the folder appear, by one rename of the staging place and flushed to the disk before.

        Raises:
            IntegrityError: a file holds native code, or the configuration may load some.
        """


class Forge(Protocol):
    """A ``trtexec`` on the host that shall serve a plan, and a folder to work in."""

    @property
    def where(self) -> str:
        """Where it builds, in words."""

    @property
    def image(self) -> str:
        """The container's image; empty where there is none."""

    def ask(self) -> Builder:
        """Which TensorRT it is, and what it can be told.

        Raises:
            ExportError, Unavailable: it cannot be run.
            IntegrityError: it is none.
        """

    def build(
        self,
        order: Order,
        model: Mapping[str, str],
        tensors: tuple[Sequence[TensorSpec], Sequence[TensorSpec]],
        gpu: str,
        step: Step,
    ) -> Built:
        """A plan, read back.

        Args:
            order: what shall be built.
            model: name -> path of ``model.onnx`` and its data files.
            tensors: inputs and outputs that the plan must have.
            gpu: what timings are kept for; empty: they are not.
            step: hears what it is at.

        Raises:
            ExportError, Unavailable: there is none; the message says why.
            IntegrityError: what is there is not what was asked.
        """

    def answers(
        self, built: Built, cases: Mapping[str, Tensors], outputs: Sequence[TensorSpec], *, dynamic: bool
    ) -> tuple[Mapping[str, Tensors], float]:
        """Case -> outputs of that very plan, and the seconds that it took; ``dynamic``: the plan is told shapes.

        Raises:
            ExportError, Unavailable: it does not answer.
            IntegrityError: an answer that is none, or the plan changed meanwhile.
        """

    def keep(self, built: Built, record: bytes, folder: str) -> None:
        """Makes ``folder`` appear with the plan, its record and its log, by one rename.

        Raises:
            InputError: something is there.
            Unavailable: it cannot be written.
        """


class Mirror(Protocol):
    """A copy of bundles where no registry is: see ``core.mirrors``. It is never believed: what it holds is read."""

    @property
    def shown(self) -> str:
        """Where it lies, as messages name it."""

    @property
    def carries_card(self) -> bool:
        """Whether it shows people a ``README.md``."""

    def sizes(self, name: str) -> dict[str, int]:
        """Path -> bytes of all that lies under ``NAME/``.

        Raises:
            InputError, NotFound: there is no such place, or it is no place for a mirror.
        """

    def read(self, path: str) -> bytes | None:
        """A small file; ``None`` where it is not.

        Raises:
            IntegrityError: it is too large to be read whole.
        """

    def digests(self, sizes: Mapping[str, int], step: Step) -> dict[str, str]:
        """``sha256:...`` of what lies at each of these paths now, every byte read; ``step`` hears of them."""

    def send(self, files: Sequence[tuple[str, Blob]], title: str, step: Step) -> int:
        """Puts the files there in this order, or all at once; the bytes that travelled.

        Args:
            files: path in the mirror, and a blob with its bytes.
            title: a line that says why, where the mirror keeps a history.
            step: hears how many bytes are through.

        Raises:
            IntegrityError: other bytes arrived.
            Unavailable: also where somebody else wrote there meanwhile.
        """


class Origin(Protocol):
    """Where bundles are copied from: a registry, a layout, an archive."""

    def collect(self, name: str, reference: str) -> Cargo:
        """A bundle, or an index of its variants, with all that refers to it; its files are read when they are taken.

        Raises:
            NotFound: nothing there by that name.
            IntegrityError: no bundle of this model, or a manifest that is not what its digest or its list says.
        """


class Goal(Protocol):
    """Where bundles are copied to: a registry, a layout, an archive, a mirror."""

    def take(self, cargo: Cargo, step: Step) -> Landed:
        """Takes what is not there yet, every blob verified, its name last; the same again changes nothing.

        Raises:
            IntegrityError: bytes that are not what their digest says, or another bundle has its name there.
            InputError, AuthError, Unavailable: as the words say.
        """


class Place(Goal, Protocol):
    """A goal that can be asked beforehand."""

    def lacks(self, cargo: Cargo, step: Step) -> Lacking:
        """What ``take`` would have to bring; nothing is written and no file is read.

        Raises:
            IntegrityError: another bundle has its name there.
            InputError, AuthError, Unavailable: as the words say.
        """


class Ledger(Protocol):
    """MLflow's model registry: where a person looks and decides."""

    def reserve(self, name: str, promotion_id: str, candidate: Candidate) -> int:
        """The model version of this promotion: the one that carries ``promotion_id``, or a new one."""

    def next_version(self, name: str, promotion_id: str) -> int:
        """What ``reserve`` would return, without writing anything."""

    def begin(self, release: Release, promotion_id: str) -> PromotionRun:
        """The promotion's own run among those that can be compared; the same for the same promotion and digest.

        Raises:
            IntegrityError: the version is another promotion's.
        """

    def record(
        self,
        release: Release,
        promotion_id: str,
        report: Mapping[str, bytes],
        seconds: Mapping[str, float] | None = None,
    ) -> Promotion:
        """Tags, describes and links the version, and completes the promotion's run.

        Args:
            release: what was pushed.
            promotion_id: whose version it is.
            report: artifact names and their content.
            seconds: how long each stage took; a run that is complete keeps its own.
        """

    def judged(self, name: str, version: int, target: str, word: str) -> None:
        """Notes on the version that it was promoted for a further target, with that verdict.

        Raises:
            NotFound: no such version.
        """

    def further(self, stored: Held, target: str, told: Compared, report: bytes) -> str:
        """The run of a promotion for a further target among those that can be compared, with its report; its id.

        The same again completes the same run. Empty where the version was made of no training run.

        Raises:
            NotFound: no such version.
        """

    def measured(self, figures: Figures) -> bool:
        """Adds figures under load to the run of the promotion; false where that version has none.

        Raises:
            NotFound: no such version.
        """

    def redraw(self, figures: Figures, draw: Callable[[bytes], bytes]) -> bool:
        """Replaces the report of the promotion for the target of the figures, and its page here, by what ``draw`` makes of it.

        False where that version has no report, or is of another digest.

        Raises:
            NotFound: no such version.
            IntegrityError: what lies there is no report of bounded size.
        """

    def versions(self, name: str) -> tuple[int, ...]:
        """Versions that were promoted, newest first."""

    def review(self, name: str, version: int, target: str) -> Review:
        """What a person said of this version for this target."""

    def decide(self, name: str, version: int, target: str, review: Review) -> None:
        """Shows what people's decisions come to."""

    def asked(self, target: str) -> Iterable[tuple[str, int, str]]:
        """Model, version and digest of every release that was promoted for this target or asked for there, newest first."""

    def authors(self, name: str, version: int) -> frozenset[str]:
        """Who trained and who promoted this version, as far as that was said."""

    def recorded(self, name: str, version: int) -> str:
        """The digest that was recorded for this version; empty where none was."""

    def located(self, stored: Stored) -> None:
        """Notes where the version's bundle lies now."""

    def deployed(self, name: str, version: int, target: str, digest: str, state: str, *, alias: bool = True) -> None:
        """Notes on the version what the target serves now; of what is ``live`` the target's alias follows, or stays."""

    def report(self, name: str, version: int, target: str, by: str, text: str) -> None:
        """Notes on the version what the agent of a host says of it, each host for itself."""

    def models(self) -> tuple[str, ...]:
        """Names of the models of which a version was promoted."""

    def events(self, name: str, version: int) -> Mapping[str, str]:
        """The events that lie on this version, **not** checked: key -> line, see ``core.chain.read_texts``.

        Raises:
            NotFound: no such version.
        """

    def keep_events(self, name: str, version: int, lines: Mapping[str, str]) -> None:
        """Puts events on this version, by their keys; others there stay.

        Raises:
            NotFound: no such version.
        """

    def remake(self, stored: Held, promotion_id: str, text: str) -> None:
        """Makes a version that was lost again, under its number, with ``text`` as its description.

        Raises:
            IntegrityError: that number is another promotion's, or was given and deleted.
        """

    def withdraw(self, name: str, version: int, by: str, reason: str) -> None:
        """Shows that nobody may deploy this version any more, who said so, and why.

        Raises:
            NotFound: no such version.
        """

    def desired(self, target: str) -> Mapping[str, Desired]:
        """Model -> the promoted version that carries the target's alias; models without one are left out."""


class Store(Protocol):
    """The model repository of a target, with its own small record beside it."""

    def current(self, name: str) -> Deployed | None:
        """What the record says is live."""

    def history(self, name: str) -> tuple[Deployed, ...]:
        """Every deployment of the model here, oldest first."""

    def models(self) -> tuple[str, ...]:
        """Names of all models this record knows."""

    def kept(self, name: str, version: int) -> tuple[bytes, bytes, Mapping[str, str]]:
        """Manifest and passport of a version that lies there, and its files: path in the bundle -> path on disk; verified.

        Raises:
            NotFound: it does not lie there any more.
            IntegrityError: it is not what was placed.
            InputError: its bytes lie on another machine.
        """

    def staging(self, stored: Stored) -> AbstractContextManager[str]:
        """A private folder on the model repository's own file system to fetch into; it goes when the block ends."""

    def place(self, stored: Stored, files: Mapping[str, str]) -> None:
        """Makes ``NAME/N`` visible by one rename; ``config.pbtxt`` is untouched until ``serve``.

        Raises:
            IntegrityError: ``NAME/N`` exists with other content.
            Unavailable: disk full.
        """

    def serve(self, name: str, versions: tuple[int, ...]) -> None:
        """Replaces ``NAME/config.pbtxt`` by that of the last of ``versions``, its version policy naming all of them."""

    def commit(self, live: Deployed) -> None:
        """Appends to the record that this version is live."""

    def withdraw(self, name: str, version: int) -> None:
        """Removes a version directory that never served."""

    def prune(self, name: str, keep: int) -> tuple[int, ...]:
        """Removes all versions but the live one and the ``keep`` that served last before it; which they were.

        One that never served is left alone: a deployment may be under way.
        """

    def untold(self, name: str) -> tuple[Deployed, ...]:
        """Deployments that MLflow was not told of yet, oldest first."""

    def told(self, name: str) -> None:
        """Notes that MLflow knows of every deployment so far."""

    def golden(self, name: str, version: int) -> tuple[bytes, Tolerance]:
        """The golden samples of a version on disk, and the tolerance its passport records.

        Raises:
            NotFound: the version or its samples are not on disk.
            IntegrityError: they are not what the bundle's manifest says.
        """

    def inspect(self, name: str, version: int, *, contents: bool = True) -> OnDisk:
        """A version as it lies there now, against its manifest; without ``contents`` by names and sizes only."""

    def lock(self, name: str) -> AbstractContextManager[None]:
        """One deployment of a model at a time.

        Raises:
            Unavailable: another one is under way.
        """


class Server(Protocol):
    """A running Triton."""

    def require(self) -> str:
        """The server's version, when it is live.

        Raises:
            Unavailable: it does not answer.
        """

    def load(self, name: str) -> None:
        """Asks the server to load the model as its repository now says.

        Raises:
            DeployFailed: it refused; the message holds its own reason.
        """

    def unload(self, name: str) -> None:
        """Asks the server to unload the model."""

    def await_ready(self, name: str, version: int, seconds: float) -> None:
        """Returns when this version is ready.

        Raises:
            DeployFailed: it is not by then; the message holds the server's own reason.
        """

    def ready(self, name: str, version: int) -> bool:
        """Whether this version answers now."""

    def infer(self, name: str, version: int, inputs: Tensors, protocol: str) -> Tensors:
        """Outputs for ``inputs``; ``protocol`` is ``http`` or ``grpc``.

        Raises:
            DeployFailed: the server refused the request.
        """

    def index(self) -> Mapping[str, Mapping[int, str]]:
        """Model -> version -> the server's word for its state (``READY``); every version that it knows of."""

    def config(self, name: str) -> "ModelConfig":
        """The configuration that the server uses for a model, completed by itself.

        Raises:
            DeployFailed: it has none that answers.
        """

    def statistics(self, name: str) -> Mapping[int, Mapping[str, float]]:
        """Version -> ``requests``, ``failures``, ``mean_ms`` since it was loaded."""

    def each(self) -> "Mapping[str, Server]":
        """Of a target with replicas each of them by its address; else this one alone, under an empty name."""


class Load(Protocol):
    """Many requests at once to a running Triton."""

    def largest_batch(self, name: str, version: int) -> int:
        """Rows that one request may have; 0 where the version takes no batches."""

    def measure(self, name: str, version: int, inputs: Tensors, cell: Cell, seconds: float) -> Measured:
        """Asks for ``seconds``, after a warm-up that is not counted.

        Raises:
            DeployFailed: the version is not loaded, or has not these inputs.
            Unavailable: not one request was answered.
        """


class FiguresBook(Protocol):
    """What was measured before."""

    def keep(self, figures: Figures) -> None:
        """The last figures of each version on each target."""

    def of(self, target: str, name: str) -> tuple[Figures, ...]:
        """All that were kept of a model there."""


class Signatures(Protocol):
    """Who may sign decisions about a target."""

    def check(self, statement: bytes, signature: str) -> Seen:
        """Whose signature of ``statement`` it is, now: a key whose time is over or that was taken from the file signs nothing.

        Raises:
            InputError: the file of signers is not there or cannot be read.
            Unavailable: nothing here can check a signature.
        """


class Books(Protocol):
    """Where what happened is written down."""

    @property
    def registry(self) -> Registry:
        """Where bundles live."""

    @property
    def ledger(self) -> Ledger:
        """Where a person looks."""


class World(Protocol):
    """All that a story may touch, chosen by ``wiring``; a part is opened when it is first asked for."""

    @property
    def matrix(self) -> Matrix:
        """What the world accepts."""

    @property
    def template(self) -> Template:
        """How the model shall be served."""

    @property
    def progress(self) -> Progress:
        """How a person is told."""

    @property
    def policy(self) -> Policy:
        """What must hold on the target."""

    @property
    def runs(self) -> Runs:
        """Where runs are found."""

    @property
    def exporter(self) -> Exporter:
        """Turns a candidate into files."""

    @property
    def registry(self) -> Registry:
        """Where bundles live."""

    @property
    def ledger(self) -> Ledger:
        """Where a person looks."""

    @property
    def signatures(self) -> Signatures:
        """Who may sign decisions about the target, where its policy asks for that."""

    @property
    def actor(self) -> Actor:
        """Who types this command, as far as anybody vouches for it; may ask MLflow."""

    def measured(self) -> Target:
        """The target as it is measured now; what does not answer stays as it was known."""

    def examine(self, stored: Stored, files: Mapping[str, str]) -> Examined:
        """Reads a fetched bundle, and measures the target.

        Args:
            stored: as the registry holds it.
            files: path in the bundle -> path on disk.

        Raises:
            IntegrityError: a file that cannot be what the bundle says.
        """

    @property
    def store(self) -> Store:
        """The target's model repository."""

    @property
    def server(self) -> Server:
        """The target's Triton."""

    @property
    def load(self) -> Load:
        """Many requests at once to it."""

    @property
    def figures(self) -> FiguresBook:
        """What was measured before."""


__all__ = [
    "Books",
    "Examined",
    "Exporter",
    "FiguresBook",
    "Goal",
    "Ledger",
    "Load",
    "Mirror",
    "Origin",
    "Outputs",
    "Progress",
    "Registry",
    "Runs",
    "Server",
    "Signatures",
    "Step",
    "Store",
    "Target",
    "Tensors",
    "Verdict",
    "World",
]
