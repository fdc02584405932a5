"""Rules about a TensorRT plan, which loads only where it was built, or nearly there."""

from promote.core.names import printable
from promote.core.rules.case import Answer, Case, finding, no_host_fact, no_model_fact, of_plan, rule
from promote.core.verdict import Outcome

_REBUILD = "build the plan on the target, inside its Triton container; or promote ONNX"


@rule(
    "plan-arch",
    title="The plan was built on the target's CPU architecture",
    source="NVIDIA/TensorRT include/NvInfer.h RuntimePlatform",
    applies=of_plan,
    remedy=_REBUILD,
)
def plan_arch(case: Case) -> Answer:
    """A plan is bound to the builder's operating system and CPU: one built on a DGX Spark never loads on x86_64."""
    row, arch, host = case.matrix.plan_rule("platform"), case.model.arch, case.target.host.arch
    if arch is None:
        return no_model_fact("build architecture", "a plan does not hold it: record it when the plan is built")
    if host is None:
        return no_host_fact(case, "arch", f"as the plan was built on {printable(arch.value, 20)}")
    outcome = Outcome.OK if arch.value == host.value else Outcome.BROKEN
    return finding(outcome, f"built on {printable(arch.value, 20)}", arch, needs=host.value, row=row)


@rule(
    "plan-version",
    title="The plan was built by the target's TensorRT",
    source="https://docs.nvidia.com/deeplearning/tensorrt/latest/reference/support-policies.html",
    applies=of_plan,
    remedy=_REBUILD,
)
def plan_version(case: Case) -> Answer:
    """All four numbers of the version count, the build included."""
    row, version, host = case.matrix.plan_rule("version"), case.model.tensorrt, case.target.host.tensorrt
    if version is None:
        return no_model_fact("TensorRT version")
    if host is None:
        return no_host_fact(case, "tensorrt", f"as the plan was built by {printable(version.value, 20)}")
    outcome = Outcome.OK if version.value == host.value else Outcome.BROKEN
    if outcome is Outcome.BROKEN and version.value.startswith(f"{host.value}."):
        outcome = Outcome.UNKNOWN  # the matrix knows fewer numbers than count
    return finding(outcome, f"built by TensorRT {printable(version.value, 20)}", version, needs=host.value, row=row)


@rule(
    "plan-gpu",
    title="The plan was built on a GPU of the target's compute capability",
    source="NVIDIA/TensorRT include/NvInfer.h HardwareCompatibilityLevel",
    applies=of_plan,
    remedy=_REBUILD,
)
def plan_gpu(case: Case) -> Answer:
    """Kernels inside a plan are for one compute capability, unless it was built for more."""
    row, built, host = (
        case.matrix.plan_rule("hardware"),
        case.model.compute_capability,
        case.target.host.compute_capability,
    )
    if built is None:
        return no_model_fact("build GPU", "a plan does not hold it: record it when the plan is built")
    if host is None:
        return no_host_fact(case, "gpu", f"as the plan was built for compute capability {built.value}")
    outcome = Outcome.OK if built.value == host.value else Outcome.BROKEN
    has = f"built for compute capability {printable(built.value, 10)}"
    return finding(outcome, has, built, needs=host.value, row=row)
