"""From the ONNX of a bundle to a TensorRT plan that was built where it will serve, and answers as the model does.

Not here: how a plan is built (the ``Forge`` port), and what its words mean (``core.engine_*``).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from promote.core.engine_recipe import Lengths, Order, Profile, profiles
from promote.core.engine_record import Build, Builder, Built, write_record
from promote.core.facts import Fact, ModelFacts, Target
from promote.core.golden import split
from promote.core.layout import GOLDEN, PASSPORT
from promote.core.names import printable
from promote.core.parity import ParityFailed, Tolerance, compare
from promote.core.passport_reading import FactReader, read_passport, read_tolerance
from promote.core.rules.engine import check
from promote.core.serving import batches
from promote.core.stages import Held, Stored
from promote.core.tensors import DType, TensorSpec
from promote.core.variants import ONNX, Binding
from promote.core.verdict import Compatible, Finding, Incompatible, Undecided, judge
from promote.errors import InputError, IntegrityError, NotFound
from promote.pipeline.choosing import index_of
from promote.pipeline.dating import now
from promote.ports import Forge, World

if TYPE_CHECKING:
    from promote.ports import Tensors

    Cases = Mapping[str, tuple[Tensors, Tensors]]

_TYPICAL = "typical"
_DTYPES = {"fp32": DType("FLOAT"), "fp16": DType("FLOAT16"), "bf16": DType("BFLOAT16")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the user asked of ``promote build-engine``.

    Args:
        precision: of the plan.
        lengths: of axes by name.
        level: hardware compatibility level.
        version_compatible: it shall load on a newer TensorRT too.
        workspace_mib: bound of scratch memory; 0: none.
        tolerances: by precision, for a plan of another precision than its ONNX.
        out: folder that the plan and its record go to.
        by: who asks, as far as this machine says.
    """

    precision: str = "fp32"
    lengths: Mapping[str, Lengths] = field(default_factory=dict)
    level: str = "none"
    version_compatible: bool = False
    workspace_mib: int = 0
    tolerances: Mapping[str, Tolerance]
    out: str
    by: str


@dataclass(frozen=True, slots=True)
class _Source:
    """The bundle that is read: what it is, its files on this machine, what its samples are."""

    stored: Stored
    files: Mapping[str, str]
    facts: ModelFacts
    cases: "Cases"
    tolerance: Tolerance

    @property
    def tensors(self) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
        inputs, outputs = self.facts.inputs, self.facts.outputs
        if inputs is None or outputs is None:
            raise IntegrityError(f"the passport of {self.stored.reference} tells no inputs and outputs")
        return inputs.value, outputs.value

    @property
    def precision(self) -> str:
        return self.facts.precision.value if self.facts.precision else "fp32"

    def within(self, path: str) -> str:
        return f"{self.stored.name}/{self.stored.version}/{path}"


