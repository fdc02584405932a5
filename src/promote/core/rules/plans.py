"""Rules about a TensorRT plan, which loads only where it was built, or nearly there."""

from promote.core.facts import Fact
from promote.core.matrix_rows import numbers
from promote.core.names import printable
from promote.core.rules.case import Answer, Case, finding, no_host_fact, no_model_fact, of_plan, rule
from promote.core.verdict import Finding, Outcome

_REBUILD = (
    "build the plan on the target, inside its Triton container: "
    "trtexec --onnx=model.onnx --saveEngine=model.plan; or promote ONNX"
)
_RECORD = "a plan does not hold it: record it when the plan is built"


@rule(
    "plan-arch",
    title="The plan was built on the target's CPU architecture",
    source="NVIDIA/TensorRT include/NvInfer.h RuntimePlatform",
    applies=of_plan,
    remedy=_REBUILD,
)
def plan_arch(case: Case) -> Answer:
    """A plan is bound to the builder's operating system and CPU: one built on a DGX Spark never loads on x86_64."""
    return _platform(case, case.model.arch, case.target.host.arch, "build architecture", word="on", key="arch")


def _platform(
    case: Case, built: Fact[str] | None, host: Fact[str] | None, what: str, *, word: str, key: str
) -> Finding:
    """What the plan was built ``word``, against the host's; ``key`` is what to declare where that is not known."""
    row = case.matrix.plan_rule("platform")
    if built is None:
        return no_model_fact(what, _RECORD)
    has = f"built {word} {printable(built.value, 20)}"
    if host is None:
        return no_host_fact(case, key, f"as the plan was {has}")
    outcome = Outcome.OK if built.value == host.value else Outcome.BROKEN
    return finding(outcome, has, built, needs=host.value, row=row)


@rule(
    "plan-os",
    title="The plan was built for the target's operating system",
    source="NVIDIA/TensorRT include/NvInfer.h RuntimePlatform",
    applies=of_plan,
    remedy=_REBUILD,
)
def plan_os(case: Case) -> Answer:
    """The operating system counts like the CPU; ``os`` is the one the plan was built for, not always the builder's."""
    host = case.target.host.os
    if host is None and case.target.host.triton is not None:
        host = Fact("linux", "Triton's containers are Linux")
    return _platform(case, case.model.os, host, "operating system", word="for", key="triton")


@rule(
    "plan-version",
    title="The plan was built by the target's TensorRT",
    source="https://docs.nvidia.com/deeplearning/tensorrt/latest/reference/support-policies.html",
    applies=of_plan,
    remedy=_REBUILD,
)
def plan_version(case: Case) -> Answer:
    """All four numbers of the version count, the build included, unless the plan was built version-compatible.

    Such a plan loads on a newer TensorRT of the same major version, and only where Triton was started to allow it.
    """
    row, version, host = case.matrix.plan_rule("version"), case.model.tensorrt, case.target.host.tensorrt
    if version is None:
        return no_model_fact("TensorRT version")
    if host is None:
        return no_host_fact(case, "tensorrt", f"as the plan was built by {printable(version.value, 20)}")
    has, built, runs = f"built by TensorRT {printable(version.value, 20)}", numbers(version.value), numbers(host.value)
    if len(built) != 4 or len(runs) != 4:  # somebody knows fewer numbers than count
        same = all(a == b for a, b in zip(built, runs, strict=False))
        if same:
            return finding(Outcome.UNKNOWN, has, version, needs=f"all four numbers of {host.value}", row=row)
    elif built == runs:
        return finding(Outcome.OK, has, version, needs=host.value, row=row)
    if built[:1] != runs[:1] or built > runs or built < (8, 6):
        return finding(Outcome.BROKEN, has, version, needs=host.value, row=row)
    return _compatible(case, has, version, host)


def _allowed(case: Case) -> bool | None:
    flag = case.target.host.version_compatible_plans
    return None if flag is None else flag.value


def _compatible(case: Case, has: str, version: Fact[str], host: Fact[str]) -> Finding:
    """A plan of an older TensorRT of the same major version."""
    row, wish = case.matrix.plan_rule("version_compatible"), case.model.version_compatible
    flag = "--backend-config=tensorrt,version-compatible=true"
    if wish is None:
        needs = f"{host.value}, or a plan built with BuilderFlag.VERSION_COMPATIBLE: {_RECORD}"
        return finding(Outcome.UNKNOWN, has, version, needs=needs, row=row)
    if not wish.value:
        return finding(Outcome.BROKEN, has, version, needs=host.value, row=case.matrix.plan_rule("version"))
    if _allowed(case) is None:
        return no_host_fact(case, "version_compatible_plans", f"whether Triton runs with {flag}")
    if not _allowed(case):
        remedy = f"start tritonserver with {flag}, and declare version_compatible_plans = true"
        return finding(Outcome.BROKEN, f"{has}, version-compatible", version, needs=flag, row=row, remedy=remedy)
    return finding(Outcome.OK, f"{has}, version-compatible", version, needs=host.value, row=row)


@rule(
    "plan-gpu",
    title="The plan was built on a GPU of the target's compute capability",
    source="NVIDIA/TensorRT include/NvInfer.h HardwareCompatibilityLevel",
    applies=of_plan,
    remedy=_REBUILD,
)
def plan_gpu(case: Case) -> Answer:
    """Kernels inside a plan are for one compute capability, unless it was built with level AMPERE_PLUS.

    Such a plan runs on 8.0 and higher, but not on Jetson; without the level, another model of the same capability may
    still be slower than the one it was tuned on.
    """
    model, host = case.model, case.target.host.compute_capability
    row, built, level = case.matrix.plan_rule("hardware"), model.compute_capability, model.hardware_level
    if built is None:
        return no_model_fact("build GPU", _RECORD)
    if host is None:
        return no_host_fact(case, "gpu", f"as the plan was built for compute capability {built.value}")
    has = f"built for compute capability {printable(built.value, 10)}"
    if built.value == host.value:
        return finding(Outcome.OK, has, built, needs=host.value, row=row)
    both = min(numbers(built.value), numbers(host.value)) >= (8, 0)
    if not both or (level is not None and level.value != "ampere_plus"):
        return finding(Outcome.BROKEN, has, built, needs=host.value, row=row)
    jetson = any(g.kind == "jetson" and g.compute_capability == host.value for g in case.matrix.tables.gpus)
    if level is None or jetson:
        needs = f"{host.value}, or the level AMPERE_PLUS" + (", which is not for Jetson" if jetson else f": {_RECORD}")
        return finding(Outcome.UNKNOWN, has, built, needs=needs, row=row)
    return finding(Outcome.OK, f"{has} and higher (AMPERE_PLUS)", built, needs=host.value, row=row)
