"""What is known, and from where: of a model's file and of the host that shall serve it.

A fact is *declared* (somebody says so: MLflow, the matrix, settings) or *measured* (read off the file or the host).
Measured wins; where the two differ the fact remembers what was declared, and the rule ``drift`` reports it.
Not here: how a fact is obtained (``adapters``), nor what follows from it (``rules``).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from promote.core.extents import Activations
from promote.core.tensors import DType, TensorSpec

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Fact(Generic[T]):
    """A value and where it came from.

    Args:
        value: the value that counts.
        source: a phrase for a reader: ``model.onnx``, ``declared in compat_matrix.yaml``, ``nvidia-smi on calypso``.
        measured: read off the thing itself rather than said of it.
        declared: what was declared, where that differs from the measured value.
    """

    value: T
    source: str
    measured: bool = False
    declared: "Fact[T] | None" = None

    @property
    def confidence(self) -> str:
        """``high``, ``medium`` or ``low``, as its source says."""
        return self.source.partition(DOUBT)[2] or "high"

    def __str__(self) -> str:
        return f"{self.value} ({self.source})"


class Later(Fact[T]):
    """A measured fact whose value takes a while to work out, and is when it is first read."""

    __slots__ = ("_made", "_make")
    _make: Callable[[], T]
    _made: T

    def __init__(self, make: Callable[[], T], source: str) -> None:
        for name, value in (("_make", make), ("source", source), ("measured", True), ("declared", None)):
            object.__setattr__(self, name, value)

    @property
    def value(self) -> T:
        """The value, worked out once."""
        if not hasattr(self, "_made"):
            object.__setattr__(self, "_made", self._make())
            object.__setattr__(self, "_make", None)
        return self._made

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Fact) and self.__reduce__()[1] == (
            other.value,
            other.source,
            other.measured,
            other.declared,
        )

    def __hash__(self) -> int:
        return hash(self.__reduce__()[1])

    def __reduce__(self) -> tuple[type[Fact[T]], tuple[T, str, bool, Fact[T] | None]]:
        return Fact, (self.value, self.source, self.measured, self.declared)


DOUBT = ", confidence "
"""Before the confidence at the end of a source, where that is not high."""


def settle(declared: Fact[T] | None, measured: Fact[T] | None) -> Fact[T] | None:
    """The fact that counts: the measured one, remembering a declared one that differs."""
    if measured is None or declared is None:
        return measured or declared
    if measured.value == declared.value:
        return measured
    return Fact(measured.value, measured.source, measured=True, declared=declared)


@dataclass(frozen=True, slots=True)
class ExternalFile:
    """A file that an ONNX model keeps tensors in.

    Args:
        location: as the model names it, relative to the model file.
        needed: bytes the model reads up to (largest offset + length).
        size: bytes the file has; ``None`` where it is missing.
        fault: why it may not be used (outside the directory, a link...), or empty.
        packed: tensors in it have an entry ``prepacked...``.
        twice: tensors in it say more than once where they lie.
    """

    location: str
    needed: int
    size: int | None
    fault: str = ""
    packed: bool = False
    twice: bool = False


Told = int | str | tuple[int, ...] | None
"""What is told of an attribute's value; ``None``: that it is set."""


class _Hashed:
    __slots__ = ("_hash",)
    _hash: int