def build_engine(
    wish: Wish, found: Held, target: Target, forge: Forge, folder: str, world: World
) -> Build | Incompatible | Undecided | ParityFailed:
    """Has the plan built, and keeps it only where it will load on the target and answers as was recorded.

    Args:
        wish: what is asked.
        found: a bundle, or an index of several.
        target: that will serve the plan.
        forge: builds on it.
        folder: where the bundle's files may lie meanwhile.
        world: the registry, the matrix, and who asks.

    Raises:
        InputError, NotFound: a precision, axis or sample that no plan can be built for.
        ExportError, Unavailable: there is no plan; the message says why.
        IntegrityError: what was built is not what was asked.
    """
    target = world.matrix.complete(target)
    with world.progress.stage("ask", "trtexec") as step:
        builder = forge.ask()
        step.say(f"TensorRT {builder.tensorrt}, {forge.where}")
    source = _read(_chosen(found, wish.precision, builder, world), folder, world)
    with world.progress.stage("check", f"a plan of TensorRT {builder.tensorrt} for {target.name}") as step:
        facts = _foreseen(wish, source, builder)
        early = judge(facts, target.name, _findings(facts, source, wish, builder, target, world), before_export=True)
        if not isinstance(early, Compatible):
            return early
        step.say(early.word)
    order = Order(
        tensorrt=builder.tensorrt, source=source.precision, precision=wish.precision, level=wish.level,
        version_compatible=wish.version_compatible, workspace_mib=wish.workspace_mib,
        profiles=_profiles(wish, source, target), options=builder.options,
    )  # fmt: skip
    with world.progress.stage("build", f"{wish.precision} on {target.name}") as step:
        built = forge.build(order, _model(source), source.tensors, _gpu(target), step)
        step.say(f"{built.size:,} bytes on {built.device.gpu}" + (", with timings of before" if built.cached else ""))
    binding = _binding(wish, built, builder)
    facts = _measured(facts, built, binding)
    verdict = judge(facts, target.name, _findings(facts, source, wish, builder, target, world))
    if not isinstance(verdict, Compatible):
        return verdict
    with world.progress.stage("parity", "the plan against the recorded answers") as step:
        inputs = {case: given for case, (given, _) in source.cases.items()}
        got, seconds = forge.answers(built, inputs, source.tensors[1], dynamic=bool(order.profiles))
        tolerance = source.tolerance if wish.precision == source.precision else wish.tolerances[wish.precision]
        proof = compare({case: want for case, (_, want) in source.cases.items()}, got, tolerance)
        if isinstance(proof, ParityFailed):
            step.say("failed")
            return proof
        step.say(f"largest difference {proof.worst.max_absolute:.2g} in {len(proof.differences)} outputs")
    build = Build(
        built=built, binding=binding, source=source.stored.reference, parity=proof, precision=wish.precision,
        model=source.stored.files[source.within("model.onnx")].digest, by=wish.by, at=now(), where=forge.where,
        image=forge.image, replay_seconds=seconds, verdict=verdict,
    )  # fmt: skip
    with world.progress.stage("keep", wish.out) as step:
        forge.keep(built, write_record(build), wish.out)
        step.say(built.digest)
    return build


def _chosen(found: Held, precision: str, builder: Builder, world: World) -> Stored:
    """The ONNX to read: of an index that of the precision where TensorRT takes it from the model, else the portable one."""
    if isinstance(found, Stored):
        return found
    index = index_of(found)
    onnx = {v.kind.precision: v for v in index.variants if v.kind.format == ONNX}
    typed = int(builder.tensorrt.partition(".")[0]) >= 11
    listed = onnx[precision] if typed and precision in onnx else index.named("")
    return world.registry.resolve(index.name, listed.digest)


def _read(stored: Stored, folder: str, world: World) -> _Source:
    with world.progress.stage("fetch", stored.digest) as step:
        files = world.registry.fetch(stored, folder, step)
    within = f"{stored.name}/{stored.version}"
    for path in (GOLDEN, PASSPORT, "model.onnx"):
        if f"{within}/{path}" not in stored.files:
            raise NotFound(
                f"{stored.reference} has no {path}", hint="a plan is built from a bundle that was promoted from a run"
            )
    where = f"the passport of {stored.reference}"
    passport = world.registry.read(stored, stored.files[f"{within}/{PASSPORT}"])
    facts, _ = FactReader().read(read_passport(passport, where).facts, where)
    samples = world.registry.read(stored, stored.files[f"{within}/{GOLDEN}"])
    return _Source(stored, files, facts, split(samples), read_tolerance(passport, where))


def _model(source: _Source) -> dict[str, str]:
    """The ONNX and its data files: name beside it -> path on this machine."""
    names = ["model.onnx", *(one.location for one in (source.facts.external.value if source.facts.external else ()))]
    missing = [name for name in names if source.within(name) not in source.files]
    if missing:
        raise IntegrityError(f"{source.stored.reference} has no {printable(missing[0], 80)}, which its model reads")
    return {name: source.files[source.within(name)] for name in names}


