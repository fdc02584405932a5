"""The OCI manifest and config of a bundle: packed the same way every time, and read back with suspicion. Pure.

The form is CNCF ModelPack (model-spec v1): one raw layer per file, so that kit, modctl, podman and Kubernetes read it.
What ModelPack has no word for lies in annotations under ``io.promote.``. Not here: how bytes travel (``adapters.oci``).
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NoReturn

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from promote.core.names import bundle_path, distinct_paths, printable
from promote.core.names import digest as checked_digest
from promote.core.passport import sha256
from promote.core.stages import Blob, Bundle, Held, Run, Stored
from promote.errors import IntegrityError

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
ARTIFACT_TYPE = "application/vnd.cncf.model.manifest.v1+json"
CONFIG_TYPE = "application/vnd.cncf.model.config.v1+json"
WEIGHT, WEIGHT_CONFIG, DOC = (
    f"application/vnd.cncf.model.{kind}.v1.raw" for kind in ("weight", "weight.config", "doc")
)
DOCKER_TYPES = (
    "application/vnd.docker.distribution.manifest.v2+json", "application/vnd.docker.distribution.manifest.list.v2+json",
)  # fmt: skip
_IMAGE_CONFIGS = ("application/vnd.docker.container.image.v1+json", "application/vnd.oci.image.config.v1+json")
LARGEST_MANIFEST = 4 * 1024 * 1024  # OCI distribution-spec: a registry should take at least this; none needs more

FILE_PATH = "org.cncf.model.filepath"
TITLE = "org.opencontainers.image.title"
_OURS = "io.promote."
DIRECTORY = "directory"
"""Word for a bundle that no run made."""
_VERSION = re.compile(r"[1-9][0-9]{0,9}")
_SETTING = re.compile(r"\.(pbtxt|json|txt|ya?ml|model|vocab|jinja)$")
_WEB = re.compile(r"https://[a-z0-9.-]+(/[A-Za-z0-9._-]+)+")


@dataclass(frozen=True, slots=True)
class Packed:
    """The JSON of a bundle as it is stored; the manifest's digest is the bundle's name."""

    manifest: Blob
    config: Blob


def pack(bundle: Bundle) -> Packed:
    """The manifest and config of ``bundle``; the same bundle gives the same bytes.

    Source: modelpack/model-spec ``docs/spec.md``, ``docs/config.md`` and ``schema/config-schema.json`` (which allows no
    further keys); opencontainers/image-spec ``manifest.md`` and ``annotations.md``.
    """
    return _packed(sorted(bundle.files.items()), lambda digests: _config(bundle, digests), _annotations(bundle))


def pack_files(name: str, version: int, files: Mapping[str, Blob], ours: Mapping[str, str]) -> Packed:
    """The same of files of which no run is known, so no time and no source either.

    Args:
        name: of the model.
        version: of it.
        files: path -> blob.
        ours: further annotations under ``io.promote.``.
    """

    def config(digests: list[str]) -> dict[str, Any]:
        return {
            "descriptor": {"name": name, "version": str(version)},
            "config": {"format": "onnx"},
            "modelfs": {"type": "layers", "diffIds": digests},
        }

    annotations = {"org.opencontainers.image.title": name, "org.opencontainers.image.version": str(version)}
    own = {"model": name, "version": str(version)} | dict(ours)
    return _packed(sorted(files.items()), config, annotations | {f"{_OURS}{key}": value for key, value in own.items()})


def from_directory(stored: Held) -> bool:
    """Whether a bundle says that no run made it."""
    return stored.annotations.get(f"{_OURS}origin") == DIRECTORY


def _packed(
    files: list[tuple[str, Blob]], config_of: Callable[[list[str]], dict[str, Any]], annotations: dict[str, str]
) -> Packed:
    config = _content(config_of([blob.digest for _, blob in files]))
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "artifactType": ARTIFACT_TYPE,
        "config": {"mediaType": CONFIG_TYPE, "digest": config.digest, "size": config.size},
        "layers": [
            {
                "mediaType": layer_type(path),
                "digest": blob.digest,
                "size": blob.size,
                "annotations": {FILE_PATH: path, TITLE: path},
            }
            for path, blob in files
        ],
        "annotations": annotations,
    }
    return Packed(_content(manifest), config)


def layer_type(path: str) -> str:
    """The ModelPack media type of a file of a bundle, by its path ``NAME/config.pbtxt`` or ``NAME/N/...``."""
    parts = path.split("/")
    if parts[2:3] == ["promote"] or path.endswith(".md"):
        return DOC  # passport and golden samples: evidence, which no server loads
    if parts[2:3] == ["tokenizer"] or _SETTING.search(path):
        return WEIGHT_CONFIG
    return WEIGHT


def _content(value: dict[str, Any]) -> Blob:
    data = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
    return Blob(sha256(data), len(data), data=data)


def _config(bundle: Bundle, digests: list[str]) -> dict[str, Any]:
    plan = bundle.verdict.subject.export.plan
    source = _source(bundle.verdict.subject.export.candidate.run)
    known = {"sourceURL": source.get("source"), "revision": source.get("revision")}
    return {
        "descriptor": {"createdAt": bundle.created, "name": bundle.name, "version": str(bundle.version)}
        | {key: value for key, value in known.items() if value},
        "config": {"format": plan.format, "precision": plan.precision},
        "modelfs": {"type": "layers", "diffIds": digests},  # a raw layer's diff id is its digest
    }


def _annotations(bundle: Bundle) -> dict[str, str]:
    run = bundle.verdict.subject.export.candidate.run
    standard = {"created": bundle.created, "title": bundle.name, "version": str(bundle.version)} | _source(run)
    ours = {
        "model": bundle.name,
        "version": str(bundle.version),
        "target": bundle.target.name,
        "verdict": bundle.verdict.word,
        "run-id": printable(run.run_id),
        "passport": sha256(bundle.passport),
    }
    return {f"org.opencontainers.image.{key}": value for key, value in standard.items()} | {
        f"{_OURS}{key}": value for key, value in ours.items()
    }


def _source(run: Run) -> dict[str, str]:
    """Where the run's code lies, as far as MLflow noted it; an address that may hold a credential is left out."""
    url = run.tags.get("mlflow.source.git.repoURL", "").removesuffix(".git")
    commit = run.tags.get("mlflow.source.git.commit", "")
    known = {"source": url} if _WEB.fullmatch(url) else {}
    return known | ({"revision": commit} if re.fullmatch(r"[0-9a-f]{7,64}", commit) else {})


