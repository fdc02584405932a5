"""Shapes of an ONNX node's outputs, with names for dynamic axes: for the operators that networks are made of.

By hand and in one step a node, without onnx's C++ inference, which a hostile file could keep busy, and which forgets what a
dynamic axis is called. An operator that is not here, or an axis that does not follow, is not known: never guessed.
Source: https://onnx.ai/onnx/operators/. Not here: what a shape costs (``onnx_memory``).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from promote.core.extents import Extent, constant, over, plus, times

Axis = Extent | None
Shape = tuple[Axis, ...] | None
ONE: Extent = constant(1)
_MOST_AXES = 16

# Operators whose output has the shape of the first input.
_SAME = """
Abs Acos Acosh Asin Asinh Atan Atanh BatchNormalization Bernoulli BiasGelu BitwiseNot Cast CastLike Ceil Celu Clip Cos
Cosh CumSum DequantizeLinear Dropout Elu Erf Exp EyeLike FastGelu Floor Gelu GroupNormalization HardSigmoid HardSwish
Identity InstanceNormalization IsInf IsNaN LRN LayerNormalization LeakyRelu Log LogSoftmax LpNormalization
MeanVarianceNormalization Mish Neg Not PRelu QuantizeLinear QuickGelu RMSNormalization RandomNormalLike
RandomUniformLike Reciprocal Relu RotaryEmbedding Round ScatterElements ScatterND Selu Shrink Sigmoid Sign
SimplifiedLayerNormalization Sin Sinh SkipLayerNormalization SkipSimplifiedLayerNormalization Softmax Softplus
Softsign Sqrt Swish Tan Tanh ThresholdedRelu Trilu
"""
SAME = frozenset(_SAME.split())
_BROADCAST = """
Add And BitwiseAnd BitwiseOr BitwiseXor Div Equal Greater GreaterOrEqual Less LessOrEqual Max Mean Min Mod Mul Or Pow
Sub Sum Where Xor
"""
BROADCAST = frozenset(_BROADCAST.split())
_REDUCE = """
ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare
"""
REDUCE = frozenset(_REDUCE.split())


@dataclass(frozen=True, slots=True)
class Asked:
    """A node, as far as shapes go.

    Args:
        shapes: of its inputs.
        contents: of its inputs, where they hold a few whole numbers that are known.
        attributes: by name.
        outputs: how many it has.
    """

    shapes: Sequence[Shape]
    contents: Sequence[Shape]
    attributes: Mapping[str, Any]
    outputs: int

    def whole(self, name: str, default: int) -> int:
        """An attribute that is a whole number."""
        told = self.attributes.get(name)
        return int(told.i) if told is not None else default

    def numbers(self, name: str, at: int = -1) -> tuple[int, ...] | None:
        """Whole numbers of an attribute, or of the input ``at``; ``None`` where they are not known."""
        told = self.attributes.get(name)
        if told is not None:
            return tuple(told.ints)
        if 0 <= at < len(self.contents):
            content = self.contents[at]
            plain = [number(axis) for axis in content] if content is not None else [None]
            known = [one for one in plain if one is not None]
            return tuple(known) if len(known) == len(plain) else None
        return None

    def given(self, at: int) -> bool:
        """There is such an input."""
        return at < len(self.shapes)


def number(axis: Axis) -> int | None:
    """An axis of fixed extent."""
    if axis == ():
        return 0
    return axis[0][0] if axis is not None and len(axis) == 1 and not axis[0][1] else None


def infer(operator: str, asked: Asked) -> list[Shape]:
    """The shapes of its outputs, ``None`` where they do not follow."""
    first = asked.shapes[0] if asked.shapes else None
    if operator in SAME:
        return [first, *[None] * (asked.outputs - 1)]
    if operator in BROADCAST:
        return [broadcast(asked.shapes)]
    if operator in REDUCE or operator in ("ArgMax", "ArgMin"):
        return [_reduce(operator, asked)]
    rule = _RULES.get(operator)
    if rule is None or (first is None and operator not in _WITHOUT_FIRST):
        return [None] * asked.outputs
    made = rule(asked)
    answers = made if isinstance(made, list) else [made]
    return [one if one is None or len(one) <= _MOST_AXES else None for one in answers][: asked.outputs]


def broadcast(shapes: Sequence[Shape]) -> Shape:
    """The common shape."""
    if any(shape is None for shape in shapes) or not shapes:
        return None
    known = [shape for shape in shapes if shape is not None]
    rank = max(map(len, known))
    return tuple([_common([s[axis - rank + len(s)] for s in known if axis >= rank - len(s)]) for axis in range(rank)])


def _common(axes: list[Axis]) -> Axis:
    wide = [axis for axis in axes if axis != ONE]
    if not wide:
        return ONE
    fixed = [axis for axis in wide if number(axis) is not None]
    return fixed[0] if fixed else next((axis for axis in wide if axis is not None), None)


def _reduce(operator: str, asked: Asked) -> Shape:
    first = asked.shapes[0] if asked.shapes else None
    if first is None:
        return None
    if operator.startswith("Arg"):
        axes: tuple[int, ...] | None = (asked.whole("axis", 0),)
    else:
        axes = asked.numbers("axes", 1)
        if axes is None and not asked.given(1) and "axes" not in asked.attributes:
            axes = () if asked.whole("noop_with_empty_axes", 0) else tuple(range(len(first)))
    if axes is None:
        return None
    gone = {axis % len(first) for axis in axes} if first else set()
    if asked.whole("keepdims", 1):
        return tuple([ONE if n in gone else axis for n, axis in enumerate(first)])
    return tuple([axis for n, axis in enumerate(first) if n not in gone])


def _matmul(asked: Asked) -> Shape:
    left, right = asked.shapes[0], asked.shapes[1] if asked.given(1) else None
    if not left or not right:
        return None
    heads = broadcast((left[:-2], right[:-2]))
    if heads is None:
        return None
    return (*heads, *(left[-2:-1] if len(left) > 1 else ()), *(right[-1:] if len(right) > 1 else ()))


def _gemm(asked: Asked) -> Shape:
    left, right = asked.shapes[0], asked.shapes[1] if asked.given(1) else None
    if not left or not right or len(left) != 2 or len(right) != 2:
        return None
    return (left[1 if asked.whole("transA", 0) else 0], right[0 if asked.whole("transB", 0) else 1])


def _transpose(asked: Asked) -> Shape:
    first = asked.shapes[0] or ()
    order = asked.numbers("perm") or tuple(reversed(range(len(first))))
    return tuple([first[n] for n in order]) if sorted(order) == list(range(len(first))) else None


def _window(asked: Asked, channels: Axis) -> Shape:
    """Convolutions and pools: each axis shrinks by its window and stride."""
    first = asked.shapes[0] or ()
    weight = asked.shapes[1] if asked.given(1) else None
    kernel = asked.numbers("kernel_shape") or (tuple(number(a) or 0 for a in weight[2:]) if weight else ())
    rank = len(first) - 2
    if rank < 1 or len(kernel) != rank or 0 in kernel:
        return None
    stride, dilation = asked.numbers("strides") or (1,) * rank, asked.numbers("dilations") or (1,) * rank
    pads = asked.numbers("pads") or (0,) * 2 * rank
    if len(stride) != rank or len(dilation) != rank or len(pads) != 2 * rank or 0 in stride:
        return None
    told = asked.attributes.get("auto_pad")
    same = told is not None and bytes(told.s).startswith(b"SAME")
    ceil = asked.whole("ceil_mode", 0)
    axes: list[Axis] = []
    for n in range(rank):
        extent = number(first[2 + n])
        if extent is None:
            axes.append(None)
            continue
        room = extent + pads[n] + pads[n + rank] - dilation[n] * (kernel[n] - 1) - 1
        steps = -(-extent // stride[n]) if same else (-(-room // stride[n]) if ceil else room // stride[n]) + 1
        axes.append(constant(max(steps, 0)))
    return (first[0], channels, *axes)


def _conv(asked: Asked) -> Shape:
    weight = asked.shapes[1] if asked.given(1) else None
    return _window(asked, weight[0]) if weight else None


def _pool(asked: Asked) -> list[Shape]:
    first = asked.shapes[0] or ()
    made = _window(asked, first[1]) if len(first) > 2 else None
    return [made] * asked.outputs


def _global_pool(asked: Asked) -> Shape:
    first = asked.shapes[0] or ()
    return (*first[:2], *[ONE] * (len(first) - 2))


def product(axes: Sequence[Axis]) -> Axis:
    """Of all axes; ``None`` where one is not known."""
    whole, named = 1, []
    for axis in axes:
        if axis is None:
            return None
        extent = number(axis)
        if extent is None:
            named.append(axis)
        else:
            whole *= extent
    total: Axis = constant(whole)
    for axis in named:
        total = times(total, axis) if total is not None else None
    return total


def _reshape(asked: Asked) -> Shape:
    wanted = asked.contents[1] if len(asked.contents) > 1 else None
    first = asked.shapes[0] or ()
    if wanted is None:
        return None
    axes: list[Axis] = []
    open_at = None
    for n, axis in enumerate(wanted):
        if axis == REST:
            open_at = n
            axes.append(ONE)
        elif axis == ():
            axes.append(first[n] if n < len(first) and not asked.whole("allowzero", 0) else ())
        else:
            axes.append(axis)
    if open_at is not None:
        whole, others = product(first), product(axes)
        axes[open_at] = over(whole, others) if whole is not None and others else None
    return tuple(axes)


REST: Extent = ((-1, ()),)  # -1 in a shape: what is left


def _flatten(asked: Asked) -> Shape:
    first = asked.shapes[0] or ()
    axis = asked.whole("axis", 1)
    axis += len(first) if axis < 0 else 0
    return (product(first[:axis]), product(first[axis:]))


def _squeeze(asked: Asked) -> Shape:
    first, axes = asked.shapes[0] or (), asked.numbers("axes", 1)
    if axes is None and asked.given(1):
        return None
    if axes is None:
        return tuple([axis for axis in first if axis != ONE]) if None not in first else None
    gone = {axis % len(first) for axis in axes} if first else set()
    return tuple([axis for n, axis in enumerate(first) if n not in gone])


def _unsqueeze(asked: Asked) -> Shape:
    first, axes = asked.shapes[0], asked.numbers("axes", 1)
    if first is None or axes is None or len(axes) + len(first) > _MOST_AXES:
        return None
    rank = len(first) + len(axes)
    new, rest = {axis % rank for axis in axes}, iter(first)
    return tuple([ONE if n in new else next(rest, None) for n in range(rank)])


def _concat(asked: Asked) -> Shape:
    if any(not shape for shape in asked.shapes):
        return None
    known = [shape for shape in asked.shapes if shape]
    axis = asked.whole("axis", 0) % len(known[0])
    if any(len(shape) != len(known[0]) for shape in known):
        return None
    total: Axis = ()
    for shape in known:
        more = shape[axis]
        total = plus(total, more) if total is not None and more is not None else None
    return tuple([total if n == axis else _common([s[n] for s in known]) for n in range(len(known[0]))])


def _split(asked: Asked) -> list[Shape]:
    first = asked.shapes[0] or ()
    if not first:
        return [None] * asked.outputs
    axis, sizes = asked.whole("axis", 0) % len(first), asked.numbers("split", 1)
    if sizes is not None and len(sizes) == asked.outputs:
        parts: list[Axis] = [constant(size) for size in sizes]
    else:
        whole = first[axis]
        even = over(whole, constant(asked.outputs)) if whole is not None else None
        parts = [even] * asked.outputs
    return [(*first[:axis], part, *first[axis + 1 :]) for part in parts]


def _slice(asked: Asked) -> Shape:
    first = asked.shapes[0]
    if not first:
        return first
    starts, ends = asked.numbers("starts", 1), asked.numbers("ends", 2)
    axes = asked.numbers("axes", 3)
    if axes is None and asked.given(3):
        return (None,) * len(first)
    axes = axes if axes is not None else tuple(range(len(starts or ())))
    steps = asked.numbers("steps", 4) or (1,) * len(axes)
    made = list(first)
    for n, axis in enumerate(axes):
        known = starts is not None and ends is not None and n < len(starts) and n < len(ends) and n < len(steps)
        made[axis % len(first)] = (
            _cut(first[axis % len(first)], starts[n], ends[n], steps[n]) if known and starts and ends else None
        )
    return tuple(made)


def _cut(axis: Axis, start: int, end: int, step: int) -> Axis:
    extent = number(axis)
    if extent is None:
        whole = start == 0 and end >= 2**31 - 1 and step == 1
        few = step == 1 and 0 <= start < end < 2**31 - 1  # at most: the axis may be shorter
        return axis if whole else constant(end - start) if few else ONE if start == -1 else None
    return constant(len(range(*slice(start, end, step or 1).indices(extent)))) if step > 0 else axis


def _gather(asked: Asked) -> Shape:
    first, index = asked.shapes[0] or (), asked.shapes[1] if asked.given(1) else None
    if not first or index is None:
        return None
    axis = asked.whole("axis", 0) % len(first)
    return (*first[:axis], *index, *first[axis + 1 :])


def _expand(asked: Asked) -> Shape:
    wanted = asked.contents[1] if len(asked.contents) > 1 else None
    return broadcast((asked.shapes[0], wanted)) if wanted is not None else None


def _shaped(asked: Asked) -> Shape:
    return asked.contents[0] if asked.contents else None


def _range(asked: Asked) -> Shape:
    start, limit, step = [*asked.contents, None, None, None][:3]
    plain = start == ((),) and step == (ONE,)
    return (limit[0],) if plain and limit and len(limit) == 1 else (None,)


def _pad(asked: Asked) -> Shape:
    first, pads = asked.shapes[0] or (), asked.numbers("pads", 1)
    if pads is None or len(pads) != 2 * len(first) or asked.given(3) or min(pads, default=0) < 0:
        return (None,) * len(first)
    return tuple([
        plus(axis, constant(pads[n] + pads[n + len(first)])) if axis is not None else None
        for n, axis in enumerate(first)
    ])  # fmt: skip


def _second(asked: Asked) -> Shape:
    return asked.shapes[1] if asked.given(1) else None


def _of_shape(asked: Asked) -> Shape:
    first = asked.shapes[0]
    return (constant(len(first)),) if first is not None else None


def _attention(asked: Asked) -> Shape:
    """com.microsoft's fused attention over packed weights, [batch, sequence, 3 * hidden] made [batch, sequence, hidden]."""
    first, bias = asked.shapes[0] or (), asked.shapes[2] if asked.given(2) else None
    hidden = over(bias[0], constant(3)) if bias and bias[0] is not None else None
    return (*first[:2], hidden) if len(first) == 3 else None


_WITHOUT_FIRST = frozenset({"ConstantOfShape", "Range"})
_RULES: Mapping[str, Callable[[Asked], Shape | list[Shape]]] = {
    "MatMul": _matmul,
    "MatMulInteger": _matmul,
    "FusedMatMul": _matmul,
    "Gemm": _gemm,
    "FusedGemm": _gemm,
    "Transpose": _transpose,
    "Conv": _conv,
    "FusedConv": _conv,
    "ConvInteger": _conv,
    "MaxPool": _pool,
    "AveragePool": _pool,
    "GlobalAveragePool": _global_pool,
    "GlobalMaxPool": _global_pool,
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Concat": _concat,
    "Split": _split,
    "Slice": _slice,
    "Gather": _gather,
    "GatherElements": _second,
    "Expand": _expand,
    "ConstantOfShape": _shaped,
    "Range": _range,
    "Pad": _pad,
    "Shape": _of_shape,
    "Size": lambda asked: (),
    "Attention": lambda asked: _attention(asked) if asked.given(2) else None,
}
