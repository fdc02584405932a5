"""Rules about a model's directory in a Triton repository: its versions and the files that config.pbtxt names."""

import posixpath

from promote.core.model_folder import USUAL_FILES, backend_of, model_filename, model_path, served
from promote.core.names import printable
from promote.core.rules.case import Answer, Case, finding, rule, unfit
from promote.core.verdict import Finding, Outcome

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
        return unfit(case, f"version directories: {shown}", "versions_available", "one that the version policy serves")
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
    source="triton core src/constants.h; onnxruntime_backend src/onnxruntime.cc",
    applies=_has_folder,
    remedy="rename the file, or name it in default_model_filename",
)
def model_files(case: Case) -> Answer:
    """The backend opens ``default_model_filename`` or its own usual name, in every version that is served."""
    folder, config = case.folder, case.config
    assert folder is not None  # noqa: S101
    backend, name = backend_of(folder, config), model_filename(folder, config)
    if not backend:
        return unfit(
            case,
            "no backend, and no model file that tells one",
            "filenames",
            f"one of {', '.join(sorted(USUAL_FILES))}",
        )
    if not name:  # a backend of its own kind, or an ensemble
        return None
    faults = [
        unfit(case, f"no {printable(posixpath.normpath(f'{version}/{name}'), 80)}", "onnx_missing", "that file")
        for version in served(folder, config)
        if not model_path(folder, config, version)
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
            faults.append(unfit(case, f"no label file {printable(name, 80)!r}", "labels", "a file of that name"))
    return tuple(faults) or finding(Outcome.OK, ", ".join(printable(name, 40) for name in sorted(names)))
