"""Which operators each ONNX Runtime release implements on CPUs, in its own words: ``operator_kernels.json.gz``.

The table holds the schemas and kernels that the public wheel of every release tells of itself (``tools/kernels.py``). A
release that is not in it has no answer. Not here: which operators a model uses (``facts``, ``adapters.onnx_file``).
"""

import gzip
import json
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from promote.core.constructors import refused
from promote.core.facts import NodeUse, Told
from promote.core.matrix_rows import numbers
from promote.errors import InputError

_LARGEST = 32 * 1024 * 1024
_MOST_MODELS = 4096
_WIDE = {"tensor(float16)": "tensor(float)"}
UNKNOWN = NodeUse("", "", 0)  # what a function expands to, where its types are not known
_KIND = {int: 2, str: 3, tuple: 7}  # onnx AttributeProto.AttributeType, as onnxruntime's schemas number them
_ONE_CAST = (1, 31)
_TRAINING = {
    "ai.onnx.training": 1,
    "ai.onnx.preview.training": 1,
}  # onnx DomainToVersionRange; no operator is in a wheel
_OF_ONNX = ("", "ai.onnx.ml")  # the matrix says their limits
# A Constant of any domain becomes an initializer when the graph is read, before anything is checked (onnxruntime
# core/graph/graph.cc looks at the name alone).
NO_KERNEL = {"Constant"}
# Schemas that take any attribute, ``AllowUncheckedAttributes``: onnxruntime core/graph/contrib_ops/contrib_defs.cc and
# onnx/defs/nn/defs.cc. Measured with every operator in 1.16.3, 1.24.4 and 1.32.0; others that do have no kernel on CPUs.
_UNCHECKED = {("", "LayerNormalization"), ("", "SimplifiedLayerNormalization")}


@dataclass(frozen=True, slots=True)
class Formal:
    """An input or output of an operator: its type variable, the types allowed, whether it must be there, or may be repeated."""

    name: str
    variable: str
    required: bool
    variadic: bool
    homogeneous: bool
    types: frozenset[str]


@dataclass(frozen=True, slots=True)
class Schema:
    """One version of an operator, as a release knows it."""

    since: int
    deprecated: bool
    counts: tuple[int, int, int, int]
    inputs: tuple[Formal, ...]
    outputs: tuple[Formal, ...]
    attributes: dict[str, tuple[int, bool]]


def unpacked(data: bytes, name: str) -> dict[str, Any]:
    """A table that comes with promote.

    Raises:
        InputError: damaged, or of another format.
    """
    try:
        text = gzip.decompress(data)
        table: dict[str, Any] = json.loads(text)
    except (OSError, EOFError, ValueError) as error:
        raise InputError(f"{name} is damaged", hint="install promote again") from error
    if len(text) > _LARGEST or table.get("format") != 1:
        raise InputError(f"{name} has another format", hint="install promote again")
    return table


