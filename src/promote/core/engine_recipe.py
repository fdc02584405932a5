"""What ``trtexec`` is told so that it makes a TensorRT plan of an ONNX model: words, never a line of shell. Pure.

Source: NVIDIA/TensorRT ``samples/common/sampleOptions.cpp``; what TensorRT 11 dropped: its migration guide from 10.
Not here: where ``trtexec`` runs (``engine_place``), and what it prints (``engine_log``).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from promote.core.names import printable
from promote.core.tensors import TensorSpec
from promote.core.variants import LEVELS
from promote.errors import InputError

PRECISIONS = ("fp32", "fp16", "bf16")
_LEVEL_WORDS = {"ampere_plus": "ampere+", "same_compute_capability": "sameComputeCapability"}
_VERSION = re.compile(r"([0-9]{1,3})\.[0-9]{1,3}\.[0-9]{1,3}(\.[0-9]{1,3})?")
_UNSPOKEN = re.compile(r"['\"*\\\s]")  # trtexec quotes with ', takes * for any name, and cuts no spaces


@dataclass(frozen=True, slots=True)
class Lengths:
    """How long a dynamic axis may be: the plan is fastest at ``usual``, and takes nothing outside of the other two."""

    shortest: int
    usual: int
    longest: int

    def __post_init__(self) -> None:
        if not 1 <= self.shortest <= self.usual <= self.longest < 2**31:
            raise InputError(
                f"an axis from {self.shortest} to {self.longest}, usually {self.usual}: expected 1 or more, in this order",
                hint="--axis NAME=SHORTEST:USUAL:LONGEST",
            )


@dataclass(frozen=True, slots=True)
class Profile:
    """The shapes one input may have."""

    name: str
    least: tuple[int, ...]
    usual: tuple[int, ...]
    most: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What plan shall be built.

    Args:
        tensorrt: the builder's version, three or four numbers.
        source: precision of the ONNX model that is read.
        precision: wanted of the plan.
        level: hardware compatibility level.
        version_compatible: it shall load on newer TensorRT of the same major version too.
        workspace_mib: scratch memory that tactics may use; 0: as much as the GPU has, which is TensorRT's own choice.
        profiles: of every input where one has a dynamic axis; empty where none has.
        options: options that this ``trtexec`` lists in its help; empty: not asked.
    """

    tensorrt: str
    source: str = "fp32"
    precision: str = "fp32"
    level: str = "none"
    version_compatible: bool = False
    workspace_mib: int = 0
    profiles: tuple[Profile, ...] = ()
    options: frozenset[str] = field(default_factory=frozenset)


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """Where the builder finds and leaves files, as it sees them."""

    onnx: str
    plan: str
    layers: str
    cache: str = ""


def profiles(
    inputs: Sequence[TensorSpec], *, batch: int, lengths: Mapping[str, Lengths] | None = None, longest: int | None = None,
    usual: Mapping[str, int] | None = None,
) -> tuple[Profile, ...]:  # fmt: skip
    """The shapes of every input, from its recorded axes.

    Args:
        inputs: of the model.
        batch: largest batch that is served; 0 where the configuration takes none, and the first axis is one like others.
        lengths: of axes by name, as somebody asked for them.
        longest: of every other dynamic axis: the target's ``max_sequence``.
        usual: what an axis was in the recorded samples; else half of the longest.

    Raises:
        InputError: an input without rank or with a name ``trtexec`` cannot be told, or an axis of which nothing is known.
    """
    given, seen = lengths or {}, usual or {}
    axes = {axis for tensor in inputs for axis in tensor.shape or () if isinstance(axis, str)}
    unknown = sorted(set(given) - axes)
    if unknown:
        raise InputError(
            f"no input has an axis {printable(unknown[0], 60)!r}", hint=f"axes: {', '.join(sorted(axes)) or 'none'}"
        )
    made = [
        _profile(tensor, [_axis(tensor, at, batch, given, longest, seen) for at in range(len(_shape(tensor)))])
        for tensor in inputs
    ]
    return tuple(made) if axes else ()


def _shape(tensor: TensorSpec) -> tuple[int | str, ...]:
    if tensor.shape is None:
        raise InputError(f"input {printable(tensor.name, 80)!r} states no rank, so no plan can be built for it")
    if not tensor.name or _UNSPOKEN.search(tensor.name) or printable(tensor.name) != tensor.name:
        raise InputError(
            f"input {printable(tensor.name, 80)!r} has a name that trtexec cannot be told",
            hint="rename it in the model: without quotes, spaces, backslashes and *",
        )
    return tensor.shape


def _profile(tensor: TensorSpec, lengths: Sequence[Lengths]) -> Profile:
    return Profile(
        tensor.name, tuple(one.shortest for one in lengths), tuple(one.usual for one in lengths),
        tuple(one.longest for one in lengths),
    )  # fmt: skip


