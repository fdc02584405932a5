"""The stages of a promotion as values, each holding the one it was made from.

``RunRef -> Candidate -> Export -> Compatible[Export] -> Bundle -> Release -> Promotion -> Approved -> Deployment``.
A ``Promotion`` therefore is its own provenance. Big files are ``Blob``: a digest, a size, and where the bytes lie;
nothing here opens one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from promote.core.facts import ModelFacts, Target
from promote.core.parity import ParityProven
from promote.core.verdict import Compatible


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes by digest.

    Args:
        digest: ``sha256:`` and 64 hex digits.
        size: bytes.
        path: a file that holds them, or empty where ``data`` does.
        data: small content kept in memory.
    """

    digest: str
    size: int
    path: str = ""
    data: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class RunRef:
    """Which run, and which of its models where it has several."""

    run_id: str
    model: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A training run as the tracking server tells it.

    Args:
        run_id: MLflow's.
        name: the run's display name.
        experiment: the experiment's name.
        experiment_id: its id.
        tracking_uri: without credentials.
        user: who the server says ran it; empty where it does not say.
        ended_ms: end of the run, milliseconds since the epoch; 0 where it has not ended.
        params: as logged.
        metrics: last value of each.
        tags: as logged, MLflow's own ``mlflow.*`` included.
    """

    run_id: str
    name: str = ""
    experiment: str = ""
    experiment_id: str = ""
    tracking_uri: str = ""
    user: str = ""
    ended_ms: int = 0
    params: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceModel:
    """The model as the run logged it, fetched and digested.

    Args:
        name: its name within the run.
        flavour: ``transformers``, ``onnx`` or ``pytorch``.
        root: folder that holds the files (a private copy).
        files: relative path -> blob, ``MLmodel`` included.
        entry: relative path of the thing to export within ``root``: a folder for transformers, a file otherwise.
        digest: of the whole tree, so that a later change is seen.
        task: for transformers: the pipeline's task.
        pickled: loading it would run a pickle.
        example: relative path of the JSON input example, or empty.
        labels: label names in id order, where the run logged them.
    """

    name: str
    flavour: str
    root: str
    files: Mapping[str, Blob]
    entry: str
    digest: str
    task: str = ""
    pickled: bool = False
    example: str = ""
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Candidate:
    """A run's model, found and fetched; ``facts`` are what the run declares of it."""

    run: Run
    model: SourceModel
    facts: ModelFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportPlan:
    """What to export to, and why.

    Args:
        format: ``onnx``.
        opset: of the default domain; ``None`` where the file is passed through as it is.
        ir_version: ONNX IR version to stamp; ``None`` likewise.
        precision: of weights and activations.
        max_batch_size: largest batch that parity must cover.
        reasons: one line for each choice.
        ruled_out: one line for each choice not taken, with why.
    """

    format: str = "onnx"
    opset: int | None
    ir_version: int | None
    precision: str = "fp32"
    max_batch_size: int = 8
    reasons: tuple[str, ...] = ()
    ruled_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """What the exporter made, before anybody trusts it.

    Args:
        candidate: what it was made from.
        plan: what was asked.
        files: path within the version directory -> blob: ``model.onnx``, its data files, tokenizer, labels.
        facts: measured on those files.
        samples: safetensors blob: ``<case>/in/<name>`` and ``<case>/out/<name>``, outputs of the *exported bytes*.
        cases: names of the sample cases small enough to replay on a server, in order.
        labels: label names in id order, or empty.
        tools: version of each tool that took part.
    """

    candidate: Candidate
    plan: ExportPlan
    files: Mapping[str, Blob]
    facts: ModelFacts
    samples: Blob
    cases: tuple[str, ...]
    labels: tuple[str, ...] = ()
    tools: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lowered:
    """What is known of a variant of lower precision beside its parity.

    Args:
        made_of: digest of the export's own ``model.onnx``.
        same: of all decisions (the largest value along the last axis of each output), how many are the source model's.
        decisions: how many there were.
        metric: the task's metric against that of the export, or why there is none.
        run_as: how the bytes were run, where the runtime here has no kernels for them; else empty.
    """

    made_of: str
    same: int
    decisions: int
    metric: str
    run_as: str = ""


