"""How much memory an ONNX model's tensors take together while it answers, and which of its nodes only compute shapes.

One pass over each graph in its own order, as ONNX Runtime plans it. A tensor is allocated by the node that makes it, and freed
after the last one that reads it, unless a later tensor of the same shape takes its place: then it stays. Views and operators that
work in place take no new memory; the larger of an operator's subgraphs counts where it stands. What the caller gives and gets
is alive all the time. Not counted: weights, what kernels need for themselves (im2col, cuDNN's and cuBLAS's
workspaces), and what an arena holds beyond what is asked of it.
Source: onnxruntime core/framework/allocation_planner.cc (lifetimes, ``Alias`` and ``MayInplace``) and
fallback_cpu_capability.cc (shapes computed on the CPU). Not here: what follows from it (``core.rules``).
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from promote.adapters import onnx_contents, onnx_shapes
from promote.adapters.onnx_parts import Node, domain_of, dtype_of, graphs_in, node_of, spec_of
from promote.adapters.onnx_shapes import Asked, Shape
from promote.core.extents import Activations, Extent, constant, read, times
from promote.core.tensors import BITS
from promote.errors import IntegrityError

_Terms = dict[tuple[str, ...], int]
_DEEPEST = 40
_LARGEST = 2**62  # a passport's numbers end at 2**63
_MOST_NODES = 50_000
_MOST_TERMS = 100  # products of names in what is alive together
_SLIGHT = 64  # a term below this part of another counts as nothing beside it
_MOST_PEAKS = 8
_SMALL = 100  # numbers an initializer may hold to be given to a node on the CPU (fallback_cpu_capability.cc)
_DATA, _SMALL_CONSTANT, _CONSTANT, _OF_SHAPES = range(4)
_VIEWS = frozenset({"Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity", "Dropout"})
# Operators whose output lies where their first input lay, if nobody else reads it (measured, ONNX Runtime 1.32.0 on the CPU).
_IN_PLACE = """
Clip Elu HardSigmoid LeakyRelu LogSoftmax Relu Selu Sigmoid Softmax Softplus Tanh
"""
_REUSES = _VIEWS | frozenset(_IN_PLACE.split())
# Inputs that CUDA kernels want on the CPU anyway: reading them does not bring a node there.
_HOST_INPUTS: Mapping[str, tuple[int, ...]] = {
    "ConstantOfShape": (0,),
    "Expand": (1,),
    "Pad": (1,),
    "Range": (0, 1, 2),
    "Reshape": (1,),
    "Resize": (1, 2, 3),
    "Slice": (1, 2, 3, 4),
    "Split": (1,),
    "Tile": (1,),
    "TopK": (1,),
    "Trilu": (1,),
    "Unsqueeze": (1,),
    "Upsample": (1,),
}
_BOOLEAN = frozenset(
    ["And", "Equal", "Greater", "GreaterOrEqual", "IsInf", "IsNaN", "Less", "LessOrEqual", "Not", "Or", "Xor"]
)
_LONG = frozenset({"ArgMax", "ArgMin", "NonMaxSuppression", "NonZero", "Shape", "Size"})


def memory_of(model: Any) -> tuple[Activations, dict[str, tuple[int, int]]]:
    """What its tensors take, without peaks where it nests too deeply or is too large to tell; and the tally of its nodes."""
    walk = _Walk({(domain_of(f.domain), f.name): f for f in model.functions})
    scope = walk.graph(model.graph, None, 0)
    tally = {name: (count, walk.shaped[name]) for name, count in walk.nodes.items()}
    peaks = [] if walk.lost else [_bytes(peak) for peak in scope.peaks() or ()]
    return Activations(tuple(sorted(set(peaks))), walk.tensors, walk.unsized), tally


def _bytes(bits: _Terms) -> Extent:
    return tuple(sorted((min((factor + 7) // 8, _LARGEST), names) for names, factor in bits.items() if factor))


@dataclass(slots=True, eq=False)
class _Buffer:
    """Memory that some values share, at one time or one after the other.

    Args:
        size: in bits; ``None`` where it is not known.
        fits: shape and bits an element, by which it is given to another value; ``None`` where they are not known.
        left: how often it is still read.
        kept: the caller holds it, or it is an output.
        born: the step it is allocated at.
        freed: the step after which nobody reads it; ``None`` while it is read.
    """

    size: Extent | None
    fits: tuple[Shape, int] | None
    left: int = 0
    kept: bool = False
    born: int = -1
    freed: int | None = None


@dataclass(slots=True)
class _Value:
    """What is known of a value: its shape, its bits an element, its buffer (none of constants), how it comes about."""

    shape: Shape
    bits: int | None
    buffer: _Buffer | None = None
    kind: int = _DATA
    content: Shape = None
    tensor: Any = None  # an initializer whose numbers were not read yet

    def numbers(self) -> Shape:
        if self.tensor is not None:
            self.content, self.tensor = onnx_contents.of_tensor(self.tensor), None
        return self.content


@dataclass(slots=True)
class _Scope:
    """One graph: its values, its buffers, those of them that are free, and what its subgraphs take, by step."""

    outer: "_Scope | None"
    values: dict[str, _Value] = field(default_factory=dict)
    buffers: list[_Buffer] = field(default_factory=list)
    free: dict[tuple[Shape, int], list[_Buffer]] = field(default_factory=dict)
    inside: dict[int, _Terms] = field(default_factory=dict)

    def get(self, name: str) -> _Value | None:
        """The value, by the innermost graph that has it."""
        scope: _Scope | None = self
        while scope is not None:
            if name in scope.values:
                return scope.values[name]
            scope = scope.outer
        return None

    def release(self, buffer: _Buffer, step: int) -> None:
        """Nobody reads it: a later value of the same shape may have it, and until then it stays allocated."""
        buffer.freed = step
        if buffer.fits is not None:
            self.free.setdefault(buffer.fits, []).append(buffer)

    def peaks(self) -> list[_Terms] | None:
        """The largest sums of what is allocated together, in bits; ``None`` where they have too many terms to tell."""
        changes: dict[int, list[tuple[int, Extent]]] = {}
        for buffer in self.buffers:
            if buffer.size:
                changes.setdefault(buffer.born, []).append((1, buffer.size))
                if buffer.freed is not None:
                    changes.setdefault(buffer.freed + 1, []).append((-1, buffer.size))
        found: list[_Terms] = []
        alive: _Terms = {}
        for step in sorted({*changes, *self.inside}):
            for sign, size in sorted(changes.get(step, ()), key=lambda change: change[0]):
                for factor, names in size:
                    alive[names] = alive.get(names, 0) + sign * factor
                    if not alive[names]:
                        del alive[names]
            if len(alive) + len(self.inside.get(step, ())) > _MOST_TERMS:
                return None
            _note(found, _sum(alive, self.inside[step]) if step in self.inside else alive)
        return found


def _sum(one: _Terms, other: _Terms) -> _Terms:
    return {names: one.get(names, 0) + other.get(names, 0) for names in {**one, **other}}


def _above(one: _Terms, other: _Terms) -> _Terms:
    return {names: max(one.get(names, 0), other.get(names, 0)) for names in {**one, **other}}


def _joined(peak: _Terms, other: _Terms) -> _Terms | None:
    """``peak``, made to be above ``other``, where what it takes for that is slight."""
    more = {names: factor for names, factor in other.items() if factor > peak.get(names, 0)}
    return {**peak, **more} if all(_slight(names, factor, peak) for names, factor in more.items()) else None


def _slight(names: tuple[str, ...], factor: int, peak: _Terms) -> bool:
    """Whether the product is little beside one of the peak's that has its names and more (no axis is below 1)."""
    return any(
        most >= _SLIGHT * factor and len(more) >= len(names) and not Counter(names) - Counter(more)
        for more, most in peak.items()
    )


