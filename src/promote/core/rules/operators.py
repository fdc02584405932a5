"""The rule about operators: does the runtime implement what the model's nodes ask for."""

from promote.core.facts import NodeUse
from promote.core.kernels import Kernels, Operators
from promote.core.names import printable
from promote.core.rules.case import Answer, Case, finding, may_use_gpu, no_model_fact, of_onnx, rule
from promote.core.verdict import Outcome

_MOST = 5
_NO_ELEMENT = ("SEQUENCE", "MAP", "OPTIONAL", "OPAQUE_TYPE", "SPARSE_TENSOR_TYPE", "UNDEFINED")
ROW = "operator_kernels.json.gz"


def _applies(case: Case) -> bool:
    return of_onnx(case) and case.matrix.kernels is not None


@rule(
    "operators",
    title="The runtime implements every operator, for the types it is used with",
    source="schemas and kernels that the public wheel of each ONNX Runtime release tells of itself (tools/kernels.py)",
    applies=_applies,
    remedy="promote model RUN --opset N with a lower N, or log the run again after model.float()",
)
def operators(case: Case) -> Answer:
    """An opset the runtime knows is not enough: a kernel may be missing for a type, and signatures must fit.

    Judged by the CPU provider's kernels, to which every other provider falls back, and on a GPU by those of the CUDA provider
    too; what an operator expands to counts where it has no kernel of its own. A release without a row in the table is not judged.
    """
    if case.model.nodes is None:
        return no_model_fact("operators")
    release = _release(case)
    if release is None:
        return None  # the rules about opset and IR version say what is known of this release
    version, implemented = release
    if beyond := _beyond(case, version, implemented):
        return beyond
    faults = implemented.faults(case.model.nodes.value)
    # the host's GPUs are asked last: an answer that rests on fewer facts is found for more hosts at once
    if faults and (gpu := _gpu(case, version)):
        faults = implemented.beside(gpu).faults(case.model.nodes.value)
    if not faults:
        return finding(Outcome.OK, f"{len(case.model.nodes.value)} uses of operators", case.model.nodes,
                       label=f"onnxruntime {version} of {ROW}")  # fmt: skip
    return tuple(
        finding(Outcome.BROKEN, f"{_name(node)}: {printable(why, 200)}", case.model.nodes,
                needs="an implementation of this version for these types", label=f"onnxruntime {version} of {ROW}")
        for node, why in faults[:_MOST]
    )  # fmt: skip


def _beyond(case: Case, version: str, implemented: Operators) -> Answer:
    """Opsets of the runtime's own domains, and element types, that the release does not have.

    Source: onnxruntime core/graph/model_load_utils.h ``ValidateOpsetForDomain``; core/framework/data_types.cc.
    """
    label = f"onnxruntime {version} of {ROW}"
    opsets = case.model.opsets
    for domain, opset in sorted(opsets.value.items()) if opsets else ():
        newest = implemented.newest(domain)
        if newest is not None and opset > newest:
            has = f"opset {opset} of {printable(domain, 60)}"
            return finding(Outcome.BROKEN, has, opsets, needs=f"opset {newest} or lower", label=label)
    dtypes = case.model.dtypes
    for dtype in sorted(dtypes.value) if dtypes else ():
        if dtype not in _NO_ELEMENT and not implemented.holds(dtype.lower()):
            return finding(Outcome.BROKEN, f"tensors of {dtype.lower()}", dtypes, needs="a type it has", label=label)
    return None


@rule(
    "onnx-graph",
    title="The graph is whole: every value is made once, before it is read, as it is declared; every tensor has its values",
    source="onnxruntime core/graph/graph.cc; onnx/checker.cc for subgraphs; measured in 1.16.3 to 1.32.0",
    applies=of_onnx,
    remedy="onnx.checker.check_model tells where; export again, or mend what edited the file",
)
def onnx_graph(case: Case) -> Answer:
    """ONNX Runtime reads a graph strictly, in every release: a name that nothing makes or that is made twice, nodes that
    read each other in a circle, a value declared with another type than its operator gives it, a tensor with more or fewer
    values than its shape asks for. It loads none of these.
    """
    flaws = case.model.flaws
    if flaws is None:
        return None  # before the export, and in passports of former times
    broken = tuple(
        finding(Outcome.BROKEN, printable(flaw, 200), flaws, needs="a graph without it") for flaw in flaws.value
    )
    return broken or finding(Outcome.OK, "every value is made once and read as it is declared", flaws)


def _release(case: Case) -> tuple[str, Operators] | None:
    fact, kernels = case.target.host.onnxruntime, case.matrix.kernels
    found = case.matrix.onnxruntime(fact.value) if fact else None
    if found is None or kernels is None:
        return None
    implemented = kernels.release(found[0].version)
    return (found[0].version, implemented) if implemented else None


def _gpu(case: Case, version: str) -> Kernels | None:
    """The CUDA provider's kernels, where the model may run on it."""
    found = case.matrix.cuda.release(version) if case.matrix.cuda is not None and may_use_gpu(case) else None
    return found.kernels if found else None


def _name(node: NodeUse) -> str:
    domain = f"{printable(node.domain, 40)}." if node.domain else ""
    return f"{domain}{printable(node.name, 60)} of opset {node.version}"