def types_of(manifest: Blob) -> dict[str, str]:
    """``mediaType`` and ``artifactType`` of a manifest or index of promote's own, as it says them."""
    value = strict_json(manifest.data or b"", f"the manifest {manifest.digest}")
    return {key: value[key] for key in ("mediaType", "artifactType") if key in value}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


_Size = Annotated[int, Field(ge=0, le=2**50)]


class _Config(_Strict):
    mediaType: Literal["application/vnd.cncf.model.config.v1+json"]
    digest: str
    size: _Size
    annotations: dict[str, str] = Field(default_factory=dict)


class _Layer(_Strict):
    mediaType: Annotated[
        str, Field(pattern=r"^application/vnd\.cncf\.model\.(weight|weight\.config|doc|dataset)\.v1\.raw$")
    ]
    digest: str
    size: _Size
    annotations: dict[str, str]


class _Subject(_Strict):
    mediaType: str
    digest: str
    size: _Size


class _Manifest(_Strict):
    """``extra="forbid"`` is what refuses ``manifests`` beside ``layers`` and foreign ``urls``."""

    schemaVersion: Literal[2]
    mediaType: Literal["application/vnd.oci.image.manifest.v1+json"]
    artifactType: Literal["application/vnd.cncf.model.manifest.v1+json"]
    config: _Config
    layers: Annotated[list[_Layer], Field(min_length=1, max_length=10_000)]
    annotations: dict[str, str]
    subject: _Subject | None = None


