"""A real S3 endpoint over HTTP: ``moto``'s server, on loopback."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

VARIABLES = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "canary-s3-5d1e",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@dataclass(frozen=True)
class S3:
    """The server; ``client`` is a client of its own for looking at what lies there."""

    url: str
    client: Any

    @property
    def environment(self) -> dict[str, str]:
        """What a command needs to find it."""
        return VARIABLES | {"AWS_ENDPOINT_URL_S3": self.url}

    def bucket(self) -> str:
        """A fresh bucket."""
        name = f"models-{uuid.uuid4().hex[:12]}"
        self.client.create_bucket(Bucket=name)
        return name


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """Its URL."""
    import logging

    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> S3:
    """The server, and an environment that finds it."""
    import boto3

    made = S3(s3_server, boto3.client("s3", endpoint_url=s3_server, **_login()))
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    return made


def _login() -> dict[str, str]:
    return {
        "aws_access_key_id": VARIABLES["AWS_ACCESS_KEY_ID"],
        "aws_secret_access_key": VARIABLES["AWS_SECRET_ACCESS_KEY"],
        "region_name": VARIABLES["AWS_DEFAULT_REGION"],
    }
