"""Rules about the host: its release, driver, GPU, memory, and what it can compute with."""

from promote.core.facts import Fact
from promote.core.matrix_rows import DriverFloor, ForwardBranches, numbers
from promote.core.names import printable
from promote.core.rules.case import (
    Answer,
    Case,
    always,
    finding,
    no_host_fact,
    no_model_fact,
    no_row,
    on_gpu,
    on_server,
    rule,
)
from promote.core.rules.remedies import for_capability, for_driver, for_types
from promote.core.tensors import DType
from promote.core.verdict import Finding, Outcome

# ONNX element type -> its column of dtype_support. Types without a column run everywhere.
_HARDWARE = {
    "FLOAT16": "fp16",
    "BFLOAT16": "bf16",
    "FLOAT8E4M3FN": "fp8",
    "FLOAT8E5M2": "fp8",
    "FLOAT8E4M3FNUZ": "fp8",
    "FLOAT8E5M2FNUZ": "fp8",
    "FLOAT4E2M1": "fp4",
}


@rule(
    "triton-release",
    title="The matrix knows the target's Triton release",
    source="triton server build.py and TRITON_VERSION of each release branch",
    applies=on_server,
    remedy="promote matrix refresh --image IMAGE, with the container image of that release",
)
def triton_release(case: Case) -> Answer:
    """The release fixes the ONNX Runtime, TensorRT and CUDA inside the container; without its row nothing follows."""
    fact = case.target.host.triton
    if fact is None:
        return no_host_fact(case, "triton", "the container's release YY.MM")
    row = case.matrix.release(fact.value)
    if row is None:
        return no_row(case, f"Triton {printable(fact.value, 20)}", fact, "triton_releases")
    server = f", server {row.server}" if row.server else ""
    return finding(Outcome.OK, f"Triton {row.release}{server}", fact, row=row)


@rule(
    "driver-floor",
    title="The driver is new enough for the container's CUDA",
    source="https://docs.nvidia.com/deploy/cuda-compatibility/",
    applies=on_gpu,
    remedy="install the driver that the finding names, or use the Triton release it names",
)
def driver_floor(case: Case) -> Answer:
    """With a driver too old Triton counts no GPUs and says nothing; a model of KIND_GPU then does not load.

    The floor is that of the CUDA major version. The numbers in Triton's release notes contradict it and are not used.
    """
    host = case.target.host
    if not case.device:
        return no_host_fact(case, "device", "as on a CPU no driver counts")
    if host.cuda is None:
        return no_host_fact(case, "triton", "for its CUDA version")
    floor = case.matrix.driver_floor(host.cuda.value)
    if floor is None:
        return no_row(case, f"drivers for CUDA {printable(host.cuda.value, 20)}", host.cuda, "cuda_driver_floors")
    needs = f"driver {floor.min_driver} or later for CUDA {host.cuda.value}"
    if host.driver is None:
        return no_host_fact(case, "driver", f"{floor.min_driver} or later for CUDA {host.cuda.value}")
    if numbers(host.driver.value) >= numbers(floor.min_driver):
        return finding(Outcome.OK, f"driver {host.driver.value}", host.driver, needs=needs, row=floor)
    return _below_floor(case, host.driver, host.cuda, floor, needs)


def _below_floor(case: Case, driver: Fact[str], cuda: Fact[str], floor: DriverFloor, needs: str) -> Finding:
    """Forward compatibility: the container's own driver libraries, on the GPUs and driver branches NVIDIA names."""
    has = f"driver {printable(driver.value, 40)}"
    forward = case.matrix.forward_compat
    remedy = for_driver(case, printable(driver.value, 40), floor.min_driver)
    if case.target.host.gpu is None:
        return no_host_fact(case, "gpu", f"as {has} is below the floor and forward compatibility depends on the GPU")
    gpu = case.matrix.gpu(case.target.host.gpu.value)
    if gpu is None:
        return no_row(case, f"the GPU {printable(case.target.host.gpu.value, 60)}", case.target.host.gpu, "gpus")
    if gpu.forward_compat == "never":
        return finding(Outcome.BROKEN, f"{has} on {gpu.name}", driver, needs=needs, row=floor, remedy=remedy)
    branches = case.matrix.forward_branches(cuda.value)
    outcome = _forward(branches, (numbers(driver.value) or (0,))[0])
    if gpu.forward_compat != "always" and outcome is Outcome.DEGRADED:
        outcome = Outcome.UNKNOWN
    return finding(
        outcome,
        f"{has} on {gpu.name}",
        driver,
        needs=f"{needs}, or forward compatibility",
        row=branches or forward,
        remedy=remedy,
    )


def _forward(branches: ForwardBranches | None, branch: int) -> Outcome:
    if branches is None:
        return Outcome.UNKNOWN
    if branch in branches.driver_branches:
        return Outcome.DEGRADED
    return Outcome.BROKEN if branches.complete else Outcome.UNKNOWN


