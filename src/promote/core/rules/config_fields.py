"""Rules about single fields of config.pbtxt: what Triton completes by itself, and the parameters that backends read."""

import posixpath
import re
from collections.abc import Iterator

from promote.core.model_folder import backend_of
from promote.core.names import printable
from promote.core.rules.case import Answer, Case, finding, on_server, rule, unfit
from promote.core.verdict import Finding, Outcome

_INSIDE = "$$TRITON_MODEL_DIRECTORY/"
_NUMBERS = ("intra_op_thread_count", "inter_op_thread_count", "execution_mode")


def _backend(case: Case) -> str:
    if case.folder is not None:
        return backend_of(case.folder, case.config)
    return case.config.backend if case.config is not None else ""


@rule(
    "config-complete",
    title="The configuration says all, or the server completes it",
    source="server docs/user_guide/model_configuration.md; onnxruntime_backend src/onnxruntime.cc AutoCompleteConfig",
    applies=lambda case: on_server(case) and case.folder is not None,
    remedy="write config.pbtxt with inputs and outputs, or never start that server with --disable-auto-complete-config",
)
def config_complete(case: Case) -> Answer:
    """Triton completes a configuration from the model, unless it was started with --disable-auto-complete-config.

    It then chooses too: max_batch_size 4 and dynamic batching, where an ONNX model can batch and says no size.
    """
    config = case.config
    if config is None:
        missing = ["config.pbtxt"]
    elif _backend(case) not in ("onnxruntime", "tensorrt"):  # the others complete nothing, or need nothing
        return None
    else:
        missing = [word for word, entries in (("input", config.input), ("output", config.output)) if not entries]
    if not missing:
        return finding(Outcome.OK, "inputs and outputs are there")
    return finding(
        Outcome.DEGRADED,
        f"no {', no '.join(missing)}",
        needs="a server that completes configurations, as Triton does by default",
        row=case.matrix.triton_check("autocomplete"),
    )


@rule(
    "config-parameters",
    title="The backend takes the parameters",
    source="python_backend src/python_be.cc; onnxruntime_backend src/onnxruntime.cc; refusals of the first seen of 2.51.0",
    applies=lambda case: on_server(case) and case.config is not None and len(case.config.parameters) > 0,
    remedy="correct parameters in config.pbtxt",
)
def config_parameters(case: Case) -> Answer:
    """Parameters are texts, which a backend reads while it loads: a word where it wants a number keeps the model out."""
    config = case.config
    assert config is not None  # noqa: S101 - `applies` saw to it; this tells the type checker
    given = {key: config.parameters[key].string_value for key in sorted(config.parameters)}
    backend = _backend(case)
    faults = tuple(_python_faults(case, given) if backend == "python" else ())
    if backend == "onnxruntime":
        faults = tuple(_onnx_faults(case, given))
    return faults or finding(Outcome.OK, ", ".join(printable(key, 40) for key in given))


def _python_faults(case: Case, given: dict[str, str]) -> Iterator[Finding]:
    force = given.get("FORCE_CPU_ONLY_INPUT_TENSORS", "no")
    if force not in ("yes", "no"):
        yield unfit(case, f"FORCE_CPU_ONLY_INPUT_TENSORS {printable(force, 40)!r}", "parameters", "yes or no")
    packed = given.get("EXECUTION_ENV_PATH", "")
    path = posixpath.normpath(packed.removeprefix(_INSIDE))
    if packed.startswith(_INSIDE) and not path.startswith("../"):
        if case.folder is not None and not any(
            file == path or file.startswith(f"{path}/") for file in case.folder.files
        ):
            yield unfit(
                case, f"no environment {printable(path, 80)}", "parameters", "that file in the model's directory"
            )
    elif packed:
        yield finding(Outcome.UNKNOWN, f"the environment {printable(packed, 80)}", needs="that file on the target")


def _onnx_faults(case: Case, given: dict[str, str]) -> Iterator[Finding]:
    for key in _NUMBERS:
        value = given.get(key, "0")
        if not re.match(r"\s*[+-]?[0-9]", value):
            yield unfit(case, f"{key} {printable(value, 40)!r}", "parameters", "a whole number")
        elif key == "execution_mode" and value.strip() not in ("0", "1"):
            yield unfit(case, f"{key} {printable(value, 40)!r}", "parameters", "0 or 1")
