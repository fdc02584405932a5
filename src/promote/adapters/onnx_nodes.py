"""The operators of an ONNX model, with the types they are used with: inferred by the operators' own signatures.

Types only, no shapes, in one pass and without onnx's C++ inference, which a hostile file could keep busy. Operators that
are functions are unfolded too, as a runtime does that has no implementation of its own. Not here: which runtime implements
what (``core.kernels``).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import zip_longest
from typing import Any

from promote.adapters.onnx_graph import Pairs, Scope, Types, defaults, of_functions, twins
from promote.adapters.onnx_package import messages
from promote.adapters.onnx_parts import (
    Memory,
    Node,
    domain_of,
    element_of,
    graphs_in,
    node_of,
    text,
    type_proto,
    value_of,
)
from promote.adapters.onnx_types import outputs_of, signature
from promote.adapters.onnx_wire import LEFT_OUT
from promote.core.facts import NodeUse, Told
from promote.core.kernels import UNKNOWN
from promote.core.names import printable
from promote.errors import IntegrityError

_DEEPEST = 40
_LONGEST = 40
_FLOW = ("If", "Loop", "Scan")
_CASTS = ("Cast", "CastLike")
_HALF = ("tensor(float16)",)
_RANKS = (None, 4, 3, 2)  # of inputs, where a definition asks for one
_MOST_ITEMS = 8  # of a list that is told: an axis each
_COUNTED = (("", "StringNormalizer"), ("com.microsoft", "FusedConv"), ("com.microsoft.nchwc", "Conv"))
_SMALL = 200  # bytes of an attribute that may decide what a function expands to
_MOST_NODES = 150_000  # with the calls of functions unfolded; models of language have some ten thousand
_MOST_USES = 10_000  # different ones; those of the largest models are some hundred
_LONGEST_TYPE = 200  # sequences of sequences of sequences...


class _Inner(Types):
    """Types by name inside a subgraph, which sees those of the graph around it: looked up there and not copied."""

    __slots__ = ("_outer",)

    def __init__(self, outer: Types) -> None:
        super().__init__()
        self._outer = outer

    def get(self, name: str, default: Any = None) -> Any:
        """The type, by the innermost graph that has the name."""
        return self[name] if name in self else self._outer.get(name, default)


def node_uses(model: Any) -> tuple[frozenset[NodeUse] | None, tuple[str, ...]]:
    """Every operator use of ``model``, subgraphs included and the model's own functions unfolded where they are called.

    And what is wrong with its graphs themselves. The uses are ``None`` where it nests deeper than 40 graphs or calls: then
    its operators are not known.

    Raises:
        IntegrityError: a name that is no UTF-8, or more nodes than any real model has, calls unfolded.
    """
    walk = walked(model)
    return None if walk.too_deep else frozenset(walk.uses), tuple(walk.flaws)


def walked(model: Any) -> "Walk":
    """The walk over all graphs that a run of ``model`` can enter, its own functions where they are called.

    Raises:
        IntegrityError: as ``node_uses``.
    """
    # an import of opset 0 is one that no operator has; a domain without an import is told as 0 (see ``kernels.Operators.schema``)
    opsets = {domain_of(entry.domain): entry.version or -1 for entry in model.opset_import}
    walk = Walk({(domain_of(f.domain), f.name): f for f in model.functions}, opsets)
    if not opsets:
        walk.flaws.append("the model imports no opset")  # onnxruntime core/graph/model.cc, "Missing opset in the model"
    walk.graph(model.graph, opsets, {}, 0)
    of_functions(walk.flaws, model.functions)
    return walk


class Walk:
    """What a walk over graphs gathers.

    Args:
        own: functions of the model, by domain and name.
        opsets: of the model, by domain.

    Its ``uses``, the ``graphs`` it met, the ``holders`` among nodes (of tensors), the ``domains`` of operators that are not
    the model's own; and whether it was ``too_deep`` to see all.
    """

    def __init__(self, own: Mapping[tuple[str, str], Any], opsets: Mapping[str, int]) -> None:
        self.own, self.opsets = own, opsets
        self.uses: set[NodeUse] = set()
        self.called: dict[Any, list[str | None]] = {}
        self.graphs: list[Any] = []
        self.holders: list[Any] = []
        self.domains: set[str] = set()
        self.too_deep = False
        self.steps = 0
        self.flaws: list[str] = []

    def graph(
        self,
        graph: Any,
        opsets: Mapping[str, int],
        outer: Types,
        depth: int,
        around: Scope | None = None,
        fed: tuple[Node, Sequence[str | None]] | None = None,
    ) -> list[str | None]:
        """Notes the uses of a graph; returns the types of its outputs.

        Args:
            graph: a ``GraphProto``.
            opsets: by domain.
            outer: types of the graph around it.
            depth: of graphs and calls.
            around: names of the graph around it.
            fed: the node whose body it is, and what the node gives it.
        """
        self.graphs.append(graph)
        types: Types = _Inner(outer) if depth else {}
        scope = Scope(around, self.flaws)
        outputs = [value_of(value) for value in graph.output]
        for value in (*map(value_of, graph.value_info), *outputs):
            types[value.name] = value.type
        inputs = [value_of(value) for value in graph.input]
        tensors = [*graph.initializer, *(sparse.values for sparse in graph.sparse_initializer)]
        names = [str(tensor.name) for tensor in tensors]
        given = scope.fed(fed[0], inputs, fed[1], set(names)) if fed else {}
        for value in inputs:
            types[value.name] = value.type or given.get(value.name) or dict.get(types, value.name)
        for name, tensor in zip(names, tensors, strict=True):
            types[name] = f"tensor({element_of(tensor.data_type)})"
        scope.given(inputs, set(names))
        if inputs and tensors:
            defaults(scope, graph.input, graph.initializer)
        if len(tensors) > 1 and len(set(names)) < len(names):
            twins(scope, graph.initializer)
        pairs = scope.order([(message, node_of(message)) for message in graph.node])
        scope.returned(outputs)
        self.nodes(pairs, opsets, types, depth, scope)
        return [types.get(value.name) for value in outputs]

    def nodes(self, pairs: Pairs, opsets: Mapping[str, int], types: Types, depth: int, scope: Scope) -> None:
        """Notes the uses of nodes, each of which comes after those it reads, and the types of their outputs in ``types``."""
        self.too_deep = self.too_deep or depth > _DEEPEST
        if self.too_deep:
            return
        done: list[tuple[Node, NodeUse]] = []
        halves = False
        for message, node in pairs:
            self.step(1)
            given = tuple([types.get(name) if name else "" for name in node.inputs])
            if node.holds:
                self.holders.append(message)
            if self.own and (function := self.own.get((node.domain, node.name))):
                self.inside(node, message, given, opsets, types, depth, scope)
                scope.make(node, types, self.call(function, given, depth, scope))
                if len(given) > len(function.input) or len(node.outputs) > len(function.output):
                    scope.flaw(f"a call of {printable(node.name, 60)} has more inputs or outputs than the function")
                continue
            self.domains.add(node.domain)
            version = opsets.get(node.domain, 0)
            if node.name == "Constant" and node.domain and scope.nested and (not version or "ai.onnx" in node.domain):
                version = -1  # onnx/checker.cc check_graph asks for its definition, in an inner graph only
            known = _KNOWN.get((node.key, version, given)) if node.key else None
            if known is None:
                inside = self.inside(node, message, given, opsets, types, depth, scope)
                known = _Known([_short(told) for told in outputs_of(message, node.domain, version, given, inside)])
                if node.key:
                    _KNOWN.keep((node.key, version, given), known)
                if inside and node.name in _FLOW and not node.domain:
                    scope.handed(node, given, inside)
            scope.make(node, types, known.said)
            outputs = tuple([types.get(name) if name else "" for name in node.outputs])
            use = known.uses.get(outputs)
            if use is None:
                use = known.keep(outputs, _use(message, node.domain, version, given, outputs))
            self.uses.add(use)
            done.append((node, use))
            halves = halves or (node.name in _CASTS and given[:1] == _HALF and tuple(known.said) == _HALF)
            if len(self.uses) > _MOST_USES:
                raise IntegrityError(f"the ONNX model uses operators in more than {_MOST_USES:,} ways")
        if halves:
            self.uses |= _between(done, scope.results)

    def inside(
        self,
        node: Node,
        message: Any,
        given: tuple[str | None, ...],
        opsets: Mapping[str, int],
        types: Types,
        depth: int,
        scope: Scope,
    ) -> list[list[str | None]]:
        """The types of the outputs of each graph in a node."""
        if not node.nests:
            return []
        fed = (
            (node, _fed(node, given, opsets.get("", 0))) if node.name in ("Loop", "Scan") and not node.domain else None
        )
        return [self.graph(graph, opsets, types, depth + 1, scope, fed) for graph in graphs_in(message.attribute)]

    def step(self, count: int) -> None:
        """Counts nodes: functions that call each other can make a small file unfold to any number."""
        self.steps += count
        if self.steps > _MOST_NODES:
            raise IntegrityError(f"the ONNX model unfolds to more than {_MOST_NODES:,} nodes")

    def call(self, function: Any, given: tuple[str | None, ...], depth: int, scope: Scope) -> list[str | None]:
        """A model's own function, unfolded with the types of this call; once for the same types.

        Its nodes come into the model's graph and are then of the model's opset, whatever opset the function imports; a
        parameter without an argument is an input that is left out (onnxruntime core/graph/function_utils.cc).
        """
        key = (domain_of(function.domain), function.name, given)
        if key in self.called:
            return self.called[key]
        self.step(len(given))  # of many inputs there are many combinations of types
        self.called[key] = [None] * len(function.output)  # where it calls itself
        imports = {domain_of(entry.domain): entry.version for entry in function.opset_import}
        opsets = {domain: self.opsets.get(domain, version) for domain, version in imports.items()}
        types: Types = dict(zip_longest(function.input, given[: len(function.input)], fillvalue=""))
        inside = Scope(None, self.flaws, scope)
        inside.made.update(function.input)
        self.nodes(inside.order(_pairs(function)), opsets, types, depth + 1, inside)
        self.called[key] = [types.get(name) for name in function.output]
        return self.called[key]


def _fed(node: Node, given: tuple[str | None, ...], opset: int) -> Sequence[str | None]:
    """Types that a Loop or Scan gives its body: a Loop its count and condition first, a Scan of opset 8 not its lengths."""
    if node.name == "Loop":
        return [given[0] or "tensor(int64)", *given[1:]] if given else given
    return given[1:] if opset < 9 else given


def _between(done: list[tuple[Node, NodeUse]], results: frozenset[str]) -> set[NodeUse]:
    """Casts from float16 to float16, each with the nodes around it; those at an end of the graph are left out.

    ONNX Runtime moves such a cast to float32 where all of these nodes run in float32, but not the type that it names
    (core/optimizer/insert_cast_transformer.cc ``IsIsolatedFp16NodeOnCpu``).
    """
    makers = {name: use for node, use in done for name in node.outputs if name and node.name != "Constant"}
    readers: dict[str, list[NodeUse]] = {}
    for node, use in done:
        for name in node.inputs:
            readers.setdefault(name, []).append(use)
    found = set()
    for node, use in done:
        if node.name in _CASTS and use.inputs[:1] == use.outputs == _HALF and node.outputs[0] not in results:
            maker, after = makers.get(node.inputs[0]), readers.get(node.outputs[0])
            if maker and after:
                found.add(replace(use, body=(), former=None, between=(maker, *dict.fromkeys(after))))
    return found


class _Known:
    """What was said of a node, for the next one of which all is the same that it depends on.

    Args:
        said: types of its outputs, see ``outputs_of``.
    """

    __slots__ = ("said", "uses")

    def __init__(self, said: list[str | None]) -> None:
        self.said = said
        self.uses: dict[tuple[str | None, ...], NodeUse] = {}

    def keep(self, outputs: tuple[str | None, ...], use: NodeUse) -> NodeUse:
        """The use with these types of outputs, remembered."""
        if len(self.uses) >= _LONGEST:
            self.uses.clear()
        self.uses[outputs] = use
        return use


_KNOWN = Memory[_Known]()


def _short(told: str | None) -> str | None:
    """A type, where it nests no deeper than any real one: a chain of sequences would make texts of any length."""
    return told if told is None or len(told) <= _LONGEST_TYPE else None


def _use(
    node: Any, domain: str, version: int, inputs: tuple[str | None, ...], outputs: tuple[str | None, ...]
) -> NodeUse:
    name = text(node.op_type)
    attributes = tuple(sorted({text(a.name): _value(a) for a in node.attribute}.items()))
    lengths = _lengths(node) if domain == "ai.onnx.ml" or (domain, name) in _COUNTED else ()
    if not (version and _expands(domain, name, version)):
        return NodeUse(domain, name, version, inputs, outputs, attributes, lengths=lengths)
    if any(a.HasField("g") for a in node.attribute):
        return NodeUse(domain, name, version, inputs, outputs, attributes, (UNKNOWN,))  # SequenceMap: by its graph
    told = _attribute_bytes(node)
    body = _body(domain, name, version, inputs, outputs, told, False)
    former = _body(domain, name, version, inputs, outputs, told, True)
    return NodeUse(domain, name, version, inputs, outputs, attributes, body, None if former == body else former)


def _value(attribute: Any) -> Told:
    """A whole number, a short list of them or a short text; of other values ``_lengths`` tells what may decide."""
    if (
        attribute.ref_attr_name or attribute.doc_string == LEFT_OUT
    ):  # of a function's call, or of a large file: it is not here
        return None
    if attribute.type == attribute.INT:
        return int(attribute.i)
    if attribute.type == attribute.STRING and len(attribute.s) <= _LONGEST:
        return str(attribute.s.decode(errors="replace"))
    if attribute.type == attribute.INTS and len(attribute.ints) <= _MOST_ITEMS:
        return tuple(attribute.ints)
    return None


def _lengths(node: Any) -> tuple[tuple[str, int], ...]:
    """Items of each attribute that is a list, or a tensor of one axis or none; none where one is not here to be counted."""
    counts = {}
    for told in node.attribute:
        if told.doc_string == LEFT_OUT:
            return ()
        if told.type == told.TENSOR and len(told.t.dims) < 2:
            counts[text(told.name)] = next(iter(told.t.dims), 1)
        elif told.type in (told.INTS, told.FLOATS, told.STRINGS) and not told.ref_attr_name:
            counts[text(told.name)] = len(told.ints) + len(told.floats) + len(told.strings)
    return tuple(sorted(counts.items()))


def _attribute_bytes(node: Any) -> bytes:
    """The attributes that decide what a function expands to: small ones."""
    kept = messages().NodeProto()
    plain = (a for a in node.attribute if a.ByteSize() < _SMALL and not a.HasField("g") and not a.graphs)
    kept.attribute.extend(sorted(plain, key=lambda a: str(a.name)))
    told: bytes = kept.SerializeToString(deterministic=True)
    return told


@lru_cache(maxsize=4096)
def _body(
    domain: str,
    name: str,
    version: int,
    inputs: tuple[str | None, ...],
    outputs: tuple[str | None, ...],
    told: bytes,
    former: bool,
) -> tuple[NodeUse, ...]:
    """What the operator expands to by its own definition, with these types; empty where it does not.

    Its nodes are of the opset of the graph that they come into (onnxruntime core/graph/graph.cc, ``TryGetFunctionProto``).

    Args:
        former: as releases before 1.17 do it, by the definition that the operator came with.
    """
    schema = signature(domain, name, version)
    opset = _defined(schema, schema.since_version if former else version) if schema is not None else 0
    if not opset:
        return ()
    node = messages().NodeProto()
    node.ParseFromString(told)
    node.op_type, node.domain = name, domain
    node.input.extend(f"i{n}" if t != "" else "" for n, t in enumerate(inputs))
    node.output.extend(f"o{n}" if t != "" else "" for n, t in enumerate(outputs))
    function = _function(schema, node, opset, inputs)
    if function is None:
        return (UNKNOWN,)
    if schema.has_function and not former and not all(_unchanged(n.op_type, opset, version) for n in function.node):
        return ()
    walk = Walk({}, {})
    types: Types = dict(zip(function.input, inputs, strict=False))
    opsets = {domain_of(entry.domain): entry.version for entry in function.opset_import} | {domain: version}
    walk.nodes(_pairs(function), opsets, types, 1, Scope(None, []))
    return tuple(sorted(walk.uses, key=repr))


def _pairs(function: Any) -> Pairs:
    return [(message, node_of(message)) for message in function.node]


@lru_cache(maxsize=4096)
def _unchanged(name: str, opset: int, version: int) -> bool:
    """The operator means the same at both opsets: onnx/defs/schema.cc ``ValidateReferencedOpsInFuncton``."""
    then, now = signature("", name, opset), signature("", name, version)
    return then is None or now is None or bool(then.since_version == now.since_version)


@lru_cache(maxsize=4096)
def _expands(domain: str, name: str, version: int) -> bool:
    schema = signature(domain, name, version)
    return schema is not None and bool(_defined(schema, version))


def _defined(schema: Any, version: int) -> int:
    """The opset by which the operator is defined as a function at ``version``, or 0."""
    known = schema.function_opset_versions if schema.has_function else schema.context_dependent_function_opset_versions
    return max((v for v in known if v <= version), default=0)


def _function(schema: Any, node: Any, opset: int, inputs: tuple[str | None, ...]) -> Any:
    """Its definition of that opset with these types, or ``None`` where there is none for them."""
    try:
        if schema.has_function:
            data = schema.get_function_with_opset_version(opset)
        else:
            data = next(filter(None, (_built(schema, node, opset, inputs, rank) for rank in _RANKS)), b"")
    except (RuntimeError, ValueError, TypeError):
        return None
    if not data:
        return None
    function = messages().FunctionProto()
    function.ParseFromString(data)
    return function


def _built(schema: Any, node: Any, opset: int, inputs: tuple[str | None, ...], rank: int | None) -> bytes:
    """A definition that depends on types; some ask for a rank too, and no other one of theirs differs in operators."""
    types = []
    for told in inputs:
        proto = type_proto(told)
        if rank is not None and proto.HasField("tensor_type"):
            for _ in range(rank):
                proto.tensor_type.shape.dim.add()
        types.append(proto.SerializeToString())
    data: bytes = schema.get_context_dependent_function_with_opset_version(opset, node.SerializeToString(), types)
    return data