def read_manifest(data: bytes, repository: str, name: str) -> Stored:
    """The bundle that these manifest bytes describe; its digest is theirs.

    Args:
        data: as they came from anywhere.
        repository: where from, as ``Stored.repository`` prints it.
        name: the model it must be of.

    Raises:
        IntegrityError: too large, ambiguous JSON, another kind of artifact, a digest or path of another form, two
            layers for one path, or another model.
    """
    where = f"{repository}@{sha256(data)}"
    value = strict_json(data, f"the manifest {where}")
    if _is_image(value):
        raise no_bundle(where)
    try:
        manifest = _Manifest.model_validate(value)
    except ValidationError as error:
        raise IntegrityError(f"{where} is not a bundle of promote: {misfit(error, 200)}") from error
    annotations = manifest.annotations
    model, version = annotations.get(f"{_OURS}model", ""), annotations.get(f"{_OURS}version", "")
    if model != name:
        raise IntegrityError(f"{where} is of model {printable(model)!r}, expected {name!r}")
    if not _VERSION.fullmatch(version):
        raise IntegrityError(f"{where} names version {printable(version)!r}, expected a whole number from 1")
    checked_digest(manifest.config.digest)
    paths = [_path(layer.annotations, where) for layer in manifest.layers]
    distinct_paths(paths)
    blobs = [Blob(checked_digest(layer.digest), layer.size) for layer in manifest.layers]
    return Stored(
        repository=repository,
        digest=sha256(data),
        name=name,
        version=int(version),
        files=dict(sorted(zip(paths, blobs, strict=True))),
        annotations=annotations,
        manifest=data,
    )


def no_bundle(where: str) -> IntegrityError:
    """What to raise where a container image lies instead of a bundle."""
    return IntegrityError(
        f"{where} is a container image, expected a bundle of promote", hint="name what promote model printed last"
    )


def _is_image(value: Any) -> bool:
    config = value.get("config") if isinstance(value, dict) else None
    return isinstance(config, dict) and config.get("mediaType") in _IMAGE_CONFIGS


def config_blob(stored: Stored) -> Blob:
    """Digest and size of the bundle's config, by its manifest.

    Raises:
        IntegrityError: as ``read_manifest``.
    """
    config = strict_json(stored.manifest, f"the manifest {stored.reference}")["config"]
    return Blob(checked_digest(config["digest"]), config["size"])


def _path(annotations: dict[str, str], where: str) -> str:
    path = annotations.get(FILE_PATH, "")
    if annotations.get(TITLE, path) != path:  # two readers would write two files
        raise IntegrityError(
            f"a layer of {where} has two names: {printable(path)!r} and {printable(annotations[TITLE])!r}"
        )
    return bundle_path(path)


def strict_json(data: bytes, what: str) -> Any:
    """The JSON value in ``data``, when there is only one way to read it.

    Raises:
        IntegrityError: beyond 4 MiB, not UTF-8 JSON, a key twice, NaN, infinity, a lone surrogate, or nested too deep.
    """
    if len(data) > LARGEST_MANIFEST:
        raise IntegrityError(f"{what} has {len(data):,} bytes, the most allowed is {LARGEST_MANIFEST:,}")
    try:
        value = json.loads(data.decode(), object_pairs_hook=_once, parse_constant=_no_number)
        json.dumps(value, ensure_ascii=False).encode()  # a lone surrogate has no UTF-8
    except (ValueError, RecursionError) as error:
        raise IntegrityError(f"{what} is not plain JSON: {printable(str(error))}") from error
    return value


def misfit(error: ValidationError, most: int = 80) -> str:
    """The first thing that a form finds wrong, ``layers.0.size: Input should be ...``; where it is, in ``most`` characters."""
    first = error.errors(include_url=False, include_input=False)[0]
    return f"{printable('.'.join(map(str, first['loc'])), most)}: {printable(first['msg'])}"


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a key is there twice")
    return value


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is no JSON")
