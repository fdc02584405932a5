"""Settings: ``promote.toml`` and the environment. Never credentials: those come from the environment, the docker config
or the AWS chain, and are read where they are used.

The file is ``--config``, else ``PROMOTE_CONFIG``, else the nearest ``promote.toml`` from the working folder upwards.
Environment variables win: ``PROMOTE_REGISTRY__URL``, ``PROMOTE_MLFLOW__TRACKING_URI`` (or MLflow's own
``MLFLOW_TRACKING_URI``), and so on for every key below. Relative paths are relative to the file.
"""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from promote.core.parity import DEFAULT_TOLERANCES, Tolerance
from promote.errors import InputError

FILE_NAME = "promote.toml"
_PREFIX = "PROMOTE_"
EXAMPLE = """\
# Settings of promote. Everything is optional; what is shown is the default unless it says "for instance".
# No credentials here: they come from the environment, the docker config or the AWS chain.
# Each key can also be set in the environment, for instance PROMOTE_REGISTRY__URL.

# Where work folders and reports are kept.
work_dir = ".promote"

# Your own matrix or serving templates instead of those that come with promote.
# matrix = "compat_matrix.yaml"
# templates = "model_repo_templates"

# What must hold before a release may serve; a promotion_policy.yaml beside this file is used without being named.
# policy = "promotion_policy.yaml"

[mlflow]
tracking_uri = "sqlite:///mlflow.db"          # or MLFLOW_TRACKING_URI, for instance https://mlflow.example.com
promotions = "promotions"                     # the experiment in which each promotion is a run

[registry]
url = "oci:bundles"                           # OCI layouts on disk; for instance ghcr.io/acme/models

# What happens is told there, signed with the secret in the environment variable named here.
# [events]
# webhook = "https://chat.example.com/hooks/promote"
# secret_env = "PROMOTE_EVENTS_SECRET"

[export]
seconds = 3600                                # wall clock of one child process
# memory_gib = 16                             # resident memory of one child process; default: nine tenths of this machine

# Largest difference allowed between the source model and the export: absolute + relative x |value|.
# [parity.fp32]
# absolute = 1e-4
# relative = 1e-3

# What compat_matrix.yaml declares of a target can be changed or completed here; `promote targets` shows the result.
# [targets.calypso]
# http = "calypso:8000"
# grpc = "calypso:8001"
# model_repository = "/opt/triton/models"
# triton = "26.04"
# gpu = "RTX 6000 Ada"
# driver = "580.95.05"
# memory_gib = 48
# A Triton behind a tunnel: over TLS, with headers whose values are in the environment variables named here.
# [targets.far]
# http = "https://triton.example.com"
# grpc = "grpcs://triton-grpc.example.com"
# headers_env = { "CF-Access-Client-Id" = "CF_ID", "CF-Access-Client-Secret" = "CF_SECRET" }
# ca_file = "authority.pem"
"""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class MlflowSettings(_Section):
    """``[mlflow]``."""

    tracking_uri: str = "sqlite:///mlflow.db"
    promotions: Annotated[str, Field(min_length=1, max_length=200)] = "promotions"


class RegistrySettings(_Section):
    """``[registry]``; the repository of a model is ``url`` + ``/`` + its name."""

    url: str = "oci:bundles"


class EventsSettings(_Section):
    """``[events]``: the address of a webhook, and the variable that holds the secret of its signature."""

    webhook: Annotated[str, Field(max_length=2000)] = ""
    secret_env: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,100}$")] = "PROMOTE_EVENTS_SECRET"  # noqa: S105 - the name of the variable


class ExportSettings(_Section):
    """``[export]``: limits of one child process; seconds of wall clock, GiB of resident memory."""

    seconds: Annotated[float, Field(gt=0)] = 3600
    memory_gib: Annotated[float, Field(gt=0)] | None = None


