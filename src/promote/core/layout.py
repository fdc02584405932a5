"""Lays out a Triton model repository: path -> bytes or blob. Pure; the same inputs give the same bytes.

``NAME/config.pbtxt`` is the only file outside the version directory, so one rename of ``NAME/N`` places everything
else at once::

    NAME/config.pbtxt
    NAME/N/model.onnx            and its external data
    NAME/N/labels.txt            where there are labels
    NAME/N/tokenizer/...         where there is a tokenizer
    NAME/N/promote/golden.safetensors, passport.json

Triton ignores folders inside a version directory, so the bundle is a working model repository as it lies.
"""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from promote.core.bundle_files import check_files
from promote.core.facts import Target
from promote.core.names import model_name
from promote.core.passport import sha256, write_passport
from promote.core.serving import Template, build_config, config_text
from promote.core.stages import Blob, Bundle, Export, Proven, Stored
from promote.core.verdict import Compatible
from promote.errors import IntegrityError

if TYPE_CHECKING:
    from tritonclient.grpc.model_config_pb2 import ModelConfig

GOLDEN = "promote/golden.safetensors"
PASSPORT = "promote/passport.json"
LABELS = "labels.txt"


def passport_of(stored: Stored) -> Blob:
    """The passport of a bundle in a registry.

    Raises:
        IntegrityError: it holds none.
    """
    blob = stored.files.get(f"{stored.name}/{stored.version}/{PASSPORT}")
    if blob is None:
        raise IntegrityError(f"{stored.reference} holds no passport")
    return blob


def content(data: bytes) -> Blob:
    """A blob of bytes kept in memory."""
    return Blob(sha256(data), len(data), data=data)


def lay_out(
    verdict: Compatible[Proven], target: Target, template: Template, name: str, version: int, matrix: str
) -> Bundle:
    """The bundle of one version.

    Args:
        verdict: only a compatible one can be laid out.
        target: the target it was judged for.
        template: serving settings.
        name: model name.
        version: Triton's version directory, equal to MLflow's model version.
        matrix: digest of the matrix that judged, for the passport.

    Raises:
        InputError: the name is not allowed, or an input or output has a type Triton does not know.
        IntegrityError: a file that may not be in a bundle.
    """
    export = verdict.subject.export
    model_name(name)
    within = f"{name}/{version}"
    files = {f"{within}/{path}": blob for path, blob in export.files.items()}
    files[f"{within}/{GOLDEN}"] = export.samples
    files[f"{name}/config.pbtxt"] = content(write_config(export, target, template, name, version))
    passport = write_passport(verdict, target, name, version, files, matrix)
    files[f"{within}/{PASSPORT}"] = content(passport)
    check_files(name, version, list(files))
    return Bundle(
        verdict=verdict,
        target=target,
        name=name,
        version=version,
        files=dict(sorted(files.items())),
        passport=passport,
        created=created(export),
        matrix=matrix,
    )


def write_config(export: Export, target: Target, template: Template, name: str, version: int) -> bytes:
    """``config.pbtxt`` for this export; what ``rules`` judge is this very message."""
    return config_text(config_of(export, target, template, name, version))


def config_of(export: Export, target: Target, template: Template, name: str, version: int) -> "ModelConfig":
    """The same as a protobuf ``ModelConfig``."""
    inputs, outputs = export.facts.inputs, export.facts.outputs
    labels = f"{version}/{LABELS}" if LABELS in export.files else ""
    return build_config(
        template,
        target,
        name,
        version,
        inputs.value if inputs else (),
        outputs.value if outputs else (),
        label_filename=labels,
    )


def created(export: Export) -> str:
    """RFC 3339 time of the bundle: the end of the training run, not now, so that bytes repeat."""
    return datetime.fromtimestamp(export.candidate.run.ended_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