def _profiles(wish: Wish, source: _Source, target: Target) -> tuple[Profile, ...]:
    """Of every input, such that every golden sample fits in."""
    inputs, outputs = source.tensors
    typical = source.cases.get(_TYPICAL) or next(iter(source.cases.values()))
    usual = {
        axis: typical[0][tensor.name].shape[at]
        for tensor in inputs
        for at, axis in enumerate(tensor.shape or ())
        if isinstance(axis, str) and tensor.name in typical[0] and at < typical[0][tensor.name].ndim
    }
    batch = target.max_batch_size if batches(inputs, outputs) else 0
    made = profiles(inputs, batch=batch, lengths=wish.lengths, longest=target.max_sequence, usual=usual)
    for case, (given, _) in source.cases.items():
        for one in made:
            shape = given[one.name].shape if one.name in given else ()
            fits = len(shape) == len(one.least) and all(
                low <= n <= high for low, n, high in zip(one.least, shape, one.most, strict=True)
            )
            if not fits:
                raise InputError(
                    f"the golden sample {printable(case, 60)} has {printable(one.name, 80)} of {shape}, "
                    f"the plan would take {one.least} to {one.most}",
                    hint="--axis NAME=SHORTEST:USUAL:LONGEST, wide enough for what was recorded",
                )
    return made


def _foreseen(wish: Wish, source: _Source, builder: Builder) -> ModelFacts:
    """What is known of the plan before it is built."""
    said = f"trtexec {builder.tensorrt}"
    four = builder.tensorrt.count(".") == 3
    return ModelFacts(
        format=Fact("tensorrt", said), inputs=source.facts.inputs, outputs=source.facts.outputs,
        precision=Fact(wish.precision, "asked for"), dtypes=Fact(_types(wish, source), "asked for"),
        tensorrt=Fact(builder.tensorrt, said) if four else None,
        arch=Fact(builder.arch, "uname -m", measured=True), os=Fact("linux", said),
        version_compatible=Fact(wish.version_compatible, "asked for"), hardware_level=Fact(wish.level, "asked for"),
    )  # fmt: skip


def _types(wish: Wish, source: _Source) -> frozenset[DType]:
    """Of inputs, outputs, and of what the plan computes in."""
    inputs, outputs = source.tensors
    return frozenset({tensor.dtype for tensor in (*inputs, *outputs)} | {_DTYPES[wish.precision]})


def _measured(facts: ModelFacts, built: Built, binding: Binding) -> ModelFacts:
    return replace(
        facts, format=Fact("tensorrt", "model.plan", measured=True),
        weights_bytes=Fact(built.size, "size of model.plan", measured=True),
        tensorrt=Fact(binding.tensorrt, "model.plan", measured=True),
        compute_capability=Fact(binding.compute_capability, "trtexec", measured=True),
    )  # fmt: skip


def _binding(wish: Wish, built: Built, builder: Builder) -> Binding:
    return Binding(
        tensorrt=built.tensorrt, compute_capability=built.device.compute_capability, level=wish.level,
        version_compatible=wish.version_compatible, arch=builder.arch,
    )  # fmt: skip


def _findings(
    plan: ModelFacts, source: _Source, wish: Wish, builder: Builder, target: Target, world: World
) -> tuple[Finding, ...]:
    """What the rules say of the plan, and of the ONNX as TensorRT reads it."""
    flags = frozenset({wish.precision} - {source.precision})
    onnx = replace(source.facts, builder_flags=Fact(flags, "asked for"))
    read = tuple(f for f in check(onnx, target, world.matrix) if f.rule.startswith("tensorrt-"))
    return (*check(plan, target, world.matrix), *read)


def _gpu(target: Target) -> str:
    """What timings are kept for; empty where the target's GPU is not known."""
    gpu, capability = target.host.gpu, target.host.compute_capability
    return f"{gpu.value} {capability.value}" if gpu and capability else ""


__all__ = ["Wish", "build_engine"]
