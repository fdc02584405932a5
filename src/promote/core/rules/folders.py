"""Rules about a model's directory in a Triton repository: its versions and the files that config.pbtxt names."""

import posixpath

from promote.core.model_folder import USUAL_FILES, backend_of, model_filename, model_path, served
from promote.core.names import printable
from promote.core.rules.case import Answer, Case, finding, no_host_fact, rule, unfit
from promote.core.verdict import Finding, Outcome

_READ = "the model's directory"
_SOURCE = "triton core src/model_repository_manager/model_lifecycle.cc; src/constants.h"


def _has_folder(case: Case) -> bool:
    return case.folder is not None and not case.target.bare


@rule(
    "model-versions",
    title="There is a version to serve",
    source=_SOURCE,
    applies=_has_folder,
    remedy="name version directories 1, 2, 3..., and name existing ones in version_policy",
)
def model_versions(case: Case) -> Answer:
    """Version directories are whole numbers without a leading zero; Triton skips others and needs one that is left."""
    folder = case.folder
    assert folder is not None  # noqa: S101
    chosen = served(folder, case.config)
    if not chosen:
        shown = ", ".join(map(str, sorted(folder.versions))) or "none"
        return unfit(
            case,
            f"version directories: {shown}",
            "versions_available",
            "one that the version policy serves",
            source=_READ,
        )
    missing = set(case.config.version_policy.specific.versions) - set(chosen) if case.config is not None else set()
    if folder.skipped or missing:
        words = [*(printable(name, 30) for name in folder.skipped), *(f"no version {v}" for v in sorted(missing))]
        return finding(
            Outcome.DEGRADED, ", ".join(words), needs="whole numbers", row=case.matrix.triton_check("versions")
        )
    return finding(Outcome.OK, f"versions {', '.join(map(str, chosen))}")


@rule(
    "model-files",
    title="Every served version holds the file its backend opens",
    source="triton core src/constants.h; onnxruntime_backend src/onnxruntime.cc; tensorrt_backend src/model_state.cc",
    applies=_has_folder,
    remedy="rename the file, or name it in default_model_filename",
)
def model_files(case: Case) -> Answer:
    """The backend opens ``default_model_filename`` or its own usual name, in every version that is served.

    A TensorRT model may name a plan for each compute capability in ``cc_model_filenames``. A Python model without its file is
    not refused: the server 2.51.0 waited for it for minutes.
    """
    folder, config = case.folder, case.config
    assert folder is not None  # noqa: S101
    backend, fact = backend_of(folder, config), case.target.host.compute_capability
    if backend == "tensorrt" and config is not None and config.cc_model_filenames and fact is None:
        return no_host_fact(case, "gpu", "as cc_model_filenames names a plan for each compute capability")
    capability = fact.value if fact is not None else ""
    name = model_filename(folder, config, capability)
    if not backend:
        return unfit(
            case,
            "no backend, and no model file that tells one",
            "filenames",
            f"one of {', '.join(sorted(USUAL_FILES))}",
            source=_READ,
        )
    if not name:  # a backend of its own kind, or an ensemble
        return None
    faults = [
        unfit(
            case,
            f"no {printable(posixpath.normpath(f'{version}/{name}'), 80)}",
            "onnx_missing",
            "that file",
            source=_READ,
        )
        for version in served(folder, config)
        if not model_path(folder, config, version, capability)
    ]
    return tuple(faults) or finding(Outcome.OK, printable(name, 60))


@rule(
    "label-files",
    title="Label files are there",
    source="triton core src/model.cc, src/label_provider.cc; a folder crashed the server 2.51.0: measured",
    applies=_has_folder,
    remedy="put the label file into the model's directory, or take label_filename out",
)
def label_files(case: Case) -> Answer:
    """A missing label file fails the load; a folder in its place takes the whole server down."""
    folder, config = case.folder, case.config
    assert folder is not None  # noqa: S101
    names = {o.label_filename for o in config.output if o.label_filename} if config is not None else set()
    if not names:
        return None
    faults: list[Finding] = []
    for name in sorted(names):
        path = posixpath.normpath(name)
        if path.startswith(("../", "/")):
            faults.append(unfit(case, f"label file {printable(name, 80)!r}", "labels", "inside the model's directory"))
        elif path not in folder.files:
            faults.append(
                unfit(case, f"no label file {printable(name, 80)!r}", "labels", "a file of that name", source=_READ)
            )
    return tuple(faults) or finding(Outcome.OK, ", ".join(printable(name, 40) for name in sorted(names)))
