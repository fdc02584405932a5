"""Which operators ONNX Runtime runs on an NVIDIA GPU, by the CUDA kernels each release has: ``cuda_kernels.json.gz``.

The table holds what the public GPU wheel of every release tells of itself (``tools/cuda_kernels.py``). What has no CUDA kernel
runs on the CPU provider, so this never decides whether a model loads. Not here: what the CPU provider implements (``kernels``).
"""

from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import Any

from promote.core.facts import NodeUse
from promote.core.kernels import NO_KERNEL, UNKNOWN, Kernels, Operators, bind, unpacked

TABLE = "cuda_kernels.json.gz"
_MOST = 100_000  # uses of operators whose place is remembered, as many models share them


class Place(Enum):
    """Where an operator runs."""

    GPU = "gpu"
    CPU = "cpu"
    EXPANDED = "expanded"  # a function without a kernel anywhere: what it expands to is placed
    UNKNOWN = "unknown"  # it does not load, or what it expands to is not known


class CudaTable:
    """The whole table; a release is made ready when it is first asked for."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._ready: dict[str, CudaKernels] = {}

    @cached_property
    def _table(self) -> dict[str, Any]:
        return unpacked(self._data, TABLE)

    def release(self, version: str) -> "CudaKernels | None":
        """The kernels of that release, or ``None`` where the table does not have it."""
        if version not in self._table["releases"]:
            return None
        if version not in self._ready:
            source = str(self._table["sources"][version]["source"])
            exact = source.endswith(f" {version}")
            self._ready[version] = CudaKernels(source, exact, Kernels(self._table, version))
        return self._ready[version]


@dataclass(frozen=True, slots=True)
class CudaKernels:
    """What one release implements on CUDA.

    Args:
        source: the wheel that said so, ``onnxruntime-gpu 1.24.4``.
        exact: it is the wheel of this very release, not of another patch release of its minor version.
        kernels: its kernels.
    """

    source: str
    exact: bool
    kernels: Kernels
    _placed: dict[NodeUse, Place] = field(default_factory=dict, compare=False, repr=False)
    _beside: dict[NodeUse, tuple[NodeUse, ...]] = field(default_factory=dict, compare=False, repr=False)
    _apart: dict[frozenset[NodeUse], tuple[NodeUse, ...]] = field(default_factory=dict, compare=False, repr=False)

    def apart(self, nodes: frozenset[NodeUse], cpu: Operators) -> tuple[NodeUse, ...]:
        """The nodes that are expanded, or leave something to the CPU, in a fixed order; found once for equal models."""
        if nodes not in self._apart:
            if len(self._apart) >= _MOST:
                self._apart.clear()
            found = [n for n in nodes if self.place(n, cpu) is Place.EXPANDED or self.on_cpu(n, cpu)]
            self._apart[nodes] = tuple(sorted(found, key=repr))
        return self._apart[nodes]

    def place(self, node: NodeUse, cpu: Operators) -> Place:
        """Where the node runs, found once for equal uses. Types that are not known fit everything, so nothing is said of them.

        Providers are asked in order, CUDA first; a function that none of them takes is expanded (onnxruntime
        core/framework/graph_partitioner.cc).
        """
        place = self._placed.get(node)
        if place is None:
            if len(self._placed) >= _MOST:
                self._placed.clear()
            place = self._placed[node] = self._place(node, cpu)
        return place

    def _place(self, node: NodeUse, cpu: Operators) -> Place:
        if node == UNKNOWN:
            return Place.UNKNOWN
        if node.name in NO_KERNEL:
            return Place.GPU  # a constant is put where it is used
        schema = cpu.schema(node.domain, node.name, node.version)
        if schema is None:
            return Place.EXPANDED if node.body else Place.UNKNOWN
        types, fault = bind(schema, node)
        if fault:
            return Place.UNKNOWN
        if self.kernels.serve(node, schema, types):
            return Place.GPU
        if cpu.kernels.serve(node, schema, types) or not node.body:
            return Place.CPU
        return Place.EXPANDED

    def on_cpu(self, node: NodeUse, cpu: Operators) -> tuple[NodeUse, ...]:
        """The operators of this use that run on the CPU provider: itself, or some that it expands to."""
        beside = self._beside.get(node)
        if beside is None:
            if len(self._beside) >= _MOST:
                self._beside.clear()
            beside = self._beside[node] = self._on_cpu(node, cpu)
        return beside

    def _on_cpu(self, node: NodeUse, cpu: Operators) -> tuple[NodeUse, ...]:
        found: dict[NodeUse, None] = {}
        waiting = [node]
        seen = set()
        while waiting:
            one = waiting.pop()
            if one in seen:
                continue
            seen.add(one)
            place = self.place(one, cpu)
            if place is Place.CPU:
                found[one] = None
            elif place is Place.EXPANDED:
                waiting += one.body
        return tuple(sorted(found, key=repr))
