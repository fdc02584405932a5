"""Who decides: as GitHub's or MLflow's authentication says, else as this machine says, which proves nothing.

Not here: what that is worth (``core.review``).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from promote.adapters.tracking.address import parse_address
from promote.core.names import printable
from promote.core.review import CLAIMED, GITHUB, MLFLOW

_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody.

    Args:
        name: theirs.
        how: how it is known: ``mlflow``, ``github`` or ``claimed``.
    """

    name: str
    how: str


def who(uri: str, here: str, environ: Mapping[str, str]) -> Person:
    """Who types this command.

    Args:
        uri: of the tracking server.
        here: what this machine says, ``ada@desk``.
        environ: the environment: MLflow's user and password, and GitHub's actor.
    """
    # GitHub sets both in a job, where MLflow's user is the job's and no person. What a step exports over them, whoever may
    # change the workflow may do.
    if environ.get("GITHUB_ACTIONS") == "true" and (actor := environ.get("GITHUB_ACTOR")):
        return Person(printable(f"github:{actor}"), GITHUB)
    if name := _by_mlflow(uri, environ):
        return Person(printable(f"mlflow:{name}"), MLFLOW)
    return Person(printable(here), CLAIMED)


def _by_mlflow(uri: str, environ: Mapping[str, str]) -> str:
    """The user whose password the server takes; empty where it asks for none, or knows no users."""
    import requests

    address = parse_address(uri)
    if not address.remote:
        return ""
    parts = urlsplit(address.uri)
    user = unquote(parts.username or "") or environ.get("MLFLOW_TRACKING_USERNAME", "")
    password = unquote(parts.password or "") or environ.get("MLFLOW_TRACKING_PASSWORD", "")
    if not user:
        return ""
    # A server without the auth app has no such page; with it, everybody may read what is their own, and nobody else's.
    page = f"{address.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}/api/2.0/mlflow/users/get"
    try:
        answer = requests.get(
            page, params={"username": user}, auth=(user, password), timeout=_SECONDS, allow_redirects=False
        )
        told = answer.json() if answer.status_code == requests.codes.ok else {}
    except (requests.RequestException, ValueError):
        return ""
    found = told.get("user") if isinstance(told, dict) else None
    return user if isinstance(found, dict) and found.get("username") == user else ""
