"""Sizes with names in them: ``4 * batch * sequence + 1024``, added, multiplied, and worked out once the names have numbers.

What a model's memory comes to depends on the batch and the sequence it is asked with; here it stays a formula. Not here:
which tensors are alive together (``adapters.onnx_memory``), nor what follows from a size (``rules``).
"""

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

Extent = tuple[tuple[int, tuple[str, ...]], ...]
"""A sum of products, sorted by names: factor and names. A name is that of a dynamic axis, or a term such as ``(h - 1)//2``."""

_LARGEST = 2**62  # a passport's numbers end at 2**63
_MOST_TERMS = 32
_MOST_NAMES = 12
_LONGEST = 120
_DEEPEST = 12


@dataclass(frozen=True, slots=True)
class Activations:
    """Bytes of the tensors that are alive together while a model answers, weights left out.

    Args:
        peaks: the largest sums met; which of them is the peak depends on what the names stand for. None where too little is told.
        tensors: how many tensors were counted.
        unsized: how many were not, their shape not being known.
    """

    peaks: tuple[Extent, ...]
    tensors: int
    unsized: int


def constant(number: int) -> Extent:
    """A plain number."""
    return ((min(number, _LARGEST), ()),) if number else ()


@lru_cache(maxsize=8192)
def read(text: str) -> Extent | None:
    """What a dynamic axis is called, sums and products taken apart; ``None`` where it is too long to be a size."""
    if len(text) > _LONGEST:
        return None
    if text.isidentifier():
        return ((1, (text,)),)
    tree = _tree(text)
    if tree is None:
        return ((1, (text,)),)
    return _polynomial(tree, 0) or ((1, (text,)),)


def _tree(text: str) -> ast.expr | None:
    try:
        return ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return None


def _polynomial(tree: ast.expr, depth: int) -> Extent | None:
    """A sum of products of names and numbers; ``None`` where it is anything else."""
    if depth > _DEEPEST:
        return None
    if isinstance(tree, ast.Name):
        return ((1, (tree.id,)),)
    if isinstance(tree, ast.Constant):
        return constant(tree.value) if type(tree.value) is int and tree.value >= 0 else None
    if isinstance(tree, ast.BinOp) and isinstance(tree.op, ast.Add | ast.Mult):
        left, right = _polynomial(tree.left, depth + 1), _polynomial(tree.right, depth + 1)
        if left is None or right is None:
            return None
        return plus(left, right) if isinstance(tree.op, ast.Add) else times(left, right)
    return None


def _sum(terms: Mapping[tuple[str, ...], int]) -> Extent | None:
    if len(terms) > _MOST_TERMS or any(len(names) > _MOST_NAMES for names in terms):
        return None
    return tuple(sorted((min(factor, _LARGEST), names) for names, factor in terms.items() if factor))


def plus(one: Extent, other: Extent) -> Extent | None:
    """The sum; ``None`` beyond all bounds."""
    terms = {names: factor for factor, names in one}
    for factor, names in other:
        terms[names] = terms.get(names, 0) + factor
    return _sum(terms)


def times(one: Extent, other: Extent) -> Extent | None:
    """The product; ``None`` beyond all bounds."""
    if len(one) == len(other) == 1:  # for speed
        (factor, names), (by, more) = one[0], other[0]
        if not names or not more:
            return ((min(factor * by, _LARGEST), names or more),)
    terms: dict[tuple[str, ...], int] = {}
    for factor, names in one:
        for by, more in other:
            key = tuple(sorted((*names, *more)))
            terms[key] = terms.get(key, 0) + factor * by
    return _sum(terms)


def over(one: Extent, other: Extent) -> Extent | None:
    """The quotient by a single term, where it has no rest; else ``None``."""
    if len(other) != 1:
        return constant(1) if one == other and one else None
    by, less = other[0]
    terms: dict[tuple[str, ...], int] = {}
    for factor, names in one:
        left = list(names)
        for name in less:
            if name not in left:
                return None
            left.remove(name)
        if factor % by:
            return None
        terms[tuple(left)] = factor // by
    return _sum(terms)


def work_out(extent: Extent, numbers: Mapping[str, int]) -> int | None:
    """Its value; ``None`` where a name has no number."""
    total = 0
    for factor, names in extent:
        product = factor
        for name in names:
            number = numbers.get(name)
            if number is None:
                number = _value(name, numbers)
            if number is None:
                return None
            product = min(product * max(number, 0), _LARGEST)
        total += product
    return min(total, _LARGEST)


def _value(text: str, numbers: Mapping[str, int]) -> int | None:
    tree = _tree(text) if len(text) <= _LONGEST else None
    return _compute(tree, numbers, 0) if tree is not None else None


def _compute(tree: ast.expr, numbers: Mapping[str, int], depth: int) -> int | None:
    """An exporter's term: names, numbers, ``+ - * //``, and ``Max``, ``Min``, ``floor`` and ``ceiling`` of whole ones."""
    if depth > _DEEPEST:
        return None
    if isinstance(tree, ast.Name):
        return numbers.get(tree.id)
    if isinstance(tree, ast.Constant):
        return tree.value if type(tree.value) is int and abs(tree.value) < _LARGEST else None
    if isinstance(tree, ast.UnaryOp) and isinstance(tree.op, ast.USub):
        inner = _compute(tree.operand, numbers, depth + 1)
        return -inner if inner is not None else None
    if isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name) and not tree.keywords:
        given = [_compute(one, numbers, depth + 1) for one in tree.args[:8]]
        known = [one for one in given if one is not None]
        called = {"Max": max, "Min": min, "max": max, "min": min}.get(tree.func.id)
        if called is not None and known and len(known) == len(given):
            return called(known)
        return known[0] if tree.func.id in ("floor", "ceiling", "ceil", "CeilToInt") and len(known) == 1 else None
    if isinstance(tree, ast.BinOp):
        left, right = _compute(tree.left, numbers, depth + 1), _compute(tree.right, numbers, depth + 1)
        return None if left is None or right is None else _apply(tree.op, left, right)
    return None


def _apply(operator: ast.operator, left: int, right: int) -> int | None:
    if isinstance(operator, ast.Add):
        return left + right
    if isinstance(operator, ast.Sub):
        return left - right
    if isinstance(operator, ast.Mult):
        return max(-_LARGEST, min(left * right, _LARGEST))
    if isinstance(operator, ast.FloorDiv) and right:
        return left // right
    return None
