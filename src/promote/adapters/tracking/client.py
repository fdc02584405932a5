"""Opens MLflow: quietly, with short patience, and only where somebody answers.

Not here: what is asked of it (``runs``, ``ledger``).
"""

import logging
import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from promote.adapters.tracking.address import Address, parse_address
from promote.adapters.tracking.failures import CREDENTIALS_HINT, first_line, told
from promote.errors import AuthError, InputError, Unavailable

_PROBE_SECONDS = 3.0
_PAGE = 200
_DOWN_HINT = "start it, or set MLFLOW_TRACKING_URI to where it runs"
_ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # A server's client prints where a run is seen when it ends; stdout is for what promote has to say.
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    # A presigned address is the server's choice of a host; through the server the bytes come from where we asked.
    "MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD": "false",
}


@dataclass(frozen=True, slots=True)
class Connection:
    """An MLflow client and where it leads.

    Args:
        address: of the tracking server, which is the model registry too.
        client: MLflow's ``MlflowClient``.
    """

    address: Address
    client: Any

    def require(self) -> None:
        """Passes when the server lets these credentials read its model registry.

        Raises:
            AuthError, NotFound, Unavailable: as the words say.
        """
        with told(self.address, f"asking {self.address.shown} for its models"):
            self.client.search_registered_models(max_results=1)


def connect(uri: str) -> Connection:
    """A client of the tracking server at ``uri``; settings of MLflow's own that the environment has are kept.

    Raises:
        InputError: no address that promote can use, or MLflow is not installed.
        NotFound: a SQLite file that is not there.
        AuthError: the server wants other credentials.
        Unavailable: it does not answer.
    """
    address = parse_address(uri)
    if address.remote:
        _probe(address)
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        import mlflow
    except ImportError as error:
        raise InputError("MLflow is not installed", hint='pip install "promote[mlflow]"') from error
    _quiet()
    with told(address, f"opening {address.shown}"):
        return Connection(address, mlflow.MlflowClient(address.uri, registry_uri=address.uri))


def paged(link: Connection, doing: str, search: Callable[..., Any]) -> Iterator[Any]:
    """Everything that a search of MLflow's registry finds, page after page.

    Args:
        link: to the registry.
        doing: for messages.
        search: takes ``max_results`` and ``page_token``.
    """
    token = None
    while True:
        with told(link.address, doing):
            page = search(max_results=_PAGE, page_token=token)
        yield from page
        if not (token := page.token):
            return


def _quiet() -> None:
    """MLflow sets its own level when imported, and Alembic speaks while a database is opened."""
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"mlflow(\.|$)")


def _probe(address: Address) -> None:
    """MLflow itself would retry for minutes where nobody listens.

    A 404 is an answer: a proxy may hide ``/health``. A redirect is not followed, so nothing leaves for another host.
    """
    import requests

    try:
        answer = requests.get(f"{address.uri}/health", timeout=_PROBE_SECONDS, allow_redirects=False, stream=True)
        status = answer.status_code
        answer.close()
    except requests.RequestException as error:
        raise Unavailable(
            f"tracking server {address.shown} does not answer: {_why(address, error)}", hint=_DOWN_HINT
        ) from None
    if status in (401, 403):
        raise AuthError(f"tracking server {address.shown} answers {status}", hint=CREDENTIALS_HINT)
    if status >= 500:
        raise Unavailable(f"tracking server {address.shown} answers {status}", hint="see its log, then try again")


def _why(address: Address, error: Exception) -> str:
    """The cause at the bottom, in a few words."""
    import requests

    if isinstance(error, requests.exceptions.SSLError):
        return "its TLS certificate is not trusted"
    if isinstance(error, requests.exceptions.Timeout):
        return f"nothing came within {_PROBE_SECONDS:.0f} s"
    text = first_line(address, error)
    for words in ("Connection refused", "Name or service not known", "Temporary failure in name resolution"):
        if words in str(error):
            return words.lower()
    return text
