"""The rule about operators: does the runtime implement what the model's nodes ask for."""

from promote.core.facts import NodeUse
from promote.core.kernels import Operators
from promote.core.names import printable
from promote.core.rules.case import Answer, Case, finding, no_model_fact, of_onnx, rule
from promote.core.verdict import Outcome

_MOST = 5
ROW = "operator_kernels.json.gz"


def _applies(case: Case) -> bool:
    return of_onnx(case) and case.matrix.kernels is not None


@rule(
    "operators",
    title="The runtime implements every operator, for the types it is used with",
    source="schemas and kernels that the public wheel of each ONNX Runtime release tells of itself (tools/kernels.py)",
    applies=_applies,
    remedy="export in fp32, with a lower opset, or without the operator named",
)
def operators(case: Case) -> Answer:
    """An opset the runtime knows is not enough: a kernel may be missing for a type, and signatures must fit.

    Judged by the CPU provider's kernels, to which every other provider falls back; what an operator expands to counts
    where it has no kernel of its own. A release without a row in the table is not judged.
    """
    if case.model.nodes is None:
        return no_model_fact("operators")
    release = _release(case)
    if release is None:
        return None  # the rules about opset and IR version say what is known of this release
    version, implemented = release
    broken = [(node, why) for node in case.model.nodes.value if (why := implemented.fault(node))]
    faults = sorted(broken, key=lambda fault: repr(fault[0]))
    if not faults:
        return finding(Outcome.OK, f"{len(case.model.nodes.value)} uses of operators", case.model.nodes,
                       label=f"onnxruntime {version} of {ROW}")  # fmt: skip
    return tuple(
        finding(Outcome.BROKEN, f"{_name(node)}: {printable(why, 200)}", case.model.nodes,
                needs="an implementation of this version for these types", label=f"onnxruntime {version} of {ROW}")
        for node, why in faults[:_MOST]
    )  # fmt: skip


def _release(case: Case) -> tuple[str, Operators] | None:
    fact, kernels = case.target.host.onnxruntime, case.matrix.kernels
    found = case.matrix.onnxruntime(fact.value) if fact else None
    if found is None or kernels is None:
        return None
    implemented = kernels.release(found[0].version)
    return (found[0].version, implemented) if implemented else None


def _name(node: NodeUse) -> str:
    domain = f"{printable(node.domain, 40)}." if node.domain else ""
    return f"{domain}{printable(node.name, 60)} of opset {node.version}"
