"""Rules about TensorRT as a builder and as a runtime of its own: GPUs, the ONNX parser, and precision.

They apply to a plan, and to an ONNX model of which TensorRT shall make one: by hand (``builder_flags``) or at load,
by the accelerator that config.pbtxt asks for. Then they advise only: ONNX Runtime keeps what TensorRT refuses.
"""

from typing import Any

from promote.core.matrix_rows import TensorRTHardware, TensorRTOpset, TritonRelease, numbers
from promote.core.names import printable
from promote.core.rules.case import Answer, Case, finding, no_host_fact, no_row, of_onnx, of_plan, rule
from promote.core.rules.remedies import newest
from promote.core.verdict import Outcome

_WEAK = ("fp16", "bf16", "int8", "fp8", "int4", "fp4")
_DOCS = "NVIDIA/TensorRT CHANGELOG.md; onnx-tensorrt docs/operators.md of each release"


def _accelerators(case: Case) -> list[Any]:
    """The TensorRT accelerators that config.pbtxt asks ONNX Runtime for."""
    if case.config is None:
        return []
    return [
        a for a in case.config.optimization.execution_accelerators.gpu_execution_accelerator if a.name == "tensorrt"
    ]


def _to_build(case: Case) -> bool:
    return (
        of_onnx(case) and not case.target.bare and (case.model.builder_flags is not None or bool(_accelerators(case)))
    )


def _covers(row: TensorRTHardware | TensorRTOpset, version: str) -> bool:
    """Of the numbers that the row gives, not of those after them."""
    have, since = numbers(version), numbers(row.since)
    until = numbers(row.until) if row.until else None
    return have[: len(since)] >= since and (until is None or have[: len(until)] <= until)


@rule(
    "plan-tensorrt-gpu",
    title="The target's TensorRT knows the target's GPU",
    source="TensorRT support matrices and release notes, row `tensorrt_hardware`",
    applies=of_plan,
    remedy="use the Triton release that the finding names, or promote ONNX",
)
def tensorrt_gpu(case: Case) -> Answer:
    """TensorRT drops old GPUs and learns new ones on its own calendar: no V100 from 10.5 on, no RTX 50 before 10.8."""
    version, gpu = case.target.host.tensorrt, case.target.host.compute_capability
    if version is None:
        return no_host_fact(case, "tensorrt", "for the GPUs it knows")
    if gpu is None:
        return no_host_fact(case, "gpu", f"for TensorRT {version.value}")
    rows = case.matrix.tables.tensorrt_hardware
    floors = [row for row in rows if row.min_compute_capability and _covers(row, version.value)]
    if not floors:
        return no_row(case, f"GPUs of TensorRT {printable(version.value, 20)}", version, "tensorrt_hardware")
    has = f"compute capability {gpu.value} with TensorRT {version.value}"
    lowest = str(floors[-1].min_compute_capability)
    if numbers(gpu.value) < numbers(lowest):
        return finding(
            Outcome.BROKEN, has, gpu, needs=f"{lowest} or higher", row=floors[-1], label="tensorrt hardware",
            remedy=_known_by(case, gpu.value),
        )  # fmt: skip
    later = [row for row in rows if gpu.value in row.adds and not _covers(row, version.value)]
    if later:
        outcome = Outcome.BROKEN if later[0].confidence == "high" else Outcome.UNKNOWN
        needs = f"TensorRT {later[0].since} or later"
        remedy = _known_by(case, gpu.value)
        return finding(outcome, has, gpu, needs=needs, row=later[0], label="tensorrt hardware", remedy=remedy)
    return finding(Outcome.OK, has, gpu, needs=f"{lowest} or higher", row=floors[-1], label="tensorrt hardware")


def _known_by(case: Case, gpu: str) -> str:
    """The newest release whose TensorRT knows the GPU, by the same rows."""
    rows = case.matrix.tables.tensorrt_hardware

    def knows(release: TritonRelease) -> bool:
        version = release.tensorrt.version if release.tensorrt else ""
        floors = [r for r in rows if r.min_compute_capability and version and _covers(r, version)]
        if not floors or numbers(gpu) < numbers(str(floors[-1].min_compute_capability)):
            return False
        return all(_covers(row, version) for row in rows if gpu in row.adds)

    what = f"has a TensorRT that knows compute capability {gpu}"
    return f"use {newest(case, knows, what)}, and build the plan there; or promote ONNX"


@rule(
    "tensorrt-opset",
    title="TensorRT's parser reads the model's opset",
    source=_DOCS,
    applies=_to_build,
    remedy="promote model RUN --opset N with the N that the finding names, or leave TensorRT out",
)
def tensorrt_opset(case: Case) -> Answer:
    """The parser has a highest opset of its own; what it does not read runs on CUDA instead, and no plan is made of it."""
    version, opsets = case.target.host.tensorrt, case.model.opsets
    opset = opsets.value.get("") if opsets else None
    if opset is None:
        return None
    has = f"opset {opset}"
    if version is None:
        return finding(Outcome.DEGRADED, has, opsets, needs="the target's TensorRT, which is not known")
    row = next((r for r in case.matrix.tables.tensorrt_opsets if _covers(r, version.value)), None)
    if row is None or row.max_opset is None:
        needs = f"the highest opset of TensorRT {version.value}, which is not known"
        return finding(Outcome.DEGRADED, has, opsets, needs=needs, row=row, label="tensorrt opset")
    fits = (row.min_opset or 0) <= opset <= row.max_opset
    needs = f"opset {row.min_opset or 'any'} to {row.max_opset} for TensorRT {version.value}"
    remedy = "" if fits else f"promote model RUN --opset {row.max_opset}, or leave TensorRT out"
    outcome = Outcome.OK if fits else Outcome.DEGRADED
    return finding(outcome, has, opsets, needs=needs, row=row, label="tensorrt opset", remedy=remedy)


@rule(
    "tensorrt-precision",
    title="The precision is in the model where TensorRT has no flags for it",
    source="https://docs.nvidia.com/deeplearning/tensorrt/11.4.1/api/migration/tensorrt-10x-to-11x-c-api-reference.html",
    applies=_to_build,
    remedy="put the precision into the ONNX: convert_to_mixed_precision of modelopt.onnx.autocast, Q/DQ nodes for int8, fp8, fp4",
)
def tensorrt_precision(case: Case) -> Answer:
    """TensorRT 11 has no weak typing: the flags FP16, BF16, INT8... are gone, so a build that asks for one fails."""
    said = {str(a.parameters.get("precision_mode", "")).lower() for a in _accelerators(case)}
    flags = sorted((case.model.builder_flags.value if case.model.builder_flags else frozenset()) | said)
    weak = [flag for flag in flags if flag in _WEAK]
    if not weak:
        return None
    version = case.target.host.tensorrt
    has = ", ".join(weak)
    if version is None:
        return finding(Outcome.DEGRADED, has, needs="TensorRT 10 or older, and the target's is not known")
    gone = numbers(version.value) >= (11,)
    return finding(
        Outcome.DEGRADED if gone else Outcome.OK,
        has,
        version,
        needs=f"no precision flags: TensorRT {version.value}" if gone else f"TensorRT {version.value} has them",
        row=case.matrix.plan_rule("weak_typing"),
    )