def _note(peaks: list[_Terms], now: _Terms) -> None:
    """``now`` is one more peak unless a former one is above it in every term, or is once what is slight is added to it."""
    for place, peak in enumerate(peaks):
        if (joined := _joined(peak, now)) is not None:
            peaks[place] = joined
            return
    others = []
    for peak in peaks:
        joined = _joined(now, peak)
        now = now if joined is None else joined
        others += [peak] if joined is None else []
    peaks[:] = others
    if len(peaks) >= _MOST_PEAKS:  # above both: an estimate may be too high, not too low
        now = _above(now, peaks.pop())
    peaks.append(dict(now))


class _Walk:
    def __init__(self, own: Mapping[tuple[str, str], Any]) -> None:
        self.own = own
        self.nodes: Counter[str] = Counter()
        self.shaped: Counter[str] = Counter()
        self.tensors = self.unsized = self.steps = 0
        self.lost = False

    def graph(self, graph: Any, outer: _Scope | None, depth: int) -> _Scope:
        """Everything about one graph; its peaks are in its scope."""
        scope = _Scope(outer)
        if depth > _DEEPEST:
            self.lost = True
            return scope
        outputs = {value.name for value in graph.output}
        for tensor in graph.initializer:
            self._constant(scope, tensor)
        for given in graph.input:
            if given.name not in scope.values:
                self._given(scope, given, named=outer is None)
        messages = [(node_of(message), message) for message in graph.node]
        reads = Counter(name for node, message in messages for name in _read(node, message))
        declared = {value.name: value for value in (*graph.value_info, *graph.output)}
        for step, (node, message) in enumerate(messages):
            self.steps += 1
            if self.steps > _MOST_NODES:
                self.lost = True
                return scope
            self._inside(scope, node, message, step, depth)
            self._node(scope, node, message, step, _Told(reads, outputs, declared))
        return scope

    def _constant(self, scope: _Scope, tensor: Any) -> None:
        dims = tuple(tensor.dims)
        kind = _SMALL_CONSTANT if math.prod(dims) <= _SMALL else _CONSTANT
        shape = tuple([constant(max(d, 0)) for d in dims]) if len(dims) <= 16 else None
        scope.values[tensor.name] = _Value(shape, _bits(tensor.data_type), None, kind, None, tensor)

    def _given(self, scope: _Scope, value: Any, *, named: bool) -> None:
        shape, bits = _declared(value, unnamed=named)
        buffer = _Buffer(self._size(shape, bits), None, kept=True)
        scope.values[value.name] = _Value(shape, bits, buffer)
        scope.buffers.append(buffer)

    def _size(self, shape: Shape, bits: int | None) -> Extent | None:
        whole = onnx_shapes.product(shape) if shape is not None else None
        size = times(whole, constant(bits)) if whole is not None and bits is not None else None
        if size is not None and any(factor < 0 for factor, _ in size):
            size = None
        self.tensors += 1
        self.unsized += size is None
        return size

    def _inside(self, scope: _Scope, node: Node, message: Any, step: int, depth: int) -> None:
        """The larger of the node's subgraphs, and the calls of the model's own functions, which are not followed."""
        for graph in graphs_in(message.attribute) if node.nests else ():
            peaks = self.graph(graph, scope, depth + 1).peaks()
            self.lost = self.lost or peaks is None
            for peak in peaks or ():
                scope.inside[step] = _above(scope.inside.get(step, {}), peak)
        if self.own and (node.domain, node.name) in self.own:
            self.unsized += len(self.own[node.domain, node.name].node)

    def _node(self, scope: _Scope, node: Node, message: Any, step: int, told: "_Told") -> None:
        given = [scope.get(name) if name else None for name in node.inputs]
        kind = _kind(node, given)
        self.nodes[f"{node.domain}:{node.name}"] += 1
        self.shaped[f"{node.domain}:{node.name}"] += kind != _DATA
        made = _made(node, message, given, [told.declared.get(name) for name in node.outputs])
        for name, value in zip(node.outputs, made, strict=True):
            if not name:
                continue
            value.kind = kind
            if kind not in (_SMALL_CONSTANT, _CONSTANT):
                value.buffer = self._buffer(scope, node, value, step, kept=name in told.outputs)
                value.buffer.left += told.reads[name]
            scope.values[name] = value
        self._done(scope, node, message, made, step)

    def _buffer(self, scope: _Scope, node: Node, value: _Value, step: int, *, kept: bool) -> _Buffer:
        """A view's or one that is worked on in place, one that is free, or a new one."""
        fits = (value.shape, value.bits) if value.shape is not None and None not in value.shape and value.bits else None
        if not kept:
            for name in node.inputs[:1] if node.name in _REUSES else ():
                given = scope.values.get(name)
                if given is None or given.buffer is None:
                    continue
                buffer = given.buffer
                last = buffer.left == node.inputs.count(name) and not buffer.kept
                if node.name in _VIEWS or (last and fits is not None and fits == (given.shape, given.bits)):
                    return buffer
            if fits is not None and scope.free.get(fits):
                buffer = scope.free[fits].pop()
                buffer.freed = None
                return buffer
        buffer = _Buffer(self._size(value.shape, value.bits), None if kept else fits, kept=kept, born=step)
        scope.buffers.append(buffer)
        return buffer

    def _done(self, scope: _Scope, node: Node, message: Any, made: list[_Value], step: int) -> None:
        """What was read for the last time, or is read by nobody, is released."""
        touched = [value for name in _read(node, message) if (value := scope.values.get(name)) is not None]
        for value in touched:
            if value.buffer is not None:
                value.buffer.left -= 1
        for buffer in {value.buffer: None for value in (*touched, *made)}:
            if buffer is not None and buffer.left <= 0 and not buffer.kept and buffer.freed is None:
                scope.release(buffer, step)


