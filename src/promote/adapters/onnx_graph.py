"""What is wrong with a graph itself, whatever the operators: names that nothing makes, or that are made twice, cycles.

ONNX Runtime refuses such a graph in every release while it reads it. Sources: onnxruntime core/graph/graph.cc
(``InitializeStateFromModelFileGraphProto``, ``BuildConnections``, ``PerformTopologicalSortAndCheckIsAcyclic``,
``VerifyInputAndInitializerNames``) and, for subgraphs, onnx/checker.cc ``check_graph``. Not here: types (``onnx_nodes``).
"""

from collections.abc import Iterable, Sequence
from typing import Any

from promote.adapters.onnx_parts import Node, Value, domain_of, element_of
from promote.core.names import printable

_MOST = 5  # flaws that are told
Pairs = list[tuple[Any, Node]]
Types = dict[str, str | None]


class Scope:
    """Names of a graph, and what is wrong with them.

    Args:
        outer: of the graph around it; ``None`` for the model's own and for a function's.
        flaws: where flaws are told, shared by all graphs of a model.
        caller: of the graph that calls this function.
    """

    __slots__ = ("_caller", "_flaws", "_outer", "_seen", "made", "reached", "results")

    def __init__(self, outer: "Scope | None", flaws: list[str], caller: "Scope | None" = None) -> None:
        self._outer, self._flaws, self._caller = outer, flaws, caller
        self.made: set[str] = set()
        self.results: frozenset[str] = frozenset()
        self.reached: set[str] = set()
        self._seen = self.made

    @property
    def nested(self) -> bool:
        """Of a graph inside a node."""
        return self._outer is not None

    def flaw(self, told: str) -> None:
        """Tells a flaw, unless there are many already."""
        if len(self._flaws) < _MOST:
            self._flaws.append(told)

    def given(self, inputs: Sequence[Value], tensors: set[str]) -> None:
        """The graph's inputs and its initializers, which may give an input its default."""
        for value in inputs:
            if value.name in self.made:
                self.flaw(f"two inputs are named {_quoted(value.name)}")
            elif value.type is None and self._outer is None and value.name not in tensors:
                self.flaw(f"the input {_quoted(value.name)} has no type")
            self.made.add(value.name)
        self.made.update(tensors)

    def order(self, pairs: Pairs) -> Pairs:
        """The nodes so that each comes after those it reads, which only the model's own graph need not say itself."""
        names: set[str] = set()
        for _, node in pairs:
            if node.label and node.label in names:
                self.flaw(f"two nodes are named {_quoted(node.label)}")
            names.add(node.label)
        seen = set(self.made)
        self.reached = set(self.made)
        sorted_already = True
        for _, node in pairs:
            if sorted_already:
                for name in node.inputs:
                    if name and name not in seen and not self._around(name):
                        sorted_already = False
                        break
            for name in node.outputs:
                if name and (name in seen or (self._outer and self._before(name))) and not _constant(node):
                    self.flaw(f"{_quoted(name)} is made twice")
                seen.add(name)
        self._seen = seen
        return pairs if sorted_already else self._sort(pairs, seen)

    def _around(self, name: str) -> bool:
        """A graph around this one has the name, wherever in it.

        A function's own nodes come into the graph that calls it, and read its names; graphs inside them do not.
        """
        if self._caller is not None:
            return name in self._caller._seen or self._caller._around(name)
        at = self._outer
        while at is not None:
            if name in (at._seen if at._caller is None else at.reached):
                return True
            at = at._outer
        return False

    def _before(self, name: str) -> bool:
        """A graph around this one has the name before the node that holds this graph, which may not make it again."""
        at = self._outer
        while at is not None:
            if name in at.reached:
                return True
            at = at._outer
        return False

    def _sort(self, pairs: Pairs, seen: set[str]) -> Pairs:
        """The model's own graph sorted; what cannot be is a flaw, and stays where it is."""
        missing = [n for _, node in pairs for n in node.inputs if n and n not in seen and not self._around(n)]
        if missing:
            self.flaw(f"nothing makes {_quoted(missing[0])}, which a node reads")
            return pairs
        if self._outer is not None or self._caller is not None:
            self.flaw(f"a {'function' if self._caller else 'subgraph'} reads a value before it is made")
            return pairs
        maker = {name: at for at, (_, node) in enumerate(pairs) for name in node.outputs if name}
        waits = [{maker[n] for n in node.inputs if n in maker and n not in self.made} for _, node in pairs]
        readers: dict[int, list[int]] = {}
        for at, makers in enumerate(waits):
            for one in makers:
                readers.setdefault(one, []).append(at)
        ready = [at for at, makers in enumerate(waits) if not makers]
        done: list[int] = []
        while ready:
            done.append(at := ready.pop())
            for reader in readers.get(at, ()):
                waits[reader].discard(at)
                if not waits[reader]:
                    ready.append(reader)
        if len(done) < len(pairs):
            self.flaw("nodes read each other's results in a circle")
            return pairs
        return [pairs[at] for at in done]

    def returned(self, outputs: Sequence[Value]) -> None:
        """The graph's outputs: made here, as even a subgraph may not hand out a value of the graph around it."""
        self.results = frozenset([value.name for value in outputs])
        for value in outputs:
            if value.name not in self._seen:
                self.flaw(f"nothing makes the output {_quoted(value.name)}")

    def fed(self, node: Node, inputs: Sequence[Value], given: Sequence[str | None], tensors: set[str]) -> Types:
        """Types of the inputs of a node's graph: those the node gives it, held to the declared ones.

        Args:
            node: a Loop, Scan or SequenceMap, of which this is the body.
            inputs: the body's.
            given: types, a value for each input or for each that is no initializer.
            tensors: names of initializers.

        Source: onnxruntime core/graph/graph.cc ``InferAndVerifySubgraphTypes``, "Size mismatch validating subgraph inputs",
        "Tensor element type mismatch", and "does not have type information".
        """
        required = [value for value in inputs if value.name not in tensors]
        if len(given) not in (len(inputs), len(required)):
            self.flaw(f"a {node.name} gives its graph {len(given)} inputs, which has {len(inputs)}")
            return {}
        told: Types = {}
        for value, kind in zip(inputs if len(given) == len(inputs) else required, given, strict=True):
            if value.type and kind and value.type != kind:
                self.flaw(f"a {node.name} gives {kind} to its input {_quoted(value.name)}, declared {value.type}")
            elif kind == "" and not value.type:
                self.flaw(f"the input {_quoted(value.name)} of a {node.name}'s graph has no type")
            told[value.name] = kind or None
        return told

    def handed(self, node: Node, given: Sequence[str | None], inside: Sequence[Sequence[str | None]]) -> None:
        """What the graphs in an If, Loop or Scan hand out: as many values as it has outputs, a Loop's state of one type.

        Source: onnx/defs/controlflow, "Graph attribute inferencing returned type information for N outputs".
        """
        count = len(inside[0]) - (1 if node.name == "Loop" else 0)  # its condition first
        if count != len(node.outputs):
            self.flaw(f"{node.name} has {len(node.outputs)} outputs, its graph hands out {count}")
        elif node.name == "Loop":
            for before, after in zip(given[2:], inside[0][1:], strict=False):
                if (
                    before
                    and after
                    and before != after
                    and before.startswith("tensor(")
                    and after.startswith("tensor(")
                ):
                    self.flaw(f"a Loop's state is {before} at first, and its graph makes {after} of it")

    def make(self, node: Node, types: Types, told: Sequence[str | None]) -> None:
        """The node's outputs, with the types its operator gives them, held to the declared ones.

        Source: onnxruntime core/graph/graph.cc ``InferAndVerifyTypeMatch``, "does not match expected type".
        """
        self.reached.update(node.outputs)
        if _constant(node) and not any(told):
            self.flaw("a Constant has no value")
        for name, given in zip(node.outputs, told, strict=False):
            if given and name:
                declared = (
                    None if _constant(node) else dict.get(types, name)
                )  # not one of the graph around it that has the same name
                if declared and declared != given:
                    self.flaw(f"{printable(node.name, 60)} makes {given}, and {_quoted(name)} is declared {declared}")
                types[name] = given


