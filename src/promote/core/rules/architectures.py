"""The rule about the GPUs that a release's ONNX Runtime was compiled for. Triton and TensorRT have rules of their own."""

from promote.core.matrix_rows import OnnxRuntimeBuild, numbers
from promote.core.rules.case import Answer, Case, finding, of_onnx, on_gpu, rule
from promote.core.verdict import Outcome


def _applies(case: Case) -> bool:
    return on_gpu(case) and of_onnx(case)


@rule(
    "onnxruntime-gpu",
    title="The release's ONNX Runtime holds code for the GPU",
    source="onnxruntime_backend tools/gen_ort_dockerfile.py CMAKE_CUDA_ARCHITECTURES, row `onnxruntime_builds`",
    applies=_applies,
    remedy="use a Triton release that was compiled for this GPU, or one of the GPUs it was compiled for",
)
def onnxruntime_gpu(case: Case) -> Answer:
    """CUDA code runs on the architecture it was compiled for and on later ones of the same major version; what was kept as PTX is
    compiled anew by the driver on newer GPUs, which makes the first load slow. A GPU without either has no kernel to run.

    A release without a row is not judged: what it was compiled for was not published where promote looked.
    """
    capability, release, arch = case.target.host.compute_capability, case.target.host.triton, case.target.host.arch
    if capability is None or release is None or arch is None or not case.device:
        return None  # the rules `compute-capability` and `triton-release` say so
    row = next((r for r in case.matrix.tables.onnxruntime_builds if _of(r, release.value, arch.value)), None)
    if row is None:
        return None
    has, wanted = f"compute capability {capability.value}", numbers(capability.value)
    needs = f"one of {', '.join(row.architectures)}"
    if any(_native(one, wanted) for one in row.architectures):
        return finding(Outcome.OK, has, capability, needs=needs, row=row)
    if any(one.isdecimal() and _number(one) < wanted for one in row.architectures):
        return finding(
            Outcome.DEGRADED,
            has,
            capability,
            needs=f"{needs}: the driver compiles the kernels anew at the first load",
            row=row,
        )
    return finding(Outcome.BROKEN, has, capability, needs=needs, row=row)


def _of(row: OnnxRuntimeBuild, release: str, arch: str) -> bool:
    return row.arch == arch and numbers(row.since) <= numbers(release) and (
        row.until is None or numbers(release) <= numbers(row.until)
    )  # fmt: skip


def _number(architecture: str) -> tuple[int, int]:
    """``120f`` as a compute capability, (12, 0)."""
    digits = architecture.partition("-")[0].removesuffix("f")
    return int(digits[:-1]), int(digits[-1])


def _native(architecture: str, capability: tuple[int, ...]) -> bool:
    """Source: CUDA C++ programming guide, binary compatibility: within a major version, upwards; families alike."""
    major, minor = _number(architecture)
    return capability[0] == major and capability[1] >= minor
