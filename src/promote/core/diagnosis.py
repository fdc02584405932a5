"""What `promote doctor` found, check by check: how it stands and what to do. Not here: how a thing is examined (``adapters``)."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from promote.errors import PromoteError


class Standing(StrEnum):
    """How a thing stands, worst first."""

    FAIL = "fail"
    WARN = "warn"
    OK = "ok"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    Args:
        name: of the check, ``registry-push``.
        standing: ``fail``: a promotion will stop there; ``warn``: it costs something, or may stop.
        has: what was found.
        remedy: what to do, a command where there is one; empty where nothing is to be done.
        exit_code: of the error that a promotion would end with; 0 where it would not.
    """

    name: str
    standing: Standing
    has: str
    remedy: str = ""
    exit_code: int = 0


def failed(name: str, error: PromoteError, remedy: str = "") -> Check:
    """The check that met this error; its own hint is the remedy where no better one is given."""
    return Check(name, Standing.FAIL, error.message, remedy or error.hint, error.exit_code)


def exit_code(checks: Sequence[Check]) -> int:
    """That of the first failure, else 0."""
    return next((check.exit_code or 1 for check in checks if check.standing is Standing.FAIL), 0)


_LINK = (
    "package settings, Manage Actions access: add the repository with the role Write (only the page can); a new package is "
    "linked by the annotation org.opencontainers.image.source or by its first push from a workflow"
)
_SCOPE = "in the workflow: permissions: packages: write"
_CLASSIC = "a personal access token (classic) with write:packages: docker login ghcr.io"
_ELSEWHERE = "push to ghcr.io/{owner}/..., or give the job a personal access token with write:packages as a secret"


def package_denied(repository: str, actions: str, there: bool) -> tuple[Check, ...]:
    """What GHCR's ``permission_denied: write_package`` comes from, likeliest first; the first is the failure.

    GHCR says the same of all of them, so where it runs and whether the package is there tell them apart. Source: GitHub's
    documentation, "Configuring a package's access control and visibility" and "Permissions for the GITHUB_TOKEN".

    Args:
        repository: ``ghcr.io/acme/models/ner``.
        actions: ``owner/name`` of the repository whose workflow this runs in; empty elsewhere.
        there: the package exists and may be read.
    """
    owner = repository.partition("/")[2].partition("/")[0]
    if not actions:
        has = "the token lacks write:packages, or its user has no write access to the package"
        return (_denied("ghcr-packages-write", has, _CLASSIC),)
    theirs = actions.partition("/")[0].lower()
    if theirs != owner:
        has = f"a workflow of {actions} has a token for packages of {theirs} only, not of {owner}"
        return (_denied("ghcr-other-repository", has, _ELSEWHERE.format(owner=theirs)),)
    link = f"the package is not linked to {actions}: its first push came from elsewhere, or from another repository"
    scope = "the job's token lacks packages: write"
    if there:
        return (
            _denied("ghcr-package-link", link, _LINK),
            _denied("ghcr-packages-write", f"or {scope}", _SCOPE, first=False),
        )
    return (
        _denied("ghcr-packages-write", scope, _SCOPE),
        _denied("ghcr-package-link", f"or {link}", _LINK, first=False),
    )


def _denied(name: str, has: str, remedy: str, *, first: bool = True) -> Check:
    return Check(name, Standing.FAIL if first else Standing.WARN, has, remedy, 4 if first else 0)
