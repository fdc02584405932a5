"""A way to a real Triton as tunnels give it: TLS on loopback, with an authority of its own, that asks for a header.

Certificates are made with ``cryptography``; HTTP is taken apart by the standard library, gRPC passes as bytes.
"""

from __future__ import annotations

import datetime
import http.client
import ipaddress
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HEADER, SECRET = "CF-Access-Client-Secret", "canary-4f1b-behind-the-door"


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, as files."""

    certificate: Path
    key: Path


class Authority:
    """Signs; ``root`` is its own certificate."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._key = folder, ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        made = self._begin(self._name, self._key, 1).add_extension(
            x509.BasicConstraints(ca=True, path_length=None), True
        )
        self.root = self._write(f"{name}.pem", made)

    def _begin(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, days: int) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        end = now + datetime.timedelta(days=days)
        return (
            x509.CertificateBuilder().subject_name(subject).issuer_name(self._name).public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(min(now, end) - datetime.timedelta(days=1)).not_valid_after(end)
        )  # fmt: skip

    def _write(self, name: str, builder: x509.CertificateBuilder) -> Path:
        path = self._folder / name
        path.write_bytes(builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        return path

    def sign(self, name: str, *, days: int = 1, hosts: tuple[str, ...] = ("localhost",)) -> Pair:
        """A pair for ``hosts`` and 127.0.0.1; ``days`` below 0: it has expired."""
        key = ec.generate_private_key(ec.SECP256R1())
        names: list[x509.GeneralName] = [x509.DNSName(host) for host in hosts]
        if "localhost" in hosts:
            names.append(x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        made = self._begin(subject, key, days).add_extension(x509.SubjectAlternativeName(names), False)
        file = self._folder / f"{name}.key"
        file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return Pair(self._write(f"{name}.pem", made), file)


@dataclass
class Door:
    """The two ways in, and what was shown there: header -> value of each request let in or not."""

    http: str
    grpc: str
    shown: list[dict[str, str]] = field(default_factory=list)


@contextmanager
def door(http_to: str, grpc_to: str, pair: Pair, *, clients: Path | None = None, prefix: str = "") -> Iterator[Door]:
    """Opens it before a Triton. ``clients``: the authority of the certificates that clients must show."""
    seen: list[dict[str, str]] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    if clients:
        context.load_verify_locations(clients)
        context.verify_mode = ssl.CERT_REQUIRED

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            seen.append(dict(self.headers.items()))
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.headers.get(HEADER) != SECRET:
                return self._answer(403, f"<html>no: {self.headers.get(HEADER)}</html>".encode(), {})
            if not self.path.startswith(prefix + "/"):
                return self._answer(404, b"<html>nothing here</html>", {})
            line = http.client.HTTPConnection(http_to, timeout=60)
            kept = {k: v for k, v in self.headers.items() if k.lower() not in ("host", "connection", HEADER.lower())}
            line.request(self.command, self.path.removeprefix(prefix), body, kept)
            answer = line.getresponse()
            data = answer.read()
            line.close()
            self._answer(answer.status, data, dict(answer.getheaders()))

        do_POST = do_GET

        def _answer(self, status: int, data: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in headers.items():
                if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def get_request(self):
            sock, address = super().get_request()
            return context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False), address

        def handle_error(self, *_: object) -> None:
            pass  # a client that does not trust us hangs up

    web = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=web.serve_forever, daemon=True)
    thread.start()
    rpc = _rpc(grpc_to, pair, clients, seen)
    try:
        yield Door(f"https://localhost:{web.server_address[1]}{prefix}", f"grpcs://localhost:{rpc[1]}", seen)
    finally:
        rpc[0].stop(0).wait()
        web.shutdown()
        web.server_close()
        thread.join()


def _rpc(to: str, pair: Pair, clients: Path | None, seen: list[dict[str, str]]) -> tuple[grpc.Server, int]:
    from concurrent.futures import ThreadPoolExecutor

    channel = grpc.insecure_channel(to)

    class Passing(grpc.GenericRpcHandler):
        def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
            def answer(request: bytes, context: grpc.ServicerContext) -> bytes:
                shown = {str(k): str(v) for k, v in context.invocation_metadata()}
                seen.append(shown)
                if shown.get(HEADER.lower()) != SECRET:
                    context.abort(grpc.StatusCode.PERMISSION_DENIED, f"no: {shown.get(HEADER.lower())}")
                call = channel.unary_unary(details.method, lambda data: data, lambda data: data)
                try:
                    return bytes(call(request, timeout=context.time_remaining()))
                except grpc.RpcError as error:
                    context.abort(error.code(), error.details())
                raise AssertionError

            return grpc.unary_unary_rpc_method_handler(answer, lambda data: data, lambda data: data)

    server = grpc.server(ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((Passing(),))
    credentials = grpc.ssl_server_credentials(
        [(pair.key.read_bytes(), pair.certificate.read_bytes())],
        clients.read_bytes() if clients else None,
        require_client_auth=clients is not None,
    )
    port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    return server, port
