"""A real CNCF registry (Debian's ``docker-registry``) on loopback: open, behind htpasswd, or behind a token service."""

from __future__ import annotations

import base64
import datetime
import json
import os
import shutil
import socket
import socketserver
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

USER, SECRET, IDENTITY = "ada", "correct horse", "battery-staple"
# htpasswd -Bbn -C 5 ada "correct horse"
_HTPASSWD = "ada:$2y$05$wXXSQD3jYeGJ1q.uFSxG9u.QVkiPReV/iWdK9fgqc26RM4ZVrBs.G\n"


@dataclass(frozen=True)
class RealRegistry:
    """A registry under way.

    Args:
        host: ``127.0.0.1:PORT``.
        storage: where it keeps its files.
    """

    host: str
    storage: Path

    def blob(self, digest: str) -> Path:
        """The file in which the registry keeps a blob."""
        name = digest.removeprefix("sha256:")
        return self.storage / "docker/registry/v2/blobs/sha256" / name[:2] / name / "data"


@dataclass
class Meter:
    """What went through ``metered``: where it listens, and bytes that clients sent, headers included."""

    host: str = ""
    received: int = 0
    turn: threading.Lock = field(default_factory=threading.Lock)


@contextmanager
def run_registry(folder: Path, auth: dict[str, Any] | None = None) -> Iterator[RealRegistry]:
    binary = shutil.which("docker-registry")
    if binary is None:
        pytest.skip("docker-registry is not installed: apt-get install docker-registry")
    storage = folder / "storage"
    for _ in range(3):  # another process may take the free port before the registry does
        host = f"127.0.0.1:{free_port()}"
        config = {
            "version": 0.1,
            "log": {"level": "error"},
            "storage": {"filesystem": {"rootdirectory": str(storage)}, "delete": {"enabled": True}},
            "http": {"addr": host},
        } | ({"auth": auth} if auth else {})
        (folder / "config.yml").write_text(json.dumps(config))  # JSON is YAML
        with (folder / "registry.log").open("ab") as log:
            process = subprocess.Popen(
                [binary, "serve", str(folder / "config.yml")], stdout=log, stderr=log, env={"PATH": os.environ["PATH"]}
            )
        try:
            if _answers(host, process):
                yield RealRegistry(host, storage)
                return
        finally:
            process.terminate()
            process.wait(10)
    pytest.fail(f"docker-registry does not start: {(folder / 'registry.log').read_text()[-500:]}")


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def _answers(host: str, process: subprocess.Popen[bytes]) -> bool:
    for _ in range(200):
        if process.poll() is not None:
            return False
        try:
            with requests.Session() as session:
                session.trust_env = False
                if session.get(f"http://{host}/v2/", timeout=1).status_code in (200, 401):
                    return True
        except requests.RequestException:
            pass
        time.sleep(0.05)
    return False


@dataclass
class TokenService:
    """Signs tokens for a registry; counts them, and can give one that is expired already."""

    url: str = ""
    given: list[str] = field(default_factory=list)  # scopes, in order
    anonymous: list[str] = field(default_factory=list)
    refreshed: list[dict[str, str]] = field(default_factory=list)  # what came with an identity token
    hidden: set[str] = field(default_factory=set)  # repositories for which nobody gets a token
    expired: set[int] = field(default_factory=set)  # which tokens, counted from 0, are issued expired