class KernelTable:
    """The whole table; a release is made ready when it is first asked for."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._ready: dict[str, Operators] = {}

    @cached_property
    def _table(self) -> dict[str, Any]:
        return unpacked(self._data, "operator_kernels.json.gz")

    def release(self, version: str) -> "Operators | None":
        """The operators of that release, or ``None`` where the table does not have it."""
        if version not in self._table["releases"]:
            return None
        if version not in self._ready:
            self._ready[version] = Operators(self._table, version)
        return self._ready[version]


class Kernels:
    """What one release implements on one provider."""

    def __init__(self, table: dict[str, Any], version: str) -> None:
        names, bit = table["types"], 1 << table["releases"].index(version)
        self.sets = [frozenset(names[n] for n in one) for one in table["sets"]]
        self._kernels: dict[tuple[str, str], list[Any]] = {}
        for mask, domain, name, *rest in table["kernels"]:
            if int(mask, 16) & bit:
                self._kernels.setdefault((domain, name), []).append(rest)

    def serve(self, node: NodeUse, schema: Schema, types: dict[str, str]) -> bool:
        """Whether there is a kernel for the node, with these types by type variable and formal name."""
        # A kernel whose range is open serves the version it starts with and no later one
        # (onnxruntime core/framework/kernel_registry.cc, VerifyKernelDef).
        return any(
            (start == schema.since or start < schema.since <= end)
            and all(types.get(name) is None or types[name] in self.sets[one] for name, one in allowed.items())
            for start, end, allowed in self._kernels.get((node.domain, node.name), ())
        )


class Operators:
    """What one release implements on CPUs, and on a GPU beside them where one is named, and the operators it knows."""

    def __init__(self, table: dict[str, Any], version: str) -> None:
        bit = 1 << table["releases"].index(version)
        self._version = numbers(version)
        self.kernels = Kernels(table, version)
        self._gpu: Kernels | None = None
        self._joined: Operators | None = None
        self._schemas: dict[tuple[str, str], list[Any]] = {}
        for mask, domain, name, *rest in table["schemas"]:
            if int(mask, 16) & bit:
                self._schemas.setdefault((domain, name), []).append(rest)
        self._faults: dict[NodeUse, str] = {}
        self._faulty: dict[frozenset[NodeUse], tuple[tuple[NodeUse, str], ...]] = {}
        self._known: dict[tuple[str, str, int], Schema | None] = {}
        self._newest: dict[str, int] = dict(_TRAINING)
        for (domain, _), versions in self._schemas.items():
            self._newest[domain] = max(self._newest.get(domain, 0), *(int(version[0]) for version in versions))
        used = {
            formal[4] for known in self._schemas.values() for version in known for formal in (*version[3], *version[4])
        }
        self._elements = frozenset(
            one[7:-1] for at in used for one in self.kernels.sets[at] if one.startswith("tensor(")
        )

    def beside(self, gpu: Kernels) -> "Operators":
        """The same release where a GPU's kernels are asked before the CPU's; made once."""
        if self._joined is None or self._joined._gpu is not gpu:
            self._joined = copy(self)
            self._joined._gpu, self._joined._faults, self._joined._faulty = gpu, {}, {}
        return self._joined

    def newest(self, domain: str) -> int | None:
        """The newest opset of a domain whose operators all come with the runtime itself, or ``None``."""
        return None if domain in _OF_ONNX else self._newest.get(domain)

    def holds(self, element: str) -> bool:
        """Some operator takes this element type, ``float``: the release can read tensors of it."""
        return element in self._elements

    def faults(self, nodes: frozenset[NodeUse]) -> tuple[tuple[NodeUse, str], ...]:
        """The nodes that do not load, in a fixed order, each with why; found once for equal models."""
        if nodes not in self._faulty:
            if len(self._faulty) >= _MOST_MODELS:
                self._faulty.clear()
            broken = [(node, why) for node in nodes if (why := self.fault(node))]
            self._faulty[nodes] = tuple(sorted(broken, key=lambda fault: repr(fault[0])))
        return self._faulty[nodes]

    def fault(self, node: NodeUse) -> str:
        """Why this node does not load, or an empty string. Types that are not known fit everything."""
        if node == UNKNOWN:
            return ""
        if node not in self._faults:
            self._faults[node] = self._judge(node)
        return self._faults[node]

    def _judge(self, node: NodeUse) -> str:
        if node.name in NO_KERNEL and node.domain:
            own = node.domain in self._newest and node.domain not in (*_OF_ONNX, *_TRAINING)
            checked = node.version < 0 and self._version >= (1, 18) and not own
            return "in an inner graph, where it needs a definition from 1.18 on" if checked else ""
        schema = self.schema(node.domain, node.name, node.version)
        # releases before 1.17 took the definition that the operator came with (core/graph/graph.cc, TryGetFunctionProto)
        body = node.former if node.former is not None and self._version < (1, 17) else node.body
        if schema is None:
            return "this release has no such operator"
        if schema.deprecated:
            return f"deprecated since opset {schema.since}"
        if node.name in NO_KERNEL:
            return ""
        types, fault = bind(schema, node)
        if fault:
            return fault
        if self._gpu and self._gpu.serve(node, schema, types):
            return refused(node, self._version)  # kernels of both providers are constructed by the same base classes
        if node.between:
            moved = self._version < _ONE_CAST and all(map(self._widened, node.between))
            return "float16 to float16 between nodes that run in float32, whose casts do not fit it" if moved else ""
        if self.kernels.serve(node, schema, types):
            return refused(node, self._version)
        if body:
            return self._body(body)
        # Without a kernel for float16 the CPU provider computes in float32, with casts around the node
        # (onnxruntime core/optimizer/insert_cast_transformer.cc).
        wide = {name: _WIDE.get(given, given) for name, given in types.items()}
        if wide != types and self.kernels.serve(node, schema, wide):
            return refused(node, self._version)
        told = ", ".join(sorted({t for t in (*node.inputs, *node.outputs) if t})) or "any type"
        return f"no implementation for {told}"

    def _widened(self, node: NodeUse) -> bool:
        """The node is computed in float32, as no kernel takes its float16."""
        if "tensor(float16)" not in node.inputs:
            return False
        schema = self.schema(node.domain, node.name, node.version)
        if schema is None:
            return False
        types, _ = bind(schema, node)
        if self.kernels.serve(node, schema, types) or (self._gpu and self._gpu.serve(node, schema, types)):
            return False
        inner = [one for one in node.body if "tensor(float16)" in one.inputs]
        return all(map(self._widened, inner))

    def _body(self, body: tuple[NodeUse, ...]) -> str:
        for inner in body:
            if fault := self.fault(inner):
                return f"expands to {inner.name}, {fault}"
        return ""

    def schema(self, domain: str, name: str, version: int) -> Schema | None:
        """The newest version of the operator at that opset; of all, where ``version`` is 0: the model imports no opset of the
        domain, and then has the newest of each domain that the release knows (core/graph/model.cc).
        """
        key = (domain, name, version)
        if key not in self._known:
            self._known[key] = self._schema(*key)
        return self._known[key]

    def _schema(self, domain: str, name: str, version: int) -> Schema | None:
        known = [s for s in self._schemas.get((domain, name), ()) if s[0] <= version or not version]
        if not known:
            return None
        since, deprecated, counts, inputs, outputs, attributes = max(known, key=lambda s: int(s[0]))
        return Schema(
            since=since,
            deprecated=deprecated,
            counts=tuple(counts),
            inputs=tuple(self._formal(f) for f in inputs),
            outputs=tuple(self._formal(f) for f in outputs),
            attributes={attribute: (kind, required) for attribute, kind, required in attributes},
        )

    def _formal(self, told: list[Any]) -> Formal:
        name, variable, option, homogeneous, types = told
        return Formal(name, variable, option == 0, option == 2, homogeneous, self.kernels.sets[types])


def _kind(schema: Schema, attribute: str, value: Told) -> int:
    """What the schema asks for; of an attribute that it does not have, what it is."""
    return schema.attributes[attribute][0] if attribute in schema.attributes else _KIND.get(type(value), 0)


def bind(schema: Schema, node: NodeUse) -> tuple[dict[str, str], str]:
    """Types by type variable and by formal name, and what is wrong with them, or an empty string.

    Source: onnxruntime core/graph/graph.cc ``InferAndVerifyTypeMatch``; onnx ``OpSchema::Verify``.
    """
    low_in, high_in, low_out, high_out = schema.counts
    if not low_in <= len(node.inputs) <= high_in or not low_out <= len(node.outputs) <= high_out:
        return {}, f"{len(node.inputs)} inputs and {len(node.outputs)} outputs, which this version does not take"
    given_names = [name for name, _ in node.attributes]
    unknown = [name for name in given_names if name not in schema.attributes and not name.startswith("__")]
    if unknown and (node.domain, node.name) not in _UNCHECKED:
        return {}, f"attribute {unknown[0]!r}, which this version does not have"
    wrong = [
        name for name, value in node.attributes if _KIND.get(type(value), 0) not in (0, _kind(schema, name, value))
    ]
    if wrong:
        return {}, f"attribute {wrong[0]!r} of another type than this version takes"
    missing = [name for name, (_, required) in schema.attributes.items() if required and name not in given_names]
    if missing:
        return {}, f"attribute {missing[0]!r} is missing"
    bound: dict[str, str] = {}
    for formals, actual, at_input in ((schema.inputs, node.inputs, True), (schema.outputs, node.outputs, False)):
        for position, given in enumerate(actual):
            formal = formals[min(position, len(formals) - 1)]
            if given == "" and at_input and (formal.required or (formal.variadic and formal.homogeneous)):
                return bound, f"no {formal.name}, which this version asks for"
            if not given:
                continue
            # The types that an output may have are not held to, only that it has the type that an input gives it.
            if at_input and given not in formal.types:
                return bound, f"{formal.name} of type {given}, which this version does not take"
            if formal.variadic and not formal.homogeneous:
                continue
            before = bound.setdefault(formal.variable, given)
            if before != given:
                return bound, f"types {before} and {given} for one type variable"
            bound.setdefault(formal.name, given)
    return bound, ""