def _axis(
    tensor: TensorSpec, at: int, batch: int, given: Mapping[str, Lengths], longest: int | None, seen: Mapping[str, int]
) -> Lengths:
    axis = _shape(tensor)[at]
    if isinstance(axis, int):
        return Lengths(axis, axis, axis)
    if axis in given:
        return given[axis]
    if at == 0 and batch:
        return Lengths(1, batch, batch)  # what dynamic batching fills is what it shall be fast at
    if longest is None:
        raise InputError(
            f"input {printable(tensor.name, 80)!r} has an axis {printable(axis, 40)!r} of which no longest is known",
            hint=f"--axis {printable(axis, 40)}=1:64:512, or max_sequence of the target in promote.toml",
        )
    return Lengths(1, max(1, min(seen.get(axis, longest // 2), longest)), longest)


def build_words(order: Order, files: Files) -> list[str]:
    """The words after ``trtexec`` that build a plan, and run nothing.

    Raises:
        InputError: a precision or level that this TensorRT cannot make of this model.
    """
    words = [
        f"--onnx={files.onnx}",
        f"--saveEngine={files.plan}",
        "--skipInference",
        f"--exportLayerInfo={files.layers}",
    ]
    for option, shapes in _shapes(order.profiles):
        words.append(f"--{option}={shapes}")
    words += precision_words(order)
    if order.level not in LEVELS:
        raise InputError(f"level {printable(order.level, 40)!r}: expected one of {', '.join(LEVELS)}")
    if order.level != "none":
        words.append(f"--hardwareCompatibilityLevel={_LEVEL_WORDS[order.level]}")
    if order.version_compatible:
        # Without the lean runtime in it, host code never comes out of a plan: see the threats of foreign plans.
        words += ["--versionCompatible", "--excludeLeanRuntime"]
    if order.workspace_mib:
        words.append(f"--memPoolSize=workspace:{order.workspace_mib}M")
    if files.cache:
        words.append(f"--timingCacheFile={files.cache}")
    missing = sorted({word.partition("=")[0] for word in words} - order.options) if order.options else []
    if missing:
        raise InputError(
            f"this trtexec of TensorRT {printable(order.tensorrt, 20)} has no option {missing[0]}",
            hint="build in the Triton container of the target's release",
        )
    return words


def precision_words(order: Order) -> list[str]:
    """How the precision is asked for: by the types in the ONNX from TensorRT 11 on, by flags of the builder before.

    Raises:
        InputError: unknown precision or version, or TensorRT 11 with a model of another precision.
    """
    numbers = _VERSION.fullmatch(order.tensorrt)
    if numbers is None:
        raise InputError(f"TensorRT {printable(order.tensorrt, 40)!r}: expected a version of three or four numbers")
    if order.precision not in PRECISIONS or order.source not in PRECISIONS:
        wrong = order.precision if order.precision not in PRECISIONS else order.source
        raise InputError(f"precision {printable(wrong, 20)!r}: plans are built in {', '.join(PRECISIONS)}")
    major = int(numbers[1])
    typed = order.precision == order.source
    if typed and (major >= 11 or order.precision != "fp32"):
        known = not order.options or "--stronglyTyped" in order.options
        words = ["--stronglyTyped"] if known or major < 11 else []  # 11 is strongly typed with and without it
    elif typed:
        words = []
    elif order.source != "fp32":
        raise InputError(
            f"a plan in {order.precision} is not built from ONNX in {order.source}", hint="build from fp32"
        )
    elif major >= 11:
        raise InputError(
            f"TensorRT {order.tensorrt} takes the precision from the model, which is {order.source}, not {order.precision}",
            hint=f"promote the run with --variant {order.precision}: the plan is built from that variant",
        )
    else:
        words = [f"--{order.precision}"]
    # TF32 rounds to 10 bits, which is no fp32: https://docs.nvidia.com/deeplearning/tensorrt, "TF32".
    return words + (["--noTF32"] if order.precision == "fp32" else [])


def _shapes(made: Sequence[Profile]) -> list[tuple[str, str]]:
    if not made:
        return []
    rows = (("minShapes", "least"), ("optShapes", "usual"), ("maxShapes", "most"))
    return [(option, shape_words({one.name: getattr(one, field) for one in made})) for option, field in rows]


def shape_words(shapes: Mapping[str, Sequence[int]]) -> str:
    """``x:1x4,y:1x128``; a name with a colon or comma stands in single quotes, a scalar has no extents."""
    return ",".join(f"{_quoted(name)}:{'x'.join(map(str, shape)) or 'scalar'}" for name, shape in shapes.items())


def _quoted(name: str) -> str:
    return f"'{name}'" if set(name) & set(":,") else name


def replay_words(plan: str, shapes: Mapping[str, Sequence[int]], inputs: Mapping[str, str], output: str) -> list[str]:
    """The words after ``trtexec`` that ask a plan once, and write its outputs.

    Args:
        plan: the file.
        shapes: of every input; empty where the plan has no dynamic axis.
        inputs: input -> file with its raw values, little-endian.
        output: the JSON to write.
    """
    loads = ",".join(f"{_quoted(name)}:{path}" for name, path in inputs.items())
    words = [f"--loadEngine={plan}", f"--loadInputs={loads}", f"--exportOutput={output}"]
    words += ["--iterations=1", "--warmUp=0", "--duration=0"]
    return words + ([f"--shapes={shape_words(shapes)}"] if shapes else [])


def cache_name(order: Order, gpu: str) -> str:
    """The file that timings are kept in: they hold for one build of TensorRT, one GPU and one precision only.

    Args:
        order: names the build and the precision.
        gpu: product name and compute capability; empty: not known, and nothing is kept.
    """
    plain = re.sub(r"[^a-z0-9.]+", "-", gpu.lower()).strip("-.")[:80]
    version = order.tensorrt if _VERSION.fullmatch(order.tensorrt) else ""
    return f"{version}-{plain}-{order.precision}.cache" if plain and version else ""


__all__ = [
    "PRECISIONS",
    "Files",
    "Lengths",
    "Order",
    "Profile",
    "build_words",
    "cache_name",
    "precision_words",
    "profiles",
    "replay_words",
    "shape_words",
]
