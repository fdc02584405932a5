"""The client of S3, and what its failures are told as. Credentials are found by boto3 and never shown."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from promote.core.names import printable
from promote.errors import AuthError, InputError, IntegrityError, PromoteError, Unavailable

_MISSING = {"NoSuchKey", "NoSuchBucket", "NotFound", "404"}
_CHANGED = {"PreconditionFailed", "ConditionalRequestConflict", "NoSuchUpload", "412", "409"}
_DAMAGED = {"BadDigest", "InvalidDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch"}
_ELSEWHERE = {"PermanentRedirect", "TemporaryRedirect", "AuthorizationHeaderMalformed", "301", "307"}
_REFUSED = {
    "AccessDenied", "AllAccessDisabled", "ExpiredToken", "InvalidAccessKeyId", "InvalidToken", "SignatureDoesNotMatch",
    "TokenRefreshRequired", "401", "403", "Forbidden",
}  # fmt: skip
_CREDENTIALS = (
    "credentials come from the AWS chain: environment, profile or role; the bucket's policy says who may write"
)


class Changed(Unavailable):
    """A condition of a write did not hold."""


def open_client() -> Any:
    """boto3's S3 client, its waiting bounded.

    Raises:
        InputError: boto3 is not installed, or its configuration makes no sense.
    """
    try:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError
    except ImportError as error:
        raise InputError("s3:// needs boto3, which is not installed", hint="pip install 'promote[s3]'") from error
    try:
        retries = {"mode": "standard", "total_max_attempts": 4}
        return boto3.client("s3", config=Config(connect_timeout=10, read_timeout=60, retries=retries))
    except (BotoCoreError, ValueError) as error:
        raise InputError(f"S3 cannot be asked: {printable(str(error))}", hint=_CREDENTIALS) from error


def missing(error: Any) -> bool:
    """What was asked for is not there."""
    return str(error.response.get("Error", {}).get("Code", "")) in _MISSING


@contextmanager
def asking(doing: str) -> Iterator[Any]:
    """Gives the class of S3's own refusals; whatever is not caught within is told in one line.

    Raises:
        AuthError: no credentials, or refused ones.
        Changed: a condition of the write did not hold.
        InputError: it has no such bucket or form, or the bucket is in another region.
        IntegrityError: other bytes arrived than were announced.
        Unavailable: everything else.
    """
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import (
        BotoCoreError,
        ClientError,
        NoCredentialsError,
        PartialCredentialsError,
        TokenRetrievalError,
    )

    try:
        yield ClientError
    except ClientError as error:
        raise _told(doing, error) from error
    except (NoCredentialsError, PartialCredentialsError, TokenRetrievalError) as error:
        raise AuthError(f"{doing}: {printable(str(error))}", hint=_CREDENTIALS) from error
    except Boto3Error as error:  # of an upload: it holds S3's refusal as its cause
        cause = error.__cause__ or error.__context__
        told = (
            _told(doing, cause) if isinstance(cause, ClientError) else Unavailable(f"{doing}: {printable(str(error))}")
        )
        raise told from error
    except BotoCoreError as error:
        raise Unavailable(
            f"{doing}: {printable(str(error))}", hint="does AWS_ENDPOINT_URL_S3 name the server?"
        ) from error


def _told(doing: str, error: Any) -> PromoteError:
    said = error.response.get("Error", {})
    code, words = str(said.get("Code", "")), printable(str(said.get("Message", "")), 120)
    message = f"{doing}: {printable(code, 40)}: {words}"
    if code == "RequestTimeTooSkewed":
        return AuthError(message, hint="set the clock of this machine: S3 takes no request that is 15 minutes off")
    if code in _ELSEWHERE:
        return InputError(message, hint="the bucket is in another region: set AWS_REGION, or AWS_ENDPOINT_URL_S3")
    if code in _DAMAGED:
        return IntegrityError(message, hint="bytes changed on their way: run the same command again")
    if code in _REFUSED:
        return AuthError(message, hint=_CREDENTIALS)
    if code in _CHANGED:
        return Changed(message)
    if code == "NoSuchBucket":
        return InputError(message, hint="create it, or name another bucket")
    return Unavailable(message)