@dataclass(frozen=True, slots=True)
class Proven:
    """An export whose outputs are the source model's; ``lowered`` of a variant of lower precision."""

    export: Export
    parity: ParityProven
    lowered: Lowered | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A Triton model repository for one version of one model, ready to be pushed.

    Args:
        verdict: of the proven export on the target.
        target: the target it was made for.
        name: Triton's and MLflow's model name.
        version: Triton's version directory and MLflow's model version.
        files: path -> blob: ``NAME/config.pbtxt``, ``NAME/N/...``.
        passport: the passport's JSON (also a file of the bundle).
        created: RFC 3339, the end of the training run: the same inputs give the same bytes.
        matrix: digest of the matrix that judged.
    """

    verdict: Compatible[Proven]
    target: Target
    name: str
    version: int
    files: Mapping[str, Blob]
    passport: bytes
    created: str
    matrix: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What a registry holds under a version of a model, and what people decide about: a bundle, or an index of several.

    Args:
        repository: without tag or digest: ``ghcr.io/acme/ner``, ``oci:/srv/bundles/ner``.
        digest: of the manifest or index.
        name: model name, from its annotations.
        version: model version, likewise.
        annotations: its own.
        manifest: its raw bytes.
    """

    repository: str
    digest: str
    name: str
    version: int
    annotations: Mapping[str, str]
    manifest: bytes = field(repr=False)

    @property
    def reference(self) -> str:
        """``repository@sha256:...``."""
        return f"{self.repository}@{self.digest}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored(Held):
    """A bundle as a registry holds it; what a deployment starts from.

    Args:
        files: path -> blob (without bytes until fetched).
    """

    files: Mapping[str, Blob]


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """A pushed bundle.

    Args:
        bundle: what was pushed; of several variants the model's own precision.
        stored: how the registry holds it; of several variants their index.
        sent: bytes that really travelled.
        skipped: bytes the registry had already.
        variants: the other bundles of the index, each with the digest of its manifest.
        first: of several variants how the registry holds ``bundle``.
    """

    bundle: Bundle
    stored: Held
    sent: int
    skipped: int
    variants: tuple[tuple[str, Bundle], ...] = ()
    first: Stored | None = None

    @property
    def own(self) -> Stored:
        """How the registry holds ``bundle`` itself.

        Raises:
            ValueError: it is one of several, and nobody said which.
        """
        own = self.stored if isinstance(self.stored, Stored) else self.first
        if own is None:
            raise ValueError(f"{self.stored.reference} is no bundle")
        return own


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A bundle that came from another registry, byte for byte.

    Args:
        stored: how this registry holds it; the digest is the same.
        sent: bytes that really travelled.
        skipped: bytes the registry had already.
    """

    stored: Stored
    sent: int
    skipped: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Promotion:
    """A release recorded where the reviewer looks.

    Args:
        release: what was recorded.
        ui: address of its page in MLflow's UI, or the command that opens it.
        report: path of the report on this machine.
        review: ``pending``, ``not required`` where the target asks for no review, or the decision that this very digest
            has already.
    """

    release: Release
    ui: str
    report: str
    review: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployed:
    """One version on a target, as the target's own record tells it.

    Args:
        name: model name.
        version: version directory.
        digest: manifest digest it came from.
        repository: where it was pulled from.
        since: RFC 3339 UTC, when it began to serve.
        by: user and host that deployed it.
        state: ``live``, ``kept`` (on disk for a rollback) or ``staged``.
        release: digest of the index that it was chosen from; empty where the bundle was the version's only one.
    """

    name: str
    version: int
    digest: str
    repository: str
    since: str
    by: str
    state: str
    release: str = ""

    @property
    def promoted(self) -> str:
        """The digest that people decided about: that of the index, else its own."""
        return self.release or self.digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """One golden case answered by a live server.

    Args:
        case: its name.
        protocol: ``http`` or ``grpc``.
        max_absolute: largest difference from the recorded outputs, in the outputs' units.
        seconds: round trip.
    """

    case: str
    protocol: str
    max_absolute: float
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """A version that answered on its target.

    Args:
        live: what serves now.
        former: what served before, kept for a rollback; ``None`` for a first deployment.
        replays: the golden cases and how far the answers were off.
        seconds: from the first request to the target until the last right answer.
        warnings: what went wrong without changing what serves, a line each.
        variant: which of several it is; empty where there is only one.
        cost: what it lacks of a better variant that does not fit the target; empty where none is better.
    """

    live: Deployed
    former: Deployed | None
    replays: tuple[Replay, ...]
    seconds: float
    warnings: tuple[str, ...] = ()
    variant: str = ""
    cost: str = ""