def _signer(folder: Path) -> Any:
    """Makes a key and a certificate the registry trusts; returns ``claims -> JWT``."""
    x509 = pytest.importorskip("cryptography.x509", reason="cryptography is not installed: it signs the test tokens")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "tokens")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(hours=2))
        .not_valid_after(now + datetime.timedelta(hours=2))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "root.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    der = base64.b64encode(certificate.public_bytes(serialization.Encoding.DER)).decode()

    def sign(claims: dict[str, Any]) -> str:
        head = {"typ": "JWT", "alg": "ES256", "x5c": [der]}
        body = ".".join(_b64(json.dumps(part).encode()) for part in (head, claims))
        r, s = decode_dss_signature(key.sign(body.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{body}.{_b64(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"

    return sign


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _handler(service: TokenService, sign: Any) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = parse_qs(urlsplit(self.path).query)
            scopes = asked.get("scope", [])
            sent = self.headers.get("Authorization", "")
            right = sent == "Basic " + base64.b64encode(f"{USER}:{SECRET}".encode()).decode()
            if sent and not right:
                self.send_error(401)
            else:
                self.give(asked["service"][0], scopes, right, "token")

        def do_POST(self) -> None:
            """OAuth2, as distribution's ``spec/auth/oauth``: an identity token is a refresh token."""
            form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            asked = {key: values[0] for key, values in form.items()}
            if (asked.get("grant_type"), asked.get("refresh_token")) != ("refresh_token", IDENTITY):
                self.send_error(401)
            else:
                service.refreshed.append(asked)
                self.give(asked["service"], asked.get("scope", "").split(), True, "access_token")

        def give(self, audience: str, scopes: list[str], right: bool, key: str) -> None:
            access = []
            for kind, name, actions in (scope.split(":") for scope in scopes):
                if name in service.hidden:
                    self.send_error(403)
                    return
                may = [a for a in actions.split(",") if right or a == "pull"]  # strangers may read
                access.append({"type": kind, "name": name, "actions": may})
            now = int(time.time())
            expires = now - 3600 if len(service.given) in service.expired else now + 300
            (service.given if right else service.anonymous).append(" ".join(scopes))
            claims = {
                "iss": "tests", "sub": USER if right else "", "aud": audience, "exp": expires,
                "nbf": now - 7200, "iat": now - 7200, "jti": str(now),
                "access": access,
            }  # fmt: skip
            data = json.dumps({key: sign(claims)}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            pass

    return Handler


@contextmanager
def metered(host: str) -> Iterator[Meter]:
    """Stands before a server on loopback and passes everything on, counting what clients send."""
    there, _, port = host.rpartition(":")
    meter = Meter()

    class Pass(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.create_connection((there, int(port)), timeout=30) as server:
                back = threading.Thread(target=pump, args=(server, self.request), daemon=True)
                back.start()
                pump(self.request, server, meter)
                back.join(30)

    def pump(source: socket.socket, goal: socket.socket, counting: Meter | None = None) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if counting:
                    with counting.turn:
                        counting.received += len(data)
                goal.sendall(data)
        with suppress(OSError):
            goal.shutdown(socket.SHUT_WR)

    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Pass)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    meter.host = f"127.0.0.1:{server.server_address[1]}"
    try:
        yield meter
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """A small HTTP server on loopback; its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealRegistry]:
    """A registry that takes everything from everybody."""
    with run_registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture(scope="session")
def htpasswd_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealRegistry]:
    """A registry for ``USER`` with ``SECRET`` only."""
    folder = tmp_path_factory.mktemp("htpasswd-registry")
    (folder / "htpasswd").write_text(_HTPASSWD)
    with run_registry(folder, {"htpasswd": {"realm": "tests", "path": str(folder / "htpasswd")}}) as running:
        yield running


@pytest.fixture
def token_registry(tmp_path: Path) -> Iterator[tuple[RealRegistry, TokenService]]:
    """A registry that wants tokens; everybody may pull, ``USER`` with ``SECRET`` may push."""
    folder = tmp_path / "token-registry"
    folder.mkdir()
    service = TokenService()
    with serving(_handler(service, _signer(folder))) as url:
        service.url = url
        auth = {
            "token": {
                "realm": f"{url}/token", "service": "registry", "issuer": "tests", "rootcertbundle": str(folder / "root.pem"),
            }
        }  # fmt: skip
        with run_registry(folder, auth) as running:
            yield running, service
