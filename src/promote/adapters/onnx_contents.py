"""What small tensors of whole numbers hold, as shapes are computed: ``Shape``, ``Gather``, ``Concat`` up to ``Reshape``.

Not here: the shapes that follow (``onnx_shapes``).
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

from promote.adapters.onnx_shapes import ONE, Asked, Axis, Shape, number, product
from promote.core.extents import Extent, over, plus, times

_MOST = 16
_WHOLE = {7: 8, 6: 4}  # INT64, INT32: bytes of one
_OPEN_END = 2**31 - 1


def of_tensor(tensor: Any) -> Shape:
    """The numbers in a small tensor of whole ones; ``None`` of any other."""
    width = _WHOLE.get(tensor.data_type)
    if width is None or len(tensor.dims) > 1 or math.prod(tensor.dims) > _MOST or tensor.data_location == 1:
        return None
    raw: bytes = tensor.raw_data
    if max(len(raw), len(tensor.int64_data), len(tensor.int32_data)) > _MOST * 8:
        return None
    if raw:
        plain = [int.from_bytes(raw[n : n + width], "little", signed=True) for n in range(0, len(raw), width)]
    else:
        plain = list(tensor.int64_data if width == 8 else tensor.int32_data)
    return tuple([_whole(n) for n in plain]) if len(plain) == math.prod(tensor.dims) else None


def _whole(n: int) -> Extent:
    return ((n, ()),) if n else ()


def infer(operator: str, asked: Asked) -> Shape:
    """What the first output holds, where that follows."""
    rule = _RULES.get(operator)
    if rule is None:
        return None
    made = rule(asked)
    return made if made is None or len(made) <= _MOST else None


def _first(asked: Asked) -> Shape:
    return asked.contents[0] if asked.contents else None


def _shape(asked: Asked) -> Shape:
    first = asked.shapes[0] if asked.shapes else None
    if first is None:
        return None
    start = asked.whole("start", 0)
    return first[start : asked.whole("end", len(first))]


def _size(asked: Asked) -> Shape:
    first = asked.shapes[0] if asked.shapes else None
    return (product(first),) if first is not None else None


def _gather(asked: Asked) -> Shape:
    first, index = _first(asked), asked.numbers("", 1)
    if first is None or index is None or any(not -len(first) <= n < len(first) for n in index):
        return None
    return tuple([first[n] for n in index])


def _concat(asked: Asked) -> Shape:
    parts = [one for one in asked.contents if one is not None]
    return tuple([axis for one in parts for axis in one]) if len(parts) == len(asked.contents) else None


def _slice(asked: Asked) -> Shape:
    first, starts, ends = _first(asked), asked.numbers("starts", 1), asked.numbers("ends", 2)
    steps = asked.numbers("steps", 4) or (1,)
    if first is None or not starts or not ends or len(starts) != 1 or len(ends) != 1 or steps[0] == 0:
        return None
    return first[slice(starts[0], ends[0] if abs(ends[0]) < _OPEN_END else None, steps[0])]


def _pairs(asked: Asked) -> list[tuple[Axis, Axis]] | None:
    left, right = [*asked.contents, None, None][:2]
    if not left or not right or (len(left) != len(right) and 1 not in (len(left), len(right))):
        return None
    size = max(len(left), len(right))
    return list(zip(left * size if len(left) == 1 else left, right * size if len(right) == 1 else right, strict=True))


def _each(by: Callable[[Extent, Extent], Axis]) -> Callable[[Asked], Shape]:
    def make(asked: Asked) -> Shape:
        pairs = _pairs(asked)
        return None if pairs is None else tuple([None if a is None or b is None else by(a, b) for a, b in pairs])

    return make


def _minus(one: Extent, other: Extent) -> Axis:
    left, right = number(one), number(other)
    return _whole(left - right) if left is not None and right is not None else one if not other else None


def _equal(one: Extent, other: Extent) -> Axis:
    if one == other:
        return ONE
    left, right = number(one), number(other)
    # The extent of an axis is never below 0, whatever its name stands for.
    differ = (left is not None and right is not None) or (left or 0) < 0 or (right or 0) < 0
    return () if differ else None


def _where(asked: Asked) -> Shape:
    which, yes, no = [*asked.contents, None, None, None][:3]
    if not which or not yes or not no or any(axis is None for axis in which):
        return None
    size = max(len(which), len(yes), len(no))
    which, yes, no = (one * size if len(one) == 1 else one for one in (which, yes, no))
    if not len(which) == len(yes) == len(no):
        return None
    return tuple([a if w == ONE else b for w, a, b in zip(which, yes, no, strict=True)])


def _filled(asked: Asked) -> Shape:
    wanted = _first(asked)
    count = number(wanted[0]) if wanted and len(wanted) == 1 else None
    told = asked.attributes.get("value")
    value = of_tensor(told.t) if told is not None else None
    return value * count if value and count is not None and 0 <= count <= _MOST and len(value) == 1 else None


def _prod(asked: Asked) -> Shape:
    first = _first(asked)
    return (product(first),) if first is not None else None


def _constant(asked: Asked) -> Shape:
    for name, told in asked.attributes.items():
        if name == "value":
            return of_tensor(told.t)
        if name == "value_int":
            return (_whole(int(told.i)),)
        if name == "value_ints" and len(told.ints) <= _MOST:
            return tuple([_whole(int(n)) for n in told.ints])
    return None


_RULES: Mapping[str, Callable[[Asked], Shape]] = {
    "Constant": _constant,
    "Shape": _shape,
    "Size": _size,
    "Gather": _gather,
    "Concat": _concat,
    "Slice": _slice,
    "Cast": _first,
    "Identity": _first,
    "Unsqueeze": _first,
    "Squeeze": _first,
    "Reshape": _first,
    "Add": _each(plus),
    "Mul": _each(times),
    "Div": _each(over),
    "Sub": _each(_minus),
    "Equal": _each(_equal),
    "Where": _where,
    "ConstantOfShape": _filled,
    "ReduceProd": _prod,
}
