"""Rules about an ONNX model and the runtime that loads it."""

from collections.abc import Callable

from promote.core.facts import ExternalFile
from promote.core.matrix_rows import OnnxRuntime, numbers
from promote.core.names import printable
from promote.core.rules.case import (
    Answer,
    Case,
    always,
    finding,
    no_host_fact,
    no_model_fact,
    no_row,
    of_onnx,
    on_server,
    rule,
)
from promote.core.tensors import TRITON_OF_ONNX, TensorSpec
from promote.core.verdict import Finding, Outcome

_FORMATS = {"onnx": "onnxruntime", "tensorrt": "tensorrt"}
_VERSIONING = "microsoft/onnxruntime docs/Versioning.md; limits measured per release"


def _both(*conditions: Callable[[Case], bool]) -> Callable[[Case], bool]:
    return lambda case: all(condition(case) for condition in conditions)


@rule(
    "format",
    title="The target can run this kind of model",
    source="triton core src/constants.h; tensorrt_backend src/instance_state.cc (GPU only)",
    applies=always,
    remedy="promote an ONNX model",
)
def format_served(case: Case) -> Answer:
    """Each kind of model has its backend: ONNX runs everywhere, a TensorRT plan only in Triton on a GPU.

    An ensemble is as good as its models. What a Python model does when it is loaded is not known without running it.
    """
    fact = case.model.format
    if fact is None:
        return no_model_fact("format")
    if fact.value in ("ensemble", "python") and case.target.bare:
        return finding(Outcome.BROKEN, f"format {fact.value}", fact, needs="an ONNX model: this is Triton's alone")
    if fact.value == "ensemble":
        return finding(Outcome.OK, "an ensemble, by its models", fact)
    if fact.value == "python":
        needs = "what model.py does when it is loaded, which promote does not run"
        return finding(
            Outcome.UNKNOWN, "a Python model", fact, needs=needs, remedy="load it once in the target's container"
        )
    if fact.value not in _FORMATS:
        return finding(Outcome.UNKNOWN, f"format {printable(fact.value, 40)}", fact, needs="onnx or tensorrt")
    if fact.value == "tensorrt":
        if case.target.bare:
            return finding(Outcome.BROKEN, "a TensorRT plan", fact, needs="an ONNX model: ONNX Runtime loads no plans")
        if not case.device:
            return no_host_fact(case, "device", "as plans run on GPUs only")
        if case.device == "cpu":
            return finding(
                Outcome.BROKEN,
                "a TensorRT plan on a CPU",
                fact,
                needs="a GPU",
                row=case.matrix.triton_check("kind_gpu"),
            )
    return finding(Outcome.OK, f"{fact.value}, by {_FORMATS[fact.value]}", fact)


def _runtime(case: Case) -> tuple[OnnxRuntime, str] | Finding:
    """The matrix row of the target's ONNX Runtime, with its label; or why there is none."""
    fact = case.target.host.onnxruntime
    if fact is None and case.target.local:
        return finding(
            Outcome.UNKNOWN,
            "onnxruntime is not installed here",
            needs="the version that will load the model",
            remedy='pip install "promote[cpu]"',
        )
    if fact is None:
        return no_host_fact(case, "triton", "for its ONNX Runtime")
    return case.matrix.onnxruntime(fact.value) or no_row(
        case, f"onnxruntime {printable(fact.value, 40)}", fact, "onnxruntime"
    )


def _up_to(case: Case, what: str, has: int, most: Callable[[OnnxRuntime], int | None], remedy: str) -> Answer:
    """``has`` against a limit of the runtime's row."""
    found = _runtime(case)
    if isinstance(found, Finding):
        return found
    row, label = found
    limit, source = most(row), case.model.opsets if "opset" in what else case.model.ir_version
    if limit is None:
        return finding(
            Outcome.UNKNOWN, f"{what} {has}", source, needs=f"the highest {what} of {row.label}", row=row, label=label
        )
    outcome = Outcome.BROKEN if has > limit else Outcome.OK
    return finding(
        outcome,
        f"{what} {has}",
        source,
        needs=f"{what} {limit} or lower",
        row=row,
        label=label,
        remedy=remedy.format(limit=limit) if outcome is Outcome.BROKEN else "",
    )