@dataclass(frozen=True, slots=True)
class NodeUse(_Hashed):
    """An operator as a model uses it, once for each set of types it is used with.

    Args:
        domain: of the operator, the default one ``""``.
        name: ``MatMul``.
        version: the opset of its domain where it stands.
        inputs: types in ONNX's words, ``tensor(float)``; ``""`` where one is left out, ``None`` where it is not known.
        outputs: likewise.
        attributes: those that are set, by name: whole numbers, short lists of them and short texts with their value, others
            with ``None``.
        body: what it expands to, where it is a function; a release that implements it itself does not expand it.
        former: what releases of ONNX Runtime before 1.17 expand it to, where that is something else.
        between: of a cast from float16 to float16 inside a graph: the nodes it reads and that read it.
        lengths: items in each attribute that is a list or a tensor, of operators whose constructors compare them.
    """

    domain: str
    name: str
    version: int
    inputs: tuple[str | None, ...] = ()
    outputs: tuple[str | None, ...] = ()
    attributes: "tuple[tuple[str, Told], ...]" = ()
    body: "tuple[NodeUse, ...]" = ()
    former: "tuple[NodeUse, ...] | None" = None
    between: "tuple[NodeUse, ...]" = ()
    lengths: tuple[tuple[str, int], ...] = ()

    def __hash__(self) -> int:
        """Without ``body``, which follows from the rest; worked out once, as each release is asked for it again."""
        try:
            return self._hash
        except AttributeError:
            told = (self.domain, self.name, self.version, self.inputs, self.outputs, self.attributes, self.lengths)
            object.__setattr__(self, "_hash", hash(told))
            return self._hash


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFolder:
    """A model's directory in a Triton repository.

    Args:
        name: of the directory.
        versions: version directories, by number.
        skipped: directories named like no version, which Triton skips; its reserved names left out.
        files: plain files, relative to the directory, with ``/``.
        config: the bytes of ``config.pbtxt``; ``None`` where there is none.
        warmup: bytes of each file in ``warmup/``.
    """

    name: str
    versions: tuple[int, ...] = ()
    skipped: tuple[str, ...] = ()
    files: frozenset[str] = frozenset()
    config: bytes | None = None
    warmup: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """Of a model's file (or, before the export, of what shall become one). ``None``: not known.

    Args:
        format: ``onnx``, ``tensorrt`` or ``python``.
        ir_version: ONNX IR version.
        opsets: opset by domain; the default domain is ``""``.
        inputs: in the model's order, initializers left out.
        outputs: in the model's order.
        dtypes: element types of weights, inputs and outputs.
        weights_bytes: bytes of weights.
        external: files beside the model that hold tensors.
        domains: operator domains that nodes really use, default domain ``""`` included.
        nodes: operators with the types they are used with, subgraphs and functions included.
        tally: operator, ``domain:name``, to how many nodes use it, and how many of them only compute shapes.
        activations: bytes of the tensors that are alive together while it answers.
        flaws: what is wrong with the graphs themselves, in words; a few of them.
        producer: name and version of the writer.
        precision: ``fp32``, ``fp16``, ``bf16``...
        arch: CPU architecture a TensorRT plan was built on.
        tensorrt: four-part TensorRT version a plan was built with.
        compute_capability: of the GPU a plan was built on.
        os: operating system a plan was built on, ``linux`` or ``windows``.
        version_compatible: a plan was built to load on newer TensorRT too.
        hardware_level: of a plan: ``none``, ``ampere_plus`` or ``same_compute_capability``.
        builder_flags: precision flags a plan shall be built with from this ONNX (``fp16``...); ``None``: none shall.
        python: version of Python that a Python model or its packed environment was made with.
    """

    format: Fact[str] | None = None
    ir_version: Fact[int] | None = None
    opsets: Fact[Mapping[str, int]] | None = None
    inputs: Fact[tuple[TensorSpec, ...]] | None = None
    outputs: Fact[tuple[TensorSpec, ...]] | None = None
    dtypes: Fact[frozenset[DType]] | None = None
    weights_bytes: Fact[int] | None = None
    external: Fact[tuple[ExternalFile, ...]] | None = None
    domains: Fact[frozenset[str]] | None = None
    nodes: Fact[frozenset[NodeUse]] | None = None
    tally: Fact[Mapping[str, tuple[int, int]]] | None = None
    activations: Fact[Activations] | None = None
    flaws: Fact[tuple[str, ...]] | None = None
    producer: Fact[str] | None = None
    precision: Fact[str] | None = None
    arch: Fact[str] | None = None
    tensorrt: Fact[str] | None = None
    compute_capability: Fact[str] | None = None
    os: Fact[str] | None = None
    version_compatible: Fact[bool] | None = None
    hardware_level: Fact[str] | None = None
    builder_flags: Fact[frozenset[str]] | None = None
    python: Fact[str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFacts:
    """Of the host that shall serve. ``None``: not known.

    Args:
        device: ``gpu`` or ``cpu``: what models run on there.
        arch: ``x86_64`` or ``aarch64``.
        triton: container release ``YY.MM``.
        onnxruntime: version in that release, or of the bare runtime.
        tensorrt: four-part version in that release.
        cuda: version in that release.
        driver: NVIDIA driver of the host.
        gpu: product name.
        compute_capability: ``major.minor``.
        memory_bytes: what models may use in all (GPU memory, or the host's where ``device`` is ``cpu``).
        python: version of Triton's Python backend.
        os: ``linux`` or ``windows``; Triton's containers are Linux.
        memory_used_bytes: what other models take of the memory now.
        version_compatible_plans: Triton runs with ``--backend-config=tensorrt,version-compatible=true``.
    """

    device: Fact[str] | None = None
    arch: Fact[str] | None = None
    triton: Fact[str] | None = None
    onnxruntime: Fact[str] | None = None
    tensorrt: Fact[str] | None = None
    cuda: Fact[str] | None = None
    driver: Fact[str] | None = None
    gpu: Fact[str] | None = None
    compute_capability: Fact[str] | None = None
    memory_bytes: Fact[int] | None = None
    python: Fact[str] | None = None
    os: Fact[str] | None = None
    memory_used_bytes: Fact[int] | None = None
    version_compatible_plans: Fact[bool] | None = None


@dataclass(frozen=True, slots=True)
class Probed:
    """That a host was probed, and when.

    Args:
        date: the day, ``2026-11-24``.
        old: that day is too long ago (or in the future) for what was measured to count as known.
        renew: the command that measures again.
    """

    date: str
    old: bool
    renew: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A named host to serve on.

    Args:
        name: as in ``--target``.
        description: one line.
        host: what is known of it.
        http: Triton's HTTP endpoint, ``host:port`` or ``https://host[:port][/prefix]``.
        grpc: Triton's gRPC endpoint, ``host:port`` or ``grpcs://host[:port]``.
        model_repository: where Triton reads models from: a folder here, ``s3://...`` or ``ssh://...``.
        review: a person must approve a version before it is deployed here.
        max_batch_size: largest batch a client may send.
        max_sequence: longest sequence a client may send; ``None``: the matrix's own.
        local: it is this machine, so facts can be measured here.
        bare: a runtime alone, without Triton: rules about the server and its configuration do not apply.
        notes: what is declared only and wants a probe, a line each.
        metrics: Triton's metrics endpoint, as ``http``; ``None``: port 8002 where its HTTP endpoint is.
        keep: how many versions that served before stay on its disk for a rollback.
        probed: when its facts were measured; ``None``: never.
        headers_env: headers that every request carries, each with the environment variable that holds its value.
        headers_in_clear: they may go over a line that is not encrypted.
        ca_file: authorities that may have signed the server's certificate; empty: the public ones.
        client_certificate: file of the certificate to show; empty: none.
        client_key: file of its key; empty: in the certificate's file.
        replicas: HTTP and gRPC endpoint of each further Triton that serves from the same model repository.
    """

    name: str
    description: str = ""
    host: HostFacts = field(default_factory=HostFacts)
    http: str = ""
    grpc: str = ""
    model_repository: str = ""
    review: bool = True
    max_batch_size: int = 8
    max_sequence: int | None = None
    local: bool = False
    bare: bool = False
    notes: tuple[str, ...] = ()
    metrics: str | None = None
    keep: int = 3
    probed: Probed | None = None
    headers_env: tuple[tuple[str, str], ...] = ()
    headers_in_clear: bool = False
    ca_file: str = ""
    client_certificate: str = ""
    client_key: str = ""
    replicas: tuple[tuple[str, str], ...] = ()