class ParitySettings(_Section):
    """``[parity.fp32]`` and so on."""

    absolute: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    relative: Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Settings(_Section):
    """All settings, checked; ``folder`` is what relative paths are relative to."""

    folder: Path = Path()
    work_dir: Path = Path(".promote")
    matrix: Path | None = None
    templates: Path | None = None
    policy: Path | None = None
    mlflow: MlflowSettings = MlflowSettings()
    registry: RegistrySettings = RegistrySettings()
    events: EventsSettings = EventsSettings()
    export: ExportSettings = ExportSettings()
    parity: dict[str, ParitySettings] = Field(default_factory=dict)
    targets: dict[str, dict[str, Any]] = Field(default_factory=dict)

    def tolerances(self) -> dict[str, Tolerance]:
        """By precision, the defaults completed."""
        return DEFAULT_TOLERANCES | {name: Tolerance(p.absolute, p.relative) for name, p in self.parity.items()}

    def path(self, relative: Path) -> Path:
        """Against the settings' folder."""
        return relative if relative.is_absolute() else self.folder / relative


def load_settings(config: str | None, environ: Mapping[str, str]) -> Settings:
    """Settings of the file that applies, and of the environment.

    Raises:
        InputError: the file named is not there or not TOML, or a key is unknown or wrong; the message names it.
    """
    path = _find(config or environ.get("PROMOTE_CONFIG"))
    given: dict[str, Any] = {}
    if path is not None:
        try:
            given = tomllib.loads(path.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
            raise InputError(f"{path}: {error}", hint="promote init writes a commented example") from error
    if "folder" in given:
        raise InputError(f"{path}: folder: unknown key")
    mlflow = given.setdefault("mlflow", {})
    if (uri := environ.get("MLFLOW_TRACKING_URI")) and isinstance(mlflow, dict):
        mlflow["tracking_uri"] = uri
    try:
        settings = _with_environment(given) if _in_environment() else Settings(**given)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise InputError(
            f"{path or 'settings'}: {where}: {first['msg']}", hint="promote init shows every key"
        ) from error
    # Set last: it is where the file lies, and no variable of the environment may say otherwise.
    return settings.model_copy(update={"folder": path.parent.absolute() if path else Path.cwd()})


def _in_environment() -> bool:
    """Whether a variable there is a setting's; the process's own, which is what the library reads."""
    said = (name.upper().removeprefix(_PREFIX) for name in os.environ if name.upper().startswith(_PREFIX))
    return any(key.partition("__")[0].lower() in Settings.model_fields for key in said)


def _with_environment(given: dict[str, Any]) -> Settings:
    """The environment wins over the file. The library that reads it is loaded here: it costs a tenth of a command's start.

    Raises:
        InputError: a variable that cannot be read.
        ValidationError: as ``Settings``.
    """
    from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

    class FromEnvironment(Settings, BaseSettings):
        model_config = SettingsConfigDict(
            env_prefix=_PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True, env_ignore_empty=True
        )

        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return (env_settings, init_settings)

    try:
        return FromEnvironment(**given)
    except SettingsError as error:
        raise InputError(
            f"environment: {error}", hint="each key has a variable of its own, for instance PROMOTE_REGISTRY__URL"
        ) from error


def _find(named: str | None) -> Path | None:
    if named:
        if not Path(named).is_file():
            raise InputError(f"no settings file {named}", hint="promote init writes one")
        return Path(named)
    here = Path.cwd()
    return next((folder / FILE_NAME for folder in (here, *here.parents) if (folder / FILE_NAME).is_file()), None)


def write_example(folder: Path) -> Path:
    """Writes the commented example.

    Raises:
        InputError: a file is there already.
    """
    path = folder / FILE_NAME
    try:
        with path.open("x", encoding="utf-8") as handle:
            handle.write(EXAMPLE)
    except FileExistsError as error:
        raise InputError(f"{path} exists already", hint="promote never overwrites settings: edit or move it") from error
    return path


def current_user() -> str:
    """Who deploys, as far as this machine says: ``user@host``, or the GitHub actor."""
    import getpass
    import socket

    actor = os.environ.get("GITHUB_ACTOR")
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a container's user without a name
        user = f"uid {os.getuid()}"
    return f"github:{actor}" if actor else f"{user}@{socket.gethostname()}"