@rule(
    "onnx-opset",
    title="The runtime knows the model's opset",
    source=_VERSIONING,
    applies=of_onnx,
    remedy="promote model RUN --opset N, or onnx.version_converter.convert_version(model, N)",
)
def onnx_opset(case: Case) -> Answer:
    """ONNX Runtime refuses a model stamped with a newer opset than it knows, whatever operators it uses.

    Package defaults run ahead of servers: onnx 1.22 stamps opset 27, and no ONNX Runtime before 1.32 takes it.
    """
    if case.model.opsets is None:
        return no_model_fact("opset")
    opset = case.model.opsets.value.get("")
    if opset is None:
        return None
    floor = case.matrix.tables.onnxruntime_opset_floor
    if opset < floor.opset:
        return finding(
            Outcome.DEGRADED,
            f"opset {opset}",
            case.model.opsets,
            row=floor,
            needs=f"opset {floor.opset} or higher is what ONNX Runtime promises to load",
        )
    remedy = "promote model RUN --opset {limit}, or onnx.version_converter.convert_version(model, {limit})"
    return _up_to(case, "opset", opset, lambda row: row.max_opset, remedy)


@rule(
    "onnx-ir",
    title="The runtime knows the file's IR version",
    source=_VERSIONING,
    applies=of_onnx,
    remedy="stamp a lower ir_version: promote model RUN does",
)
def onnx_ir(case: Case) -> Answer:
    """The IR version is a number of its own: a model of an old opset saved by a new onnx package still fails on it."""
    if case.model.ir_version is None:
        return no_model_fact("IR version")
    remedy = "set model.ir_version = {limit} and save again; promote model RUN stamps it itself"
    return _up_to(case, "IR version", case.model.ir_version.value, lambda row: row.max_ir, remedy)


@rule(
    "onnx-ml-opset",
    title="The runtime knows the model's ai.onnx.ml opset",
    source=_VERSIONING,
    applies=of_onnx,
    remedy="convert with a lower target_opset for ai.onnx.ml",
)
def onnx_ml_opset(case: Case) -> Answer:
    """Classical models (trees, scalers) use ai.onnx.ml, which counts its opsets apart."""
    opset = case.model.opsets.value.get("ai.onnx.ml") if case.model.opsets else None
    if opset is None:
        return None
    remedy = "convert again with target_opset for ai.onnx.ml of {limit} or lower"
    return _up_to(case, "ai.onnx.ml opset", opset, lambda row: row.max_ml_opset, remedy)


@rule(
    "onnx-domains",
    title="Every operator comes with the runtime",
    source="microsoft/onnxruntime docs/ContribOperators.md",
    applies=of_onnx,
    remedy="export again with operators of ai.onnx alone, before any graph optimizer fuses them",
)
def onnx_domains(case: Case) -> Answer:
    """An operator of a domain that the runtime does not carry needs a library of native code beside the model."""
    fact = case.model.domains
    if fact is None:
        return no_model_fact("operator domains")
    said = [_domain(case, domain) for domain in sorted(fact.value)]
    faults = tuple(one for one in said if one.outcome is not Outcome.OK)
    shown = ", ".join(printable(d or "ai.onnx", 60) for d in sorted(fact.value)) or "no operators"
    return faults or finding(Outcome.OK, shown, fact)


def _domain(case: Case, domain: str) -> Finding:
    fact, row = case.model.domains, case.matrix.domain(domain)
    has = f"operators of {printable(domain or 'ai.onnx', 60)}"
    if row is None:
        return finding(
            Outcome.UNKNOWN,
            has,
            fact,
            needs="a domain the runtime carries, or its operator library on the target",
            remedy="export again with operators of ai.onnx alone; or load it once in the target's container, with its library",
        )
    if row.standing == "absent":
        return finding(Outcome.BROKEN, has, fact, needs="a domain the runtime carries", row=row)
    if row.standing == "partial":
        needs = "operators without versions: another ONNX Runtime may lack them or read them otherwise"
        return finding(Outcome.DEGRADED, has, fact, needs=needs, row=row)
    return finding(Outcome.OK, has, fact, row=row)