@dataclass(frozen=True, slots=True)
class _Told:
    """Of a whole graph: how often each value is read, which are outputs, what the file declares of them."""

    reads: Counter[str]
    outputs: set[str]
    declared: dict[str, Any]


def _read(node: Node, message: Any) -> Iterable[str]:
    """The values a node reads, those of the graph around it that its subgraphs read included."""
    if not node.nests:
        return node.inputs
    names = list(node.inputs)
    waiting, steps = graphs_in(message.attribute), 0
    while waiting and steps < _MOST_NODES:
        graph = waiting.pop()
        names += [value.name for value in graph.output]
        for inner in graph.node:
            steps += 1
            names += inner.input
            waiting += graphs_in(inner.attribute)
    return names


def _kind(node: Node, given: list[_Value | None]) -> int:
    """Whether the node computes data, a constant, or shapes and what follows from them alone."""
    if node.domain == "" and node.name in ("Shape", "Size"):
        return _OF_SHAPES
    if node.name == "Constant":
        return _SMALL_CONSTANT
    kinds = [_DATA if value is None else value.kind for name, value in zip(node.inputs, given, strict=True) if name]
    if not kinds or _DATA in kinds or node.nests:
        return _DATA
    if _OF_SHAPES not in kinds:
        return _CONSTANT if _CONSTANT in kinds else _SMALL_CONSTANT
    wanted = _HOST_INPUTS.get(node.name, ())
    computed = any(value is not None and value.kind == _OF_SHAPES for at, value in enumerate(given) if at in wanted)
    return _DATA if computed or _CONSTANT in kinds else _OF_SHAPES


