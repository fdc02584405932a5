"""What MLflow and the libraries under it raise, in our words: one line, no traceback, no credentials.

Not here: what to do about a failure (the callers), nor the address (``address``).
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from promote.adapters.tracking.address import Address
from promote.core.names import printable
from promote.errors import AuthError, InputError, IntegrityError, NotFound, PromoteError, Unavailable

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_MISSING = {"RESOURCE_DOES_NOT_EXIST", "NOT_FOUND", "ENDPOINT_NOT_FOUND", "NoSuchKey", "NoSuchBucket", "404"}
_REFUSED = {
    "PERMISSION_DENIED", "CUSTOMER_UNAUTHORIZED", "UNAUTHENTICATED", "AccessDenied", "InvalidAccessKeyId",
    "SignatureDoesNotMatch", "ExpiredToken", "401", "403",
}  # fmt: skip
_WRONG = {"INVALID_PARAMETER_VALUE", "BAD_REQUEST", "INVALID_STATE", "RESOURCE_ALREADY_EXISTS"}
CREDENTIALS_HINT = "MLflow reads MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
_STORE_HINT = (
    "see that this machine may read the artifact store: its credentials, and its endpoint where it is not the default"
)


@contextmanager
def told(address: Address, doing: str, missing: str = "", *, hostile: bool = False) -> Iterator[None]:
    """Turns a failure while ``doing`` into one of ours.

    Args:
        address: whose credentials must not be shown.
        doing: a few words: ``reading run 3f``.
        missing: the whole message where what was asked for is not there.
        hostile: the request was made of what the server said, so a refusal of its form is the server's fault.

    Raises:
        NotFound, AuthError, Unavailable, InputError: as the words say.
        IntegrityError: instead of ``InputError``, where ``hostile``.
    """
    try:
        yield
    except PromoteError:
        raise
    except OSError as error:
        if _code(error):  # requests' exceptions are OSErrors too
            raise _coded(address, error, doing, missing, hostile=hostile) from None
        raise _from_disk(address, error, doing, missing) from None
    except Exception as error:
        if not _foreign(error):
            raise
        raise _coded(address, error, doing, missing, hostile=hostile) from None


def _foreign(error: Exception) -> bool:
    """Raised by a library that talks to the store; anything else is a fault of ours and keeps its traceback."""
    rooms = {cls.__module__.partition(".")[0] for cls in type(error).__mro__}
    return bool(
        rooms & {"mlflow", "requests", "urllib3", "botocore", "boto3", "sqlalchemy", "google", "azure", "sqlite3"}
    )


def _coded(address: Address, error: Exception, doing: str, missing: str, *, hostile: bool) -> PromoteError:
    code = _code(error)
    message = f"{doing}: {first_line(address, error)}"
    if code in _MISSING:
        return NotFound(missing or message)
    if code in _REFUSED:
        return AuthError(f"{address.shown} refuses: {message}", hint=CREDENTIALS_HINT)
    if code == "NO_CREDENTIALS":
        return AuthError(message, hint=_STORE_HINT)
    if "schema" in str(error) and "mlflow db upgrade" in str(error):
        return InputError(f"{address.shown} was made by another MLflow release", hint="mlflow db upgrade <uri>")
    if code in _WRONG:
        return IntegrityError(message) if hostile else InputError(message)
    return Unavailable(
        message, hint="see that the server and its artifact store are up, then run the same command again"
    )


def _code(error: Exception) -> str:
    """The error code that MLflow or S3 names, the HTTP status, or a word of ours; empty where there is none."""
    name = type(error).__name__
    if name in ("NoCredentialsError", "PartialCredentialsError", "TokenRetrievalError", "ProfileNotFound"):
        return "NO_CREDENTIALS"
    if name == "ClientError":
        return str(getattr(error, "response", {}).get("Error", {}).get("Code", ""))
    if code := getattr(error, "error_code", ""):
        return str(code)
    response = getattr(error, "response", None)
    if status := getattr(response, "status_code", 0):
        return str(status)
    return "NETWORK" if isinstance(error, OSError) and type(error).__module__.startswith("requests") else ""


def _from_disk(address: Address, error: OSError, doing: str, missing: str) -> PromoteError:
    if error.errno in _FULL:
        return Unavailable(f"disk is full: {doing}", hint="free some disk, or set work_dir in promote.toml")
    if isinstance(error, FileNotFoundError):
        return NotFound(missing or f"{doing}: {first_line(address, error)}")
    if isinstance(error, PermissionError):
        return InputError(f"{doing}: {error.strerror}: {printable(str(error.filename or ''))}")
    return Unavailable(f"{doing}: {first_line(address, error)}")


def first_line(address: Address, error: BaseException) -> str:
    """The first line of what it says, without credentials."""
    lines = address.scrub(str(error)).strip().splitlines() or [type(error).__name__]
    return printable(lines[0].strip())
