"""The rule about where operators run on a host with a GPU: on it, or beside it on the CPU with copies in between."""

from collections.abc import Mapping
from dataclasses import replace

from promote.core.facts import NodeUse
from promote.core.kernels import Operators
from promote.core.names import printable
from promote.core.placement import TABLE, CudaKernels, Place
from promote.core.rules.case import Answer, Case, finding, may_use_gpu, of_onnx, rule
from promote.core.verdict import Finding, Outcome

_MOST = 5
# What shapes, indices and conditions are made of.
_WHOLE = frozenset({"", "tensor(int64)", "tensor(int32)", "tensor(bool)"})


def _applies(case: Case) -> bool:
    return may_use_gpu(case) and of_onnx(case) and case.matrix.kernels is not None and case.matrix.cuda is not None


@rule(
    "operators-placement",
    title="Every operator runs on the GPU, for the types it is used with",
    source="the CUDA provider's kernels as each release's public GPU wheel tells them (tools/cuda_kernels.py); "
    "what is left on the CPU on purpose: onnxruntime core/framework/fallback_cpu_capability.cc, GetCpuPreferredNodes",
    applies=_applies,
    remedy="export it in fp32 or with another opset, leave it to the caller (pre- or post-processing), or accept the copies",
)
def operators_placement(case: Case) -> Answer:
    """What has no CUDA kernel runs on the CPU, and its tensors are copied from the GPU and back at every request.

    It loads all the same, so this never refuses. A function that has no kernel anywhere is expanded, and what it expands
    to is placed. Shape computations are left out: ONNX Runtime keeps Shape, Size and the small whole numbers that follow from
    them on the CPU on purpose, whatever kernels there are. Its fusions are not foreseen: a fused operator may have a kernel
    where its parts have none. A release without a row in the table is not judged.
    """
    nodes, release = case.model.nodes, _release(case)
    if nodes is None or release is None:
        return None  # the rule `operators` says so
    version, cpu, cuda = release
    tally = case.model.tally.value if case.model.tally else {}
    beside: dict[str, list[NodeUse]] = {}
    expanded: dict[str, None] = {}
    for node in cuda.apart(nodes.value, cpu):
        if cuda.place(node, cpu) is Place.EXPANDED:
            expanded[printable(node.name, 40)] = None
        left = [one for one in cuda.on_cpu(node, cpu) if not _of_shapes(one, tally)]
        for one in left:
            name = _name(one) if one == node else f"{_name(one)}, which {printable(node.name, 40)} expands to"
            beside.setdefault(name, []).append(one)
    label, confidence = f"onnxruntime {version} of {TABLE}", "high" if cuda.exact else "medium"

    def said(outcome: Outcome, has: str, needs: str = "") -> Finding:
        made = finding(outcome, has, nodes, needs=needs, label=label)
        return replace(made, source=f"the CUDA kernels that {cuda.source} tells", confidence=confidence)

    if not beside:
        more = f"; expanded: {', '.join(list(expanded)[:_MOST])}" if expanded else ""
        return said(Outcome.OK, f"{len(nodes.value)} uses of operators, none left to the CPU but for shapes{more}")
    needs = "a CUDA kernel of this version for these types; without one it runs on the CPU, with copies around it"
    told = [said(Outcome.DEGRADED, _uses(name, uses, tally), needs) for name, uses in list(beside.items())[:_MOST]]
    if len(beside) > _MOST:
        told.append(said(Outcome.DEGRADED, f"{len(beside) - _MOST} more operators", needs))
    return tuple(told)


def _release(case: Case) -> tuple[str, Operators, CudaKernels] | None:
    fact, kernels, cuda = case.target.host.onnxruntime, case.matrix.kernels, case.matrix.cuda
    found = case.matrix.onnxruntime(fact.value) if fact else None
    if found is None or kernels is None or cuda is None:
        return None
    version = found[0].version
    cpu, gpu = kernels.release(version), cuda.release(version)
    return (version, cpu, gpu) if cpu and gpu else None


def _of_shapes(node: NodeUse, tally: Mapping[str, tuple[int, int]]) -> bool:
    """All nodes of this operator compute shapes, as far as these types are used."""
    if not all(kind in _WHOLE for kind in (*node.inputs, *node.outputs)):
        return False
    nodes, shapes = tally.get(f"{node.domain}:{node.name}", (0, 0))
    return 0 < nodes == shapes


def _uses(name: str, uses: list[NodeUse], tally: Mapping[str, tuple[int, int]]) -> str:
    """``NonMaxSuppression of opset 11 for tensor(float) and tensor(int64), 2 nodes``."""
    kinds = sorted({kind for use in uses for kind in (*use.inputs, *use.outputs) if kind})
    nodes, shapes = tally.get(f"{uses[0].domain}:{uses[0].name}", (0, 0))
    count = f"{nodes - shapes} node{'s' if nodes - shapes != 1 else ''}" if nodes > shapes else f"{len(uses)} uses"
    return f"{name} for {printable(' and '.join(kinds), 120) or 'any type'}, {count}"


def _name(node: NodeUse) -> str:
    domain = f"{printable(node.domain, 40)}." if node.domain else ""
    return f"{domain}{printable(node.name, 60)} of opset {node.version}"