def _made(node: Node, message: Any, given: list[_Value | None], declared: list[Any]) -> list[_Value]:
    """The node's outputs, by what the file declares of them and by what follows."""
    said = [_declared(value) if value is not None else (None, None) for value in declared]
    plain = all(shape is not None and all(_fixed(axis) for axis in shape) and bits for shape, bits in said)
    small = [value is not None and (value.kind != _DATA) for value in given]
    if plain and not (small and all(small)) and node.name not in ("Shape", "Size", "Constant"):
        return [_Value(shape, bits) for shape, bits in said]
    asked = Asked(
        [None if value is None else value.shape for value in given],
        [None if value is None else value.numbers() for value in given],
        {a.name: a for a in message.attribute},
        len(node.outputs),
    )
    follows = onnx_shapes.infer(node.name, asked) if not plain else [None]
    follows += [None] * (len(said) - len(follows))
    content = onnx_contents.infer(node.name, asked)
    values = []
    for at, (shape, bits) in enumerate(said):
        width = bits or _width(node, asked, given)
        values.append(_Value(_agree(shape, follows[at]), width, None, _DATA, content if at == 0 else None))
    return values


def _agree(declared: Shape, follows: Shape) -> Shape:
    """Axis by axis: a declared number, else what follows, else a declared name (which may be the exporter's invention)."""
    if declared is None or follows is None or len(declared) != len(follows):
        return declared if declared is not None else follows
    return tuple([a if _fixed(a) or b is None else b for a, b in zip(declared, follows, strict=True)])


def _fixed(axis: Extent | None) -> bool:
    return onnx_shapes.number(axis) is not None


def _width(node: Node, asked: Asked, given: list[_Value | None]) -> int | None:
    """Bits an element of the output, where the file does not say."""
    if node.name in _BOOLEAN:
        return 8
    if node.name in _LONG:
        return 64
    for name in ("to", "dtype"):
        if name in asked.attributes:
            return _bits(asked.attributes[name].i)
    if "value" in asked.attributes and node.name in ("Constant", "ConstantOfShape"):
        return _bits(asked.attributes["value"].t.data_type)
    if node.name == "ConstantOfShape":
        return 32
    at = 1 if node.name == "Where" else 0
    value = given[at] if at < len(given) else None
    return value.bits if value is not None else None


def _bits(number: int) -> int | None:
    return BITS.get(dtype_of(number))


def _declared(value: Any, *, unnamed: bool = False) -> tuple[Shape, int | None]:
    """Shape and bits of a declared value; ``unnamed``: its axes without a name get one, as inputs' do."""
    try:
        spec = spec_of(value)
    except IntegrityError:  # a name that is no text; of the model's own inputs and outputs it was refused before
        return None, None
    bits = BITS.get(spec.dtype)
    if spec.shape is None or len(spec.shape) > 16:
        return None, bits
    axes: list[Extent | None] = []
    for at, axis in enumerate(spec.shape):
        if isinstance(axis, int):
            axes.append(constant(axis))
        elif not unnamed and axis == f"{spec.name}_{at}":
            axes.append(None)
        else:
            axes.append(read(axis))
    return tuple(axes), bits