@rule(
    "external-data",
    title="The files that hold the weights are there, whole, and inside the model's folder",
    source="measured on onnxruntime 1.16.3 to 1.32.0; microsoft/onnxruntime PR #26776",
    applies=of_onnx,
    remedy="save the model again: onnx.save(model, path, save_as_external_data=True)",
)
def external_data(case: Case) -> Answer:
    """Weights beside the model fail at load when missing or short.

    From ONNX Runtime 1.24.1 on they also fail outside the model's folder; before that they are read from anywhere on the
    host, so a bundle never holds such a model.
    """
    fact = case.model.external
    if fact is None:
        return no_model_fact("external data")
    release = None if case.target.host.onnxruntime is None else numbers(case.target.host.onnxruntime.value)
    faults = [(file, why) for file in fact.value if (why := _fault(file) or _entries(file, release))]
    if not faults:
        total = sum(file.needed for file in fact.value)
        has = f"{len(fact.value)} data files, {total:,} bytes" if fact.value else "all weights inside the file"
        return finding(Outcome.OK, has, fact)
    found = (
        None if case.target.host.onnxruntime is None else case.matrix.onnxruntime(case.target.host.onnxruntime.value)
    )
    strict = found is not None and found[0].strict_external_data is not None
    return tuple(
        finding(
            Outcome.BROKEN,
            f"{printable(file.location, 80)!r}: {why}",
            fact,
            needs="a whole file inside the model's folder",
            row=found[0] if found and strict else None,
            label=found[1] if found and strict else "",
        )
        for file, why in faults
    )


def _fault(file: ExternalFile) -> str:
    if file.fault:
        return file.fault
    if file.size is None:
        return "the file is missing"
    return f"{file.size:,} bytes, the model reads {file.needed:,}" if file.size < file.needed else ""


def _entries(file: ExternalFile, release: tuple[int, ...] | None) -> str:
    """What a release does not take of the entries themselves: onnxruntime core/framework/tensor_external_data_info.cc."""
    if release is None:
        return ""
    if file.packed and release < (1, 21):
        return "its tensors have entries 'prepacked', which ONNX Runtime reads from 1.21 on"
    if file.twice and release >= (1, 30):
        return "a tensor has two entries 'location', which ONNX Runtime refuses from 1.30 on"
    return ""


@rule(
    "io-types",
    title="Triton can carry every input and output",
    source="onnxruntime_backend src/onnxruntime_utils.cc; triton common protobuf/model_config.proto",
    applies=_both(of_onnx, on_server),
    remedy="convert it inside the model: Cast to FLOAT, or ConcatFromSequence for a sequence",
)
def io_types(case: Case) -> Answer:
    """Requests carry tensors of fourteen types only; sequences, maps, complex and 8-bit floats are refused at load."""
    if case.model.inputs is None or case.model.outputs is None:
        return no_model_fact("inputs and outputs")
    tensors = (*case.model.inputs.value, *case.model.outputs.value)
    faults = tuple(fault for tensor in tensors if (fault := _io_fault(case, tensor)))
    return faults or finding(Outcome.OK, f"{len(tensors)} tensors", case.model.inputs)


def _io_fault(case: Case, tensor: TensorSpec) -> Finding | None:
    has = f"{printable(tensor.name, 60)!r} is {printable(tensor.dtype, 40)}"
    if tensor.dtype not in TRITON_OF_ONNX:
        needs = "a tensor of: " + ", ".join(TRITON_OF_ONNX)
        return finding(Outcome.BROKEN, has, case.model.inputs, needs=needs, row=case.matrix.triton_check("io_type"))
    row = case.matrix.io_type(tensor.dtype, "onnxruntime")
    if row is None:
        return None
    release = case.target.host.triton
    if release is None:
        return no_host_fact(case, "triton", f"as {tensor.dtype} is carried from {row.since} on")
    if numbers(release.value) < numbers(row.since):
        return finding(
            Outcome.BROKEN,
            f"{has}, Triton {release.value}",
            case.model.inputs,
            needs=f"Triton {row.since} or later",
            row=row,
            remedy=f"use Triton {row.since} or later, or Cast it to FLOAT inside the model",
        )
    return None