def _constant(node: Node) -> bool:
    """It becomes an initializer before names and types are looked at, whatever its domain."""
    return node.name == "Constant"


def of_functions(flaws: list[str], functions: Iterable[Any]) -> None:
    """What is wrong with functions of the model whether they are called or not.

    Source: onnxruntime core/graph/model.cc ``ValidateFunctionNodeCounts``, "No opset registered for domain", and
    function_utils.cc ``CreateSchema``: each output is one of a node, named once.
    """
    scope = Scope(None, flaws)
    for function in functions:
        name = _quoted(function.name)
        made = {str(out) for node in function.node for out in node.output}
        for out in function.output:
            if out not in made:
                scope.flaw(f"nothing makes the output {_quoted(out)} of the function {name}")
            made.discard(out)
        known = {domain_of(entry.domain) for entry in function.opset_import}
        for domain in {domain_of(node.domain) for node in function.node} - known:
            scope.flaw(f"the function {name} uses operators of {domain or 'ai.onnx'} without importing an opset of it")


def twins(scope: Scope, tensors: Iterable[Any]) -> None:
    """Initializers of one name: the last one counts, and the others have its type and shape (onnxruntime core/graph/graph.cc)."""
    held: dict[str, tuple[int, list[int]]] = {}
    for tensor in tensors:
        told = (tensor.data_type, list(tensor.dims))
        if held.setdefault(tensor.name, told) != told:
            scope.flaw(f"two initializers named {_quoted(tensor.name)} differ in type or shape")


def defaults(scope: Scope, inputs: Sequence[Any], tensors: Sequence[Any]) -> None:
    """Inputs that have a default: it must have their type and shape (onnxruntime core/graph/graph.cc)."""
    held = {tensor.name: tensor for tensor in tensors}
    for value in inputs:
        tensor = held.get(value.name)
        if tensor is None or not value.type.HasField("tensor_type"):
            continue
        declared = value.type.tensor_type
        if declared.elem_type != tensor.data_type:
            scope.flaw(
                f"the initializer {_quoted(value.name)} is {element_of(tensor.data_type)}, "
                f"declared {element_of(declared.elem_type)}"
            )
        elif declared.HasField("shape"):
            dims = declared.shape.dim
            fits = len(dims) == len(tensor.dims) and all(
                not d.HasField("dim_value") or d.dim_value == n for d, n in zip(dims, tensor.dims, strict=True)
            )
            if not fits:
                scope.flaw(f"the initializer {_quoted(value.name)} has another shape than is declared")


def _quoted(name: str) -> str:
    return repr(printable(str(name), 60))
