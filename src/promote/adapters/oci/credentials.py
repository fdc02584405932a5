"""Which credentials docker's configuration has for one host: ``config.json``, its helpers and its store.

oras answers the question; what it is asked is narrowed first to exactly this host, and helpers run here
with a grammar for their name and a time limit. Never here: sending them (``auth``).
"""

import base64
import json
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from oras.auth.token import TokenAuth
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from promote.core.names import printable
from promote.errors import AuthError, InputError

USERNAME, PASSWORD = "PROMOTE_REGISTRY_USERNAME", "PROMOTE_REGISTRY_PASSWORD"
_HELPER = re.compile(r"[a-z0-9-]{1,64}(\.exe)?")
_HELPER_SECONDS = 10.0
_KEYS_OF = {"docker.io": "https://index.docker.io/v1/"}  # docker login writes this key for Docker Hub


class _Entry(BaseModel):
    model_config = ConfigDict(extra="ignore")
    auth: Annotated[str, Field(pattern=r"^[A-Za-z0-9+/=]*$")] = ""
    identitytoken: str = ""
    registrytoken: str = ""


class _DockerConfig(BaseModel):
    model_config = ConfigDict(extra="ignore")
    auths: dict[str, _Entry] | None = None
    credsStore: str | None = None
    credHelpers: dict[str, str] | None = None


class _Given(BaseModel):
    Username: str
    Secret: str


class HostAuth(TokenAuth):  # type: ignore[misc]
    """oras' token authentication for one host, with the credentials that are meant for it."""

    def __init__(self, host: str, env: Mapping[str, str]) -> None:
        super().__init__()
        self._env = env
        self.identity = ""  # what a token service takes instead of user and password
        self.source = ""  # where the credentials came from, never what they are
        if env.get(USERNAME) or env.get(PASSWORD):
            self.set_basic_auth(*_from_environment(env))
            self.source = f"{USERNAME} and {PASSWORD}"
            return
        key = _KEYS_OF.get(host, host)
        config = _read_config(self._env)
        entry = (config.auths or {}).get(key, _Entry())
        if entry.registrytoken and not (entry.auth or entry.identitytoken):
            raise AuthError(
                f"docker's configuration has a registry token for {host}, which promote does not use",
                hint=login_hint(host),
            )
        self._auth_config = _narrowed(config, key)
        self.identity = entry.identitytoken
        self._load_auth(key)
        helper = self._auth_config.get("credHelpers", {}).get(key)
        self.source = (f"docker-credential-{helper}" if helper else "docker's configuration") if self.known else ""

    @property
    def known(self) -> bool:
        """There is something that must be kept from others."""
        return bool(self.basic or self.identity)

    @property
    def basic(self) -> str:
        """User and password as the ``Basic`` scheme writes them, or empty."""
        return getattr(self, "_basic_auth", "")

    def _get_auth_from_creds_store(self, suffix: str, hostname: str) -> str | None:
        """What the helper ``docker-credential-SUFFIX`` says; oras' own has no time limit and logs what it prints."""
        name = f"docker-credential-{suffix}"
        try:
            ran = subprocess.run(
                [name, "get"],
                input=hostname.encode(),
                capture_output=True,
                timeout=_HELPER_SECONDS,
                env=self._env,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise AuthError(
                f"{name} did not answer within {_HELPER_SECONDS:.0f} s", hint=login_hint(hostname)
            ) from None
        except OSError as error:
            raise AuthError(f"{name} cannot be run: {error.strerror}", hint=login_hint(hostname)) from None
        if ran.returncode != 0 and b"credentials not found" in ran.stdout:
            return None  # docker/docker-credential-helpers: this very text, on stdout
        try:
            given = _Given.model_validate_json(ran.stdout)
        except ValidationError:  # its text may hold the secret
            raise AuthError(
                f"{name} gave no credentials for {hostname} (exit {ran.returncode})", hint=login_hint(hostname)
            ) from None
        if given.Username == "<token>":  # docker/docker-credential-helpers: so an identity token is told
            self.identity = given.Secret
            return None
        return _encoded(given.Username, given.Secret)


def login_of(env: Mapping[str, str], named: str, host: str) -> Mapping[str, str]:
    """``env`` as requests to ``host`` may see it: the user and password in it are for the registry ``named`` alone.

    Args:
        env: of the process.
        named: the host of the registry that the settings name; empty where they name none.
        host: whom is spoken to.
    """
    if named and named == host:
        return env
    return {key: value for key, value in env.items() if key not in (USERNAME, PASSWORD)}


def login_hint(host: str) -> str:
    """What to do where a registry knows nobody, or the one it knows has no right."""
    rights = "; the token needs write:packages to push, read:packages to pull" if host == "ghcr.io" else ""
    return f"docker login {host}, or {USERNAME} and {PASSWORD}{rights}"


def _from_environment(env: Mapping[str, str]) -> tuple[str, str]:
    user, password = env.get(USERNAME, ""), env.get(PASSWORD, "")
    if not user or not password or ":" in user:
        raise AuthError(f"{USERNAME} and {PASSWORD} go together, and a user name has no colon")
    return user, password


def _encoded(user: str, password: str) -> str:
    return base64.b64encode(f"{user}:{password}".encode()).decode()


def _read_config(env: Mapping[str, str]) -> _DockerConfig:
    """``config.json`` of ``DOCKER_CONFIG``, else of ``~/.docker``; empty where there is none.

    Raises:
        InputError: it cannot be read or is not a docker configuration; the message holds nothing of it.
    """
    folder = env.get("DOCKER_CONFIG") or (f"{env['HOME']}/.docker" if env.get("HOME") else "")
    path = Path(folder) / "config.json"
    if not folder or not path.is_file():
        return _DockerConfig()
    try:
        return _DockerConfig.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        at = ".".join(str(part) for part in error.errors(include_input=False, include_url=False)[0]["loc"][:1])
        raise InputError(f"{path} is not a docker configuration: {printable(at)}") from None
    except (OSError, ValueError):
        raise InputError(f"{path} cannot be read as JSON") from None


def _narrowed(config: _DockerConfig, key: str) -> dict[str, Any]:
    """What oras may see: entries of exactly this host."""
    entry = (config.auths or {}).get(key)
    helper = (config.credHelpers or {}).get(key) or config.credsStore or ""
    if helper and not _HELPER.fullmatch(helper):
        raise InputError(
            f"docker's configuration names the credential helper {printable(helper, 40)!r}", hint="a-z 0-9 - only"
        )
    found: dict[str, Any] = {"auths": {key: {"auth": entry.auth}} if entry and entry.auth else {}}
    return found | ({"credHelpers": {key: helper}} if helper else {})