@rule(
    "compute-capability",
    title="Triton uses the GPU at all",
    source="triton core CMakeLists.txt, src/cuda_utils.cc",
    applies=on_gpu,
    remedy="use the Triton release that the finding names, or another GPU",
)
def compute_capability(case: Case) -> Answer:
    """GPUs under the release's floor are dropped from Triton's list without an error."""
    host = case.target.host
    if not case.device:
        return no_host_fact(case, "device", "as on a CPU no compute capability counts")
    if host.triton is None:
        return no_host_fact(case, "triton", "for its lowest compute capability")
    row = case.matrix.release(host.triton.value)
    if row is None:
        return no_row(case, f"Triton {printable(host.triton.value, 20)}", host.triton, "triton_releases")
    if row.min_compute_capability is None:
        what = f"the lowest compute capability of Triton {row.release}"
        return no_row(case, what, host.triton, "triton_releases")
    if host.compute_capability is None:
        return no_host_fact(case, "gpu", f"of compute capability {row.min_compute_capability} or higher")
    capability = host.compute_capability.value
    enough = numbers(capability) >= numbers(row.min_compute_capability)
    return finding(
        Outcome.OK if enough else Outcome.BROKEN,
        f"compute capability {capability}",
        host.compute_capability,
        needs=f"{row.min_compute_capability} or higher",
        row=row,
        remedy="" if enough else for_capability(case, capability),
    )


@rule(
    "python-version",
    title="The Python backend runs the model's Python",
    source="triton python_backend README.md, Creating Custom Execution Environments; the release's row",
    applies=lambda case: case.format == "python" and on_server(case),
    remedy="build the environment with that Python, or put a triton_python_backend_stub of your own beside model.py",
)
def python_version(case: Case) -> Answer:
    """The backend's stub is of one Python: a packed environment of another does not start, plain code may differ."""
    made, runs = case.model.python, case.target.host.python
    if made is None:
        return no_model_fact("Python version", "record it when the model is written")
    if runs is None:
        return no_host_fact(case, "python", f"as the model was made with Python {printable(made.value, 20)}")
    has, needs = f"Python {printable(made.value, 20)}", f"Python {runs.value} ({runs.source})"
    if numbers(made.value)[:2] == numbers(runs.value)[:2]:
        return finding(Outcome.OK, has, made, needs=needs)
    files = case.folder.files if case.folder is not None else frozenset()
    own_stub = "triton_python_backend_stub" in files
    packed = case.config is not None and "EXECUTION_ENV_PATH" in case.config.parameters
    version = ".".join(runs.value.split(".")[:2])
    remedy = f"conda create -n model python={version}, install there, conda-pack it, and name it in EXECUTION_ENV_PATH"
    outcome = Outcome.BROKEN if packed and not own_stub else Outcome.DEGRADED
    return finding(outcome, has, made, needs=needs, remedy=remedy)


@rule(
    "dtypes",
    title="The device computes with the model's data types",
    source="row `dtype_support`; ONNX Runtime's CPU kernels: microsoft/onnxruntime docs/OperatorKernels.md",
    applies=on_server,
    remedy="log the run again after model.float(), or in a type that the finding names, then promote model RUN",
)
def dtypes(case: Case) -> Answer:
    """A type without hardware is emulated at best: slower than fp32, and on CPUs most kernels are missing."""
    fact = case.model.dtypes
    if fact is None:
        return no_model_fact("data types")
    special = sorted(fact.value & _HARDWARE.keys())
    shown = ", ".join(sorted(printable(t, 20) for t in fact.value)) or "none"
    if not special:
        return finding(Outcome.OK, shown, fact)
    if case.device == "cpu":
        return tuple(_on_cpu(dtype, fact) for dtype in special)
    capability = case.target.host.compute_capability
    if not case.device or capability is None:
        return no_host_fact(case, "gpu", f"for {', '.join(special)}")
    row = case.matrix.dtypes(capability.value)
    if row is None:
        what = f"data types of compute capability {capability.value}"
        return no_row(case, what, capability, "dtype_support")
    missing = [dtype for dtype in special if not getattr(row, _HARDWARE[dtype])]
    outcome = Outcome.DEGRADED if missing else Outcome.OK
    has = f"{', '.join(missing)} without hardware" if missing else shown
    remedy = for_types(row, capability.value) if missing else ""
    needs = f"hardware of compute capability {capability.value}"
    return finding(outcome, has, fact, needs=needs, row=row, remedy=remedy)


def _on_cpu(dtype: DType, fact: Fact[frozenset[DType]]) -> Finding:
    if dtype == "FLOAT16":
        needs = "casts to fp32 around most operators: slower"
        return finding(Outcome.DEGRADED, "FLOAT16 on a CPU", fact, needs=needs, remedy=for_types(None, ""))
    needs = "a kernel for every operator; most have none"
    return finding(Outcome.UNKNOWN, f"{dtype} on a CPU", fact, needs=needs, remedy=for_types(None, ""))


@rule(
    "drift",
    title="What was declared of the host is what was measured",
    source="promote: measured facts win",
    applies=always,
    remedy="correct promote.toml or compat_matrix.yaml, so that the next reader is not misled",
)
def drift(case: Case) -> Answer:
    """The measured fact counts; a declared one that differs would mislead whoever reads it next."""
    host = case.target.host
    facts = {name: getattr(host, name) for name in host.__dataclass_fields__}
    return tuple(
        finding(
            Outcome.DEGRADED,
            f"{name} {printable(str(fact.value), 60)}",
            fact,
            needs=f"{printable(str(fact.declared.value), 60)} was {fact.declared.source}",
        )
        for name, fact in facts.items()
        if fact is not None and fact.declared is not None
    )
